//! The only door to time.
//!
//! A [`Clock`] gives two readings: the wall clock, which anyone may set to anything, and the
//! monotonic clock, which only moves forward and goes on counting while the machine sleeps. The
//! engine derives store time from both (see [`crate::expiry`]); nothing else in the crate asks the
//! system for the time.

mod real;
#[cfg(any(test, feature = "simulation"))]
mod sim;

use std::fmt::Debug;
use std::time::Duration;

pub(crate) use real::RealClock;
#[cfg(any(test, feature = "simulation"))]
pub use sim::SimClock;

/// Two readings of time and a way to wait.
pub trait Clock: Debug + Send + Sync {
    /// Milliseconds since the Unix epoch, as the machine believes now. May step either way.
    fn wall_ms(&self) -> u64;
    /// Milliseconds since some fixed point. Never goes back; counts while suspended.
    fn monotonic_ms(&self) -> u64;
    /// Nanoseconds of the monotonic clock, for measuring latencies.
    fn monotonic_ns(&self) -> u64;
    /// Lets a waiting loop (the lock wait of `open`) pause; a simulated clock advances instead.
    fn pause(&self, duration: Duration);
}
