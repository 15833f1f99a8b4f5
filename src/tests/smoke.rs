//! The shortest stories of all: one key, one life, one crash.

use std::time::Duration;

use super::world::{World, body, claim, execute, outcome, replayed};
use crate::simulation::Survival;
use crate::{Outcome, StoredResponse};

#[test]
fn promise_3_a_replay_has_the_same_bytes() {
    let mut world = World::new();
    let store = world.open();
    execute(&store, "a", "answer");
    let record = replayed(outcome(&store, "a"));
    assert_eq!(record.response(), &StoredResponse::new("answer"));
    assert!(record.is_replay());
}

#[test]
fn promise_2_what_was_told_survives_a_power_cut() {
    let mut world = World::new();
    let store = world.open();
    execute(&store, "done", "answer");
    let held = claim(&store, "held");
    world.crash(Survival::Nothing, 0);
    drop((held, store));
    let store = world.open();
    assert_eq!(body(&store, "done").as_deref(), Some(&b"answer"[..]));
    let Outcome::Claimed(claim) = outcome(&store, "held") else { panic!("a crash wedged the key") };
    assert_eq!(claim.attempt(), 2);
}

#[test]
fn a_store_survives_closing_and_many_segments() {
    let mut world = World::new();
    for round in 0..6 {
        let store = world.open();
        for i in 0..300 {
            execute(
                &store,
                &format!("{round}-{i}"),
                &format!("answer {round} {i} {}", "x".repeat(300)),
            );
            store.step_upkeep();
        }
        for earlier in 0..=round {
            for i in 0..300 {
                let body = body(&store, &format!("{earlier}-{i}")).expect("kept");
                assert!(body.starts_with(format!("answer {earlier} {i} ").as_bytes()));
            }
        }
        assert!(store.recovery().damage.is_empty());
        store.close(Duration::ZERO).wait().expect("closed");
    }
}

#[test]
fn expired_segments_are_dropped_and_their_files_used_again() {
    let mut world = World::new();
    let store = world.open();
    let mut largest = 0;
    for round in 0..20 {
        for i in 0..300 {
            execute(&store, &format!("{round}-{i}"), &"x".repeat(300));
            store.step_upkeep();
        }
        world.advance(Duration::from_secs(25 * 3600));
        // A day is a leap: it must be confirmed.
        store.step_upkeep();
        world.advance(Duration::from_secs(601));
        store.step_upkeep();
        while store.step_prune() || store.step_compact() {}
        largest = largest.max(store.stats().disk_bytes);
        assert!(body(&store, &format!("{round}-0")).is_none());
    }
    assert!(largest < 20 * 65536, "{largest} bytes for two segments' worth of records");
}
