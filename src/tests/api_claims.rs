//! Promise 1: one holder at a time, and what the others may still do.

use std::time::Duration;

use super::world::{World, claim, claim_on_drop, claimed, key, outcome, replayed, request, scope};
use crate::simulation::Survival;
use crate::{
    Checkpoint, Claim, DropPolicy, Entry, ErrorKind, Outcome, Resolution, Store, StoredResponse,
};

const LEASE: Duration = Duration::from_secs(60);
const INSTANT: Duration = Duration::from_millis(1);

fn in_flight(store: &Store, name: &str) -> bool {
    matches!(outcome(store, name), Outcome::InFlight(_))
}

fn checkpoint(name: &str) -> Checkpoint {
    Checkpoint::new(name, b"data").expect("a good checkpoint")
}

/// All that a holder could do midway is refused as `LeaseLost`.
fn assert_stale(context: &crate::ClaimContext) {
    let saved = context.save_checkpoint(checkpoint("stale")).wait();
    assert_eq!(saved.expect_err("stale").kind(), ErrorKind::LeaseLost);
    let extended = context.extend(LEASE);
    assert_eq!(extended.expect_err("stale").kind(), ErrorKind::LeaseLost);
}

fn take_over(world: &World, store: &Store, name: &str) -> Claim {
    world.advance(LEASE);
    claimed(outcome(store, name))
}

#[test]
fn promise_1_a_lease_ends_to_the_millisecond() {
    let mut world = World::new();
    let store = world.open();
    let first = claim(&store, "a");
    world.advance(LEASE - INSTANT);
    assert!(in_flight(&store, "a"));
    world.advance(INSTANT);
    let second = claimed(outcome(&store, "a"));
    assert!(second.token() > first.token());
    assert_eq!((first.attempt(), second.attempt()), (1, 2));
}

#[test]
fn promise_1_a_stale_holder_is_refused_everything() {
    let mut world = World::new();
    let store = world.open();
    let first = claim(&store, "a");
    let second = take_over(&world, &store, "a");
    assert_stale(first.context());
    let refused = first.complete(StoredResponse::new("stale")).wait().expect_err("stale");
    assert_eq!(refused.kind(), ErrorKind::LeaseLost);
    let (first, _) = refused.into_claim().expect("handed back");
    assert_eq!(first.release().wait().expect_err("stale").kind(), ErrorKind::LeaseLost);
    second.complete(StoredResponse::new("second")).wait().expect("completed");
    assert_eq!(replayed(outcome(&store, "a")).response().body(), b"second");
}

#[test]
fn promise_1_the_drop_of_a_stale_claim_ends_nothing() {
    for policy in [DropPolicy::Hold, DropPolicy::Release, DropPolicy::Unresolved] {
        let mut world = World::new();
        let store = world.open();
        let first = claimed(store.claim(request("a").on_drop(policy)).wait().expect("an outcome"));
        if policy == DropPolicy::Unresolved {
            continue;
        }
        let second = take_over(&world, &store, "a");
        drop(first);
        assert!(in_flight(&store, "a"));
        second.complete(StoredResponse::new("b")).wait().expect("completed");
    }
}

#[test]
fn promise_1_a_lease_that_ran_out_ends_nothing_by_itself() {
    let mut world = World::new();
    let store = world.open();
    let holder = claim(&store, "a");
    world.advance(LEASE * 100);
    store.step_upkeep();
    holder.save_checkpoint(checkpoint("late")).wait().expect("still the holder");
    holder.extend(LEASE).expect("still the holder");
    assert!(in_flight(&store, "a"));
    world.advance(LEASE * 100);
    store.step_upkeep();
    holder.complete(StoredResponse::new("late")).wait().expect("completed");
    assert_eq!(replayed(outcome(&store, "a")).response().body(), b"late");
}

#[test]
fn promise_1_the_holder_may_complete_from_unresolved() {
    let mut world = World::new();
    let store = world.open();
    let holder = claim_on_drop(&store, "a", DropPolicy::Unresolved);
    world.advance(LEASE);
    assert!(matches!(outcome(&store, "a"), Outcome::Unresolved(_)));
    assert_eq!(store.unresolved().len(), 1);
    assert_stale(holder.context());
    holder.complete(StoredResponse::new("after all")).wait().expect("completed");
    assert!(store.unresolved().is_empty());
    assert_eq!(store.stats().unresolved, 0);
    assert_eq!(replayed(outcome(&store, "a")).response().body(), b"after all");
}

#[test]
fn promise_1_resolving_ends_the_holders_right() {
    let mut world = World::new();
    let store = world.open();
    let resolutions =
        [Resolution::NotExecuted, Resolution::Completed(StoredResponse::new("by a person"))];
    for (name, resolution) in ["a", "b"].into_iter().zip(resolutions) {
        let holder = claim_on_drop(&store, name, DropPolicy::Unresolved);
        let early = store.resolve(&scope("acct"), &key(name), resolution.clone()).wait();
        assert_eq!(early.expect_err("its holder decides").kind(), ErrorKind::InFlight);
        world.advance(LEASE);
        assert!(matches!(outcome(&store, name), Outcome::Unresolved(_)));
        store.resolve(&scope("acct"), &key(name), resolution).wait().expect("resolved");
        let late = holder.complete(StoredResponse::new("late")).wait().expect_err("resolved");
        assert_eq!(late.kind(), ErrorKind::LeaseLost);
    }
    assert_eq!(claimed(outcome(&store, "a")).attempt(), 1);
    assert_eq!(replayed(outcome(&store, "b")).response().body(), b"by a person");
    let gone = store.resolve(&scope("acct"), &key("c"), Resolution::NotExecuted).wait();
    assert_eq!(gone.expect_err("nothing there").kind(), ErrorKind::NotFound);
}

#[test]
fn promise_1_a_claim_without_a_deadline_is_held_for_ever() {
    let mut world = World::with(crate::Options::new().no_lease());
    let store = world.open();
    let dropped = claim(&store, "dropped");
    let held = claim(&store, "held");
    drop(dropped);
    for _ in 0..100 {
        world.advance(Duration::from_secs(3000));
        store.step_upkeep();
    }
    assert!(in_flight(&store, "dropped") && in_flight(&store, "held"));
    let Outcome::InFlight(flight) = outcome(&store, "held") else { panic!("it is held") };
    assert_eq!(flight.lease_left(), None);
    held.complete(StoredResponse::new("at last")).wait().expect("completed");
    // Only the death of the process ends it.
    world.crash(Survival::Nothing, 0);
    drop(store);
    let store = world.open();
    assert_eq!(claimed(outcome(&store, "dropped")).attempt(), 2);
}

#[test]
fn promise_1_a_takeover_sees_the_last_checkpoint() {
    let mut world = World::new();
    let store = world.open();
    let first = claim(&store, "a");
    assert!(first.checkpoint().is_none());
    first.save_checkpoint(checkpoint("one")).wait().expect("saved");
    first.save_checkpoint(checkpoint("two")).wait().expect("saved");
    let second = take_over(&world, &store, "a");
    assert_eq!(second.checkpoint(), Some(&checkpoint("two")));
    // It stays for a third attempt, also after the death of the process.
    world.crash(Survival::Nothing, 1);
    drop((first, second, store));
    let store = world.open();
    let third = claimed(outcome(&store, "a"));
    assert_eq!(third.attempt(), 3);
    assert_eq!(third.checkpoint(), Some(&checkpoint("two")));
    // A release means that nothing took effect: the key is as new.
    third.release().wait().expect("released");
    let fresh = claimed(outcome(&store, "a"));
    assert_eq!((fresh.attempt(), fresh.checkpoint()), (1, None));
}

#[test]
fn promise_1_tokens_rise_and_attempts_count() {
    let mut world = World::new();
    let mut store = world.open();
    let mut last = None;
    for attempt in 1..=12 {
        let claim = claimed(outcome(&store, "a"));
        assert_eq!(claim.attempt(), attempt);
        assert!(Some(claim.token()) > last, "token {} after {last:?}", claim.token());
        last = Some(claim.token());
        drop(claim);
        if attempt % 3 == 0 {
            world.crash(Survival::Nothing, u64::from(attempt));
            drop(store);
            store = world.open();
        } else {
            world.advance(LEASE);
        }
    }
}

#[test]
fn promise_1_a_released_key_is_free_and_its_contexts_are_stale() {
    let mut world = World::new();
    let store = world.open();
    let first = claim(&store, "a");
    let context = first.context().clone();
    first.release().wait().expect("released");
    assert_stale(&context);
    let second = claimed(outcome(&store, "a"));
    assert_stale(&context);
    assert!(second.token() > context.token());
    let context = second.context().clone();
    second.complete(StoredResponse::new("b")).wait().expect("completed");
    assert_stale(&context);
}

#[test]
fn promise_1_an_extended_lease_counts_from_the_extension() {
    let mut world = World::new();
    let store = world.open();
    let holder = claim(&store, "a");
    world.advance(LEASE - INSTANT);
    holder.extend(LEASE).expect("extended");
    world.advance(LEASE - INSTANT);
    assert!(in_flight(&store, "a"));
    // It can be shortened as well.
    holder.extend(INSTANT).expect("shortened");
    world.advance(INSTANT);
    assert_eq!(claimed(outcome(&store, "a")).attempt(), 2);
}

#[test]
fn a_look_says_who_holds_the_key() {
    let mut world = World::new();
    let store = world.open();
    let look = || store.get(&scope("acct"), &key("a")).wait().expect("a look");
    assert_eq!(look(), None);
    let holder = claim(&store, "a");
    let Some(Entry::InFlight { token, attempt, .. }) = look() else { panic!("it is in flight") };
    assert_eq!((token, attempt), (holder.token(), 1));
    let record = holder.complete(StoredResponse::new("b")).wait().expect("completed");
    assert!(!record.is_replay());
    let Some(Entry::Completed(found)) = look() else { panic!("it is completed") };
    assert_eq!(found.response(), record.response());
    assert_eq!(found.token(), record.token());
}
