//! Chance for the traffic: jitter, and when to kill. Not for anything that must be unguessable.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;
use std::time::Duration;

/// A random number. The standard library seeds its hash maps from the system and counts up from
/// there; a hash of nothing under such a seed is as random as a demo needs.
pub(crate) fn number() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A random duration within `range`.
pub(crate) fn between(range: Range<Duration>) -> Duration {
    let width_us = u64::try_from(range.end.saturating_sub(range.start).as_micros());
    let width_us = width_us.unwrap_or(u64::MAX).max(1);
    range.start + Duration::from_micros(number() % width_us)
}

/// True about `percent` times in a hundred.
pub(crate) fn chance(percent: u64) -> bool {
    number() % 100 < percent
}
