//! A word that threads sleep on until it changes.
//!
//! On Linux it is a futex: one call wakes all of a batch's threads, without a lock that they would
//! then queue for. Elsewhere a condition variable does the same, slower.

use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Debug)]
pub(crate) struct WakeWord {
    value: AtomicU32,
    #[cfg(not(target_os = "linux"))]
    sleepers: (parking_lot::Mutex<()>, parking_lot::Condvar),
}

impl WakeWord {
    pub(crate) const fn new() -> Self {
        Self {
            value: AtomicU32::new(0),
            #[cfg(not(target_os = "linux"))]
            sleepers: (parking_lot::Mutex::new(()), parking_lot::Condvar::new()),
        }
    }

    pub(crate) fn value(&self) -> u32 {
        self.value.load(Ordering::Acquire)
    }

    /// Changes the word, so that whoever is about to sleep on the old value does not.
    pub(crate) fn bump(&self) {
        self.value.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(target_os = "linux")]
impl WakeWord {
    /// Sleeps while the word is `seen`. May wake for no reason.
    pub(crate) fn sleep(&self, seen: u32) {
        use rustix::thread::futex;
        // Interrupted, changed and woken all mean: look again.
        let _ = futex::wait(&self.value, futex::Flags::PRIVATE, seen, None);
    }

    pub(crate) fn wake_one(&self) {
        use rustix::thread::futex;
        let _ = futex::wake(&self.value, futex::Flags::PRIVATE, 1);
    }

    pub(crate) fn wake_all(&self) {
        use rustix::thread::futex;
        let _ = futex::wake(&self.value, futex::Flags::PRIVATE, i32::MAX as u32);
    }
}

#[cfg(not(target_os = "linux"))]
impl WakeWord {
    /// Sleeps while the word is `seen`. May wake for no reason.
    pub(crate) fn sleep(&self, seen: u32) {
        let mut lock = self.sleepers.0.lock();
        if self.value() == seen {
            self.sleepers.1.wait(&mut lock);
        }
    }

    pub(crate) fn wake_one(&self) {
        let _lock = self.sleepers.0.lock();
        self.sleepers.1.notify_one();
    }

    pub(crate) fn wake_all(&self) {
        let _lock = self.sleepers.0.lock();
        self.sleepers.1.notify_all();
    }
}
