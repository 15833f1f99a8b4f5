//! A clock that a test moves.
//!
//! It stands still between calls. Share it as an `Arc`: the store holds one end and the test the
//! other. A restarted machine has a new monotonic clock: model it by a new `SimClock`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Clock;

const NS_PER_MS: u64 = 1_000_000;

/// A simulated clock. The monotonic clock starts at zero.
#[derive(Debug)]
pub struct SimClock {
    wall_ms: AtomicU64,
    monotonic_ns: AtomicU64,
}

impl SimClock {
    /// A clock whose wall clock shows `wall_ms`.
    #[must_use]
    pub fn new(wall_ms: u64) -> Self {
        Self { wall_ms: AtomicU64::new(wall_ms), monotonic_ns: AtomicU64::new(0) }
    }

    /// Lets time pass, on both clocks. Each stops at the end of its range.
    pub fn advance(&self, duration: Duration) {
        let step_ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let before_ns = change(&self.monotonic_ns, |ns| ns.saturating_add(step_ns));
        // From the readings and not from the duration, so that parts of a millisecond add up.
        let after_ns = before_ns.saturating_add(step_ns);
        let step_ms = after_ns / NS_PER_MS - before_ns / NS_PER_MS;
        change(&self.wall_ms, |wall_ms| wall_ms.saturating_add(step_ms));
    }

    /// Steps the wall clock alone, either way, as an operator or a time daemon would.
    pub fn step_wall(&self, step_ms: i64) {
        change(&self.wall_ms, |wall_ms| wall_ms.saturating_add_signed(step_ms));
    }

    /// Sets the wall clock alone.
    pub fn set_wall(&self, wall_ms: u64) {
        self.wall_ms.store(wall_ms, Ordering::SeqCst);
    }
}

/// Replaces a reading by what `to` makes of it; returns the one before.
fn change(reading: &AtomicU64, to: impl Fn(u64) -> u64) -> u64 {
    let updated = reading.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |old| Some(to(old)));
    let (Ok(before) | Err(before)) = updated;
    before
}

impl Clock for SimClock {
    fn wall_ms(&self) -> u64 {
        self.wall_ms.load(Ordering::SeqCst)
    }

    fn monotonic_ms(&self) -> u64 {
        self.monotonic_ns() / NS_PER_MS
    }

    fn monotonic_ns(&self) -> u64 {
        self.monotonic_ns.load(Ordering::SeqCst)
    }

    fn pause(&self, duration: Duration) {
        self.advance(duration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advance_moves_both_clocks_and_keeps_fractions() {
        let clock = SimClock::new(1_000);
        for _ in 0..4 {
            clock.advance(Duration::from_micros(500));
        }
        clock.pause(Duration::from_millis(3));
        assert_eq!((clock.wall_ms(), clock.monotonic_ms()), (1_005, 5));
        assert_eq!(clock.monotonic_ns(), 5 * NS_PER_MS);
    }

    #[test]
    fn steps_move_the_wall_clock_alone() {
        let clock = SimClock::new(1_000);
        clock.step_wall(-400);
        assert_eq!((clock.wall_ms(), clock.monotonic_ms()), (600, 0));
        clock.step_wall(-4_000);
        assert_eq!(clock.wall_ms(), 0);
        clock.set_wall(u64::MAX - 1);
        clock.advance(Duration::from_millis(9));
        assert_eq!((clock.wall_ms(), clock.monotonic_ms()), (u64::MAX, 9));
        clock.advance(Duration::MAX);
        assert_eq!(clock.monotonic_ns(), u64::MAX);
    }
}
