//! A store's end, in a world without threads: what is refused when, and who keeps it open.

use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use super::api_poll::ByHand;
use super::world::{World, body, claim, claimed, execute, key, outcome, request, scope};
use crate::{Claim, ClaimCall, ErrorKind, Options, Outcome, Resolution, Store, StoredResponse};

fn assert_closed(store: &Store) {
    let kind = |error: crate::Error| error.kind();
    let closed = Some(ErrorKind::Closed);
    assert_eq!(store.claim(request("new")).wait().map_err(kind).err(), closed);
    assert_eq!(store.get(&scope("acct"), &key("a")).wait().map_err(kind).err(), closed);
    assert_eq!(store.forget(&scope("acct"), &key("a")).wait().map_err(kind).err(), closed);
    assert_eq!(store.forget_scope(&scope("acct")).wait().map_err(kind).err(), closed);
    let resolved = store.resolve(&scope("acct"), &key("a"), Resolution::NotExecuted).wait();
    assert_eq!(resolved.map_err(kind).err(), closed);
    assert!(store.unresolved().is_empty());
    assert_eq!(store.close(Duration::ZERO).wait().expect("closed already").remaining, 0);
    store.flush().wait().expect("all of it is on disk");
    let _ = (store.stats(), store.id(), store.recovery(), format!("{store:?}").len());
}

#[test]
fn a_closed_store_refuses_everything_and_changes_nothing() {
    let mut world = World::with(Options::new().ttl(Duration::from_secs(1800)));
    let store = world.open();
    for i in 0..400 {
        execute(&store, &i.to_string(), &"x".repeat(300));
        store.step_upkeep();
    }
    execute(&store, "a", "b");
    let context = claim(&store, "dropped").context().clone();
    assert_eq!(store.close(Duration::ZERO).wait().expect("closed").remaining, 0);
    world.advance(Duration::from_secs(1800));
    // Another store has the directory now; this one must not touch it.
    let other = world.open();
    let calls = world.disk.counters();
    assert_closed(&store);
    let _ = store.prune().wait();
    let _ = store.compact().wait();
    store.step_upkeep();
    store.step_commit();
    assert_eq!(
        context.extend(Duration::from_secs(1)).expect_err("closed").kind(),
        ErrorKind::Closed
    );
    let counters = world.disk.counters();
    assert_eq!(counters.bytes_written, calls.bytes_written, "a closed store wrote");
    assert_eq!(counters.renames, calls.renames, "a closed store changed the manifest");
    drop((context, store));
    assert_eq!(world.disk.counters().bytes_written, calls.bytes_written);
    claim(&other, "dropped").complete(StoredResponse::new("x")).wait().expect("completed");
}

#[test]
fn closing_waits_for_claims_and_says_how_many_remain() {
    let mut world = World::new();
    let store = world.open();
    execute(&store, "done", "answer");
    let (one, two) = (claim(&store, "one"), claim(&store, "two"));
    assert_eq!(store.close(Duration::ZERO).wait().expect("tried").remaining, 2);
    // No new claims, no takeovers; but replays, and ends of what is claimed.
    let refused = store.claim(request("new")).wait().expect_err("closing");
    assert_eq!(refused.kind(), ErrorKind::Closed);
    assert_eq!(body(&store, "done").as_deref(), Some(&b"answer"[..]));
    assert!(matches!(outcome(&store, "done"), Outcome::Replay(_)));
    assert!(matches!(outcome(&store, "one"), Outcome::InFlight(_)));
    one.complete(StoredResponse::new("1")).wait().expect("a claim can complete while closing");
    assert_eq!(store.close(Duration::ZERO).wait().expect("tried").remaining, 1);
    drop(two);
    assert_eq!(store.close(Duration::ZERO).wait().expect("closed").remaining, 0);
    assert_closed(&store);
    let store = world.open();
    assert_eq!(body(&store, "one").as_deref(), Some(&b"1"[..]));
    assert_eq!(claimed(outcome(&store, "two")).attempt(), 2);
}

#[test]
fn a_claim_that_is_decided_and_not_told_is_waited_for() {
    let mut world = World::new();
    let store = world.open();
    let call = ByHand::begun(store.claim(request("a")));
    assert_eq!(store.close(Duration::ZERO).wait().expect("tried").remaining, 1);
    assert!(store.step_commit());
    let holder = claimed(call.ready().expect("it was let in"));
    assert_eq!(store.close(Duration::ZERO).wait().expect("tried").remaining, 1);
    holder.complete(StoredResponse::new("b")).wait().expect("completed");
    let cancelled = store.claim(request("a"));
    drop(cancelled);
    assert_eq!(store.close(Duration::ZERO).wait().expect("closed").remaining, 0);
    let store = world.open();
    assert_eq!(body(&store, "a").as_deref(), Some(&b"b"[..]));
}

#[test]
fn a_cancelled_claim_is_not_waited_for() {
    let mut world = World::new();
    let store = world.open();
    drop(ByHand::begun(store.claim(request("a"))));
    assert_eq!(store.close(Duration::ZERO).wait().expect("closed").remaining, 0);
    let store = world.open();
    assert_eq!(claimed(outcome(&store, "a")).attempt(), 1);
}

#[test]
fn a_waiter_is_told_that_the_store_was_closed() {
    let mut world = World::new();
    let store = world.open();
    drop(claim(&store, "a"));
    let Outcome::InFlight(flight) = outcome(&store, "a") else { panic!("held until its lease") };
    let waiter = ByHand::begun(flight.wait(Duration::from_secs(3600)));
    assert_eq!(store.close(Duration::ZERO).wait().expect("closed").remaining, 0);
    assert_eq!(waiter.ready().expect_err("closed").kind(), ErrorKind::Closed);
}

#[test]
fn the_directory_is_locked_until_the_last_claim_and_waiter_is_gone() {
    let mut world = World::new();
    let store = world.open();
    let clone = store.clone();
    let holder = claim(&store, "a");
    let Outcome::InFlight(flight) = outcome(&store, "a") else { panic!("in flight") };
    let waiter = flight.wait(Duration::from_secs(3600));
    let mut assert_locked = || {
        let error = world.try_open().expect_err("locked");
        assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    };
    drop(store);
    assert_locked();
    drop(clone);
    assert_locked();
    let completion = holder.complete(StoredResponse::new("b"));
    assert_locked();
    completion.wait().expect("completed without a store in anyone's hand");
    assert_locked();
    drop(waiter);
    let store = world.try_open().expect("everything is gone");
    assert!(store.recovery().clean);
    assert_eq!(body(&store, "a").as_deref(), Some(&b"b"[..]));
}

/// A waker that holds the last of a store.
struct LastHold(Mutex<Option<(Store, Claim, ClaimCall)>>);

impl Wake for LastHold {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().take());
    }
}

#[test]
fn a_waker_may_let_go_of_the_store_and_its_claims() {
    let mut world = World::new();
    let store = world.open();
    let mut call = Box::pin(store.claim(request("a")));
    let other = claim(&store, "b");
    let begun = ByHand::begun(store.claim(request("c")));
    let held = (store.clone(), other, store.claim(request("d")));
    let waker = Waker::from(Arc::new(LastHold(Mutex::new(Some(held)))));
    assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(store.step_commit());
    let told = call.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(told.is_ready());
    drop((told, call, begun, store));
    let store = world.try_open().expect("closed");
    assert!(store.recovery().clean);
}
