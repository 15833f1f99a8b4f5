//! Late retries of keys whose record is gone: each is told as one for as long as the key is
//! remembered, and nothing else ever is.

use std::time::Duration;

use super::world::{
    DAY, HALF_HOUR, World, body, claim, execute, execute_for, fill_segment, key, outcome, scope,
    sparse_segments,
};
use crate::simulation::{Disk as _, Fault, Survival};
use crate::{ErrorKind, Options, Outcome, Store, StoredResponse};

/// Runs are made of a few keys, so that there are some.
fn small_runs(options: Options) -> World {
    let mut world = World::with(options.ttl(HALF_HOUR));
    world.options.late_pending = 4;
    world
}

/// When the record of a key expired that is claimed late, and whether it is still known.
fn late(store: &Store, name: &str) -> Option<(u64, bool)> {
    let claim = claim(store, name);
    let late = claim.late_retry();
    claim.release().wait().expect("released");
    late.map(|late| (late.expired_at().as_millis(), late.completed_at().is_some()))
}

/// Prunes, makes runs of what is remembered since, and drops what was kept for them.
fn prune(store: &Store) {
    store.prune().wait().expect("pruned");
    while store.step_late() || store.step_prune() {}
}

fn forget(store: &Store, name: &str) {
    store.forget(&scope("acct"), &key(name)).wait().expect("forgotten");
}

/// Keys of which some fill a segment; the time at which all are expired is come.
fn expired(world: &World, store: &Store) -> u64 {
    let record = execute(store, "a", "answer");
    execute(store, "b", "answer");
    fill_segment(store, "x");
    world.advance(HALF_HOUR);
    store.step_upkeep();
    record.expires_at().as_millis()
}

#[test]
fn p6_a_late_retry_is_told_after_its_record_was_pruned_and_its_segment_dropped() {
    let mut world = small_runs(Options::new());
    let store = world.open();
    let expired_at = expired(&world, &store);
    assert_eq!(late(&store, "a"), Some((expired_at, true)), "the record is there");
    prune(&store);
    let check = |store: &Store| {
        let (told, known) = late(store, "a").expect("remembered");
        assert!((expired_at..expired_at + 1000).contains(&told) && !known);
        assert!(late(store, "fresh").is_none());
    };
    world.advance(Duration::from_secs(1));
    check(&store);
    assert!(store.stats().dropped_segments > 0 && store.stats().late_keys > 3);
    assert!(store.stats().late_confirmed > 0, "it is in a run");
    // Released, it is late again; and so it is in the next process, however this one ended.
    for survival in [Survival::Everything, Survival::Nothing] {
        let mut next = world.fork();
        next.crash(survival, 3);
        check(&next.open());
    }
    drop(store);
    check(&world.open());
}

#[test]
fn p6_what_prune_took_out_of_the_index_alone_is_late_too() {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    let store = world.open();
    execute_for(&store, "lives", DAY, "kept");
    expired(&world, &store);
    execute(&store, "active", "answer");
    world.advance(HALF_HOUR);
    store.step_upkeep();
    assert!(store.prune().wait().expect("pruned").records > 0);
    assert!(late(&store, "a").is_some() && late(&store, "active").is_some());
    assert!(late(&store, "lives-not").is_none());
    let mut next = world.fork();
    next.crash(Survival::Nothing, 3);
    let store = next.open();
    assert!(late(&store, "a").is_some() && late(&store, "active").is_some());
    assert_eq!(body(&store, "lives").as_deref(), Some(&b"kept"[..]));
}

#[test]
fn p6_what_compaction_left_out_is_late_and_what_it_moved_is_not() {
    let mut world = small_runs(Options::new());
    let store = world.open();
    sparse_segments(&world, &store);
    assert!(store.step_compact() || store.step_prune());
    while store.step_prune() || store.step_late() || store.step_compact() {}
    assert!(store.stats().compactions > 0, "{:?}", store.stats());
    let mut next = world.fork();
    next.crash(Survival::Nothing, 3);
    for store in [store, next.open()] {
        for round in 0..4 {
            let name = format!("long-{round}");
            assert_eq!(body(&store, &name).as_deref(), Some(&b"kept"[..]), "{name}");
            assert!(late(&store, &format!("short-{round}-0")).is_some());
            forget(&store, &name);
            assert!(late(&store, &name).is_none(), "{name} was forgotten, and moved before");
        }
    }
}

#[test]
fn p6_a_forgotten_key_is_never_late() {
    let mut world = small_runs(Options::new());
    let store = world.open();
    for name in ["alive", "in-index", "remembered", "again", "late"] {
        execute(&store, name, "answer");
    }
    forget(&store, "alive");
    expired(&world, &store);
    forget(&store, "in-index");
    prune(&store);
    assert!(late(&store, "late").is_some());
    forget(&store, "remembered");
    // Its older expiry is remembered while a newer record lives, and that is forgotten.
    execute(&store, "again", "answer");
    forget(&store, "again");
    let check = |store: &Store| {
        for name in ["alive", "in-index", "remembered", "again"] {
            assert!(late(store, name).is_none(), "{name} was forgotten");
        }
        assert!(late(store, "late").is_some());
    };
    check(&store);
    for survival in [Survival::Nothing, Survival::Everything] {
        let mut next = world.fork();
        next.crash(survival, 3);
        let store = next.open();
        check(&store);
        // What hides them outlives the segments that say so.
        next.advance(HALF_HOUR);
        prune(&store);
        fill_segment(&store, "y");
        next.advance(HALF_HOUR);
        prune(&store);
        check(&store);
        drop(store);
        check(&next.open());
    }
}

/// Found by the simulator (seed 4018286): an opening took what was forgotten, and is not expired,
/// for the newer record. The other way round (seed 4008392) nothing may be told.
#[test]
fn p6_a_key_is_late_after_an_opening_if_it_was_executed_after_it_was_forgotten() {
    let mut world = small_runs(Options::new());
    let store = world.open();
    for name in ["after", "before"] {
        execute_for(&store, name, HALF_HOUR / 2, "first");
    }
    world.advance(HALF_HOUR / 2);
    store.step_upkeep();
    for name in ["after", "before"] {
        execute_for(&store, name, DAY, "forgotten");
        forget(&store, name);
    }
    let expired_at = execute(&store, "after", "again").expires_at().as_millis();
    let check = |store: &Store| {
        let (told, _) = late(store, "after").expect("remembered");
        assert!((expired_at..expired_at + 1000).contains(&told));
        assert!(late(store, "before").is_none(), "it was forgotten");
    };
    world.advance(HALF_HOUR);
    store.step_upkeep();
    for sealed in [false, true] {
        if sealed {
            fill_segment(&store, "x");
        }
        for survival in [Survival::Nothing, Survival::Everything] {
            let mut next = world.fork();
            next.crash(survival, 3);
            check(&next.open());
        }
    }
    check(&store);
}

#[test]
fn p6_the_newest_expiry_is_told_and_a_living_record_hides_the_older() {
    let mut world = small_runs(Options::new());
    let store = world.open();
    let first = expired(&world, &store);
    prune(&store);
    execute(&store, "a", "second");
    assert_eq!(body(&store, "a").as_deref(), Some(&b"second"[..]));
    assert!(matches!(outcome(&store, "a"), Outcome::Replay(_)));
    fill_segment(&store, "y");
    world.advance(HALF_HOUR);
    prune(&store);
    let (told, known) = late(&store, "a").expect("remembered");
    assert!(told >= first + 1_800_000 && !known, "{first} was the older one, {told} is told");
    assert!(late(&store, "b").expect("remembered").0 < first + 2000);
}

#[test]
fn p6_where_late_retries_are_refused_they_are_for_as_long_as_they_are_remembered() {
    let options = Options::new().refuse_late_retries(true).remember_late(HALF_HOUR);
    let mut world = small_runs(options);
    let store = world.open();
    expired(&world, &store);
    prune(&store);
    drop(store);
    let store = world.open();
    for _ in 0..2 {
        let Outcome::Expired(late) = outcome(&store, "a") else { panic!("it must not run again") };
        assert_eq!(late.completed_at(), None);
        world.advance(HALF_HOUR / 2 - Duration::from_secs(2));
        store.step_upkeep();
    }
    assert!(store.stats().late_retries == 2 && store.stats().late_disk_bytes > 4096);
    // At most half as long again, and the files are gone then.
    world.advance(HALF_HOUR / 2);
    store.step_upkeep();
    assert!(late(&store, "a").is_none());
    let runs = |world: &World| {
        let names = world.disk.list().expect("a list");
        names.into_iter().filter(|name| name.starts_with("late-0")).count()
    };
    assert_eq!(runs(&world), 0, "the window is over");
}

#[test]
fn a_store_that_does_not_remember_has_no_files_of_it_and_tells_nothing() {
    let mut world = small_runs(Options::new().remember_late(Duration::ZERO));
    let late_files = |world: &World| {
        let names = world.disk.list().expect("a list");
        names.into_iter().filter(|name| name.starts_with("late")).count()
    };
    let store = world.open();
    expired(&world, &store);
    prune(&store);
    assert!(late(&store, "a").is_none() && late_files(&world) == 0);
    drop(store);
    // What was remembered before goes.
    world.options.remember_late = DAY;
    let store = world.open();
    expired(&world, &store);
    prune(&store);
    assert!(late(&store, "a").is_some() && late_files(&world) > 0);
    drop(store);
    world.options.remember_late = Duration::ZERO;
    let store = world.open();
    assert!(late(&store, "a").is_none() && late_files(&world) == 0);
}

#[test]
fn a_store_that_does_not_remember_does_not_in_the_second_that_footers_round_by_either() {
    let mut world = World::with(Options::new().ttl(HALF_HOUR).remember_late(Duration::ZERO));
    let store = world.open();
    world.advance(Duration::from_millis(1));
    execute(&store, "a", "answer");
    world.advance(HALF_HOUR);
    // Behind a batch that is torn, what has expired is not written anew with the rest.
    let torn_later = claim(&store, "b");
    world.disk.crash_at(world.disk.calls() + 1);
    let _ = torn_later.complete(StoredResponse::new("x".repeat(6000))).wait();
    let mut torn = 0;
    for seed in 0..20 {
        let mut next = world.fork();
        next.crash(Survival::Torn, seed);
        let store = next.open();
        torn += store.recovery().torn.len();
        let told = late(&store, "a");
        assert!(told.is_none_or(|(_, is_there)| is_there), "{told:?} with seed {seed}");
    }
    assert!(torn > 0);
}

#[test]
fn windows_are_few_however_long_keys_come_and_go() {
    let mut world = small_runs(Options::new().remember_late(4 * HALF_HOUR));
    let store = world.open();
    let mut most = 0;
    for round in 0..30 {
        execute(&store, &format!("k-{round}"), "answer");
        fill_segment(&store, &format!("x-{round}"));
        world.advance(HALF_HOUR);
        prune(&store);
        store.step_upkeep();
        let names = world.disk.list().expect("a list");
        most = most.max(names.iter().filter(|name| name.starts_with("late-0")).count());
        for back in 0..round.min(4) {
            let name = format!("k-{}", round - back);
            assert!(late(&store, &name).is_some(), "{name} in round {round}");
        }
        assert!(round < 8 || late(&store, &format!("k-{}", round - 8)).is_none());
    }
    assert!((2..=4).contains(&most), "{most} runs");
    assert!(store.stats().late_keys < 60, "{}", store.stats().late_keys);
}

/// Prunes with a fault at one call, and says what the calls were. While compaction is paused what
/// expired goes to the journal first.
fn prune_with(
    is_paused: bool,
    at: Option<(u64, Fault)>,
) -> (World, Store, Vec<crate::simulation::SimCall>) {
    let mut world = small_runs(Options::new());
    world.disk.record_calls();
    let store = world.open();
    expired(&world, &store);
    if let Some((at, fault)) = at {
        world.disk.fail_at(at, fault);
    }
    let pause = is_paused.then(|| store.pause_compaction());
    prune(&store);
    drop(pause);
    let calls = world.disk.recorded_calls();
    (world, store, calls)
}

#[test]
fn p8_what_the_disk_refuses_of_the_memory_fails_no_request_and_keeps_no_segment() {
    for (is_paused, least) in [(true, 10), (false, 5)] {
        let (.., calls) = prune_with(is_paused, None);
        let of_memory: Vec<u64> = (0..)
            .zip(&calls)
            .filter(|(_, call)| call.file.starts_with("late"))
            .map(|(at, _)| at)
            .collect();
        let last = *of_memory.last().expect("calls of the memory");
        assert!(of_memory.len() >= least, "{of_memory:?}");
        for fault in [Fault::Full, Fault::Io, Fault::ShortWrite, Fault::FailedSync] {
            for &at in of_memory.iter().filter(|at| **at > last - 12) {
                refuses_at(is_paused, at, fault);
            }
        }
    }
}

fn refuses_at(is_paused: bool, at: u64, fault: Fault) {
    let (world, store, _) = prune_with(is_paused, Some((at, fault)));
    assert!(!store.stats().poisoned && store.stats().dropped_segments > 0);
    assert!(late(&store, "a").is_some(), "it is in memory at least");
    // It is written again when it can be.
    store.step_upkeep();
    let mut next = world.fork();
    next.crash(Survival::Nothing, 3);
    assert!(late(&next.open(), "a").is_some(), "{fault:?} at call {at}");
}

#[test]
fn p7_every_flipped_bit_of_the_memory_is_reported_or_harmless_and_keeps_nothing_shut() {
    let mut world = small_runs(Options::new());
    let store = world.open();
    expired(&world, &store);
    prune(&store);
    forget(&store, "b");
    store.close(Duration::ZERO).wait().expect("closed");
    drop(store);
    let names = world.disk.list().expect("a list");
    let names: Vec<_> = names.into_iter().filter(|name| name.starts_with("late")).collect();
    assert!(names.len() > 1, "{names:?}");
    for name in names {
        let bytes = world.disk.file(&name).expect("a file");
        for at in super::damage::offsets(&bytes) {
            let mut other = super::damage::another(&world);
            other.disk.flip_bit(&name, at, (at % 8) as u8).expect("a bit");
            let verified =
                super::inspect::inspector(&other, false).verify().expect("read").is_whole();
            let store = other.try_open().expect("it opens");
            assert!(store.recovery().damage.is_empty());
            let told = late(&store, "a").is_some();
            let seen =
                !store.recovery().late_damage.is_empty() || store.stats().late_unreadable > 0;
            assert!(told || seen, "byte {at} of {name}: lost in silence");
            assert!(late(&store, "fresh").is_none());
            assert!(!verified, "byte {at} of {name}: the checker says that all is well");
            if late(&store, "b").is_some() {
                assert!(!store.recovery().late_damage.is_empty(), "byte {at} of {name}");
            }
        }
    }
}

#[test]
fn promise_10_a_forget_is_refused_where_it_cannot_be_made_sure_of() {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    let store = world.open();
    expired(&world, &store);
    prune(&store);
    world.disk.fail_from(world.disk.calls(), Fault::Full);
    let told = store.forget(&scope("acct"), &key("a")).wait().expect_err("no room");
    assert_eq!(told.kind(), ErrorKind::DiskFull, "{told}");
    world.disk.clear_faults();
    forget(&store, "a");
    assert!(late(&store, "a").is_none() && !store.stats().poisoned);
    let mut next = world.fork();
    next.crash(Survival::Nothing, 3);
    assert!(late(&next.open(), "a").is_none());
}

/// Found by the simulator (seed 4094929): what a kill leaves in the page cache alone was remembered
/// by an opening, and a power cut in the middle of that took the record itself.
#[test]
fn p6_an_opening_remembers_nothing_that_a_power_cut_can_take_back() {
    let interval = crate::Durability::Interval(DAY);
    let mut world = World::with(Options::new().ttl(HALF_HOUR).durability(interval));
    let store = world.open();
    execute(&store, "a", "answer");
    world.advance(HALF_HOUR);
    let _later = claim(&store, "b");
    let killed = || {
        let mut next = world.fork();
        next.crash(Survival::Everything, 0);
        next
    };
    let mut whole = killed();
    let first = whole.disk.calls();
    whole.open();
    let mut remembered = 0;
    for at in 0..whole.disk.calls() - first {
        let mut next = killed();
        next.disk.crash_at(next.disk.calls() + at);
        let _ = next.try_open();
        next.crash(Survival::Nothing, at);
        let store = next.open();
        let is_late = late(&store, "a").is_some();
        let is_there = store.count_flights() > 0;
        assert!(is_there || !is_late, "the power went at call {at}");
        remembered += u32::from(is_late);
    }
    assert!(remembered > 0, "the last calls are after all is on disk");
}
