//! Waking those who wait: when their key changes, when a lease or a limit is over.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::engine::{Signal, Timer, Timers, Wakers};
use crate::error::{Error, Result};
use crate::expiry::StoreClock;

/// As many signals are shared by all keys.
const STRIPES: usize = 64;

/// How long a timer may be late where the clock is not that of the machine.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Alarm {
    signals: Vec<Arc<Signal>>,
    hasher: std::hash::RandomState,
    timers: Arc<Timers>,
    thread: Arc<Thread>,
}

#[derive(Debug, Default)]
struct Thread {
    state: Mutex<ThreadState>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct ThreadState {
    runs: bool,
    stop: bool,
}

impl Alarm {
    pub(super) fn new() -> Self {
        Self {
            signals: (0..STRIPES).map(|_| Arc::default()).collect(),
            hasher: std::hash::RandomState::new(),
            timers: Arc::default(),
            thread: Arc::default(),
        }
    }

    /// The signal that rings when this key changes, or another does.
    pub(super) fn signal(&self, name: &[u8]) -> Arc<Signal> {
        let stripe = self.hasher.hash_one(name) as usize % STRIPES;
        self.signals.get(stripe).cloned().unwrap_or_default()
    }

    pub(super) fn ring(&self, name: &[u8]) {
        self.signal(name).ring(&mut Wakers::default());
    }

    /// Rings a signal at a moment of the monotonic clock, too. The first call starts the thread
    /// that does it.
    pub(super) fn ring_at(
        &self,
        due_ms: u64,
        signal: Arc<Signal>,
        clock: &Arc<StoreClock>,
    ) -> Result<Timer> {
        let (timer, _) = self.timers.add(due_ms, signal);
        let mut state = self.thread.state.lock();
        if !state.runs {
            let (timers, thread, clock) = (self.timers.clone(), self.thread.clone(), clock.clone());
            std::thread::Builder::new()
                .name("oncekey-sled".to_owned())
                .spawn(move || run(&timers, &thread, &clock))
                .map_err(|error| Error::io("starting the thread oncekey-sled", error))?;
            state.runs = true;
        }
        drop(state);
        self.thread.wake.notify_all();
        Ok(timer)
    }
}

fn run(timers: &Timers, thread: &Thread, clock: &StoreClock) {
    loop {
        let next = timers.fire(clock.monotonic_ms());
        let mut state = thread.state.lock();
        if state.stop {
            return;
        }
        // Where nobody waits, one who comes meanwhile is seen at the next look.
        let left = next.map_or(LOOK, |due_ms| {
            Duration::from_millis(due_ms.saturating_sub(clock.monotonic_ms()))
        });
        thread.wake.wait_for(&mut state, left.clamp(Duration::from_millis(1), LOOK));
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.thread.state.lock().stop = true;
        self.thread.wake.notify_all();
    }
}
