//! Claims without guards: owners that ask again, that go away, and that a closing store waits for.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::world::{World, key, outcome, request, scope};
use crate::backend::OwnerId;
use crate::store::Named;
use crate::{
    ClaimContext, ClaimRequest, DropPolicy, ErrorKind, Options, Outcome, Store, StoredResponse,
};

const LEASE: Duration = Duration::from_secs(10);

fn owner(number: u8) -> OwnerId {
    OwnerId::from_bytes([number; 16])
}

fn win(store: &Store, owner: OwnerId, request: ClaimRequest) -> ClaimContext {
    match store.claim_as(owner, request).wait().expect("an outcome") {
        Outcome::Claimed(claim) => claim.into_context(),
        other => panic!("not claimed but {other:?}"),
    }
}

fn complete(store: &Store, context: &ClaimContext) -> crate::Result<crate::Record> {
    let (scope, key, token) = (context.scope(), context.key(), context.token());
    store.complete_named(&Named { scope, key, token }, StoredResponse::new("done")).wait()
}

fn is_in_flight(store: &Store, name: &str) -> bool {
    matches!(outcome(store, name), Outcome::InFlight(_))
}

/// Looks at a future once.
macro_rules! begin {
    ($call:expr) => {
        let looked = $call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(looked, Poll::Pending), "decided and not told");
    };
}

#[test]
fn a_call_that_is_cut_off_is_taken_back_and_others_may_claim() {
    let store = World::new().open();
    {
        let mut call = pin!(store.claim_as(owner(1), request("a")));
        begin!(call);
    }
    let next = win(&store, owner(2), request("a"));
    assert_eq!(next.attempt(), 1);
}

#[test]
fn a_call_that_is_cut_off_takes_nothing_back_that_another_call_has_told() {
    let store = World::new().open();
    let told = {
        let mut call = pin!(store.claim_as(owner(1), request("a")));
        begin!(call);
        win(&store, owner(1), request("a"))
    };
    assert!(is_in_flight(&store, "a"));
    complete(&store, &told).expect("completed");
}

#[test]
fn a_repeated_call_that_is_cut_off_leaves_the_claim_that_was_told() {
    let mut world = World::new();
    let store = world.open();
    let told = win(&store, owner(1), request("a"));
    {
        // A checkpoint on its way to disk keeps the repeated call from being told.
        let _saved = told.save_checkpoint(crate::Checkpoint::new("point", "1").expect("short"));
        let mut call = pin!(store.claim_as(owner(1), request("a")));
        begin!(call);
    }
    assert!(is_in_flight(&store, "a"));
    complete(&store, &told).expect("completed");
}

#[test]
fn promise_1_after_a_restart_an_owner_is_nobody_and_its_claim_a_takeover() {
    let mut world = World::new();
    let store = world.open();
    let first = win(&store, owner(1), request("a"));
    let (token, attempt) = (first.token(), first.attempt());
    drop((first, store));
    let store = world.open();
    let again = win(&store, owner(1), request("a"));
    assert!(again.token() > token);
    assert_eq!(again.attempt(), attempt + 1);
}

#[test]
fn a_guard_and_an_owner_are_two() {
    let store = World::new().open();
    let guard = super::world::claim(&store, "a");
    let met = store.claim_as(owner(1), request("a")).wait().expect("an outcome");
    assert!(matches!(met, Outcome::InFlight(_)));
    guard.release().wait().expect("released");
    win(&store, owner(1), request("a"));
    assert!(is_in_flight(&store, "a"));
}

#[test]
fn closing_waits_for_owners_until_their_lease_is_over() {
    let store = World::with(Options::new().lease(LEASE)).open();
    let context = win(&store, owner(1), request("a"));
    let closed = store.close(LEASE / 2).wait().expect("closed in part");
    assert_eq!(closed.remaining, 1);
    // What was claimed before may end.
    complete(&store, &context).expect("completed");
    assert_eq!(store.close(Duration::ZERO).wait().expect("closed").remaining, 0);

    let store = World::with(Options::new().lease(LEASE)).open();
    win(&store, owner(1), request("a"));
    assert_eq!(store.close(2 * LEASE).wait().expect("closed").remaining, 0);
    let refused = store.claim_as(owner(1), request("a")).wait().expect_err("closed");
    assert_eq!(refused.kind(), ErrorKind::Closed);
}

#[test]
fn an_owner_that_lets_go_is_not_waited_for() {
    let store = World::new().open();
    let context = win(&store, owner(1), request("a").on_drop(DropPolicy::Hold));
    let (scope, key) = (scope("acct"), key("a"));
    let named = Named { scope: &scope, key: &key, token: context.token() };
    store.abandon_named(&named).wait().expect("abandoned");
    // Asking for it again is not to hold it again.
    let met = store.claim_as(owner(1), request("a")).wait().expect("an outcome");
    assert!(matches!(met, Outcome::InFlight(_)));
    drop(context);
    assert_eq!(store.close(Duration::ZERO).wait().expect("closed").remaining, 0);
}
