//! Deliberate mistakes between threads, for the schedules to find (`src/schedules`): each is a
//! step left out, or taken too late, where two threads meet.
//!
//! The bugs of [`crate::sabotage`] show in what one thread does. These need a schedule. Only a
//! build for shuttle has the switch: every hook is an `if false` elsewhere.

#[cfg(oncekey_shuttle)]
use std::cell::Cell;

/// A mistake that the store can be given on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(oncekey_shuttle), allow(dead_code, reason = "nobody makes them"))]
pub(crate) enum Slip {
    /// A waiter goes to sleep without looking once more whether its batch is done.
    SleepUnchecked,
    /// A claim that found no record does not look whether the index has changed meanwhile.
    UncheckedLook,
    /// Segments are pinned after the lock was let go under which records in them were found.
    LatePin,
    /// The audit thread says that it may be called again after it has looked, not before.
    LateCome,
}

/// Whether a mistake is made: never, in this build.
#[cfg(not(oncekey_shuttle))]
#[inline(always)]
pub(crate) const fn is_on(_: Slip) -> bool {
    false
}

/// Whether a mistake is made by the threads of this test, which shuttle runs on one.
#[cfg(oncekey_shuttle)]
pub(crate) fn is_on(slip: Slip) -> bool {
    ON.get() == Some(slip)
}

#[cfg(oncekey_shuttle)]
thread_local! {
    static ON: Cell<Option<Slip>> = const { Cell::new(None) };
}

#[cfg(oncekey_shuttle)]
impl Slip {
    /// Runs a test with the mistake.
    pub(crate) fn run<T>(self, test: impl FnOnce() -> T) -> T {
        ON.set(Some(self));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test));
        ON.set(None);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
