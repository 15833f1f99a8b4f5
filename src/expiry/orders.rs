//! Store time under loom, which tries every order of its atomics that their orderings allow, also
//! those that no processor of today would show.

use std::sync::Arc;
use std::time::Duration;

use super::{LeapRules, StoreClock};
use crate::clock::SimClock;

const START_MS: u64 = 1_790_000_000_000;
const HOUR_MS: u64 = 3_600_000;
const CONFIRMATION_MS: u64 = 600_000;

fn clock() -> (Arc<SimClock>, Arc<StoreClock>) {
    let sim = Arc::new(SimClock::new(START_MS));
    let rules = LeapRules { threshold_ms: HOUR_MS, confirmation_ms: CONFIRMATION_MS };
    let time = Arc::new(StoreClock::resume(sim.clone(), rules, None));
    (sim, time)
}

/// Runs a test in every order, and says how many there were.
fn explore(name: &str, test: impl Fn() + Sync + Send + 'static) {
    let orders = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = orders.clone();
    loom::model(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        test();
    });
    println!("orders: {name}: {}", orders.load(std::sync::atomic::Ordering::Relaxed));
}

#[test]
fn promise_6_a_leap_that_is_noticed_is_held_back_for_everybody() {
    explore("a leap", || {
        let (sim, time) = clock();
        sim.advance(Duration::from_millis(2 * HOUR_MS));
        let reading = {
            let time = time.clone();
            loom::thread::spawn(move || time.moment())
        };
        let now = time.now();
        let moment = reading.join().expect("read");
        assert_eq!(now.as_millis(), START_MS);
        assert_eq!(moment.latest.as_millis(), START_MS + 2 * HOUR_MS);
        assert_eq!(time.now(), now);
    });
}

#[test]
fn promise_6_a_leap_that_is_confirmed_is_seen_whole_or_not_at_all() {
    explore("a confirmation", || {
        let (sim, time) = clock();
        sim.advance(Duration::from_millis(2 * HOUR_MS));
        assert_eq!(time.now().as_millis(), START_MS);
        sim.advance(Duration::from_millis(CONFIRMATION_MS));
        let reading = {
            let time = time.clone();
            loom::thread::spawn(move || (time.now(), time.moment(), time.now()))
        };
        time.tick();
        let (before, moment, after) = reading.join().expect("read");
        let latest_ms = START_MS + 2 * HOUR_MS + CONFIRMATION_MS;
        assert_eq!(moment.latest.as_millis(), latest_ms);
        assert!(before <= after, "it went back");
        let held_ms = START_MS + CONFIRMATION_MS;
        for now in [before, after] {
            assert!([held_ms, latest_ms].contains(&now.as_millis()), "{now:?}");
        }
    });
}
