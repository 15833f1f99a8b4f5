//! How long a thread gives way to others before it sleeps.
//!
//! Where batches follow one another quickly, giving the processor away for a few turns costs less
//! than to be put to sleep and woken. That holds as long as the turns go to threads which are about
//! to wait here, too. Where something else keeps the processors busy, a thread that gives way gets
//! its turn back only when the other's time is up, milliseconds later, while one that was woken is
//! let in at once. So whoever was gone for too long says so, and nobody gives way for a while; for
//! longer each time that it does not help.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Clock;

/// Who gets his turn back later than this waited for something else than a few short turns: Linux
/// lets a busy thread run for some 3 ms.
const LONG_NS: u64 = 2_000_000;
/// For so long nobody gives way then: it may have been chance.
const FIRST_PAUSE_NS: u64 = 8_000_000;
const MAX_PAUSE_NS: u64 = 512_000_000;

#[derive(Debug)]
pub(super) struct Patience {
    clock: Arc<dyn Clock>,
    /// Until then nobody gives way.
    none_until_ns: AtomicU64,
    /// How long that was decided for.
    pause_ns: AtomicU64,
}

impl Patience {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, none_until_ns: AtomicU64::new(0), pause_ns: AtomicU64::new(0) }
    }

    /// Gives way up to so many times, until there is something to return.
    pub(super) fn give_way<T>(&self, turns: u32, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let mut before = self.clock.monotonic_ns();
        if before < self.none_until_ns.load(Ordering::Relaxed) {
            return None;
        }
        for _ in 0..turns {
            if let Some(found) = look() {
                return Some(found);
            }
            crate::sync::thread::yield_now();
            let after = self.clock.monotonic_ns();
            if after.saturating_sub(before) > LONG_NS {
                self.pause(after);
                return None;
            }
            before = after;
        }
        None
    }

    fn pause(&self, now_ns: u64) {
        let until_ns = self.none_until_ns.load(Ordering::Relaxed);
        // Of those who were gone at the same time the first has decided.
        let Some(since_ns) = now_ns.checked_sub(until_ns) else { return };
        let last_ns = self.pause_ns.load(Ordering::Relaxed);
        let pause_ns = match since_ns < last_ns {
            true => (2 * last_ns).min(MAX_PAUSE_NS),
            false => FIRST_PAUSE_NS,
        };
        self.pause_ns.store(pause_ns, Ordering::Relaxed);
        self.none_until_ns.store(now_ns.saturating_add(pause_ns), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;
    use crate::clock::SimClock;

    fn turns(patience: &Patience, turn: impl Fn()) -> u32 {
        let taken = Cell::new(0);
        let found = patience.give_way(8, || {
            taken.set(taken.get() + 1);
            turn();
            None::<()>
        });
        assert!(found.is_none());
        taken.get()
    }

    #[test]
    fn whoever_was_gone_for_long_has_nobody_give_way_for_a_while_and_longer_each_time() {
        let clock = Arc::new(SimClock::new(0));
        let patience = Patience::new(clock.clone());
        let pass = |ms| clock.advance(Duration::from_millis(ms));
        pass(1000);
        assert_eq!(turns(&patience, || ()), 8);
        for pause_ms in [8, 16, 32, 64, 128, 256, 512, 512, 512] {
            assert_eq!(turns(&patience, || pass(3)), 1);
            pass(pause_ms - 1);
            assert_eq!(turns(&patience, || ()), 0, "{pause_ms} ms");
            pass(1);
        }
        assert_eq!(turns(&patience, || ()), 8);
        pass(512);
        assert_eq!(turns(&patience, || pass(3)), 1);
        pass(8);
        assert_eq!(turns(&patience, || ()), 8, "it was long ago");
        assert_eq!(patience.give_way(8, || Some(1)), Some(1));
    }
}
