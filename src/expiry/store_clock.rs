//! Store time: the one clock of expiry (promise 6).
//!
//! Inside a process it advances with the monotonic clock and with nothing else, so that a step of
//! the wall clock neither revives nor drops a record. At open it begins at the larger of the wall
//! clock and the last time in the log. Where either would leap forward by more than a threshold,
//! store time is *held back*: it goes on from where it was, and takes the leap only after the wall
//! clock has agreed with it for the confirmation time.
//!
//! While a leap is held back, what expires is judged by [`StoreClock::now`] (the earlier time), and
//! deadlines are set from [`StoreClock::latest`] (the later one): a record then lives too long
//! rather than too short.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::ids::StoreTime;
use crate::reached;
use crate::sync::atomic::Ordering;
use crate::sync::ordered::{AtomicI64, AtomicU64, Mutex, fence};

/// When a leap is doubted, and for how long. In milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeapRules {
    pub(crate) threshold_ms: u64,
    pub(crate) confirmation_ms: u64,
}

#[derive(Debug)]
pub(crate) struct StoreClock {
    clock: Arc<dyn Clock>,
    rules: LeapRules,
    /// Store time minus monotonic time.
    offset_ms: AtomicI64,
    /// The last monotonic time seen, to notice a leap.
    seen_ms: AtomicU64,
    /// How much is held back; zero most of the time. A copy of `leap` that needs no lock.
    held_back_ms: AtomicU64,
    leap: Mutex<Option<Leap>>,
    /// Odd while the offset and what is held back are changed, under the lock of `leap`.
    version: AtomicU64,
}

/// The time at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// From which deadlines are counted.
    pub(crate) latest: StoreTime,
    /// By which leases are measured.
    pub(crate) monotonic_ms: u64,
}

/// A leap that waits for its confirmation.
#[derive(Debug, Clone, Copy)]
struct Leap {
    /// By how much store time would move.
    by_ms: u64,
    /// Since when, in monotonic time, the clocks agree on it.
    since_ms: u64,
}

impl StoreClock {
    /// Store time of a store whose log ends at `last`.
    pub(crate) fn resume(clock: Arc<dyn Clock>, rules: LeapRules, last: Option<StoreTime>) -> Self {
        let (wall, monotonic) = (clock.wall_ms(), clock.monotonic_ms());
        let last = last.map_or(wall, StoreTime::as_millis);
        let ahead = wall.saturating_sub(last);
        let doubted = ahead > rules.threshold_ms;
        let start = if doubted { last } else { wall.max(last) };
        let by_ms = if doubted { ahead } else { 0 };
        Self {
            clock,
            rules,
            offset_ms: AtomicI64::new(start.cast_signed().wrapping_sub(monotonic.cast_signed())),
            seen_ms: AtomicU64::new(monotonic),
            held_back_ms: AtomicU64::new(by_ms),
            leap: Mutex::new(doubted.then_some(Leap { by_ms, since_ms: monotonic })),
            version: AtomicU64::new(0),
        }
    }

    /// One reading of the clock, for all that a decision needs of it.
    pub(crate) fn moment(&self) -> Moment {
        self.steadily(|| {
            let monotonic_ms = self.read();
            let held_back_ms = self.held_back_ms.load(Ordering::Acquire);
            Moment { latest: self.at(monotonic_ms).plus_ms(held_back_ms), monotonic_ms }
        })
    }

    /// The time by which expiry is judged. Never goes back.
    pub(crate) fn now(&self) -> StoreTime {
        self.steadily(|| self.at(self.read()))
    }

    /// Reads the clock and the offset as they belong together: a time read before a leap must not
    /// meet the offset that holds the leap back.
    fn steadily<T>(&self, read: impl Fn() -> T) -> T {
        loop {
            let before = self.version.load(Ordering::Acquire);
            let value = read();
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == before {
                return value;
            }
            // Whoever changes them holds the lock.
            drop(self.leap.lock());
        }
    }

    /// Changes the offset, what is held back, or both. Called with the lock of `leap` held.
    fn change(&self, change: impl FnOnce()) {
        self.version.fetch_add(1, Ordering::AcqRel);
        fence(Ordering::Release);
        change();
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Lets time pass without doing anything; a simulated clock moves.
    pub(crate) fn pause(&self, duration: Duration) {
        self.clock.pause(duration);
    }

    /// Reads the monotonic clock, and notices a leap of it.
    fn read(&self) -> u64 {
        let monotonic = self.clock.monotonic_ms();
        // Whoever sees the end of a leap here sees the offset that holds it back, too.
        let seen = self.seen_ms.load(Ordering::Acquire);
        if monotonic > seen {
            if monotonic - seen > self.rules.threshold_ms {
                self.hold_back(monotonic);
            } else {
                self.seen_ms.fetch_max(monotonic, Ordering::AcqRel);
            }
        }
        monotonic
    }

    /// The latest that the time can be: what deadlines are counted from.
    pub(crate) fn latest(&self) -> StoreTime {
        self.moment().latest
    }

    /// How much of a leap is held back, in milliseconds.
    pub(crate) fn held_back_ms(&self) -> u64 {
        self.held_back_ms.load(Ordering::Acquire)
    }

    /// By how much the wall clock is ahead of the monotonic one.
    pub(crate) fn wall_ahead_ms(&self) -> u64 {
        self.clock.wall_ms().saturating_sub(self.clock.monotonic_ms())
    }

    /// Milliseconds of the monotonic clock, which leases are measured by.
    pub(crate) fn monotonic_ms(&self) -> u64 {
        self.clock.monotonic_ms()
    }

    /// Looks whether a held-back leap has been confirmed. Called now and then.
    pub(crate) fn tick(&self) {
        let now = self.now();
        let mut leap = self.leap.lock();
        let Some(doubted) = leap.as_mut() else { return };
        let monotonic = self.clock.monotonic_ms();
        let ahead = self.clock.wall_ms().saturating_sub(now.0);
        if ahead.saturating_add(self.rules.threshold_ms) < doubted.by_ms {
            // The wall clock took it back, or part of it.
            *doubted = Leap { by_ms: ahead, since_ms: monotonic };
            self.change(|| self.held_back_ms.store(ahead, Ordering::Release));
        } else if monotonic.saturating_sub(doubted.since_ms) >= self.rules.confirmation_ms {
            let by_ms = doubted.by_ms.cast_signed();
            self.change(|| {
                self.offset_ms.fetch_add(by_ms, Ordering::AcqRel);
                self.held_back_ms.store(0, Ordering::Release);
            });
            *leap = None;
        }
    }

    /// The clock itself, for what has nothing to do with store time.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// Nanoseconds of the monotonic clock, to measure how long something took.
    #[cfg(feature = "metrics")]
    pub(crate) fn monotonic_ns(&self) -> u64 {
        self.clock.monotonic_ns()
    }

    fn at(&self, monotonic_ms: u64) -> StoreTime {
        let offset = self.offset_ms.load(Ordering::Acquire);
        StoreTime(monotonic_ms.cast_signed().wrapping_add(offset).max(0).cast_unsigned())
    }

    #[cold]
    fn hold_back(&self, monotonic: u64) {
        let mut leap = self.leap.lock();
        let seen = self.seen_ms.load(Ordering::Relaxed);
        let by_ms = monotonic.saturating_sub(seen);
        if by_ms <= self.rules.threshold_ms {
            return;
        }
        reached::note("store time: a leap is held back");
        let held = leap.map_or(0, |leap| leap.by_ms) + by_ms;
        *leap = Some(Leap { by_ms: held, since_ms: monotonic });
        self.change(|| {
            self.held_back_ms.store(held, Ordering::Release);
            self.offset_ms.fetch_sub(by_ms.cast_signed(), Ordering::AcqRel);
            self.seen_ms.store(monotonic, Ordering::Release);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SimClock;

    const HOUR: u64 = 3_600_000;
    const RULES: LeapRules = LeapRules { threshold_ms: HOUR, confirmation_ms: 600_000 };

    fn clock_at(wall_ms: u64, last: u64) -> (Arc<SimClock>, StoreClock) {
        let sim = Arc::new(SimClock::new(wall_ms));
        let time = StoreClock::resume(sim.clone(), RULES, Some(StoreTime(last)));
        (sim, time)
    }

    #[test]
    fn promise_6_a_step_back_of_the_wall_clock_changes_nothing() {
        let (sim, time) = clock_at(100 * HOUR, 100 * HOUR);
        sim.step_wall(-50 * HOUR as i64);
        sim.advance(Duration::from_millis(5));
        assert_eq!(time.now(), StoreTime(100 * HOUR + 5));
    }

    #[test]
    fn promise_6_open_never_starts_before_the_log_ends() {
        let (_, time) = clock_at(10 * HOUR, 100 * HOUR);
        assert_eq!(time.now(), StoreTime(100 * HOUR));
    }

    #[test]
    fn promise_6_a_leap_at_open_waits_for_its_confirmation() {
        let (sim, time) = clock_at(200 * HOUR, 100 * HOUR);
        assert_eq!(time.now(), StoreTime(100 * HOUR));
        assert_eq!(time.latest(), StoreTime(200 * HOUR));
        sim.advance(Duration::from_millis(599_999));
        time.tick();
        assert_eq!(time.now(), StoreTime(100 * HOUR + 599_999));
        sim.advance(Duration::from_millis(1));
        time.tick();
        assert_eq!(time.now(), StoreTime(200 * HOUR + 600_000));
        assert_eq!(time.held_back_ms(), 0);
    }

    #[test]
    fn promise_6_a_leap_that_is_taken_back_is_forgotten() {
        let (sim, time) = clock_at(200 * HOUR, 100 * HOUR);
        sim.advance(Duration::from_millis(300_000));
        sim.step_wall(-100 * HOUR as i64);
        time.tick();
        sim.advance(Duration::from_millis(900_000));
        time.tick();
        assert_eq!(time.now(), StoreTime(100 * HOUR + 1_200_000));
    }

    #[test]
    fn promise_6_a_leap_in_a_process_waits_too() {
        let (sim, time) = clock_at(100 * HOUR, 100 * HOUR);
        sim.advance(Duration::from_millis(3 * HOUR));
        assert_eq!(time.now(), StoreTime(100 * HOUR));
        assert_eq!(time.latest(), StoreTime(103 * HOUR));
        sim.advance(Duration::from_millis(600_000));
        time.tick();
        assert_eq!(time.now(), StoreTime(103 * HOUR + 600_000));
    }
}
