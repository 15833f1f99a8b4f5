//! States deep inside of the engine that a simulation wants to have come across: a shard that
//! grows, a run that is merged, a record that ended while it was copied.
//!
//! They are counted for one thread, so that a run of the simulator counts its own. A build without
//! tests and without the feature `simulation` counts nothing.

#[cfg(any(test, feature = "simulation"))]
use std::cell::RefCell;
#[cfg(any(test, feature = "simulation"))]
use std::collections::BTreeMap;

#[cfg(any(test, feature = "simulation"))]
thread_local! {
    static REACHED: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// Counts a state, which its name says in words.
#[cfg(any(test, feature = "simulation"))]
pub(crate) fn note(state: &'static str) {
    REACHED.with_borrow_mut(|reached| *reached.entry(state).or_default() += 1);
}

/// Counts nothing, in this build.
#[cfg(not(any(test, feature = "simulation")))]
#[inline(always)]
pub(crate) const fn note(_: &'static str) {}

/// How often this thread has come across a state since it was last [taken](take).
#[cfg(any(test, feature = "simulation"))]
pub(crate) fn count(state: &'static str) -> u64 {
    REACHED.with_borrow(|reached| reached.get(state).copied().unwrap_or(0))
}

/// What this thread has come across, which begins anew.
#[cfg(any(test, feature = "simulation"))]
pub(crate) fn take() -> BTreeMap<&'static str, u64> {
    REACHED.take()
}
