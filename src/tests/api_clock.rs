//! Promise 6: what steps and leaps of the clock do to records and claims.

use std::time::Duration;

use super::world::{World, body, claim, claimed, execute, outcome, request};
use crate::simulation::{Clock, SimClock, Survival};
use crate::{Options, Outcome, StoredResponse};
use std::sync::Arc;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Lets time pass as it does: with upkeep looking at the clock.
fn pass(world: &World, store: &crate::Store, time: Duration) {
    let step = Duration::from_secs(1800);
    for _ in 0..time.as_secs() / step.as_secs() {
        world.advance(step);
        store.step_upkeep();
    }
}

#[test]
fn promise_6_a_record_lives_to_the_millisecond_of_its_ttl() {
    let mut world = World::new();
    let store = world.open();
    let ttl = HOUR / 2;
    let holder = claimed(store.claim(request("a").ttl(ttl)).wait().expect("an outcome"));
    world.advance(Duration::from_secs(10));
    // It counts from the completion, not from the claim.
    let record = holder.complete(StoredResponse::new("b")).wait().expect("completed");
    world.advance(ttl - Duration::from_millis(1));
    assert!(matches!(outcome(&store, "a"), Outcome::Replay(_)));
    world.advance(Duration::from_millis(1));
    assert!(body(&store, "a").is_none());
    let again = claimed(outcome(&store, "a"));
    assert_eq!(again.attempt(), 1);
    let late = again.late_retry().expect("it was there");
    assert_eq!(late.completed_at(), Some(record.completed_at()));
    assert_eq!(late.expired_at(), record.expires_at());
}

#[test]
fn promise_6_late_retries_are_refused_where_that_was_asked_for() {
    let mut world = World::with(Options::new().refuse_late_retries(true).ttl(HOUR / 2));
    let store = world.open();
    execute(&store, "a", "b");
    world.advance(HOUR / 2);
    let Outcome::Expired(late) = outcome(&store, "a") else { panic!("it must not run again") };
    assert!(Some(late.expired_at()) > late.completed_at());
}

#[test]
fn promise_6_a_backwards_step_revives_nothing() {
    let mut world = World::new();
    let store = world.open();
    execute(&store, "a", "b");
    pass(&world, &store, DAY);
    assert!(body(&store, "a").is_none());
    let step = -i64::try_from(2 * DAY.as_millis()).expect("small");
    world.clock.step_wall(step);
    store.step_upkeep();
    assert!(body(&store, "a").is_none());
    // Nor after a restart: store time begins where the log ends.
    let time = store.stats().store_time;
    execute(&store, "c", "d");
    drop(store);
    world.crash(Survival::Nothing, 0);
    let store = world.open();
    assert!(store.stats().store_time >= time);
    assert!(body(&store, "a").is_none());
    assert!(body(&store, "c").is_some());
}

#[test]
fn promise_6_a_step_of_the_wall_clock_drops_nothing() {
    let mut world = World::new();
    let store = world.open();
    execute(&store, "a", "b");
    let held = claim(&store, "held");
    world.clock.step_wall(i64::try_from(100 * DAY.as_millis()).expect("small"));
    for _ in 0..10 {
        world.advance(Duration::from_secs(5));
        store.step_upkeep();
        while store.step_prune() {}
    }
    assert!(body(&store, "a").is_some());
    assert!(matches!(outcome(&store, "held"), Outcome::InFlight(_)));
    drop(held);
}

#[test]
fn promise_6_a_leap_in_the_process_expires_nothing_until_it_is_confirmed() {
    let mut world = World::new();
    let store = world.open();
    execute(&store, "a", "b");
    world.advance(2 * DAY);
    store.step_upkeep();
    assert!(body(&store, "a").is_some());
    assert_eq!(store.stats().held_back_ms, 2 * 24 * 3_600_000);
    world.advance(Duration::from_secs(599));
    store.step_upkeep();
    assert!(body(&store, "a").is_some());
    world.advance(Duration::from_secs(1));
    store.step_upkeep();
    assert!(body(&store, "a").is_none());
    assert_eq!(store.stats().held_back_ms, 0);
}

#[test]
fn promise_6_a_record_completed_in_a_doubted_leap_lives_long_enough_either_way() {
    let mut world = World::new();
    let store = world.open();
    world.advance(2 * DAY);
    execute(&store, "a", "b");
    world.advance(Duration::from_secs(600));
    store.step_upkeep();
    assert_eq!(store.stats().held_back_ms, 0, "the leap was confirmed");
    pass(&world, &store, DAY - HOUR);
    assert!(body(&store, "a").is_some());
    pass(&world, &store, HOUR);
    assert!(body(&store, "a").is_none());
}

#[test]
fn promise_6_a_leap_across_a_restart_expires_nothing_until_it_is_confirmed() {
    let mut world = World::new();
    let store = world.open();
    execute(&store, "a", "b");
    drop(store);
    world.clock = Arc::new(SimClock::new(world.clock.wall_ms() + 48 * 3_600_000));
    let store = world.open();
    assert!(body(&store, "a").is_some());
    while store.step_prune() {}
    assert!(body(&store, "a").is_some());
    world.advance(Duration::from_secs(600));
    store.step_upkeep();
    assert!(body(&store, "a").is_none());
}

#[test]
fn promise_6_a_leap_across_a_restart_that_is_taken_back_costs_nothing() {
    let mut world = World::new();
    let store = world.open();
    execute(&store, "a", "b");
    drop(store);
    let right = world.clock.wall_ms();
    world.clock = Arc::new(SimClock::new(right + 480 * 3_600_000));
    let store = world.open();
    world.clock.set_wall(right + 5000);
    store.step_upkeep();
    pass(&world, &store, 2 * HOUR);
    assert!(body(&store, "a").is_some());
    pass(&world, &store, DAY);
    assert!(body(&store, "a").is_none());
}

#[test]
fn promise_6_a_live_claim_is_never_dropped() {
    let mut world = World::new();
    let store = world.open();
    let long = Duration::from_secs(30 * 24 * 3600);
    let held = claimed(store.claim(request("a").lease(long).ttl(HOUR)).wait().expect("one"));
    pass(&world, &store, long - HOUR);
    assert!(matches!(outcome(&store, "a"), Outcome::InFlight(_)));
    held.complete(StoredResponse::new("b")).wait().expect("completed");
    assert!(body(&store, "a").is_some());
}
