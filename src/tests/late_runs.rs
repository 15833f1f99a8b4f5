//! How keys that expired become runs: later, by the store's own work, and without anybody who waits
//! for it; and what happens where the disk does not say which they are.

use std::time::Duration;

use super::chaos::{ChaosDisk, How, within};
use super::world::{
    DAY, HALF_HOUR, World, claim, execute, execute_for, fill_segment, key, scope, sparse_segments,
};
use crate::simulation::{CallKind, Disk as _, Environment, Fault, Survival};
use crate::{Options, Store};

pub(super) fn is_late(store: &Store, name: &str) -> bool {
    let claim = claim(store, name);
    let late = claim.late_retry();
    claim.release().wait().expect("released");
    late.is_some()
}

fn forget(store: &Store, name: &str) {
    store.forget(&scope("acct"), &key(name)).wait().expect("forgotten");
}

/// Keys that fill a segment with small records, and have expired.
pub(super) fn expired(world: &World, store: &Store, name: &str, keys: u64) {
    for number in 0..keys {
        execute(store, &format!("{name}-{number}"), "answer");
    }
    fill_segment(store, &format!("{name}-fills"));
    world.advance(HALF_HOUR);
    store.step_upkeep();
}

fn runs(world: &World) -> usize {
    let names = world.disk.list().expect("a list");
    names.iter().filter(|name| name.starts_with("late-0")).count()
}

fn journals(world: &World) -> usize {
    let names = world.disk.list().expect("a list");
    names.iter().filter(|name| name.starts_with("late-journal")).count()
}

#[test]
fn p7_a_prune_writes_the_journal_alone_and_the_run_comes_later_with_all_of_it() {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    world.options.late_pending = 16;
    let store = world.open();
    expired(&world, &store, "k", 20);
    // Nobody else is to make a run.
    let pause = store.pause_compaction();
    store.prune().wait().expect("pruned");
    drop(pause);
    assert_eq!((runs(&world), journals(&world)), (0, 1));
    let check = |store: &Store| {
        assert!((0..20).all(|number| is_late(store, &format!("k-{number}"))));
        assert!(!is_late(store, "fresh"));
    };
    check(&store);
    let mut next = world.fork();
    next.crash(Survival::Nothing, 3);
    check(&next.open());
    assert!(store.step_rewrite(), "the store's own work makes it");
    assert_eq!((runs(&world), journals(&world)), (1, 0));
    check(&store);
    let mut next = world.fork();
    next.crash(Survival::Nothing, 3);
    check(&next.open());
}

/// A store of its own that has expired keys worth a run, and has taken them out of the index.
fn emptied() -> (World, Store) {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    world.options.late_pending = 16;
    let store = world.open();
    expired(&world, &store, "k", 20);
    assert!(!store.step_prune(), "its segment is not dropped yet");
    (world, store)
}

fn are_all_late(store: &Store) -> bool {
    (0..20).all(|number| is_late(store, &format!("k-{number}")))
}

#[test]
fn p7_a_large_prune_keeps_its_segments_and_writes_nothing_until_a_run_is_made() {
    let (world, store) = emptied();
    let segments = store.stats().segments;
    assert_eq!((runs(&world), journals(&world)), (0, 0));
    assert!(store.stats().pruned >= 20);
    assert_eq!(store.stats().dropped_segments, 0);
    // What was kept says it all after a power cut, also of keys that are claimed again meanwhile.
    execute(&store, "k-7", "again");
    forget(&store, "k-8");
    let check = |store: &Store| {
        let all = (0..20).filter(|number| ![7, 8].contains(number));
        assert!(all.into_iter().all(|number| is_late(store, &format!("k-{number}"))));
        assert!(!is_late(store, "k-8") && !is_late(store, "fresh"));
    };
    let mut next = world.fork();
    next.crash(Survival::Nothing, 3);
    check(&next.open());
    assert!(store.step_rewrite(), "makes the run");
    assert_eq!((runs(&world), store.stats().segments), (1, segments));
    let mut next = world.fork();
    next.crash(Survival::Nothing, 3);
    check(&next.open());
    assert!(store.step_rewrite(), "and drops the segment");
    assert_eq!((store.stats().dropped_segments, store.stats().segments), (1, segments - 1));
    check(&store);
}

#[test]
fn p7_compaction_takes_no_segment_that_a_prune_left_to_say_what_expired() {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    world.options.late_pending = 16;
    let store = world.open();
    for number in 0..20 {
        execute(&store, &format!("k-{number}"), "answer");
    }
    sparse_segments(&world, &store);
    expired(&world, &store, "m", 20);
    store.prune().wait().expect("pruned");
    assert_eq!((runs(&world), journals(&world)), (0, 0));
    assert!(!store.step_compact(), "they are not moved yet");
    let mut next = world.fork();
    next.crash(Survival::Nothing, 3);
    assert!(are_all_late(&next.open()));
    assert!(store.step_late() && store.step_compact());
    let mut next = world.fork();
    next.crash(Survival::Nothing, 3);
    assert!(are_all_late(&next.open()) && are_all_late(&store));
}

#[test]
fn p8_a_run_that_cannot_be_made_keeps_no_segment() {
    for fault in [Fault::Full, Fault::Io, Fault::FailedSync] {
        let (world, store) = emptied();
        world.disk.fail_from(world.disk.calls(), fault);
        assert!(!store.step_late(), "{fault:?}");
        world.disk.clear_faults();
        assert!(store.step_prune(), "{fault:?}: it is let go");
        assert!(!store.stats().poisoned && are_all_late(&store), "in memory at least");
        store.step_upkeep();
        let mut next = world.fork();
        next.crash(Survival::Nothing, 3);
        assert!(are_all_late(&next.open()), "{fault:?}: and written when it could be");
    }
}

#[test]
fn promise_10_a_prune_while_compaction_is_paused_gives_the_room_back_at_once() {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    world.options.late_pending = 16;
    let store = world.open_with_threads(true);
    let pause = store.pause_compaction();
    expired(&world, &store, "k", 20);
    let before = store.stats().segments;
    let pruned = store.prune().wait().expect("pruned");
    assert_eq!((pruned.segments, store.stats().segments), (1, before - 1));
    drop(pause);
}

#[test]
fn promise_10_what_was_kept_for_a_run_goes_at_once_while_compaction_is_paused() {
    let (world, store) = emptied();
    let segments = store.stats().segments;
    let pause = store.pause_compaction();
    store.prune().wait().expect("pruned");
    assert_eq!((runs(&world), journals(&world)), (0, 1));
    assert_eq!(store.stats().segments, segments - 1);
    let mut next = world.fork();
    next.crash(Survival::Nothing, 3);
    assert!(are_all_late(&next.open()));
    drop(pause);
}

#[test]
fn p7_a_store_that_is_closed_before_the_run_is_made_remembers_what_expired() {
    let (mut world, store) = emptied();
    store.close(Duration::ZERO).wait().expect("closed");
    drop(store);
    assert!(are_all_late(&world.open()));
}

#[test]
fn promise_10_what_a_prune_keeps_becomes_a_run_by_the_stores_own_thread() {
    within(Duration::from_secs(60), || {
        let mut world = World::with(Options::new().ttl(HALF_HOUR));
        world.options.late_pending = 16;
        let store = world.open_with_threads(true);
        let pause = store.pause_compaction();
        execute_for(&store, "long", DAY, "kept");
        expired(&world, &store, "k", 20);
        drop(pause);
        store.prune().wait().expect("pruned");
        assert!(store.stats().pruned >= 20);
        while runs(&world) == 0 {
            std::thread::yield_now();
        }
        assert!(are_all_late(&store));
    });
}

#[test]
fn p10_a_store_that_is_idle_for_a_minute_keeps_no_lists_that_are_worth_a_run() {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    world.options.late_pending = 2048;
    let store = world.open();
    let pending = |store: &Store, world: &World| {
        let before = store.stats().late_bytes;
        let is_due = store.step_late();
        assert_eq!(store.stats().late_bytes < before, is_due);
        (is_due, runs(world), journals(world))
    };
    expired(&world, &store, "many", 100);
    store.prune().wait().expect("pruned");
    assert_eq!(pending(&store, &world), (false, 0, 1), "so few wait for more");
    world.advance(Duration::from_secs(31));
    assert_eq!(pending(&store, &world), (true, 1, 0), "and not for long");
    // What is not worth a file beside it stays where it is, however long that is.
    forget(&store, "many-7");
    world.advance(Duration::from_secs(3600));
    assert_eq!(pending(&store, &world), (false, 1, 1));
    assert!(!is_late(&store, "many-7") && is_late(&store, "many-8"));
    expired(&world, &store, "more", 100);
    store.prune().wait().expect("pruned");
    world.advance(Duration::from_secs(31));
    assert!(pending(&store, &world).0);
    assert!(!is_late(&store, "many-7") && is_late(&store, "more-8"));
}

#[test]
fn p10_no_more_is_pending_than_may_be_and_nothing_of_it_is_lost() {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    (world.options.late_pending, world.options.late_most) = (4, 32);
    let store = world.open();
    expired(&world, &store, "k", 300);
    store.prune().wait().expect("pruned");
    assert!(runs(&world) > 0, "the prune made them");
    assert!(store.engine().late_pending() < 32);
    assert!((0..300).all(|number| is_late(&store, &format!("k-{number}"))));
    // While the disk takes nothing it is bounded, too, and what is lost is counted.
    expired(&world, &store, "m", 300);
    assert_eq!(store.stats().late_lost, 0);
    world.disk.fail_from(world.disk.calls(), Fault::Full);
    let _ = store.prune().wait();
    world.disk.clear_faults();
    assert!(store.engine().late_pending() < 64 + 4);
    assert!(!store.stats().poisoned && store.stats().late_lost > 0);
}

#[test]
fn p1_a_forget_and_a_prune_wait_for_no_run_that_is_being_written() {
    within(Duration::from_secs(60), || {
        let mut world = World::with(Options::new().ttl(HALF_HOUR));
        world.options.late_pending = 4;
        let disk = ChaosDisk::new(world.disk.clone(), How::Errors);
        let environment = Environment { disk: disk.clone(), ..world.environment() };
        let store = Store::open_in(&environment, &world.options, true).expect("opened");
        expired(&world, &store, "k", 20);
        store.prune().wait().expect("pruned");
        expired(&world, &store, "m", 20);
        let (inner, mut is_first) = (store.clone(), true);
        disk.before_each_sync(move || {
            if std::mem::take(&mut is_first) {
                forget(&inner, "k-3");
                forget(&inner, "k-fills-0");
                inner.prune().wait().expect("pruned");
            }
        });
        assert!(store.step_late());
        let check = |store: &Store| {
            for number in 0..20 {
                assert_eq!(is_late(store, &format!("k-{number}")), number != 3, "{number}");
                assert!(is_late(store, &format!("m-{number}")));
            }
            assert!(!is_late(store, "k-fills-0"));
        };
        assert_eq!((runs(&world), journals(&world)), (1, 1));
        check(&store);
        for survival in [Survival::Nothing, Survival::Everything] {
            let mut next = world.fork();
            next.crash(survival, 3);
            let next = next.open();
            check(&next);
            while next.step_late() {}
            check(&next);
        }
    });
}

#[test]
fn p6_a_footer_that_the_disk_does_not_read_this_time_keeps_its_segment_and_what_expired() {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    let store = world.open();
    expired(&world, &store, "k", 20);
    world.disk.fail_at(world.disk.calls(), Fault::Io);
    assert!(!store.step_prune(), "it is left for later");
    assert_eq!((store.stats().dropped_segments, store.stats().late_lost), (0, 0));
    assert!(store.step_prune());
    assert!((0..20).all(|number| is_late(&store, &format!("k-{number}"))));
    let mut next = world.fork();
    next.crash(Survival::Nothing, 3);
    assert!(is_late(&next.open(), "k-3"));
    assert_eq!(store.stats().late_lost, 0);
}

#[test]
fn p6_no_segment_is_kept_for_ever_by_a_footer_that_cannot_be_read() {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    let store = world.open();
    expired(&world, &store, "k", 20);
    for minutes in [0, 30, 31] {
        world.advance(Duration::from_secs(60 * minutes));
        world.disk.fail_at(world.disk.calls(), Fault::Io);
        assert_eq!(store.step_prune(), minutes == 31, "after {minutes} more minutes");
    }
    assert!(store.stats().late_lost >= 20, "nobody knows when they expired");
}

#[test]
fn p6_a_footer_that_is_not_read_before_a_compaction_goes_ends_it_without_a_loss() {
    let world_with = |fault: Option<u64>| {
        let mut world = World::with(Options::new().ttl(HALF_HOUR));
        world.disk.record_calls();
        let store = world.open();
        sparse_segments(&world, &store);
        while store.step_prune() {}
        let before = world.disk.recorded_calls().len() as u64;
        fault.into_iter().for_each(|at| world.disk.fail_at(at, Fault::Io));
        let compacted = store.step_compact();
        (world, store, compacted, before)
    };
    let (world, _, compacted, before) = world_with(None);
    assert!(compacted);
    let calls = world.disk.recorded_calls();
    let reads = (0..).zip(&calls).filter(|(_, call)| call.kind == CallKind::Read);
    let reads: Vec<u64> = reads.map(|(at, _)| at).filter(|at| *at >= before).collect();
    assert!(reads.len() > 10, "{reads:?}");
    for at in reads {
        let (world, store, _, now) = world_with(Some(at));
        assert_eq!(now, before, "the same calls");
        while store.step_compact() {}
        let mut next = world.fork();
        next.crash(Survival::Nothing, 3);
        for store in [&store, &next.open()] {
            for round in 0..4 {
                assert!(is_late(store, &format!("short-{round}-0")), "{round}, call {at}");
            }
        }
        assert_eq!(store.stats().late_lost, 0, "call {at}");
    }
}
