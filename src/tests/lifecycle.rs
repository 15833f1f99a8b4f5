//! Records that come and go: prune and compact on demand, by themselves, and paused.

use std::time::Duration;

use super::world::{DAY, HALF_HOUR, World, body, execute_for, fill_segment, request};
use crate::{Options, Outcome, Store};

/// Segments of which a tenth lasts a week and the rest half an hour.
fn mixed(store: &Store, name: &str, count: usize) {
    for i in 0..count {
        let ttl = if i % 10 == 0 { 7 * DAY } else { HALF_HOUR };
        execute_for(store, &format!("{name}-{i}"), ttl, &"x".repeat(3000));
        store.step_upkeep();
    }
}

fn world() -> World {
    World::with(Options::new().ttl(HALF_HOUR))
}

fn rewrite(store: &Store) {
    store.step_upkeep();
    while store.step_rewrite() {}
}

#[test]
fn a_forced_prune_leaves_what_has_not_expired_and_nothing_else() {
    let mut world = world();
    let store = world.open();
    mixed(&store, "k", 100);
    fill_segment(&store, "short");
    assert_eq!(store.prune().wait().expect("pruned"), crate::Pruned::default());
    world.advance(HALF_HOUR + Duration::from_secs(1));
    let before = store.stats();
    let pruned = store.prune().wait().expect("pruned");
    let after = store.stats();
    assert_eq!(after.records, 10, "those that last");
    assert_eq!(pruned.records, before.records - 10);
    assert_eq!(pruned.segments, before.segments - after.segments);
    assert_eq!(store.prune().wait().expect("pruned"), crate::Pruned::default());
    for i in 0..100 {
        assert_eq!(body(&store, &format!("k-{i}")).is_some(), i % 10 == 0, "k-{i}");
    }
}

/// All in one shard, more than go under one hold of its lock, and none told apart by its hash.
#[test]
fn a_prune_tells_records_apart_that_share_all_of_their_hash() {
    crate::index::with_masked_hashes(0, || {
        let mut world = world();
        let store = world.open();
        for i in 0..400 {
            let ttl = if i % 7 == 0 { 7 * DAY } else { HALF_HOUR };
            execute_for(&store, &format!("k-{i}"), ttl, "answer");
            store.step_upkeep();
        }
        world.advance(HALF_HOUR + Duration::from_secs(1));
        let pruned = store.prune().wait().expect("pruned");
        assert_eq!((pruned.records, store.stats().records), (400 - 58, 58));
        for i in 0..400 {
            assert_eq!(body(&store, &format!("k-{i}")).is_some(), i % 7 == 0, "k-{i}");
        }
    });
}

#[test]
fn a_forced_prune_leaves_claims_and_unresolved_attempts() {
    let mut world = world();
    let store = world.open();
    let held = super::world::claim(&store, "held");
    drop(super::world::claim_on_drop(&store, "lost", crate::DropPolicy::Unresolved));
    mixed(&store, "k", 60);
    world.advance(HALF_HOUR + Duration::from_secs(1));
    store.prune().wait().expect("pruned");
    store.compact().wait().expect("compacted");
    assert_eq!(store.unresolved().len(), 1);
    held.complete(crate::StoredResponse::new("late")).wait().expect("still held");
    assert_eq!(body(&store, "held").as_deref(), Some(&b"late"[..]));
}

#[test]
fn a_forced_compaction_gives_back_all_that_is_dead() {
    let mut world = world();
    let store = world.open();
    mixed(&store, "k", 200);
    world.advance(HALF_HOUR + Duration::from_secs(1));
    let before = store.stats();
    assert!(before.debt_bytes > before.segments / 2 * 65_536, "{before:?}");
    let compacted = store.compact().wait().expect("compacted");
    let after = store.stats();
    assert_eq!(compacted.freed_bytes, (before.segments - after.segments) * 65_536);
    assert_eq!(compacted.written_bytes, after.compacted_bytes);
    assert!(after.debt_bytes <= 65_536 && after.segments <= 4, "{after:?}");
    assert!(after.write_amplification() < 1.2, "{}", after.write_amplification());
    for i in 0..200 {
        assert_eq!(body(&store, &format!("k-{i}")).is_some(), i % 10 == 0, "k-{i}");
    }
}

#[test]
fn a_pause_keeps_the_store_from_rewriting_by_itself_and_nobody_else() {
    let mut world = world();
    let store = world.open();
    mixed(&store, "k", 200);
    fill_segment(&store, "short");
    fill_segment(&store, "shorter");
    world.advance(HALF_HOUR + Duration::from_secs(1));
    let (one, two) = (store.pause_compaction(), store.pause_compaction());
    let before = store.stats();
    assert!(before.compaction_paused);
    drop(one);
    rewrite(&store);
    let paused = store.stats();
    assert_eq!(paused.segments, before.segments);
    assert_eq!((paused.compactions, paused.dropped_segments), (0, 0));
    assert!(store.prune().wait().expect("pruned").segments > 0, "asked for, it prunes");
    drop(two);
    rewrite(&store);
    let after = store.stats();
    assert!(!after.compaction_paused);
    assert!(after.compactions > 0 && after.segments < before.segments / 2, "{after:?}");
}

#[test]
fn a_pause_does_not_keep_a_store_open() {
    let mut world = world();
    let store = world.open();
    let pause = store.pause_compaction();
    drop(store);
    let store = world.open();
    assert!(store.recovery().clean);
    drop(pause);
}

/// TTLs from seconds to months, for a simulated month: what lasts moves about once, and nothing
/// keeps a segment for ever.
#[test]
fn mixed_ttls_are_moved_about_once_and_pin_nothing() {
    let mut world = world();
    let store = world.open();
    let minute = Duration::from_secs(60);
    let mut lasting = Vec::new();
    for i in 0..4000_u32 {
        let ttl = match i % 20 {
            0 => 60 * DAY,
            1 | 2 => 5 * DAY,
            3..=5 => Duration::from_secs(5),
            _ => DAY / 4,
        };
        let name = format!("k-{i}");
        execute_for(&store, &name, ttl, &"x".repeat(900));
        if i % 20 == 0 {
            lasting.push(name);
        }
        world.advance(5 * minute);
        rewrite(&store);
    }
    let stats = store.stats();
    assert!(stats.write_amplification() < 1.4, "{}: {stats:?}", stats.write_amplification());
    // 200 that last, 144 of five days and 72 of six hours, of 1.1 KB each.
    let live = 416 * 1100;
    assert!(stats.segments * 65_536 < live * 3 / 2 + 4 * 65_536, "{stats:?}");
    for name in &lasting {
        assert!(body(&store, name).is_some(), "{name}");
    }
    for _ in 0..100 {
        world.advance(DAY / 25);
        rewrite(&store);
    }
    for _ in 0..60 * 25 {
        world.advance(DAY / 25);
        rewrite(&store);
    }
    assert!(store.stats().segments <= 3, "all is over: {:?}", store.stats());
    assert_eq!(store.prune().wait().expect("pruned").segments, 0);
    let again = store.claim(request("k-0")).wait().expect("an outcome");
    assert!(matches!(again, Outcome::Claimed(_)));
}
