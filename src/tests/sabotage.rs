//! Every deliberate bug shows: a scenario that goes right without it goes wrong with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::chaos::{ChaosDisk, How};
use super::world::{
    DAY, HALF_HOUR, World, body, claim, claim_on_drop, execute, execute_for, fill_segment, key,
    outcome, places_used_again, request, scope, sparse_segments,
};
use crate::index::with_masked_hashes;
use crate::simulation::{Bug, Environment, Fault, Survival};
use crate::{DropPolicy, Durability, ErrorKind, Options, Outcome, Store, StoredResponse};

/// Checks that a scenario goes right, and wrong with a bug.
pub(super) fn shows(bug: Bug, goes_right: impl Fn() -> bool) {
    assert!(goes_right(), "it goes wrong without {bug}");
    assert!(!bug.run(&goes_right), "{bug} does not show");
    assert!(goes_right(), "{bug} is still on");
}

/// Crashes, and opens what is left.
fn reopen(world: &mut World, store: Store, survival: Survival) -> Store {
    world.crash(survival, 0);
    drop(store);
    world.open()
}

/// Opens a store on a disk that can have something happen before each sync.
pub(super) fn open_on_chaos(world: &World) -> (Arc<ChaosDisk>, Store) {
    let disk = ChaosDisk::new(world.disk.clone(), How::Errors);
    let environment = Environment { disk: disk.clone(), ..world.environment() };
    let store = Store::open_in(&environment, &world.options, true).expect("the store opens");
    (disk, store)
}

#[test]
fn a_skipped_sync_shows_after_a_power_cut() {
    shows(Bug::SkippedSync, || {
        let mut world = World::new();
        let store = world.open();
        execute(&store, "a", "answer");
        let store = reopen(&mut world, store, Survival::Nothing);
        body(&store, "a").is_some()
    });
}

#[test]
fn an_outcome_told_too_early_shows_while_the_disk_is_at_work() {
    shows(Bug::ToldBeforeDurable, || {
        let world = World::new();
        let (disk, store) = open_on_chaos(&world);
        let mut call = Box::pin(store.claim(request("a")));
        let mut poll = move || call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll().is_pending());
        let early = Arc::new(AtomicBool::new(false));
        let told = early.clone();
        disk.before_each_sync(move || {
            if !told.load(Ordering::SeqCst) && poll().is_ready() {
                told.store(true, Ordering::SeqCst);
            }
        });
        assert!(store.step_commit());
        !early.load(Ordering::SeqCst)
    });
}

#[test]
fn an_early_prune_shows_in_the_last_millisecond_of_a_record() {
    shows(Bug::EarlyPrune, || {
        let mut world = World::with(Options::new().ttl(HALF_HOUR));
        let store = world.open();
        fill_segment(&store, "x");
        world.advance(HALF_HOUR - Duration::from_millis(1));
        let _ = store.prune().wait();
        body(&store, "x-0").is_some()
    });
}

#[test]
fn a_token_that_does_not_rise_shows_at_a_takeover() {
    shows(Bug::SameToken, || {
        let mut world = World::new();
        let store = world.open();
        let first = claim(&store, "a");
        world.advance(Duration::from_secs(3601));
        let second = claim(&store, "a");
        assert_eq!(second.attempt(), 2);
        let rises = second.token() > first.token();
        let refused = first.complete(StoredResponse::new("stale")).wait().is_err();
        assert_eq!(rises, refused);
        rises
    });
}

#[test]
fn reused_tokens_show_after_a_power_cut_in_interval_mode() {
    shows(Bug::ReusedTokens, || {
        let durability = Durability::Interval(Duration::from_secs(1));
        let mut world = World::with(Options::new().durability(durability));
        let store = world.open();
        let told = (0..5).map(|i| claim(&store, &format!("a-{i}")).token()).max();
        let store = reopen(&mut world, store, Survival::Nothing);
        Some(claim(&store, "b").token()) > told
    });
}

#[test]
fn a_torn_tail_taken_for_data_shows_as_a_response_that_nobody_gave() {
    shows(Bug::TornTail, || {
        let given = "x".repeat(6000);
        (0..20).all(|seed| {
            let mut world = World::new();
            let store = world.open();
            let held = claim(&store, "a");
            // The write is made; the machine is off at its sync.
            world.disk.crash_at(world.disk.calls() + 1);
            assert!(held.complete(StoredResponse::new(given.as_str())).wait().is_err());
            world.crash(Survival::Torn, seed);
            drop(store);
            body(&world.open(), "a").is_none_or(|body| body == given.as_bytes())
        })
    });
}

#[test]
fn an_undead_copy_shows_after_a_forget_and_a_crash() {
    shows(Bug::UndeadCopy, || {
        let mut world = World::with(Options::new().ttl(HALF_HOUR));
        let store = world.open();
        sparse_segments(&world, &store);
        let _ = store.compact().wait();
        assert!(store.stats().compactions > 0);
        assert!(store.forget(&scope("acct"), &key("long-1")).wait().expect("forgotten"));
        assert!(body(&store, "long-1").is_none());
        let store = reopen(&mut world, store, Survival::Nothing);
        assert!(body(&store, "long-0").is_some());
        body(&store, "long-1").is_none()
    });
}

#[test]
fn an_undead_copy_shows_after_a_forget_while_it_is_made() {
    shows(Bug::UndeadCopy, || {
        let world = World::with(Options::new().ttl(HALF_HOUR));
        let (disk, store) = open_on_chaos(&world);
        sparse_segments(&world, &store);
        let (forgetful, mut syncs) = (store.clone(), 0);
        disk.before_each_sync(move || {
            syncs += 1;
            // The first is that of a fresh segment's header, the second that of the copies in it.
            if syncs == 2 {
                drop(forgetful.forget(&scope("acct"), &key("long-1")));
            }
        });
        assert!(store.step_compact());
        body(&store, "long-1").is_none()
    });
}

#[test]
fn an_undead_claim_shows_when_its_completion_has_expired_with_a_younger_segment() {
    shows(Bug::UndeadClaim, || {
        let mut world = World::with(Options::new().ttl(HALF_HOUR));
        let store = world.open();
        execute_for(&store, "kept", DAY, "kept");
        let held = claim_on_drop(&store, "a", DropPolicy::Unresolved);
        fill_segment(&store, "between");
        held.complete(StoredResponse::new("done")).wait().expect("completed");
        fill_segment(&store, "after");
        world.advance(HALF_HOUR);
        assert!(store.step_prune());
        let store = reopen(&mut world, store, Survival::Everything);
        store.unresolved().is_empty()
    });
}

#[test]
fn a_hash_taken_for_a_key_shows_where_hashes_collide() {
    shows(Bug::HashForKey, || {
        with_masked_hashes(0, || {
            let mut world = World::new();
            let store = world.open();
            execute(&store, "a", "answer");
            matches!(outcome(&store, "b"), Outcome::Claimed(_))
        })
    });
}

#[test]
fn an_old_segment_taken_for_the_new_shows_after_a_crash() {
    shows(Bug::OldSegment, || {
        let mut world = World::with(Options::new().ttl(HALF_HOUR));
        let store = world.open();
        // Until the next segment to be used has had a life before.
        for round in 0..3 {
            for i in 0..3 {
                fill_segment(&store, &format!("x-{round}-{i}"));
            }
            world.advance(HALF_HOUR);
            store.step_upkeep();
            let _ = store.prune().wait();
        }
        fill_segment(&store, "y");
        drop(claim_on_drop(&store, "a", DropPolicy::Unresolved));
        let store = reopen(&mut world, store, Survival::Everything);
        store.unresolved().len() == 1
    });
}

#[test]
fn an_old_location_taken_for_a_new_one_shows_where_hashes_collide() {
    // A record must begin where the expired one did, in the file's next life: a granule a try.
    let padded = |pad: usize| {
        let (_world, store, again, small) = places_used_again(pad, 3);
        again.complete(StoredResponse::new("new")).wait().expect("completed");
        small.iter().all(|name| body(&store, name).is_some())
    };
    shows(Bug::OldSegment, || with_masked_hashes(0, || (0..25).all(padded)));
}

#[test]
fn a_lost_wake_up_shows_as_a_task_that_nobody_wakes() {
    struct Counter(AtomicUsize);
    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    shows(Bug::LostWakeUp, || {
        let mut world = World::new();
        let store = world.open();
        let woken = Arc::new(Counter(AtomicUsize::new(0)));
        let waker = Waker::from(woken.clone());
        let mut calls: Vec<_> =
            (0..10).map(|i| Box::pin(store.claim(request(&format!("k{i}"))))).collect();
        let mut cx = Context::from_waker(&waker);
        assert!(calls.iter_mut().all(|call| call.as_mut().poll(&mut cx).is_pending()));
        assert!(store.step_commit());
        assert!(calls.iter_mut().all(|call| matches!(call.as_mut().poll(&mut cx), Poll::Ready(_))));
        woken.0.load(Ordering::SeqCst) == 10
    });
}

#[test]
fn a_failed_sync_told_as_a_success_shows_at_once() {
    shows(Bug::PoisonToldAsSuccess, || {
        let mut world = World::new();
        let store = world.open();
        let held = claim(&store, "a");
        world.disk.fail_at(world.disk.calls() + 1, Fault::FailedSync);
        let told = held.complete(StoredResponse::new("answer")).wait();
        assert!(store.stats().poisoned);
        told.is_err_and(|error| error.kind() == ErrorKind::OutcomeUnknown)
    });
}
