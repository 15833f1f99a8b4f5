//! What must hold whoever is faster: extensions of dropped claims, forgets of completions on their
//! way, limits, timers of waiters that went, and time itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::api_poll::{ByHand, at_once};
use super::chaos::within;
use super::world::{World, body, claim, claimed, execute, key, outcome, request, scope};
use crate::expiry::{LeapRules, StoreClock};
use crate::ids::StoreTime;
use crate::simulation::{Clock, SimClock};
use crate::{Durability, ErrorKind, Options, Outcome, StoredResponse};

const LEASE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn promise_1_a_dropped_claim_is_not_extended_and_ends_with_its_lease() {
    let mut world = World::new();
    let store = world.open();
    let holder = claim(&store, "a");
    let context = holder.context().clone();
    drop(holder);
    assert_eq!(context.extend(10 * LEASE).expect_err("dropped").kind(), ErrorKind::LeaseLost);
    world.advance(LEASE);
    store.step_upkeep();
    assert_eq!(claimed(outcome(&store, "a")).attempt(), 2);
}

#[test]
fn a_completion_on_its_way_is_forgotten_without_waiting() {
    let mut world = World::new();
    let store = world.open();
    let completion = ByHand::begun(claim(&store, "a").complete(StoredResponse::new("x")));
    let forgotten = ByHand::begun(store.forget(&scope("acct"), &key("a")));
    assert_eq!(completion.woken(), 0, "it waited for the completion");
    // The key is free at once; what frees it goes to disk first.
    let again = ByHand::begun(store.claim(request("a").payload("another")));
    assert!(store.step_commit());
    completion.ready().expect("completed");
    assert!(forgotten.ready().expect("forgotten"));
    let again = claimed(again.ready().expect("an outcome"));
    assert_eq!(body(&store, "a"), None);
    again.complete(StoredResponse::new("y")).wait().expect("completed");
    assert_eq!(body(&store, "a").as_deref(), Some(b"y".as_slice()));
    drop(store);
    let store = world.open();
    assert_eq!(body(&store, "a").as_deref(), Some(b"y".as_slice()));
}

#[test]
fn a_completion_that_was_forgotten_on_its_way_stays_forgotten_after_a_crash() {
    let mut world = World::new();
    let store = world.open();
    let completion = ByHand::begun(claim(&store, "a").complete(StoredResponse::new("x")));
    let forgotten = ByHand::begun(store.forget(&scope("acct"), &key("a")));
    assert!(store.step_commit());
    completion.ready().expect("completed");
    forgotten.ready().expect("forgotten");
    world.crash(crate::simulation::Survival::Nothing, 1);
    drop(store);
    let store = world.open();
    assert_eq!(body(&store, "a"), None);
    assert_eq!(claimed(outcome(&store, "a")).attempt(), 1);
}

#[test]
fn promise_10_a_crowd_never_passes_the_limit_of_claims_in_flight() {
    let interval = Durability::Interval(Duration::from_millis(5));
    let mut world = World::with(Options::new().durability(interval).max_in_flight(3));
    let store = world.open();
    let over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let workers: Vec<_> = (0..4)
            .map(|seed| {
                let store = &store;
                threads.spawn(move || {
                    for i in 0..3000 {
                        match store.claim(request(&format!("{seed} {i}"))).wait() {
                            Ok(Outcome::Claimed(claim)) => {
                                let checkpoint = crate::Checkpoint::new("a", "b").expect("small");
                                claim.save_checkpoint(checkpoint).wait().expect("saved");
                                claim.release().wait().expect("released");
                            }
                            Ok(other) => panic!("{other:?}"),
                            Err(error) => assert_eq!(error.kind(), ErrorKind::LimitExceeded),
                        }
                    }
                })
            })
            .collect();
        let (store, over) = (&store, &over);
        threads.spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let flights = store.count_flights();
                assert!(flights <= 3, "{flights} claims are in flight");
            }
        });
        workers.into_iter().for_each(|worker| worker.join().expect("no panic"));
        over.store(true, Ordering::SeqCst);
    });
    assert_eq!(store.stats().in_flight, 0);
}

#[test]
fn promise_10_the_timer_of_a_waiter_goes_with_it() {
    let mut world = World::new();
    let store = world.open();
    let holder = claim(&store, "a");
    for _ in 0..100 {
        let Outcome::InFlight(flight) = outcome(&store, "a") else { panic!("not in flight") };
        let waiter = ByHand::begun(flight.wait(LONG));
        assert_eq!(store.count_timers(), 1);
        drop(waiter);
        assert_eq!(store.count_timers(), 0);
    }
    holder.release().wait().expect("released");
}

#[test]
fn closing_a_simulated_store_with_a_claim_in_hand_reaches_its_timeout() {
    within(Duration::from_secs(20), || {
        let mut world = World::new();
        let store = world.open();
        let holder = claim(&store, "a");
        assert_eq!(store.close(LONG).wait().expect("told").remaining, 1);
        let mut closing = ByHand::new(store.close(LONG));
        while closing.poll().is_none() {
            std::thread::yield_now();
        }
        let told = closing.poll().expect("ready").expect_err("told before");
        assert_eq!(told.kind(), ErrorKind::InvalidInput);
        holder.release().wait().expect("released");
        assert_eq!(store.close(LONG).wait().expect("closed").remaining, 0);
    });
}

#[test]
fn what_is_settled_is_no_longer_to_be_resolved() {
    let mut world = World::new();
    let store = world.open();
    execute(&store, "a", "x");
    let told = at_once(store.resolve(&scope("acct"), &key("a"), crate::Resolution::NotExecuted));
    assert_eq!(told.expect_err("settled").kind(), ErrorKind::NotFound);
}

/// A clock that leaps now and then, and whose wall clock leaps with it.
#[derive(Debug)]
struct Leaping {
    clock: SimClock,
    readings: AtomicU64,
}

impl Clock for Leaping {
    fn wall_ms(&self) -> u64 {
        self.clock.wall_ms()
    }

    fn monotonic_ms(&self) -> u64 {
        let read = self.clock.monotonic_ms();
        match self.readings.fetch_add(1, Ordering::SeqCst) % 7 {
            0 => self.clock.advance(Duration::from_secs(7200)),
            // The reading grows old before it is used.
            3 => std::thread::yield_now(),
            _ => {}
        }
        read
    }

    fn monotonic_ns(&self) -> u64 {
        self.clock.monotonic_ns()
    }

    fn pause(&self, duration: Duration) {
        self.clock.advance(duration);
    }
}

#[test]
fn promise_6_no_thread_sees_store_time_go_back() {
    let clock = Leaping { clock: SimClock::new(1_790_000_000_000), readings: AtomicU64::new(0) };
    let rules = LeapRules { threshold_ms: 3_600_000, confirmation_ms: u64::MAX };
    let time = StoreClock::resume(Arc::new(clock), rules, None);
    let latest = AtomicI64::new(0);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..50_000 {
                    let before = latest.load(Ordering::SeqCst);
                    let StoreTime(now) = time.now();
                    let now = now.cast_signed();
                    assert!(now >= before, "{} ms back", before - now);
                    latest.fetch_max(now, Ordering::SeqCst);
                }
            });
        }
    });
}
