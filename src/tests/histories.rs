//! Histories that a log can get wrong: claims and records that come back, keys that share their
//! hash bits, files that live again, directories that are copied.

use std::time::Duration;

use super::world::{
    HALF_HOUR, World, body, claim, claim_on_drop, claimed, execute, fill_segment, key, outcome,
    request, scope,
};
use crate::simulation::{Clock, Survival};
use crate::{DropPolicy, Options, Outcome, Store, StoredResponse};

const HOUR: Duration = Duration::from_secs(3600);

/// The clock leaps ahead and the leap is confirmed.
fn leap(world: &World, store: &Store, by: Duration) {
    world.advance(by);
    store.step_upkeep();
    world.advance(Duration::from_secs(601));
    store.step_upkeep();
}

fn tidy(store: &Store) {
    while store.step_prune() || store.step_compact() {}
}

#[test]
fn promise_7_an_expired_completion_does_not_bring_its_claim_back() {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    let store = world.open();
    // Keeps the segment of the claim, but not that of its completion.
    let lasting = claimed(store.claim(request("lasting").ttl(24 * HOUR)).wait().expect("claimed"));
    lasting.complete(StoredResponse::new("kept")).wait().expect("completed");
    let held = claim_on_drop(&store, "a", DropPolicy::Unresolved);
    fill_segment(&store, "between");
    held.complete(StoredResponse::new("done")).wait().expect("completed");
    fill_segment(&store, "after");
    world.advance(Duration::from_secs(1801));
    let before = store.stats().segments;
    tidy(&store);
    assert_eq!(store.stats().segments, before - 1);
    world.crash(Survival::Everything, 0);
    drop(store);
    let store = world.open();
    assert!(store.unresolved().is_empty());
    assert_eq!(claim(&store, "a").attempt(), 1);
}

#[test]
fn promise_7_a_completion_before_the_end_of_a_split_batch_does_not_leave_its_claim_behind() {
    let mut world = World::new();
    let store = world.open();
    let names: Vec<_> = (0..12).map(|i| format!("k{i}")).collect();
    let claims: Vec<_> = names
        .iter()
        .map(|name| {
            let request = request(name).ttl(HALF_HOUR).on_drop(DropPolicy::Unresolved);
            claimed(store.claim(request).wait().expect("an outcome"))
        })
        .collect();
    // One batch that is larger than a segment: its first completions are on disk before the claims
    // are stated again.
    let calls: Vec<_> = claims
        .into_iter()
        .map(|claim| claim.complete(StoredResponse::new("x".repeat(7000))))
        .collect();
    for call in calls {
        call.wait().expect("completed");
    }
    store.step_upkeep();
    world.advance(Duration::from_secs(1801));
    tidy(&store);
    world.crash(Survival::Everything, 0);
    drop(store);
    let store = world.open();
    assert_eq!(store.unresolved(), [], "completed and expired, not unresolved");
    for name in names {
        assert_eq!(claim(&store, &name).attempt(), 1, "{name}");
    }
}

#[test]
fn promise_7_what_was_forgotten_stays_forgotten_after_compactions_and_crashes() {
    for compact_first in [true, false] {
        let mut world = World::with(Options::new().ttl(HALF_HOUR));
        let store = world.open();
        let long = |store: &Store, name: &str| {
            let request = request(name).ttl(24 * HOUR);
            let claim = claimed(store.claim(request).wait().expect("an outcome"));
            claim.complete(StoredResponse::new("kept")).wait().expect("completed");
        };
        for round in 0..4 {
            long(&store, &format!("long-{round}"));
            fill_segment(&store, &format!("short-{round}"));
        }
        let forget = |store: &Store| {
            assert!(store.forget(&scope("acct"), &key("long-1")).wait().expect("forgotten"));
        };
        if !compact_first {
            forget(&store);
        }
        // A share of the records' spread must be over before a segment counts as mostly dead.
        world.advance(Duration::from_secs(1801));
        store.step_upkeep();
        world.advance(Duration::from_secs(2700));
        tidy(&store);
        assert!(store.stats().compactions > 0);
        if compact_first {
            forget(&store);
        }
        for survival in [Survival::Nothing, Survival::Everything] {
            let mut next = world.fork();
            next.crash(survival, 0);
            for _ in 0..2 {
                let store = next.open();
                assert_eq!(body(&store, "long-1"), None);
                assert_eq!(body(&store, "long-0").as_deref(), Some(&b"kept"[..]));
                fill_segment(&store, &format!("more-{}", store.recovery().epoch));
                tidy(&store);
            }
        }
    }
}

#[test]
fn promise_3_a_record_that_moved_while_it_was_replaced_does_not_hide_the_new_one() {
    // Footers round expiries up to a second, so a record can have expired and still be moved.
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let world = &mut World::with(Options::new().ttl(HALF_HOUR));
        let store = world.open();
        fill_segment(&store, "one");
        let short = |name: &str, ms: u64| {
            let request = request(name).ttl(HALF_HOUR + Duration::from_millis(ms));
            claimed(store.claim(request).wait().expect("an outcome"))
        };
        short(name, 2001).complete(StoredResponse::new("old")).wait().expect("completed");
        short("other-1", 64_000).complete(StoredResponse::new("other")).wait().expect("completed");
        fill_segment(&store, "two");
        short("other-2", 64_000).complete(StoredResponse::new("other")).wait().expect("completed");
        fill_segment(&store, "three");
        world.advance(HALF_HOUR + Duration::from_millis(2001));
        let again = claim(&store, name);
        assert!(again.late_retry().is_some());
        store.step_upkeep();
        while store.step_compact() {}
        assert!(store.stats().compactions > 0);
        again.complete(StoredResponse::new("new")).wait().expect("completed");
        assert_eq!(body(&store, name).as_deref(), Some(&b"new"[..]));
        assert!(matches!(outcome(&store, name), Outcome::Replay(_)));
        assert!(store.forget(&scope("acct"), &key(name)).wait().expect("forgotten"));
        assert_eq!(claim(&store, name).attempt(), 1);
    }
}

#[test]
fn promise_3_a_record_replaced_after_an_abandoned_attempt_does_not_hide_the_new_one() {
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let mut world = World::with(Options::new().ttl(HALF_HOUR));
        let store = world.open();
        execute(&store, name, "old");
        world.advance(HALF_HOUR);
        drop(claim(&store, name));
        world.advance(Duration::from_secs(61));
        // Upkeep learns that nobody holds it; then its TTL runs out, too.
        store.step_upkeep();
        world.advance(HALF_HOUR);
        let again = claim(&store, name);
        assert_eq!(again.attempt(), 1);
        again.complete(StoredResponse::new("new")).wait().expect("completed");
        assert_eq!(body(&store, name).as_deref(), Some(&b"new"[..]), "{name}");
        assert!(matches!(outcome(&store, name), Outcome::Replay(_)));
    }
}

#[test]
fn promise_5_a_copied_directory_takes_higher_tokens() {
    let mut world = World::new();
    let store = world.open();
    execute(&store, "a", "answer");
    let mut copy = world.fork();
    copy.disk = world.disk.copy();
    // The original goes on for a while.
    let highest = (0..50).map(|i| execute(&store, &format!("o{i}"), "x").token()).max().unwrap();
    world.advance(Duration::from_millis(1));
    let copied = copy.open();
    assert!(copied.recovery().copied && !store.recovery().copied);
    assert_eq!(body(&copied, "a").as_deref(), Some(&b"answer"[..]));
    let token = claim(&copied, "b").token();
    assert!(token > highest, "{token} after {highest}");
    drop(copied);
    let again = copy.open();
    assert!(!again.recovery().copied);
    assert!(claim(&again, "c").token() > token);
}

#[test]
fn promise_6_a_late_retry_is_told_what_it_missed() {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    let store = world.open();
    let record = execute(&store, "a", "answer");
    world.advance(HALF_HOUR);
    let late = claim(&store, "a");
    let told = late.late_retry().expect("a late retry");
    assert_eq!(told.completed_at(), Some(record.completed_at()));
    assert_eq!(told.expired_at(), record.expires_at());
    late.release().wait().expect("released");
    drop(store);
    world.options = world.options.clone().refuse_late_retries(true);
    // Expired records are not kept across an open; one that expires meanwhile is.
    let store = world.open();
    execute(&store, "b", "answer");
    assert!(matches!(outcome(&store, "b"), Outcome::Replay(_)));
    world.advance(HALF_HOUR);
    assert!(matches!(outcome(&store, "b"), Outcome::Expired(_)));
    assert!(matches!(outcome(&store, "b"), Outcome::Expired(_)));
    assert_eq!(claim(&store, "c").attempt(), 1);
}

#[test]
fn promise_6_leaps_of_the_clock_expire_nothing_before_they_are_confirmed() {
    let mut world = World::new();
    let store = world.open();
    execute(&store, "a", "answer");
    world.advance(48 * HOUR);
    assert!(body(&store, "a").is_some(), "the leap is doubted");
    store.step_upkeep();
    tidy(&store);
    assert!(body(&store, "a").is_some());
    world.crash(Survival::Nothing, 0);
    drop(store);
    let store = world.open();
    assert!(store.stats().held_back_ms > 0 && body(&store, "a").is_some());
    world.clock.step_wall(-(48 * 3_600_000));
    leap(&world, &store, Duration::from_secs(700));
    assert!(body(&store, "a").is_some(), "the clock took it back");
    leap(&world, &store, 25 * HOUR);
    assert!(body(&store, "a").is_none(), "confirmed");
    execute(&store, "b", "the log knows of the time by this");
    let time = store.stats().store_time;
    let mut next = world.fork();
    next.crash(Survival::Everything, 0);
    next.clock.set_wall(1_000);
    drop(store);
    assert!(next.clock.wall_ms() < time.as_millis());
    let store = next.open();
    assert!(body(&store, "a").is_none(), "a step back revives nothing");
}

#[test]
fn promise_1_an_abandoned_claim_expires_after_its_ttl_and_an_unresolved_one_does_not() {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    let store = world.open();
    drop(claim(&store, "hold"));
    drop(claim_on_drop(&store, "ask", DropPolicy::Unresolved));
    world.crash(Survival::Everything, 0);
    drop(store);
    let store = world.open();
    world.advance(HALF_HOUR);
    store.step_upkeep();
    assert_eq!(claim(&store, "hold").attempt(), 1);
    assert!(matches!(outcome(&store, "ask"), Outcome::Unresolved(_)));
}
