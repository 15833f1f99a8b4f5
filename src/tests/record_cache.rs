//! Records that are answered from memory: the same answers as from the disk, whatever became of
//! the files meanwhile.

use std::time::Duration;

use super::world::{
    DAY, HALF_HOUR, World, body, claim, execute, execute_for, fill_segment, key, outcome,
    places_used_again, replayed, request, scope, sparse_segments,
};
use crate::index::with_masked_hashes;
use crate::simulation::{Bug, Fault};
use crate::{ErrorKind, Options, Outcome, Store, StoredResponse};

fn hits(store: &Store) -> u64 {
    store.stats().record_cache_hits
}

#[test]
fn p3_a_replay_from_memory_has_the_same_bytes() {
    let mut world = World::new();
    let store = world.open();
    let record = execute(&store, "a", "answer");
    let replays: Vec<_> = (0..4).map(|_| replayed(outcome(&store, "a"))).collect();
    assert_eq!(hits(&store), 2, "from the third on");
    for replay in replays {
        assert_eq!(replay.response(), record.response());
        assert_eq!(replay.token(), record.token());
        assert_eq!(replay.completed_at(), record.completed_at());
        assert_eq!(replay.expires_at(), record.expires_at());
    }
    assert_eq!(store.stats().cached_records, 1);
}

#[test]
fn a_store_without_a_cache_reads_every_time() {
    let mut world = World::with(Options::new().record_cache_bytes(0));
    let store = world.open();
    execute(&store, "a", "answer");
    assert!((0..5).all(|_| body(&store, "a").is_some()));
    let stats = store.stats();
    let counts = (stats.cached_records, stats.record_cache_hits, stats.record_cache_bytes);
    assert_eq!(counts, (0, 0, 0));
}

#[test]
fn p4_a_mismatch_is_one_from_memory_too() {
    let mut world = World::new();
    let store = world.open();
    execute(&store, "a", "answer");
    for _ in 0..4 {
        let other = request("a").payload("another");
        assert!(matches!(store.claim(other).wait(), Ok(Outcome::Mismatch(_))));
    }
    assert_eq!(hits(&store), 2);
    replayed(outcome(&store, "a"));
}

#[test]
fn p6_what_is_in_memory_expires_on_time() {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    let store = world.open();
    execute(&store, "a", "answer");
    assert!((0..4).all(|_| body(&store, "a").is_some()));
    world.advance(HALF_HOUR - Duration::from_millis(1));
    assert!(body(&store, "a").is_some());
    world.advance(Duration::from_millis(1));
    assert_eq!(body(&store, "a"), None);
    assert!(claim(&store, "a").late_retry().is_some());
}

#[test]
fn what_was_forgotten_is_not_answered_from_memory() {
    let mut world = World::new();
    let store = world.open();
    execute(&store, "a", "old");
    assert!((0..4).all(|_| body(&store, "a").is_some()));
    assert!(store.forget(&scope("acct"), &key("a")).wait().expect("forgotten"));
    assert_eq!(body(&store, "a"), None);
    execute(&store, "a", "new");
    assert!((0..4).all(|_| body(&store, "a").as_deref() == Some(b"new")));
}

/// The key is completed again at the very place in a file where its first record was, a life
/// earlier.
fn is_told_anew() -> bool {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    let store = world.open();
    (0..40).all(|round| {
        // All lives of a file begin alike, so that one key's records have one place in it.
        let told = format!("answer {round:02}");
        execute(&store, "a", &told);
        let same = (0..4).all(|_| body(&store, "a").as_deref() == Some(told.as_bytes()));
        fill_segment(&store, "x");
        world.advance(HALF_HOUR);
        while store.step_prune() {}
        same
    })
}

#[test]
fn p3_a_file_that_is_used_again_is_not_answered_for_from_memory() {
    assert!(is_told_anew());
    // The test would see it.
    assert!(!Bug::OldSegment.run(is_told_anew));
}

#[test]
fn p4_no_place_that_is_used_again_answers_for_another_key() {
    with_masked_hashes(0, || {
        for pad in 0..8 {
            let (_world, store, again, small) = places_used_again(pad, 3);
            let all_there = || small.iter().all(|name| body(&store, name).is_some());
            assert!((0..3).all(|_| all_there()));
            again.complete(StoredResponse::new("new")).wait().expect("completed");
            assert!((0..3).all(|_| all_there()));
            assert!((0..3).all(|_| body(&store, "a").as_deref() == Some(b"new")));
        }
    });
}

#[test]
fn what_compaction_moves_is_answered_from_its_new_place() {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    let store = world.open();
    execute_for(&store, "long", DAY, "kept");
    assert!((0..4).all(|_| body(&store, "long").is_some()));
    sparse_segments(&world, &store);
    let before = store.stats().cached_records;
    assert!(before > 0);
    while store.step_compact() {}
    assert!(store.stats().compacted_segments > 0);
    assert_eq!(store.stats().cached_records, 0, "its old place is given back");
    assert!((0..4).all(|_| body(&store, "long").as_deref() == Some(b"kept")));
    assert_eq!(store.stats().cached_records, 1);
}

#[test]
fn p8_what_is_in_memory_is_told_although_the_disk_does_not_read() {
    let mut world = World::new();
    let store = world.open();
    execute(&store, "a", "answer");
    execute(&store, "b", "answer");
    assert!((0..2).all(|_| body(&store, "a").is_some()));
    world.disk.fail_at(world.disk.calls(), Fault::Io);
    assert_eq!(body(&store, "a").as_deref(), Some(b"answer".as_slice()));
    // What is not there meets the failure, which does not read as "absent".
    let unread = store.get(&scope("acct"), &key("b")).wait();
    assert_eq!(unread.expect_err("the disk does not read").kind(), ErrorKind::Io);
    assert!(body(&store, "b").is_some());
}
