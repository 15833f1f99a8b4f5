//! `once` in a world without threads: a blocking caller does everything himself, a task is stepped.

use std::cell::Cell;
use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::api_poll::ByHand;
use super::world::{World, body, claim, claimed, outcome, request};
use crate::simulation::{Fault, FaultPlan};
use crate::{
    Abort, ClaimContext, DropPolicy, ErrorKind, OnceError, Outcome, Record, Store, StoredResponse,
};

type Answer = Result<StoredResponse, Abort<&'static str>>;

fn run(store: &Store, name: &str, answer: Answer) -> Result<Record, OnceError<&'static str>> {
    store.once(request(name), |_| ready(answer)).wait_limit(Duration::ZERO).wait()
}

fn answer(body: &str) -> Answer {
    Ok(StoredResponse::new(body))
}

#[test]
fn once_executes_once_and_replays() {
    let mut world = World::new();
    let store = world.open();
    let runs = Cell::new(0);
    for _ in 0..3 {
        let handler = |claim: ClaimContext| {
            runs.set(runs.get() + 1);
            ready(answer(claim.downstream_key().as_str()))
        };
        let record = store.once(request("a"), handler).wait().expect("a record");
        assert!(record.response().body().starts_with(b"ok_"));
    }
    assert_eq!(runs.get(), 1);
}

#[test]
fn an_error_releases_only_if_the_handler_says_so() {
    let mut world = World::new();
    let store = world.open();
    let Err(OnceError::Handler("declined")) = run(&store, "a", Err(Abort::release("declined")))
    else {
        panic!("the handler's error")
    };
    assert_eq!(run(&store, "a", answer("b")).expect("free").attempt(), 1);
    let Err(OnceError::Handler("timeout")) = run(&store, "c", Err(Abort::from("timeout"))) else {
        panic!("the handler's error")
    };
    let Err(OnceError::InFlight(flight)) = run(&store, "c", answer("d")) else {
        panic!("it is held")
    };
    assert_eq!(flight.attempt(), 1);
    world.advance(Duration::from_secs(60));
    assert_eq!(run(&store, "c", answer("d")).expect("taken over").attempt(), 2);
}

#[test]
fn a_panic_follows_the_policy_and_goes_on() {
    for policy in [DropPolicy::Hold, DropPolicy::Release, DropPolicy::Unresolved] {
        let mut world = World::new();
        let store = world.open();
        let request = || request("a").on_drop(policy);
        let handler = |_| async { std::panic::resume_unwind(Box::new("the handler's")) };
        let call = store.once::<_, _, &str>(request(), handler);
        let panic = catch_unwind(AssertUnwindSafe(|| call.wait())).expect_err("it goes on");
        assert_eq!(panic.downcast_ref(), Some(&"the handler's"));
        let after = store.claim(request()).wait().expect("an outcome");
        match policy {
            DropPolicy::Release => assert_eq!(claimed(after).attempt(), 1),
            DropPolicy::Unresolved => assert!(matches!(after, Outcome::Unresolved(_))),
            _ => assert!(matches!(after, Outcome::InFlight(_))),
        }
    }
}

#[test]
fn a_mismatch_and_an_unresolved_key_have_their_own_errors() {
    let mut world = World::new();
    let store = world.open();
    run(&store, "a", answer("b")).expect("completed");
    let wrong = request("a").payload("another");
    let told = store.once(wrong, |_| ready(answer("never"))).wait();
    assert!(matches!(told, Err(OnceError::Mismatch(_))));
    drop(claimed(
        store.claim(request("c").on_drop(DropPolicy::Unresolved)).wait().expect("an outcome"),
    ));
    assert!(matches!(run(&store, "c", answer("never")), Err(OnceError::Unresolved(_))));
}

#[test]
fn the_stores_errors_are_told_from_the_handlers() {
    let mut world = World::with(crate::Options::new().max_response_bytes(1));
    let store = world.open();
    let Err(OnceError::Store(error)) = run(&store, "a", answer("too large")) else {
        panic!("the store's error")
    };
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(matches!(outcome(&store, "a"), Outcome::InFlight(_)), "it ran: the claim is kept");
    let mut plan = FaultPlan::new();
    plan.fail_from(0, Fault::Io);
    world.disk.set_faults(plan);
    let Err(OnceError::Store(error)) = run(&store, "b", answer("c")) else {
        panic!("the store's error")
    };
    assert!(error.is_outcome_unknown());
}

#[test]
fn a_task_waits_for_its_claim_its_handler_and_its_completion() {
    let mut world = World::new();
    let store = world.open();
    let mut call = ByHand::new(store.once(request("a"), |_| async { answer("b") }).into_future());
    let mut commits = 0;
    let record = loop {
        if let Some(told) = call.poll() {
            break told.expect("a record");
        }
        assert!(store.step_commit());
        commits += 1;
    };
    assert_eq!((commits, record.is_replay()), (2, false));
}

#[test]
fn a_task_is_told_of_anothers_completion() {
    let mut world = World::new();
    let store = world.open();
    let holder = claim(&store, "a");
    let call = ByHand::begun(store.once(request("a"), |_| async { answer("b") }).into_future());
    holder.complete(StoredResponse::new("first")).wait().expect("completed");
    let record = call.ready().expect("a record");
    assert!(record.is_replay());
    assert_eq!(record.response().body(), b"first");
}

#[test]
fn a_task_cancelled_in_its_handler_follows_the_policy() {
    let mut world = World::new();
    let store = world.open();
    let request = request("a").on_drop(DropPolicy::Release);
    let handler = |_| std::future::pending::<Answer>();
    let mut call = ByHand::begun(store.once(request, handler).into_future());
    assert!(store.step_commit());
    assert!(call.poll().is_none(), "the handler goes on for ever");
    drop(call);
    assert!(body(&store, "a").is_none());
    assert_eq!(claimed(outcome(&store, "a")).attempt(), 1);
}
