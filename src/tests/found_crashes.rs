//! Bugs that the simulator, the checker of histories and the sweeps found in what a store leaves to
//! the next process, each by hand. Those that show while it runs are in `found.rs`.

use std::time::Duration;

use super::world::{
    DAY, HALF_HOUR, World, body, claim, claim_on_drop, execute, execute_for, fill_segment, key,
    outcome, scope, sparse_segments,
};
use crate::index::with_masked_hashes;
use crate::simulation::{CallKind, Disk, Fault, SimDisk, Survival};
use crate::{Checkpoint, DropPolicy, Options, Outcome, Store};

/// A store with segments that are worth compacting, and a tail for the next process to rewrite.
fn before_a_compaction() -> (World, Store) {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    let store = world.open();
    sparse_segments(&world, &store);
    for i in 0..4 {
        execute_for(&store, &format!("tail-{i}"), DAY, &"x".repeat(8000));
    }
    (world, store)
}

/// The call of the disk, counted from the first of a compaction, that makes the new manifest's name
/// durable.
fn last_sync_of_a_compaction() -> u64 {
    let (world, store) = before_a_compaction();
    world.disk.record_calls();
    assert!(store.step_compact());
    let calls = world.disk.recorded_calls();
    let last = calls.iter().rposition(|call| call.kind == CallKind::SyncDir);
    let last = last.expect("a manifest was written");
    assert_eq!(calls[last - 1].kind, CallKind::Rename);
    last as u64
}

/// A process ends while a compaction makes its manifest's name durable: `plan` says how. The next
/// one sees the new manifest, and the power goes at any moment while it uses the files that are not
/// named there any more.
fn power_goes_after_a_manifest_was_only_seen(plan: impl Fn(&SimDisk, u64)) {
    let last = last_sync_of_a_compaction();
    for during in 0.. {
        let (mut world, store) = before_a_compaction();
        plan(&world.disk, world.disk.calls() + last);
        assert!(!store.step_compact());
        world.crash(Survival::Everything, 0);
        drop(store);
        world.disk.crash_at(during);
        let opened = world.try_open();
        let over = world.disk.calls() <= during;
        world.crash(Survival::Nothing, 0);
        drop(opened);
        let store = world.try_open();
        let store = store.unwrap_or_else(|error| panic!("the power went at {during}: {error}"));
        for round in 0..4 {
            let name = format!("long-{round}");
            assert_eq!(body(&store, &name).as_deref(), Some(&b"kept"[..]), "{name} at {during}");
        }
        if over {
            assert!(during > 20, "the recovery wrote something");
            break;
        }
    }
}

#[test]
fn promise_7_a_manifest_seen_after_a_kill_is_on_disk_before_the_files_it_freed_are_used_again() {
    power_goes_after_a_manifest_was_only_seen(|disk, call| disk.crash_at(call));
}

/// The kernel forgets what it could not write: another sync of the directory succeeds, and proves
/// nothing.
#[test]
fn promise_7_a_manifest_whose_sync_failed_is_on_disk_before_the_files_it_freed_are_used_again() {
    power_goes_after_a_manifest_was_only_seen(|disk, call| disk.fail_at(call, Fault::FailedSync));
}

#[test]
fn promise_7_a_file_whose_name_a_failed_sync_left_in_the_page_cache_is_named_before_it_is_used() {
    let begin = |world: &mut World| {
        // The disk may fail it.
        let store = world.try_open();
        let _ = store.as_ref().map(Store::step_upkeep);
        store
    };
    let mut world = World::new();
    world.disk.record_calls();
    drop(begin(&mut world));
    let calls = world.disk.recorded_calls();
    let filled = |at: &usize| {
        calls[*at].kind == CallKind::ZeroFill && calls[*at].file.starts_with("segment")
    };
    let syncs: Vec<usize> = (0..calls.len()).filter(filled).map(|at| at + 1).collect();
    assert!(syncs.len() > 2, "the log's file, and spare ones");
    for sync in syncs {
        assert_eq!(calls[sync].kind, CallKind::SyncDir);
        let mut world = World::new();
        world.disk.fail_at(sync as u64, Fault::FailedSync);
        // Before what is left of the file can be removed.
        world.disk.crash_at(sync as u64 + 1);
        let store = begin(&mut world);
        world.crash(Survival::Everything, 0);
        drop(store);
        let store = world.open();
        for name in ["x", "y", "z"] {
            fill_segment(&store, name);
        }
        world.crash(Survival::Nothing, 0);
        drop(store);
        let store = world.try_open().unwrap_or_else(|error| panic!("sync {sync}: {error}"));
        for name in ["x-0", "y-0", "z-0"] {
            assert!(body(&store, name).is_some(), "{name} after sync {sync}");
        }
    }
}

#[test]
fn promise_6_a_forget_in_an_unsealed_tail_outlives_what_it_hides_by_the_clock_of_footers() {
    let ttl = Duration::from_millis(400);
    let mut world = World::with(Options::new().ttl(ttl).refuse_late_retries(true));
    let store = world.open();
    execute(&store, "a", "answer");
    drop(store);
    // Its record is in a sealed segment now, whose footer has whole seconds, and its forget in one
    // that is not.
    let store = world.open();
    assert!(store.forget(&scope("acct"), &key("a")).wait().expect("forgotten"));
    world.advance(ttl);
    world.crash(Survival::Everything, 1);
    drop(store);
    let told = outcome(&world.open(), "a");
    assert!(matches!(told, Outcome::Claimed(_)), "it was forgotten, and is {told:?}");
}

#[test]
fn promise_6_a_segment_with_a_forget_outlives_what_it_hides_by_the_clock_of_footers() {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    let store = world.open();
    // Keeps the segment of the record, but not that of its forget.
    execute_for(&store, "kept", DAY, "kept");
    world.advance(Duration::from_millis(100));
    execute(&store, "a", "answer");
    fill_segment(&store, "x");
    assert!(store.forget(&scope("acct"), &key("a")).wait().expect("forgotten"));
    for name in ["y", "z"] {
        fill_segment(&store, name);
    }
    world.advance(HALF_HOUR);
    store.prune().wait().expect("pruned");
    world.crash(Survival::Everything, 0);
    drop(store);
    let claim = claim(&world.open(), "a");
    assert_eq!(claim.late_retry(), None, "it was forgotten, and not late");
}

/// Where the last batch of the store's log is.
fn last_batch(world: &World) -> (String, u64) {
    let mut found = None;
    for name in world.disk.list().expect("a list") {
        let bytes = world.disk.file(&name).expect("a file");
        let starts = bytes.chunks(16).rposition(|granule| granule.starts_with(b"OKB1"));
        if let Some(granule) = starts {
            assert_eq!(found, None, "one segment is written to");
            found = Some((name, 16 * granule as u64));
        }
    }
    found.expect("a batch")
}

#[test]
fn promise_7_a_batch_whose_magic_or_nonce_is_damaged_is_not_cut_without_a_word() {
    let mut world = World::new();
    let store = world.open();
    execute(&store, "a", "answer");
    execute(&store, "b", "answer");
    world.crash(Survival::Everything, 0);
    drop(store);
    let (file, offset) = last_batch(&world);
    for (byte, bit) in (0..4).chain(8..16).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
        let mut other = world.fork();
        other.crash(Survival::Everything, 0);
        other.disk.flip_bit(&file, offset + byte, bit).expect("a bit");
        let store = other.open();
        let torn = &store.recovery().torn;
        let what = format!("bit {bit} of byte {byte}: {torn:?}");
        assert!(matches!(&torn[..], [cut] if cut.file == file && cut.offset == offset), "{what}");
        assert_eq!(body(&store, "a").as_deref(), Some(&b"answer"[..]), "{what}");
        assert_eq!(body(&store, "b"), None, "{what}");
    }
}

/// A run with many claims in flight, a crash, and a recovery that states them again; the files it
/// leaves.
fn files_after_a_recovery() -> Vec<(String, Vec<u8>)> {
    let mut world = World::new();
    let store = world.open();
    let mut held = Vec::new();
    for i in 0..60 {
        let policies = [DropPolicy::Hold, DropPolicy::Release, DropPolicy::Unresolved];
        let claim = claim_on_drop(&store, &format!("k{i}"), policies[i % 3]);
        let checkpoint = Checkpoint::new("step", i.to_le_bytes()).expect("a small one");
        claim.context().save_checkpoint(checkpoint).wait().expect("saved");
        held.push(claim);
    }
    execute(&store, "done", "answer");
    world.crash(Survival::Everything, 0);
    drop((held, store));
    let store = world.open();
    assert_eq!(store.recovery().claims, 60);
    world.crash(Survival::Everything, 0);
    drop(store);
    let mut names = world.disk.list().expect("a list");
    names.sort();
    let files = names.into_iter().map(|name| (world.disk.file(&name).expect("a file"), name));
    files.map(|(bytes, name)| (name, bytes)).collect()
}

/// A simulation is worth nothing if its seed does not replay it.
#[test]
fn two_equal_runs_with_many_claims_in_flight_leave_the_same_bytes() {
    // In one shard: what lies in several is in the order of the shards.
    with_masked_hashes(0, || {
        let (one, other) = (files_after_a_recovery(), files_after_a_recovery());
        for ((name, one), (_, other)) in one.iter().zip(&other) {
            let differs = one.iter().zip(other).position(|(one, other)| one != other);
            assert_eq!(differs, None, "{name} differs from this byte on");
        }
        assert!(one == other, "not the same files");
    });
}
