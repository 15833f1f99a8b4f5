//! `Durability::Interval`: the log is synced every so often, and not more often.

use std::time::Duration;

use super::world::{World, body, claim, execute};
use crate::simulation::Survival;
use crate::{Durability, Options, StoredResponse};

fn world(interval: Duration) -> World {
    World::with(Options::new().durability(Durability::Interval(interval)))
}

/// Runs upkeep for a while, as often as it asks for, and writes something before each round;
/// returns how often the log was synced.
fn syncs_in(world: &mut World, time: Duration) -> u64 {
    let store = world.open();
    let before = store.stats().syncs;
    let (mut passed, mut i) = (Duration::ZERO, 0);
    while passed < time {
        drop(claim(&store, &format!("k{i}")).release().wait());
        let rest = store.step_upkeep_for();
        world.advance(rest);
        passed += rest;
        i += 1;
    }
    store.stats().syncs - before
}

#[test]
fn an_interval_above_a_round_of_upkeep_is_kept() {
    let syncs = syncs_in(&mut world(Duration::from_secs(10)), Duration::from_secs(100));
    assert!((9..=10).contains(&syncs), "{syncs}");
}

#[test]
fn an_interval_below_a_round_of_upkeep_is_kept() {
    let syncs = syncs_in(&mut world(Duration::from_millis(200)), Duration::from_secs(10));
    assert!((48..=50).contains(&syncs), "{syncs}");
}

#[test]
fn an_interval_that_is_no_part_of_a_round_is_kept() {
    let syncs = syncs_in(&mut world(Duration::from_millis(1700)), Duration::from_secs(17));
    assert!((9..=10).contains(&syncs), "{syncs}");
}

#[test]
fn a_power_cut_takes_back_what_was_told_since_the_last_sync_and_no_more() {
    let mut world = world(Duration::from_secs(5));
    let store = world.open();
    execute(&store, "early", "answer");
    world.advance(Duration::from_secs(5));
    store.step_upkeep();
    execute(&store, "late", "answer");
    world.advance(Duration::from_secs(4));
    store.step_upkeep();
    let mut killed = world.fork();
    killed.crash(Survival::Everything, 0);
    assert!(body(&killed.open(), "late").is_some());
    let mut cut = world.fork();
    cut.crash(Survival::Nothing, 0);
    let cut = cut.open();
    assert!(body(&cut, "early").is_some());
    assert!(body(&cut, "late").is_none(), "or the interval was not kept");
    world.advance(Duration::from_secs(1));
    store.step_upkeep();
    world.crash(Survival::Nothing, 0);
    drop(store);
    assert!(body(&world.open(), "late").is_some());
}

#[test]
fn what_upkeep_syncs_is_what_was_written_before() {
    let mut world = world(Duration::from_millis(1));
    let store = world.open();
    claim(&store, "k").complete(StoredResponse::new("answer")).wait().expect("completed");
    world.advance(Duration::from_millis(1));
    store.step_upkeep();
    world.crash(Survival::Nothing, 0);
    drop(store);
    assert!(body(&world.open(), "k").is_some());
}
