//! Locks, atomics and threads: the machine's, or those of shuttle, which runs the threads of a test
//! one at a time, in another order each time.
//!
//! Whatever synchronises imports from here, so that the code which is checked is the code which
//! runs. Built without `--cfg oncekey_shuttle` the names here are those of `parking_lot` and `std`,
//! and cost nothing. It is a cfg and not a feature, since features add up: with one, whoever asks
//! for all features would get a store that runs nowhere but under shuttle.
//!
//! Left to others: counters that order nothing (they are `std`'s), tests ([`crate::schedules`]).

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

    pub(crate) use std::thread_local;
}

#[cfg(oncekey_shuttle)]
mod checked;

#[cfg(oncekey_shuttle)]
pub(crate) use checked::*;
#[cfg(not(oncekey_shuttle))]
pub(crate) use real::*;
