//! A word that threads sleep on until it changes.
//!
//! On Linux it is a futex: one call wakes all of a batch's threads, without a lock that they would
//! then queue for. Elsewhere, and where shuttle
//! checks it, a condition variable does the same, slower.
//!
//! The word is as wide as a futex is: 31 bits of a counter, and one that says whether threads may
//! sleep. A thread that reads it and then stands still, awake, while it is changed exactly 2^31
//! times, would sleep on the new value as if it were the old one: a quarter of a day of a hundred
//! thousand batches a second between two instructions.

use crate::sync::atomic::{AtomicU32, Ordering};
#[cfg(any(oncekey_shuttle, not(target_os = "linux")))]
use crate::sync::{Condvar, Mutex};

/// Set while threads may sleep on the word.
const SLEEPERS: u32 = 1;
/// What a change adds: all but the lowest bit count.
const CHANGE: u32 = 2;

#[derive(Debug)]
pub(crate) struct WakeWord {
    value: AtomicU32,
    #[cfg(any(oncekey_shuttle, not(target_os = "linux")))]
    sleepers: (Mutex<()>, Condvar),
}

impl WakeWord {
    pub(crate) const fn new() -> Self {
        Self {
            value: AtomicU32::new(0),
            #[cfg(any(oncekey_shuttle, not(target_os = "linux")))]
            sleepers: (Mutex::new(()), Condvar::new()),
        }
    }

    /// Says that somebody is about to sleep; returns the value to sleep on.
    pub(crate) fn enter(&self) -> u32 {
        self.value.fetch_or(SLEEPERS, Ordering::SeqCst) | SLEEPERS
    }

    pub(crate) fn has_sleepers(&self) -> bool {
        self.value.load(Ordering::SeqCst) & SLEEPERS != 0
    }

    /// Changes the word, so that whoever is about to sleep on the old value does not; those who
    /// sleep are still to be woken.
    pub(crate) fn bump(&self) {
        self.value.fetch_add(CHANGE, Ordering::SeqCst);
    }

    /// Changes the word and wakes everybody, if anybody sleeps.
    pub(crate) fn finish(&self) {
        let old = self.value.fetch_add(CHANGE, Ordering::SeqCst);
        if old & SLEEPERS != 0 {
            self.value.fetch_and(!SLEEPERS, Ordering::SeqCst);
            self.wake_all();
        }
    }
}

#[cfg(all(target_os = "linux", not(oncekey_shuttle)))]
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

#[cfg(any(oncekey_shuttle, not(target_os = "linux")))]
impl WakeWord {
    /// Sleeps while the word is `seen`. May wake for no reason.
    pub(crate) fn sleep(&self, seen: u32) {
        let mut lock = self.sleepers.0.lock();
        if self.value.load(Ordering::SeqCst) == seen {
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
