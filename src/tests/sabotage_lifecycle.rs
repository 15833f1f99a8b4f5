//! Deliberate bugs of the index that grows, of expiry, of compaction under load and of the memory
//! of expired keys: each shows.

use std::time::Duration;

use super::sabotage::{open_on_chaos, shows};
use super::world::{
    DAY, HALF_HOUR, World, body, claim, execute, execute_for, fill_segment, key, scope,
    sparse_segments,
};
use crate::index::with_masked_hashes;
use crate::simulation::Bug;
use crate::{Options, Store};

#[test]
fn a_record_that_is_lost_as_a_shard_grows_shows_as_a_key_that_is_free() {
    shows(Bug::LostInGrowth, || {
        with_masked_hashes(u64::MAX >> 12, || {
            let mut world = World::new();
            let store = world.open();
            let names: Vec<String> = (0..20).map(|i| format!("k-{i}")).collect();
            names.iter().for_each(|name| drop(execute(&store, name, "answer")));
            names.iter().all(|name| body(&store, name).is_some())
        })
    });
}

#[test]
fn a_record_that_is_filed_with_shorter_lived_ones_shows_when_they_expire() {
    shows(Bug::ShortClass, || {
        let mut world = World::with(Options::new().ttl(HALF_HOUR));
        let store = world.open();
        for round in 0..4 {
            execute_for(&store, &format!("soon-{round}"), 4 * HALF_HOUR, "kept");
            execute_for(&store, &format!("long-{round}"), 90 * DAY, "kept");
            fill_segment(&store, &format!("short-{round}"));
        }
        world.advance(Duration::from_secs(1801));
        store.step_upkeep();
        world.advance(Duration::from_secs(2700));
        store.step_upkeep();
        let _ = store.compact().wait();
        assert!(store.stats().compactions > 0);
        world.advance(2 * HALF_HOUR);
        store.step_upkeep();
        let _ = store.prune().wait();
        (0..4).all(|round| body(&store, &format!("long-{round}")).is_some())
    });
}

#[test]
fn a_copy_that_wins_over_a_newer_record_shows_as_the_old_answer() {
    shows(Bug::BlindRewrite, || {
        let world = World::with(Options::new().ttl(HALF_HOUR));
        let (disk, store) = open_on_chaos(&world);
        sparse_segments(&world, &store);
        let (busy, mut syncs) = (store.clone(), 0);
        disk.before_each_sync(move || {
            syncs += 1;
            // The first is that of a fresh segment's header, the second that of the copies in it.
            if syncs == 2 {
                drop(busy.forget(&scope("acct"), &key("long-1")));
                execute_for(&busy, "long-1", DAY, "new");
            }
        });
        assert!(store.step_compact());
        body(&store, "long-1").is_some_and(|body| body == b"new")
    });
}

/// A store with keys that have expired and are remembered, in runs of a few.
fn remembering(world: &mut World) -> Store {
    world.options.late_pending = 4;
    let store = world.open();
    execute(&store, "a", "answer");
    execute(&store, "b", "answer");
    fill_segment(&store, "x");
    world.advance(HALF_HOUR + Duration::from_secs(1));
    store.step_upkeep();
    store.prune().wait().expect("pruned");
    while store.step_late() {}
    store
}

fn is_late(store: &Store, name: &str) -> bool {
    claim(store, name).late_retry().is_some()
}

#[test]
fn a_forgotten_key_that_is_remembered_shows_as_a_late_retry() {
    shows(Bug::ForgottenIsLate, || {
        let mut world = World::with(Options::new().ttl(HALF_HOUR));
        let store = remembering(&mut world);
        store.forget(&scope("acct"), &key("a")).wait().expect("forgotten");
        is_late(&store, "b") && !is_late(&store, "a")
    });
}

#[test]
fn a_run_without_its_last_key_shows_as_a_late_retry_that_nobody_notices() {
    shows(Bug::ShortRun, || {
        let mut world = World::with(Options::new().ttl(HALF_HOUR));
        let store = remembering(&mut world);
        let names = (0..8).map(|i| format!("x-{i}")).chain(["a".into(), "b".into()]);
        names.into_iter().all(|name| is_late(&store, &name))
    });
}
