//! The machine's clocks.
//!
//! The monotonic clock is `CLOCK_BOOTTIME` on Linux, which counts through a suspend: a lease must
//! not outlive a night with the lid closed. Elsewhere it is the plain monotonic clock.

#![allow(clippy::disallowed_methods, reason = "this file is the seam to the system's clocks")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use super::Clock;

#[cfg(target_os = "linux")]
const MONOTONIC: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const MONOTONIC: ClockId = ClockId::Monotonic;

const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_MS: u64 = 1_000_000;

/// The time of the machine the process runs on.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct RealClock;

impl Clock for RealClock {
    fn wall_ms(&self) -> u64 {
        // A clock set before 1970 reads as 1970: store time never goes back, so it loses nothing.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic_ms(&self) -> u64 {
        self.monotonic_ns() / NS_PER_MS
    }

    fn monotonic_ns(&self) -> u64 {
        let now = clock_gettime(MONOTONIC);
        // Neither field is negative on a clock that starts at boot; 64 bits last 584 years.
        now.tv_sec.unsigned_abs() * NS_PER_S + now.tv_nsec.unsigned_abs()
    }

    fn pause(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_run() {
        let clock = RealClock;
        let (wall, ms, ns) = (clock.wall_ms(), clock.monotonic_ms(), clock.monotonic_ns());
        assert!(wall > 1_600_000_000_000, "this was written after 2020");
        assert!(ns / NS_PER_MS >= ms);
        clock.pause(Duration::from_millis(3));
        assert!(clock.monotonic_ns() - ns >= 3 * NS_PER_MS);
        assert!(clock.monotonic_ms() - ms >= 3);
    }
}
