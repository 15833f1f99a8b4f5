//! Waiting for somebody else's claim: every way it can end wakes the waiter (promise 8 for the
//! worst of them).

use std::time::Duration;

use super::api_poll::ByHand;
use super::world::{World, claim, claim_on_drop, claimed, outcome, replayed, request};
use crate::simulation::{Fault, FaultPlan};
use crate::{
    Claim, DropPolicy, ErrorKind, FlightCall, InFlight, Outcome, Resolution, Store, StoredResponse,
};

const LEASE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(3600);
const INSTANT: Duration = Duration::from_millis(1);

fn flight(store: &Store, name: &str) -> InFlight {
    match outcome(store, name) {
        Outcome::InFlight(flight) => flight,
        other => panic!("not in flight but {other:?}"),
    }
}

/// Three who wait for the end of a claim.
fn waiters(store: &Store, name: &str, limit: Duration) -> Vec<ByHand<FlightCall>> {
    (0..3).map(|_| ByHand::begun(flight(store, name).wait(limit))).collect()
}

#[test]
fn waiters_get_the_replay_once_it_is_durable() {
    let mut world = World::new();
    let store = world.open();
    let holder = claim(&store, "a");
    let waiters = waiters(&store, "a", LONG);
    let completion = ByHand::begun(holder.complete(StoredResponse::new("b")));
    assert!(store.step_commit());
    completion.ready().expect("completed");
    for waiter in waiters {
        assert_eq!(replayed(waiter.ready().expect("an outcome")).response().body(), b"b");
    }
}

#[test]
fn one_waiter_gets_a_released_claim_and_the_others_go_on_waiting() {
    let mut world = World::new();
    let store = world.open();
    let holder = claim(&store, "a");
    let mut waiters = waiters(&store, "a", LONG);
    holder.release().wait().expect("released");
    assert!(waiters.iter().all(|waiter| waiter.woken() == 1));
    assert!(waiters.iter_mut().all(|waiter| waiter.poll().is_none()));
    assert!(store.step_commit());
    let winner: Vec<Claim> =
        waiters.iter_mut().filter_map(ByHand::poll).map(|won| claimed(won.expect("one"))).collect();
    let [winner] = <[Claim; 1]>::try_from(winner).expect("exactly one wins");
    assert_eq!(winner.attempt(), 1);
    winner.complete(StoredResponse::new("b")).wait().expect("completed");
    let told = waiters.iter_mut().map(|waiter| waiter.poll().expect("it has ended"));
    let replays = told.filter(|told| matches!(told, Ok(Outcome::Replay(_))));
    assert_eq!(replays.count(), 2, "the winner was told before, the others now");
}

#[test]
fn a_waiter_takes_over_when_the_lease_is_over() {
    let mut world = World::new();
    let store = world.open();
    let stale = claim(&store, "a");
    let mut waiter = ByHand::begun(flight(&store, "a").wait(LONG));
    world.advance(LEASE - INSTANT);
    store.step_upkeep();
    assert_eq!(waiter.woken(), 0);
    world.advance(INSTANT);
    store.step_upkeep();
    assert_eq!(waiter.woken(), 1);
    assert!(waiter.poll().is_none(), "won, and not durable yet");
    assert!(store.step_commit());
    let claim = claimed(waiter.ready().expect("an outcome"));
    assert_eq!(claim.attempt(), 2);
    assert_eq!(stale.extend(LEASE).expect_err("stale").kind(), ErrorKind::LeaseLost);
}

#[test]
fn a_waiter_follows_a_lease_that_is_moved() {
    let mut world = World::new();
    let store = world.open();
    let holder = claim(&store, "a");
    let mut waiter = ByHand::begun(flight(&store, "a").wait(LONG));
    world.advance(LEASE - INSTANT);
    holder.extend(LEASE).expect("extended");
    world.advance(INSTANT);
    store.step_upkeep();
    assert!(waiter.poll().is_none());
    assert!(!store.step_commit(), "it took over a claim that was extended");
    // To an earlier end: nobody may go on waiting for the old one.
    holder.extend(2 * INSTANT).expect("shortened");
    let _ = waiter.poll();
    world.advance(2 * INSTANT);
    store.step_upkeep();
    assert!(waiter.poll().is_none());
    assert!(store.step_commit(), "the waiter did not take over");
    assert_eq!(claimed(waiter.ready().expect("an outcome")).attempt(), 2);
}

#[test]
fn a_waiter_wakes_when_a_lease_is_given_to_a_claim_without_one() {
    let mut world = World::with(crate::Options::new().no_lease());
    let store = world.open();
    let holder = claim(&store, "a");
    let waiter = ByHand::begun(flight(&store, "a").wait(LONG));
    holder.extend(LEASE).expect("it has a deadline now");
    assert!(waiter.woken() > 0, "it sleeps past the lease's end");
}

#[test]
fn a_waiter_that_reaches_its_limit_is_told_in_flight_and_may_wait_again() {
    let mut world = World::new();
    let store = world.open();
    let holder = claim(&store, "a");
    let waiter = ByHand::begun(flight(&store, "a").wait(Duration::from_secs(5)));
    world.advance(Duration::from_secs(5));
    store.step_upkeep();
    let Outcome::InFlight(flight) = waiter.ready().expect("an outcome") else {
        panic!("its limit")
    };
    assert_eq!(flight.lease_left(), Some(Duration::from_secs(55)));
    assert_eq!(flight.retry_after(), Duration::from_secs(1));
    let again = ByHand::begun(flight.wait(LONG));
    let completion = ByHand::begun(holder.complete(StoredResponse::new("b")));
    assert!(store.step_commit());
    replayed(again.ready().expect("an outcome"));
    completion.ready().expect("completed");
}

#[test]
fn a_limit_of_zero_waits_for_nothing() {
    let mut world = World::new();
    let store = world.open();
    let _holder = claim(&store, "a");
    let told = flight(&store, "a").wait(Duration::ZERO).wait().expect("an outcome");
    assert!(matches!(told, Outcome::InFlight(_)));
    let told = super::api_poll::at_once(flight(&store, "a").wait(Duration::ZERO));
    assert!(matches!(told.expect("an outcome"), Outcome::InFlight(_)));
}

#[test]
fn waiters_of_a_dropped_claim_are_told_by_its_policy() {
    let mut world = World::new();
    let store = world.open();
    let release = claim_on_drop(&store, "release", DropPolicy::Release);
    let unresolved = claim_on_drop(&store, "unresolved", DropPolicy::Unresolved);
    let mut released = ByHand::begun(flight(&store, "release").wait(LONG));
    let mut unknown = ByHand::begun(flight(&store, "unresolved").wait(LONG));
    drop((release, unresolved));
    assert!(released.poll().is_none() && unknown.poll().is_none());
    assert!(store.step_commit());
    assert_eq!(claimed(released.ready().expect("an outcome")).attempt(), 1);
    let Outcome::Unresolved(told) = unknown.ready().expect("an outcome") else { panic!("unknown") };
    store.resolve(told.scope(), told.key(), Resolution::NotExecuted).wait().expect("resolved");
}

#[test]
fn promise_8_every_waiter_wakes_when_the_disk_fails() {
    let mut world = World::new();
    let store = world.open();
    let holder = claim(&store, "a");
    let others = waiters(&store, "a", LONG);
    let deciding = ByHand::begun(store.claim(request("b")));
    let behind = ByHand::begun(store.claim(request("b").payload("wrong")));
    let completion = ByHand::begun(holder.complete(StoredResponse::new("c")));
    let replay = ByHand::begun(store.claim(request("a")));
    let mut plan = FaultPlan::new();
    plan.fail_from(0, Fault::FailedSync);
    world.disk.set_faults(plan);
    assert!(store.step_commit());
    for waiter in others {
        let kind = waiter.ready().expect_err("the disk failed").kind();
        assert!(matches!(kind, ErrorKind::Poisoned | ErrorKind::OutcomeUnknown), "{kind:?}");
    }
    for call in [deciding, behind, replay] {
        let told = call.ready().expect_err("the disk failed");
        assert!(told.is_outcome_unknown(), "{told:?}");
    }
    let told = completion.ready().expect_err("the disk failed");
    assert_eq!(told.kind(), ErrorKind::OutcomeUnknown);
    assert!(told.into_claim().is_none(), "nobody may complete it once more");
    let refused = store.claim(request("d")).wait().expect_err("poisoned");
    assert_eq!(refused.kind(), ErrorKind::Poisoned);
    assert!(store.stats().poisoned);
    let closed = store.close(Duration::ZERO).wait().expect_err("poisoned");
    assert_eq!(closed.kind(), ErrorKind::Poisoned);
}
