//! Deliberate bugs of the audit trail: each shows.

use std::sync::Arc;
use std::time::Duration;

use super::sabotage::shows;
use super::world::{World, claim, execute};
use crate::audit::{Audit, Event, EventKind, Trail, TrailItem};
use crate::simulation::{Bug, SimDisk, Survival};
use crate::{Options, Store, StoredResponse};

/// A store that keeps a trail, on a disk of its own, with room for so many events on their way.
fn audited(pending: usize) -> (World, Store, Arc<SimDisk>) {
    let mut world = World::with(Options::new().audit(Audit::new().max_pending(pending)));
    let trail = SimDisk::new();
    world.disk.put_directory("audit", trail.clone());
    let store = world.open();
    (world, store, trail)
}

fn told(trail: &Arc<SimDisk>) -> Vec<TrailItem> {
    Trail::on(trail.clone()).map(|item| item.expect("read")).collect()
}

fn events(trail: &Arc<SimDisk>) -> Vec<Event> {
    let event = |item| match item {
        TrailItem::Event(event) => Some(event),
        _ => None,
    };
    told(trail).into_iter().filter_map(event).collect()
}

const OVERRUN: u64 = 42;

/// Forty decisions, of which there is room for a few, and two after them.
fn overrun() -> (Store, Arc<SimDisk>) {
    let (_world, store, trail) = audited(4);
    (0..20).for_each(|i| drop(execute(&store, &format!("k-{i}"), "done")));
    store.step_audit();
    execute(&store, "last", "done");
    store.step_audit();
    (store, trail)
}

#[test]
fn a_gap_that_is_not_told_shows_in_the_trail() {
    shows(Bug::UntoldGap, || {
        let (_store, trail) = overrun();
        let count = |item| match item {
            TrailItem::Gap(gap) => gap.lost.unwrap_or(0),
            _ => 1,
        };
        told(&trail).into_iter().map(count).sum::<u64>() == OVERRUN
    });
}

#[test]
fn a_drop_that_is_not_counted_shows_in_the_statistics() {
    shows(Bug::UncountedDrop, || {
        let stats = overrun().0.stats();
        stats.audit_events + stats.audit_dropped == OVERRUN
    });
}

#[test]
fn a_number_that_is_given_twice_shows_in_the_trail() {
    shows(Bug::NumberedTwice, || {
        let (_world, store, trail) = audited(64);
        (0..7).for_each(|i| drop(execute(&store, &format!("k-{i}"), "done")));
        store.step_audit();
        events(&trail).iter().map(|event| event.id.sequence).eq(0..14)
    });
}

#[test]
fn a_completion_that_nobody_granted_shows_in_the_trail() {
    shows(Bug::ToldUndecided, || {
        let (world, store, trail) = audited(64);
        let slow = claim(&store, "a");
        world.advance(Duration::from_secs(61));
        let second = claim(&store, "a");
        assert!(slow.complete(StoredResponse::new("late")).wait().is_err());
        second.complete(StoredResponse::new("done")).wait().expect("completed");
        store.step_audit();
        let is_completed = |event: &&Event| event.kind == EventKind::Completed;
        events(&trail).iter().filter(is_completed).count() == 1
    });
}

#[test]
fn a_trail_that_is_not_synced_shows_after_a_power_cut() {
    shows(Bug::UnsyncedTrail, || {
        let (world, store, trail) = audited(64);
        execute(&store, "a", "done");
        world.advance(Duration::from_secs(2));
        store.step_audit();
        events(&trail.crash(Survival::Nothing, 0)).len() == 2
    });
}
