//! Promises 2 and 4 where nobody waits on a thread: what may be told before the disk has it, and
//! what may not.

use std::time::Duration;

use super::api_poll::{ByHand, at_once};
use super::world::{World, claim, claimed, execute, key, outcome, replayed, request, scope};
use crate::{ClaimRequest, Difference, DropPolicy, Mismatch, Outcome, Store, StoredResponse};

fn mismatch(outcome: Outcome) -> Mismatch {
    match outcome {
        Outcome::Mismatch(mismatch) => mismatch,
        other => panic!("not a mismatch but {other:?}"),
    }
}

fn other_payload(name: &str) -> ClaimRequest {
    request(name).payload("another")
}

#[test]
fn promise_2_a_claim_is_told_when_it_is_durable() {
    let mut world = World::new();
    let store = world.open();
    let call = ByHand::begun(store.claim(request("a")));
    assert_eq!(call.woken(), 0);
    assert!(store.step_commit());
    assert_eq!(claimed(call.ready().expect("an outcome")).attempt(), 1);
}

#[test]
fn promise_2_in_flight_need_not_wait() {
    let mut world = World::new();
    let store = world.open();
    let _first = ByHand::begun(store.claim(request("a")));
    let met = at_once(store.claim(request("a"))).expect("an outcome");
    assert!(matches!(met, Outcome::InFlight(_)));
}

#[test]
fn promise_2_a_mismatch_waits_for_the_claim_it_rests_on() {
    let mut world = World::new();
    let store = world.open();
    let _first = ByHand::begun(store.claim(request("a")));
    let call = ByHand::begun(store.claim(other_payload("a")));
    assert!(store.step_commit());
    assert!(mismatch(call.ready().expect("an outcome")).in_flight());
}

#[test]
fn promise_2_a_replay_waits_for_the_completion_it_rests_on() {
    let mut world = World::new();
    let store = world.open();
    let holder = claim(&store, "a");
    let completion = ByHand::begun(holder.complete(StoredResponse::new("b")));
    let replay = ByHand::begun(store.claim(request("a")));
    let wrong = ByHand::begun(store.claim(other_payload("a")));
    let look = ByHand::begun(store.get(&scope("acct"), &key("a")));
    assert!(store.step_commit());
    assert_eq!(replayed(replay.ready().expect("an outcome")).response().body(), b"b");
    assert!(!mismatch(wrong.ready().expect("an outcome")).in_flight());
    assert!(look.ready().expect("a look").is_some());
    completion.ready().expect("completed");
}

#[test]
fn promise_2_unresolved_waits_for_its_frame() {
    let mut world = World::new();
    let store = world.open();
    let request = || request("a").on_drop(DropPolicy::Unresolved);
    drop(claimed(store.claim(request()).wait().expect("an outcome")));
    let first = ByHand::begun(store.claim(request()));
    let second = ByHand::begun(store.claim(request()));
    assert!(store.step_commit());
    for call in [first, second] {
        assert!(matches!(call.ready().expect("an outcome"), Outcome::Unresolved(_)));
    }
    // By the end of a lease as well: the first claim that finds it so writes it down.
    let held = claimed(
        store
            .claim(super::world::request("b").on_drop(DropPolicy::Unresolved))
            .wait()
            .expect("one"),
    );
    world.advance(Duration::from_secs(60));
    let call = ByHand::begun(store.claim(super::world::request("b")));
    assert!(store.step_commit());
    assert!(matches!(call.ready().expect("an outcome"), Outcome::Unresolved(_)));
    drop(held);
}

#[test]
fn promise_2_a_lone_blocking_caller_commits_for_itself() {
    let mut world = World::new();
    let store = world.open();
    execute(&store, "a", "b");
    assert!(!store.step_commit(), "nothing is left to do");
    // Also what others queued, who called for a committer that is not there.
    let call = ByHand::begun(store.claim(request("c")));
    let holder = claim(&store, "d");
    drop(holder);
    assert_eq!(claimed(call.ready().expect("an outcome")).attempt(), 1);
}

#[test]
fn promise_4_a_mismatch_says_what_differs() {
    let mut world = World::new();
    let store = world.open();
    let _in_flight = claim(&store, "in flight");
    execute(&store, "completed", "answer");
    for (name, in_flight) in [("in flight", true), ("completed", false)] {
        let cases = [
            (request(name).operation("PUT"), Difference::Operation),
            (request(name).payload("x"), Difference::Payload),
            (request(name).operation("PUT").payload("x"), Difference::OperationAndPayload),
        ];
        for (wrong, difference) in cases {
            let mismatch = mismatch(store.claim(wrong).wait().expect("an outcome"));
            assert_eq!(mismatch.differs_in(), difference);
            assert_eq!(mismatch.in_flight(), in_flight);
        }
    }
    assert_eq!(store.stats().mismatches, 6);
}

#[test]
fn promise_4_another_request_never_gets_the_claim() {
    let mut world = World::new();
    let store = world.open();
    let wrong = |store: &Store| mismatch(store.claim(other_payload("a")).wait().expect("one"));
    let holder = claim(&store, "a");
    wrong(&store);
    // Not when the lease is over ...
    world.advance(Duration::from_secs(60));
    wrong(&store);
    // ... nor when the claim was abandoned, nor after its process died.
    drop(holder);
    store.step_upkeep();
    wrong(&store);
    drop(store);
    world.crash(crate::simulation::Survival::Nothing, 0);
    let store = world.open();
    wrong(&store);
    // The first request goes on.
    let holder = claimed(outcome(&store, "a"));
    assert_eq!(holder.attempt(), 2);
    holder.complete(StoredResponse::new("first")).wait().expect("completed");
    wrong(&store);
    assert_eq!(replayed(outcome(&store, "a")).response().body(), b"first");
}

#[test]
fn promise_4_an_unresolved_key_mismatches_too() {
    let mut world = World::new();
    let store = world.open();
    drop(claimed(store.claim(request("a").on_drop(DropPolicy::Unresolved)).wait().expect("one")));
    let told = mismatch(store.claim(other_payload("a")).wait().expect("an outcome"));
    assert!(told.in_flight());
    assert!(matches!(outcome(&store, "a"), Outcome::Unresolved(_)));
}

#[test]
fn promise_4_the_same_key_in_another_scope_is_another_key() {
    let mut world = World::new();
    let store = world.open();
    execute(&store, "a", "of acct");
    for other in ["acct2", "acc", "ACCT", "acct\0"] {
        let theirs = ClaimRequest::new(scope(other), key("a")).payload("theirs");
        let claim = claimed(store.claim(theirs.clone()).wait().expect("an outcome"));
        claim.complete(StoredResponse::new(other)).wait().expect("completed");
        let record = replayed(store.claim(theirs).wait().expect("an outcome"));
        assert_eq!(record.response().body(), other.as_bytes());
    }
    // Nor do scope and key run into one another.
    let (ab, c) =
        (ClaimRequest::new(scope("ab"), key("c")), ClaimRequest::new(scope("a"), key("bc")));
    let one = claimed(store.claim(ab).wait().expect("an outcome"));
    let other = claimed(store.claim(c).wait().expect("an outcome"));
    assert_ne!(one.downstream_key(), other.downstream_key());
    assert_eq!(replayed(outcome(&store, "a")).response().body(), b"of acct");
}
