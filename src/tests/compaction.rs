//! Compaction that meets what it cannot copy, and what it leaves for the next.

use std::time::Duration;

use super::world::{World, body, claimed, execute, key, request, scope};
use crate::simulation::Survival;
use crate::{Store, StoredResponse};

/// When the short-lived ones have expired, and the others have not.
const MOST_EXPIRED: Duration = Duration::from_secs(3000);

/// Short-lived records, and one in ten that lasts.
fn fill(store: &Store, name: &str, count: usize) {
    for i in 0..count {
        let ttl = if i % 10 == 0 { 24 * 3600 } else { 60 };
        let request = request(&format!("{name}-{i}")).ttl(Duration::from_secs(ttl));
        let claim = claimed(store.claim(request).wait().expect("an outcome"));
        claim.complete(StoredResponse::new("x".repeat(5000))).wait().expect("completed");
        store.step_upkeep();
    }
}

#[test]
fn a_damaged_record_does_not_keep_other_segments_from_being_compacted() {
    let mut world = World::new();
    let store = world.open();
    fill(&store, "k", 60);
    // The second record of the first segment lasts, and is damaged.
    let (file, at) = place_of_first_lasting(&world);
    world.disk.flip_bit(&file, at, 0).expect("a bit");
    world.advance(MOST_EXPIRED);
    let before = store.stats().segments;
    for _ in 0..10 {
        store.step_upkeep();
        while store.step_prune() || store.step_compact() {}
    }
    let stats = store.stats();
    assert!(!stats.poisoned);
    assert!(stats.compactions > 0, "{stats:?}");
    assert!(stats.segments < before, "{stats:?}");
    let reads = world.disk.counters().reads;
    for _ in 0..5 {
        store.step_upkeep();
        while store.step_prune() || store.step_compact() {}
    }
    assert!(world.disk.counters().reads - reads < 3, "it does not try for ever");
    for i in (10..60).step_by(10) {
        assert!(body(&store, &format!("k-{i}")).is_some(), "k-{i}");
    }
    let damaged = store.get(&scope("acct"), &key("k-0")).wait();
    assert_eq!(damaged.expect_err("damaged").kind(), crate::ErrorKind::Corrupt);
    // Once the damaged record has expired its segment goes, too.
    world.advance(Duration::from_secs(24 * 3600));
    world.advance(Duration::from_secs(1));
    let confirmation = Duration::from_secs(601);
    store.step_upkeep();
    world.advance(confirmation);
    store.step_upkeep();
    while store.step_prune() || store.step_compact() {}
    assert!(store.stats().segments <= 2, "{:?}", store.stats());
}

/// Where the body of `k-0` is, which is the first record of all.
fn place_of_first_lasting(world: &World) -> (String, u64) {
    let (file, _) = place_of_text(world, b"k-0");
    let bytes = world.disk.file(&file).expect("a file");
    let at = bytes.windows(100).position(|part| part.iter().all(|byte| *byte == b'x'));
    (file, at.expect("a body") as u64)
}

fn place_of_text(world: &World, text: &[u8]) -> (String, u64) {
    let names = crate::simulation::Disk::list(&*world.disk).expect("a list");
    for file in names.into_iter().filter(|name| name.starts_with("segment-")) {
        let bytes = world.disk.file(&file).expect("a file");
        if let Some(at) = bytes.windows(text.len()).position(|part| part == text) {
            return (file, at as u64);
        }
    }
    panic!("it is nowhere");
}

#[test]
fn a_read_that_fails_in_a_compaction_poisons_nothing() {
    let mut world = World::new();
    let store = world.open();
    fill(&store, "k", 60);
    world.advance(MOST_EXPIRED);
    store.step_upkeep();
    // The output's header is written and synced, then the first footer is read.
    world.disk.fail_at(world.disk.calls() + 2, crate::simulation::Fault::Io);
    assert!(!store.step_compact());
    assert!(!store.stats().poisoned);
    assert_eq!(store.stats().compactions, 0);
    assert!(store.step_compact(), "the others are moved");
    for i in (0..60).step_by(10) {
        assert!(body(&store, &format!("k-{i}")).is_some(), "k-{i}");
    }
}

#[test]
fn promise_7_compactions_of_compactions_with_bad_footers_lose_nothing() {
    let mut world = World::new();
    let store = world.open();
    fill(&store, "a", 60);
    assert!(store.forget(&scope("acct"), &key("a-20")).wait().expect("forgotten"));
    world.advance(MOST_EXPIRED);
    while store.step_prune() || store.step_compact() {}
    fill(&store, "b", 60);
    world.advance(MOST_EXPIRED);
    while store.step_prune() || store.step_compact() {}
    assert!(store.stats().compactions >= 2);
    world.crash(Survival::Nothing, 0);
    drop(store);
    // Every footer is bad: all are made again from the data.
    let names = crate::simulation::Disk::list(&*world.disk).expect("a list");
    for name in names.iter().filter(|name| name.starts_with("segment-")) {
        world.disk.flip_bit(name, 65_536 - 100, 3).expect("a bit");
    }
    for _ in 0..2 {
        let store = world.open();
        assert!(store.recovery().damage.is_empty());
        for i in (0..60).step_by(10) {
            assert_eq!(body(&store, &format!("a-{i}")).is_some(), i != 20, "a-{i}");
            assert!(body(&store, &format!("b-{i}")).is_some(), "b-{i}");
        }
        execute(&store, "again", "answer");
        assert!(store.forget(&scope("acct"), &key("again")).wait().expect("forgotten"));
        while store.step_prune() || store.step_compact() {}
    }
}
