//! Shortages that pass (promises 8 and 10): no file descriptor is left, or not one byte of room.
//! Nothing is poisoned; what is claimed ends; and the store goes on by itself.

use std::time::Duration;

use super::world::{World, body, claim, execute, outcome, request};
use crate::simulation::{Disk, Survival};
use crate::{ErrorKind, Inspector, Outcome, Store, StoredResponse};

const SEGMENT: u64 = 1 << 16;

/// Claims and completes until a claim is refused; returns the keys and the refusal.
fn until_refused(store: &Store, name: &str) -> (Vec<String>, crate::Error) {
    let mut done = Vec::new();
    for i in 0..500 {
        store.step_upkeep();
        let name = format!("{name}-{i}");
        match store.claim(request(&name)).wait() {
            Ok(Outcome::Claimed(claim)) => complete_somehow(claim),
            Ok(other) => panic!("{other:?}"),
            Err(error) => return (done, error),
        }
        done.push(name);
    }
    panic!("nothing was refused");
}

/// Completes with a body, or without one where there is no room for it.
fn complete_somehow(claim: crate::Claim) {
    if let Err(refused) = claim.complete(StoredResponse::new("x".repeat(5000))).wait() {
        let (claim, _) = refused.into_claim().expect("the claim comes back");
        claim.complete(StoredResponse::default()).wait().expect("there is room for no body");
    }
}

/// Leaves as much room as `bytes`.
fn fill_disk(world: &World, bytes: u64) {
    let names = world.disk.list().expect("a list");
    let used: usize = names.iter().map(|name| world.disk.file(name).expect("a file").len()).sum();
    world.disk.set_capacity(used as u64 + bytes);
}

fn segment_files(world: &World) -> usize {
    let names = world.disk.list().expect("a list");
    names.iter().filter(|name| name.starts_with("segment-")).count()
}

fn all_replay(store: &Store, names: &[String]) {
    for name in names {
        assert!(matches!(outcome(store, name), Outcome::Replay(_)), "{name}");
    }
}

#[test]
fn promise_10_running_out_of_descriptors_refuses_claims_and_passes() {
    let mut world = World::new();
    let store = world.open();
    let held: Vec<_> = (0..20).map(|i| claim(&store, &format!("held-{i}"))).collect();
    world.disk.set_max_open(world.disk.open_files());
    let (mut done, refusal) = until_refused(&store, "one");
    assert_eq!(refusal.kind(), ErrorKind::LimitExceeded, "{refusal}");
    assert!(refusal.to_string().contains("ulimit -n"), "{refusal}");
    assert!(refusal.to_string().contains("nothing was decided"), "{refusal}");
    for (i, claim) in held.into_iter().enumerate() {
        complete_somehow(claim);
        done.push(format!("held-{i}"));
        store.step_upkeep();
    }
    assert!(!store.stats().poisoned, "a limit is no failed disk");
    world.disk.set_max_open(usize::MAX);
    store.step_upkeep();
    execute(&store, "after", "answer");
    all_replay(&store, &done);
    let mut next = world.fork();
    next.crash(Survival::Nothing, 0);
    drop(store);
    let store = next.open();
    all_replay(&store, &done);
    assert_eq!(body(&store, "after").as_deref(), Some(&b"answer"[..]));
}

/// Upkeep does not come to prepare a segment; the last of all is one of the spare files.
#[test]
fn promise_10_the_log_needs_no_descriptor_of_its_own() {
    let mut world = World::new();
    let store = world.open();
    world.disk.set_max_open(world.disk.open_files());
    let claims: Vec<_> = (0..24).map(|i| claim(&store, &format!("k{i}"))).collect();
    claims.into_iter().for_each(complete_somehow);
    assert!(!store.stats().poisoned);
    store.close(Duration::from_secs(60)).wait().expect("closed");
    drop(store);
    world.disk.set_max_open(usize::MAX);
    let store = world.open();
    assert!(store.recovery().clean, "the log's end needed no descriptor either");
    execute(&store, "after", "answer");
}

#[test]
fn promise_10_open_without_descriptors_says_what_to_do() {
    let mut world = World::new();
    drop(world.open());
    world.disk.set_max_open(1);
    let error = world.try_open().expect_err("no descriptor");
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
    assert!(error.to_string().contains("ulimit -n"), "{error}");
    let files = segment_files(&world);
    world.disk.set_max_open(usize::MAX);
    drop(world.open());
    assert!(segment_files(&world) >= files, "no file was taken for a bad one");
}

#[test]
fn promise_8_a_disk_without_one_free_byte_poisons_nothing() {
    let mut world = World::new();
    let store = world.open();
    let held: Vec<_> = (0..20).map(|i| claim(&store, &format!("held-{i}"))).collect();
    fill_disk(&world, 0);
    let (mut done, refusal) = until_refused(&store, "one");
    assert_eq!(refusal.kind(), ErrorKind::DiskFull, "{refusal}");
    for (i, claim) in held.into_iter().enumerate() {
        complete_somehow(claim);
        done.push(format!("held-{i}"));
        store.step_upkeep();
    }
    assert!(!store.stats().poisoned, "a full disk is no failed disk");
    assert_eq!(store.stats().spare_segments, 2, "the room that was kept for them was enough");
    world.disk.set_capacity(u64::MAX);
    store.step_upkeep();
    execute(&store, "after", "answer");
    all_replay(&store, &done);
}

#[test]
fn promise_8_the_commit_path_writes_the_manifest_on_a_disk_without_one_free_byte() {
    let mut world = World::new();
    let store = world.open();
    fill_disk(&world, 0);
    let claims: Vec<_> = (0..24).map(|i| claim(&store, &format!("k{i}"))).collect();
    let calls: Vec<_> = claims
        .into_iter()
        .map(|claim| claim.complete(StoredResponse::new("x".repeat(4000))))
        .collect();
    for call in calls {
        call.wait().expect("completed");
    }
    assert!(!store.stats().poisoned);
    let disk_bytes = store.stats().disk_bytes;
    assert_eq!(disk_bytes, segment_files(&world) as u64 * SEGMENT, "real files are counted");
    world.disk.set_capacity(u64::MAX);
    store.step_upkeep();
    assert_eq!(store.stats().spare_segments, 2);
    let disk_bytes = store.stats().disk_bytes;
    assert_eq!(disk_bytes, segment_files(&world) as u64 * SEGMENT, "holes are filled");
}

#[test]
fn promise_8_open_succeeds_on_a_disk_without_one_free_byte() {
    for survival in [None, Some(Survival::Everything), Some(Survival::Nothing)] {
        let mut world = World::new();
        let store = world.open();
        let names: Vec<_> = (0..5).map(|i| format!("k{i}")).collect();
        for name in &names {
            execute(&store, name, &"x".repeat(3000));
        }
        let mut next = world.fork();
        match survival {
            Some(survival) => {
                next.crash(survival, 0);
                drop(store);
            }
            None => drop(store),
        }
        for _ in 0..4 {
            fill_disk(&next, 0);
            let store = next.open();
            store.step_upkeep();
            assert!(!store.stats().poisoned);
            all_replay(&store, &names);
            let mut killed = next.fork();
            killed.crash(survival.unwrap_or(Survival::Everything), 1);
            drop(store);
            next = killed;
        }
        next.disk.set_capacity(u64::MAX);
        execute(&next.open(), "after", "answer");
    }
}

/// Nothing tells of a full disk but the log itself: upkeep does not come to look.
#[test]
fn promise_8_a_full_disk_is_met_before_a_decision_while_upkeep_is_late() {
    for free in [0, SEGMENT / 2, SEGMENT - 1, SEGMENT + 4096] {
        let mut world = World::new();
        let store = world.open();
        let held: Vec<_> = (0..20).map(|i| claim(&store, &format!("held-{i}"))).collect();
        fill_disk(&world, free);
        let mut done = Vec::new();
        let refusal = (0..200).find_map(|i| {
            let name = format!("k{i}");
            match store.claim(request(&name)).wait() {
                Ok(outcome) => complete_somehow(super::world::claimed(outcome)),
                Err(error) => return Some(error),
            }
            done.push(name);
            None
        });
        let refusal = refusal.expect("a refusal");
        assert_eq!(refusal.kind(), ErrorKind::DiskFull, "{free} bytes: {refusal}");
        for (i, claim) in held.into_iter().enumerate() {
            complete_somehow(claim);
            done.push(format!("held-{i}"));
        }
        assert!(!store.stats().poisoned);
        all_replay(&store, &done);
        world.disk.set_capacity(u64::MAX);
        store.step_upkeep();
        execute(&store, "after", "answer");
    }
}

/// More is queued at once than the log has room for: what is let in ends, the rest is handed back.
#[test]
fn promise_8_what_is_queued_at_once_is_not_more_than_there_is_room_for() {
    let mut world = World::new();
    let store = world.open();
    store.step_upkeep();
    let claims: Vec<_> = (0..40).map(|i| claim(&store, &format!("k{i}"))).collect();
    fill_disk(&world, 0);
    let calls: Vec<_> = claims
        .into_iter()
        .map(|claim| claim.complete(StoredResponse::new("x".repeat(6000))))
        .collect();
    let mut refused = Vec::new();
    for call in calls {
        if let Err(error) = call.wait() {
            assert_eq!(error.kind(), ErrorKind::DiskFull, "{}", error.error());
            refused.push(error.into_claim().expect("the claim comes back").0);
        }
    }
    assert!((1..36).contains(&refused.len()), "{} were refused", refused.len());
    for claim in refused {
        claim.complete(StoredResponse::default()).wait().expect("there is room for no body");
    }
    assert!(!store.stats().poisoned);
    assert_eq!(store.stats().spare_segments, 2, "no spare file was needed");
}

/// With large segments callers do not wait for upkeep, and the spare files stand in.
#[test]
fn promise_8_threads_that_fill_large_segments_are_refused_before_a_decision() {
    let mut world = World::new();
    world.options = world.options.segment_bytes(1 << 21);
    let store = world.open_with_threads(true);
    execute(&store, "before", "answer");
    fill_disk(&world, 1 << 21);
    let fill = |thread: u32| {
        (0..1000).find_map(|i| match store.claim(request(&format!("{thread}-{i}"))).wait() {
            Ok(outcome) => {
                let claim = super::world::claimed(outcome);
                let refused = claim.complete(StoredResponse::new("x".repeat(200_000))).wait().err();
                let (claim, _) = refused?.into_claim().expect("the claim comes back");
                claim.complete(StoredResponse::default()).wait().expect("there is room");
                None
            }
            Err(error) => Some(error),
        })
    };
    std::thread::scope(|scope| {
        let fill = &fill;
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(move || fill(thread))).collect();
        for thread in threads {
            let refusal = thread.join().expect("no panic").expect("the disk has an end");
            assert_eq!(refusal.kind(), ErrorKind::DiskFull, "{refusal}");
        }
    });
    assert!(!store.stats().poisoned);
    all_replay(&store, &["before".to_owned()]);
}

/// Upkeep looks for room again also while the next segment is ready.
#[test]
fn promise_8_a_shortage_that_a_caller_met_passes_when_there_is_room() {
    let mut world = World::new();
    let store = world.open();
    store.step_upkeep();
    let claims: Vec<_> = (0..40).map(|i| claim(&store, &format!("k{i}"))).collect();
    fill_disk(&world, 0);
    let complete = |claim: crate::Claim| claim.complete(StoredResponse::new("x".repeat(6000)));
    let calls: Vec<_> = claims.into_iter().map(complete).collect();
    store.step_upkeep();
    assert!(store.stats().short_of_room, "more is queued than there is room for");
    world.disk.set_capacity(u64::MAX);
    store.step_upkeep();
    assert!(!store.stats().short_of_room);
    execute(&store, "after", &"x".repeat(6000));
    let refused = calls.into_iter().filter_map(|call| call.wait().err());
    for claim in refused.map(|error| error.into_claim().expect("the claim comes back").0) {
        complete(claim).wait().expect("there is room again");
    }
}

/// The spare files are for the next open and for compaction, however often a store is closed.
#[test]
fn promise_8_a_store_that_was_filled_and_closed_opens_on_a_disk_without_one_free_byte() {
    let mut world = World::new();
    let mut done = Vec::new();
    for round in 0..4 {
        let store = world.open();
        fill_disk(&world, 0);
        let (names, refusal) = until_refused(&store, &format!("round-{round}"));
        assert_eq!(refusal.kind(), ErrorKind::DiskFull, "{refusal}");
        done.extend(names);
        store.close(Duration::from_secs(60)).wait().expect("closed");
        drop(store);
        fill_disk(&world, 0);
    }
    let store = world.open();
    all_replay(&store, &done);
}

/// Dropping what has expired is what makes room: it must not need any.
#[test]
fn promise_8_a_disk_without_one_free_byte_gives_back_what_has_expired() {
    gives_back(World::new());
    // Also where so much expires that its segments would be kept until a run is made of it.
    let mut world = World::new();
    world.options.late_pending = 4;
    gives_back(world);
}

fn gives_back(mut world: World) {
    let store = world.open();
    for i in 0..60 {
        let claimed = store.claim(request(&format!("k{i}")).ttl(Duration::from_secs(60))).wait();
        let claim = super::world::claimed(claimed.expect("an outcome"));
        claim.complete(StoredResponse::new("x".repeat(5000))).wait().expect("completed");
        store.step_upkeep();
    }
    fill_disk(&world, 0);
    let (_, refusal) = until_refused(&store, "one");
    assert_eq!(refusal.kind(), ErrorKind::DiskFull, "{refusal}");
    world.advance(Duration::from_secs(61));
    while store.step_prune() {}
    store.step_upkeep();
    execute(&store, "after", "answer");
    assert!(!store.stats().poisoned);
}

#[test]
fn a_segment_that_was_sealed_on_a_full_disk_is_said_to_be_sealed_later() {
    let mut world = World::new();
    let store = world.open();
    for i in 0..12 {
        execute(&store, &format!("k{i}"), &"x".repeat(5000));
    }
    fill_disk(&world, 0);
    store.step_upkeep();
    world.disk.set_capacity(u64::MAX);
    store.step_upkeep();
    execute(&store, "one more", &"x".repeat(5000));
    let inspector = Inspector::open_in(&world.environment(), true).expect("a store");
    let segments = inspector.summary().expect("a summary").segments;
    let unsealed = segments.iter().filter(|segment| !segment.sealed).count();
    assert_eq!(unsealed, 2, "the active one and the next: {segments:?}");
}

#[test]
fn promise_10_files_that_a_burst_left_are_removed() {
    let mut world = World::new();
    let store = world.open();
    for i in 0..400 {
        let claimed = store.claim(request(&format!("k{i}")).ttl(Duration::from_secs(60))).wait();
        let claim = super::world::claimed(claimed.expect("an outcome"));
        claim.complete(StoredResponse::new("x".repeat(5000))).wait().expect("completed");
        if i % 5 == 0 {
            store.step_upkeep();
        }
    }
    execute(&store, "lasting", "answer");
    let peak = store.stats().disk_bytes;
    world.advance(Duration::from_secs(61));
    while store.step_prune() {}
    store.step_upkeep();
    let stats = store.stats();
    assert!(peak > 30 * SEGMENT, "{peak}");
    assert!(stats.spare_segments <= 6, "{stats:?}");
    assert!(stats.disk_bytes <= 10 * SEGMENT, "{stats:?}");
    assert_eq!(stats.disk_bytes, segment_files(&world) as u64 * SEGMENT);
    for i in 0..100 {
        execute(&store, &format!("new-{i}"), &"x".repeat(5000));
        store.step_upkeep();
    }
    assert_eq!(store.stats().disk_bytes, segment_files(&world) as u64 * SEGMENT);
    assert_eq!(body(&store, "lasting").as_deref(), Some(&b"answer"[..]));
    drop(store);
    let store = world.open();
    assert_eq!(store.stats().disk_bytes, segment_files(&world) as u64 * SEGMENT);
    assert_eq!(body(&store, "new-99").map(|body| body.len()), Some(5000));
}
