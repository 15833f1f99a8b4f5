//! Cancellation: calls that are dropped at every point between their first poll and their answer.

use std::time::Duration;

use super::api_poll::{ByHand, at_once};
use super::world::{World, body, claim, claimed, key, outcome, replayed, request, scope};
use crate::simulation::Survival;
use crate::{Checkpoint, DropPolicy, ErrorKind, Outcome, Store, StoredResponse};

const LEASE: Duration = Duration::from_secs(60);
const POLICIES: [DropPolicy; 3] = [DropPolicy::Hold, DropPolicy::Release, DropPolicy::Unresolved];

/// Commits all there is to commit.
fn settle(store: &Store) {
    while store.step_commit() {}
}

#[test]
fn an_unpolled_claim_does_nothing() {
    let mut world = World::new();
    let store = world.open();
    drop(store.claim(request("a")));
    assert!(!store.step_commit());
    let stats = store.stats();
    assert_eq!((stats.claims, stats.in_flight), (0, 0));
}

#[test]
fn a_claim_dropped_before_it_is_durable_leaves_the_key_free() {
    for policy in POLICIES {
        let mut world = World::new();
        let store = world.open();
        let call = ByHand::begun(store.claim(request("a").on_drop(policy)));
        drop(call);
        assert_eq!(store.stats().in_flight, 0);
        settle(&store);
        assert_eq!(claimed(outcome(&store, "a")).attempt(), 1);
    }
}

#[test]
fn a_claim_dropped_after_it_is_durable_leaves_the_key_free() {
    for policy in POLICIES {
        let mut world = World::new();
        let store = world.open();
        let call = ByHand::begun(store.claim(request("a").on_drop(policy)));
        settle(&store);
        assert_eq!(call.woken(), 1);
        drop(call);
        assert_eq!(store.stats().in_flight, 0);
        // That it is free reaches the disk although nobody waits for it.
        assert!(store.step_commit());
        world.crash(Survival::Nothing, 5);
        drop(store);
        let store = world.open();
        assert_eq!(claimed(outcome(&store, "a")).attempt(), 1);
    }
}

#[test]
fn promise_1_a_takeover_that_was_never_told_does_not_make_the_key_new() {
    for policy in POLICIES {
        for durable in [false, true] {
            let mut world = World::new();
            let store = world.open();
            let first = claim(&store, "a");
            let midway = Checkpoint::new("charged", b"id 7").expect("good");
            first.save_checkpoint(midway.clone()).wait().expect("saved");
            drop(first);
            world.advance(LEASE);
            let call = ByHand::begun(store.claim(request("a").on_drop(policy)));
            if durable {
                settle(&store);
            }
            drop(call);
            settle(&store);
            // Free at once, but attempt 1 may have had its effect.
            let third = claimed(outcome(&store, "a"));
            assert!(third.attempt() >= 2, "{policy} {durable}: attempt {}", third.attempt());
            assert_eq!(third.checkpoint(), Some(&midway));
        }
    }
}

#[test]
fn a_cancelled_claim_wakes_who_waits_for_it() {
    let mut world = World::new();
    let store = world.open();
    let call = ByHand::begun(store.claim(request("a")));
    let Outcome::InFlight(flight) = outcome_async(&store, "a") else { panic!("in flight") };
    let waiter = ByHand::begun(flight.wait(LEASE));
    drop(call);
    assert_eq!(waiter.woken(), 1);
    let mut waiter = waiter;
    assert!(waiter.poll().is_none(), "won, and not durable yet");
    settle(&store);
    assert_eq!(claimed(waiter.ready().expect("an outcome")).attempt(), 1);
}

fn outcome_async(store: &Store, name: &str) -> Outcome {
    at_once(store.claim(request(name))).expect("an outcome")
}

#[test]
fn a_completion_is_decided_when_called_and_its_future_only_waits() {
    let mut world = World::new();
    let store = world.open();
    for (i, name) in ["unpolled", "polled"].into_iter().enumerate() {
        let mut call = ByHand::new(claim(&store, name).complete(StoredResponse::new(name)));
        if i == 1 {
            assert!(call.poll().is_none());
        }
        drop(call);
        assert!(store.step_commit(), "{name}: it reaches the disk although nobody waits");
        assert_eq!(body(&store, name).as_deref(), Some(name.as_bytes()));
    }
    world.crash(Survival::Nothing, 0);
    drop(store);
    let store = world.open();
    for name in ["unpolled", "polled"] {
        assert_eq!(replayed(outcome(&store, name)).response().body(), name.as_bytes());
    }
}

#[test]
fn a_dropped_pending_loses_only_the_answer() {
    let mut world = World::new();
    let store = world.open();
    let holder = claim(&store, "a");
    drop(holder.save_checkpoint(Checkpoint::new("one", b"").expect("good")));
    assert!(store.step_commit());
    drop(ByHand::begun(holder.release()));
    assert!(store.step_commit());
    claim(&store, "b").complete(StoredResponse::new("b")).wait().expect("completed");
    drop(store.forget(&scope("acct"), &key("b")));
    assert!(store.step_commit());
    world.crash(Survival::Nothing, 0);
    drop(store);
    let store = world.open();
    assert_eq!(claimed(outcome(&store, "a")).attempt(), 1);
    assert_eq!(claimed(outcome(&store, "b")).attempt(), 1);
}

#[test]
fn a_dropped_flight_call_changes_nothing() {
    let mut world = World::new();
    let store = world.open();
    let holder = claim(&store, "a");
    let Outcome::InFlight(flight) = outcome(&store, "a") else { panic!("in flight") };
    drop(ByHand::begun(flight.wait(LEASE)));
    holder.complete(StoredResponse::new("b")).wait().expect("completed");
    assert_eq!(replayed(outcome(&store, "a")).response().body(), b"b");
}

#[test]
fn a_flight_call_dropped_after_it_won_frees_the_key() {
    let mut world = World::new();
    let store = world.open();
    let holder = claim(&store, "a");
    let Outcome::InFlight(flight) = outcome(&store, "a") else { panic!("in flight") };
    let mut waiter = ByHand::begun(flight.wait(LEASE));
    holder.release().wait().expect("released");
    assert!(waiter.poll().is_none(), "won, and not durable yet");
    drop(waiter);
    settle(&store);
    assert_eq!(claimed(outcome(&store, "a")).attempt(), 1);
}

#[test]
fn a_call_that_is_polled_again_after_its_answer_is_an_error_and_no_panic() {
    let mut world = World::new();
    let store = world.open();
    let mut call = ByHand::begun(store.claim(request("a")));
    settle(&store);
    let holder = claimed(call.poll().expect("ready").expect("an outcome"));
    assert!(call.poll().expect("ready").is_err());
    let mut call = ByHand::begun(holder.complete(StoredResponse::new("b")));
    settle(&store);
    assert!(call.poll().expect("ready").is_ok());
    assert!(call.poll().expect("ready").is_err());
    let mut call = ByHand::new(store.flush());
    call.poll().expect("ready").expect("flushed");
    assert!(call.poll().expect("ready").is_err());
}

#[test]
fn a_call_that_moves_to_another_task_wakes_the_new_one() {
    let mut world = World::new();
    let store = world.open();
    let mut call = ByHand::begun(store.claim(request("a")));
    assert!(call.poll_elsewhere().is_none());
    settle(&store);
    let holder = claimed(call.ready().expect("an outcome"));
    let mut call = ByHand::begun(holder.complete(StoredResponse::new("b")));
    assert!(call.poll_elsewhere().is_none());
    settle(&store);
    call.ready().expect("completed");
}

#[test]
fn a_dropped_close_call_closes_nothing_before_its_first_poll() {
    let mut world = World::new();
    let store = world.open();
    drop(store.close(Duration::ZERO));
    let holder = claim(&store, "a");
    // Begun, it goes on by itself; whether it is waited for or not, no new claim is let in.
    let mut close = ByHand::new(store.close(Duration::from_secs(3600)));
    let _ = close.poll();
    drop(close);
    drop(holder);
    let mut told = (0..)
        .map(|i| store.claim(request(&format!("new {i}")).on_drop(DropPolicy::Release)).wait());
    let refused = told.find_map(Result::err).expect("closing lets nobody in");
    assert_eq!(refused.kind(), ErrorKind::Closed);
}
