//! A signal that threads and tasks wait for, and the wakers that are to be called once it rings.
//!
//! A waker is a stranger's code: it may call back into the store, drop what it woke, block, or
//! panic. So ringing only gathers wakers, which may be done under any lock; they are called when
//! the [`Wakers`] are dropped. Declare those before the first lock is taken, and they run after the
//! last one is let go.

use crate::sync::Mutex;
use crate::sync::thread::{self, Thread};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// Rings whenever something changed that others wait for.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// How often it rang.
    rings: u64,
    /// Listeners so far: the number of the next one.
    listeners: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Signal {
    /// Begins to listen: every ring from now on is heard.
    pub(crate) fn listen(self: Arc<Self>) -> Listener {
        let mut waiting = self.waiting.lock();
        let (number, heard) = (waiting.listeners, waiting.rings);
        waiting.listeners += 1;
        drop(waiting);
        Listener { signal: self, number, heard }
    }

    /// Rings: all who listen are to be woken.
    pub(crate) fn ring(&self, wakers: &mut Wakers) {
        let mut waiting = self.waiting.lock();
        waiting.rings += 1;
        wakers.0.extend(std::mem::take(&mut waiting.wakers).into_values());
    }
}

/// Somebody who waits for a signal.
#[derive(Debug)]
pub(crate) struct Listener {
    signal: Arc<Signal>,
    number: u64,
    heard: u64,
}

impl Listener {
    /// Whether it is this signal that is listened to.
    pub(crate) fn is_for(&self, signal: &Arc<Signal>) -> bool {
        Arc::ptr_eq(&self.signal, signal)
    }

    /// Ready once the signal has rung since this began to listen.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Cloned and dropped with no lock held: both are a stranger's code.
        let waker = cx.waker().clone();
        let mut waiting = self.signal.waiting.lock();
        if waiting.rings != self.heard {
            return Poll::Ready(());
        }
        let earlier = waiting.wakers.insert(self.number, waker);
        drop(waiting);
        drop(earlier);
        Poll::Pending
    }

    /// Waits on this thread.
    pub(crate) fn wait(&mut self) {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut cx = Context::from_waker(&waker);
        while self.poll(&mut cx).is_pending() {
            thread::park();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut waiting = self.signal.waiting.lock();
        let waker = waiting.wakers.remove(&self.number);
        drop(waiting);
        drop(waker);
    }
}

/// Wakes a parked thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Wakers to be called when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Vec<Waker>);

impl Wakers {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for Wakers {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            wake_all(&mut self.0);
        }
    }
}

/// Calls wakers. One that panics is passed over, after the panic hook has told of it: the next is
/// somebody else's, and so is the thread.
pub(crate) fn wake_all(wakers: &mut Vec<Waker>) {
    let mut left = wakers.drain(..);
    while catch_unwind(AssertUnwindSafe(|| left.by_ref().for_each(Waker::wake))).is_err() {}
}
