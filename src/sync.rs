//! Locks, atomics and threads: the machine's, or those of shuttle, which runs the threads of a test
//! one at a time, in another order each time.
//!
//! Whatever synchronises imports from here, so that the code which is checked is the code which
//! runs. Built without `--cfg oncekey_shuttle` the names here are those of `parking_lot` and `std`,
//! and cost nothing. It is a cfg and not a feature, since features add up: with one, whoever asks
//! for all features would get a store that runs nowhere but under shuttle.
//!
//! What orders memory by itself, with neither a lock nor `SeqCst` to lean on, takes its atomics
//! from [`ordered`]: they are loom's under `--cfg oncekey_loom`, which knows what a weak order
//! allows.
//!
//! Left to others: counters that order nothing (they are `std`'s), tests (`src/schedules`,
//! `src/expiry/orders.rs`).

#[cfg(not(oncekey_shuttle))]
mod real {
    //! Names of their own, so that clippy tells them from the same types taken past this module.
    #![allow(clippy::disallowed_types, reason = "these are the types that others are to take")]

    pub(crate) type Mutex<T> = parking_lot::Mutex<T>;
    pub(crate) type MutexGuard<'a, T> = parking_lot::MutexGuard<'a, T>;
    pub(crate) type RwLock<T> = parking_lot::RwLock<T>;
    pub(crate) type Condvar = parking_lot::Condvar;

    pub(crate) mod atomic {
        pub(crate) use std::sync::atomic::{
            AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
        };
    }

    pub(crate) mod thread {
        pub(crate) use std::thread::{
            Builder, JoinHandle, Thread, ThreadId, current, park, yield_now,
        };
    }
}

#[cfg(oncekey_shuttle)]
mod checked;

/// The store's clock is all that needs these.
pub(crate) mod ordered {
    #[cfg(oncekey_loom)]
    pub(crate) use loom::sync::atomic::{AtomicI64, AtomicU64, fence};

    #[cfg(not(oncekey_loom))]
    pub(crate) use super::atomic::{AtomicI64, AtomicU64, fence};

    #[cfg(oncekey_loom)]
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    #[cfg(oncekey_loom)]
    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
        }
    }

    #[cfg(not(oncekey_loom))]
    pub(crate) use super::Mutex;
}

#[cfg(oncekey_shuttle)]
pub(crate) use checked::*;
#[cfg(not(oncekey_shuttle))]
pub(crate) use real::*;
