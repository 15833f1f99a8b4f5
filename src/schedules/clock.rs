//! Store time while a leap of the clock is held back and confirmed: it never goes back, and takes
//! no leap before it is confirmed, whatever is read between two steps of the change.

use std::sync::Arc;
use std::time::Duration;

use super::{explore, join_all};
use crate::expiry::{LeapRules, StoreClock};
use crate::simulation::SimClock;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread;

const START_MS: u64 = 1_790_000_000_000;
const HOUR_MS: u64 = 3_600_000;
const CONFIRMATION_MS: u64 = 600_000;

#[test]
fn promise_6_store_time_takes_no_leap_early_and_never_goes_back() {
    explore("store time", || {
        let sim = Arc::new(SimClock::new(START_MS));
        let rules = LeapRules { threshold_ms: HOUR_MS, confirmation_ms: CONFIRMATION_MS };
        let time = Arc::new(StoreClock::resume(sim.clone(), rules, None));
        let confirmed = Arc::new(AtomicBool::new(false));
        let reading = [0, 1].map(|_| {
            let (time, confirmed) = (time.clone(), confirmed.clone());
            thread::spawn(move || {
                let mut last = time.now();
                for _ in 0..4 {
                    let now = time.now();
                    assert!(now >= last, "it went back");
                    let latest = time.latest();
                    assert!(latest >= now, "deadlines from an earlier time");
                    let early = now.as_millis() < START_MS + HOUR_MS;
                    assert!(early || confirmed.load(Ordering::SeqCst), "it leapt");
                    last = now;
                }
            })
        });
        sim.advance(Duration::from_millis(2 * HOUR_MS));
        time.tick();
        sim.advance(Duration::from_millis(CONFIRMATION_MS));
        confirmed.store(true, Ordering::SeqCst);
        time.tick();
        join_all(reading);
        assert_eq!(time.held_back_ms(), 0);
        assert_eq!(time.now().as_millis(), START_MS + 2 * HOUR_MS + CONFIRMATION_MS);
    });
}
