//! Pins and recycling: who has found a record under its key's lock reads it in the life of the file
//! in which it was found, whatever is pruned and recycled meanwhile.

use std::time::Duration;

use super::{expect_found, explore, join_all, pick};
use crate::slip::Slip;
use crate::sync::thread;
use crate::tests::world::{DAY, HALF_HOUR, World, body, execute, execute_for, key, outcome, scope};
use crate::{Options, Outcome, Store};

/// The log moves on to its next segment, and what it left is sealed.
fn roll(store: &Store) {
    let engine = store.engine();
    engine.with_writer(|writer| writer.roll_with(0, &[], &**engine)).expect("moved on");
    store.step_upkeep();
}

/// A store with a segment that has expired, and one that has not.
fn aged() -> Store {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    let store = world.open_with_threads(false);
    execute(&store, "old-1", "old");
    execute(&store, "old-2", "old");
    roll(&store);
    execute_for(&store, "kept", DAY, "kept");
    roll(&store);
    world.advance(HALF_HOUR + Duration::from_secs(1));
    store
}

/// Drops the expired segment, and goes on until its file has another life.
fn recycle(store: &Store) {
    store.step_prune();
    for life in 0..3 {
        execute_for(store, &format!("life-{life}"), DAY, &"x".repeat(300));
        roll(store);
    }
}

/// A walk over all records, each read with no lock held.
fn walk() {
    let store = aged();
    let recycling = {
        let store = store.clone();
        thread::spawn(move || recycle(&store))
    };
    let forgotten = store.forget_scope(&scope("nobody's")).wait();
    assert_eq!(forgotten.expect("every record can be read"), 0);
    join_all([recycling]);
}

#[test]
fn promise_7_a_pinned_record_is_read_in_its_own_life() {
    explore("pins, a walk", walk);
}

#[test]
fn promise_3_lookups_beside_recycling_find_what_is_there_and_nothing_else() {
    explore("pins, lookups", || {
        let store = aged();
        let recycling = {
            let store = store.clone();
            thread::spawn(move || recycle(&store))
        };
        let looking = {
            let store = store.clone();
            thread::spawn(move || {
                assert_eq!(body(&store, "kept").as_deref(), Some(&b"kept"[..]));
                assert!(matches!(outcome(&store, "kept"), Outcome::Replay(_)));
            })
        };
        let name = ["old-1", "old-2"][pick(2) as usize];
        assert_eq!(body(&store, name), None, "it has expired");
        assert!(matches!(outcome(&store, name), Outcome::Claimed(_)));
        join_all([recycling, looking]);
    });
}

/// Segments of which little lives.
fn sparse() -> Store {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    let store = world.open_with_threads(false);
    for round in 0..4 {
        execute_for(&store, &format!("long-{round}"), DAY, "kept");
        execute(&store, &format!("short-{round}"), &"x".repeat(2000));
        roll(&store);
    }
    world.advance(HALF_HOUR + Duration::from_secs(1));
    store.step_upkeep();
    // Dead for so long that it is not waited for more of the kind.
    world.advance(HALF_HOUR * 2);
    store
}

#[test]
fn promise_3_a_record_that_is_moved_is_found() {
    explore("pins, compaction", || {
        let store = sparse();
        let moving = {
            let store = store.clone();
            thread::spawn(move || {
                assert!(store.step_compact(), "nothing is worth it");
                recycle(&store);
            })
        };
        let forgetting = {
            let store = store.clone();
            thread::spawn(move || {
                let forgotten = store.forget(&scope("acct"), &key("long-1")).wait();
                assert!(forgotten.expect("an answer"), "it was there");
                assert_eq!(body(&store, "long-1"), None);
            })
        };
        for name in ["long-0", "long-2"] {
            assert_eq!(body(&store, name).as_deref(), Some(&b"kept"[..]));
        }
        assert!(matches!(outcome(&store, "long-3"), Outcome::Replay(_)));
        join_all([moving, forgetting]);
        assert_eq!(body(&store, "long-0").as_deref(), Some(&b"kept"[..]));
        assert_eq!(body(&store, "long-1"), None);
    });
}

#[test]
fn a_pin_that_is_taken_too_late_is_found() {
    expect_found(Slip::LatePin, 10_000, walk);
}
