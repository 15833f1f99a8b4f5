//! A general store that hands to the system before it tells; a thread syncs every 100 ms.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Engine;
use crate::workload::Request;

const INTERVAL: Duration = Duration::from_millis(100);

/// A store whose calls return before a sync, and that can be synced apart from them.
pub trait Synced: Engine + 'static {
    /// Brings everything written so far to stable storage.
    fn sync(&self);
}

pub struct Interval<S: Synced> {
    store: Arc<S>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<S: Synced> Interval<S> {
    pub fn new(store: S) -> Self {
        let store = Arc::new(store);
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    thread::sleep(INTERVAL);
                    store.sync();
                }
            }
        });
        Self { store, stop, thread: Some(thread) }
    }
}

impl<S: Synced> Drop for Interval<S> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl<S: Synced> Engine for Interval<S> {
    fn claim(&self, request: &Request) -> bool {
        self.store.claim(request)
    }

    fn complete(&self, request: &Request) {
        self.store.complete(request);
    }

    fn replay(&self, request: &Request) -> Option<Vec<u8>> {
        self.store.replay(request)
    }

    fn load(&self, requests: &mut dyn Iterator<Item = Request>) {
        self.store.load(requests);
    }
}
