//! Promise 10: what is bounded, and bad input: a clear error, and the store goes on.

use std::time::Duration;

use super::world::{World, claim, claimed, execute, key, outcome, replayed, request, scope};
use crate::simulation::Survival;
use crate::{
    Checkpoint, Claim, ClaimRequest, DropPolicy, Durability, Error, ErrorKind, Key, Options,
    Outcome, Resolution, Result, Scope, Store, StoredResponse,
};

fn refused(outcome: Result<Outcome>) -> Error {
    outcome.expect_err("it must be refused")
}

fn limited(outcome: Result<Outcome>) {
    assert_eq!(refused(outcome).kind(), ErrorKind::LimitExceeded);
}

#[test]
fn promise_10_claims_in_flight_are_limited() {
    let mut world = World::with(Options::new().max_in_flight(2));
    let store = world.open();
    let first = claim(&store, "a");
    let _second = claim(&store, "b");
    limited(store.claim(request("c")).wait());
    // What is in flight is still told, and an end makes room.
    assert!(matches!(outcome(&store, "a"), Outcome::InFlight(_)));
    first.complete(StoredResponse::new("d")).wait().expect("completed");
    claim(&store, "c").release().wait().expect("released");
    let _third = claim(&store, "e");
    replayed(outcome(&store, "a"));
    // A takeover adds none.
    world.advance(Duration::from_secs(60));
    assert_eq!(claim(&store, "b").attempt(), 2);
}

#[test]
fn promise_10_unresolved_records_are_limited() {
    let mut world = World::with(Options::new().max_unresolved(1));
    let store = world.open();
    let risky = |name: &str| request(name).on_drop(DropPolicy::Unresolved);
    drop(claimed(store.claim(risky("a")).wait().expect("an outcome")));
    limited(store.claim(risky("b")).wait());
    drop(claim(&store, "b"));
    world.advance(Duration::from_secs(60));
    limited(store.claim(risky("b")).wait());
    let resolution = Resolution::Completed(StoredResponse::new("settled"));
    store.resolve(&scope("acct"), &key("a"), resolution).wait().expect("resolved");
    assert_eq!(store.stats().unresolved, 0);
    assert_eq!(claimed(store.claim(risky("b")).wait().expect("an outcome")).attempt(), 2);
}

#[test]
fn promise_10_new_keys_of_a_scope_are_limited_in_each_window() {
    let window = Duration::from_secs(60);
    let mut world = World::with(Options::new().scope_limit(2, window));
    let store = world.open();
    for round in 0..3 {
        let name = |i| format!("{round}-{i}");
        execute(&store, &name(0), "x");
        execute(&store, &name(1), "x");
        limited(store.claim(request(&name(2))).wait());
        // Neither replays nor other scopes count.
        replayed(outcome(&store, &name(0)));
        let other = ClaimRequest::new(scope(&format!("other {round}")), key("a"));
        drop(claimed(store.claim(other).wait().expect("an outcome")));
        world.advance(window);
    }
}

#[test]
fn promise_10_a_refused_completion_hands_the_claim_back() {
    let mut world = World::with(Options::new().max_response_bytes(100));
    let store = world.open();
    let holder = claim(&store, "a");
    let token = holder.token();
    let refused = holder.complete(StoredResponse::new([7; 101])).wait().expect_err("too large");
    assert_eq!(refused.kind(), ErrorKind::LimitExceeded);
    assert!(refused.to_string().contains("101 bytes"), "{refused}");
    let (holder, response) = refused.into_claim().expect("the claim goes on");
    assert_eq!((holder.token(), response.body().len()), (token, 101));
    holder.extend(Duration::from_secs(60)).expect("still the holder");
    assert!(matches!(outcome(&store, "a"), Outcome::InFlight(_)));
    let record = holder.complete(StoredResponse::new([7; 100])).wait().expect("completed");
    assert_eq!(record.token(), token);
    assert_eq!(replayed(outcome(&store, "a")).response().body(), [7; 100]);
}

#[test]
fn a_refused_completion_that_is_dropped_follows_its_policy() {
    let mut world = World::with(Options::new().max_response_bytes(1));
    let store = world.open();
    let holder = super::world::claim_on_drop(&store, "a", DropPolicy::Release);
    drop(holder.complete(StoredResponse::new("too large")));
    let holder = claimed(outcome(&store, "a"));
    drop(holder.complete(StoredResponse::new("too large")).wait());
    world.advance(Duration::from_secs(60));
    assert_eq!(claimed(outcome(&store, "a")).attempt(), 2);
}

#[test]
fn promise_10_a_response_may_fill_an_eighth_of_a_segment() {
    let mut world = World::new();
    let store = world.open();
    let most = "x".repeat(1 << 13);
    for i in 0..20 {
        execute(&store, &i.to_string(), &most);
    }
    let refused = claim(&store, "a").complete(StoredResponse::new(most.clone() + "x")).wait();
    assert_eq!(refused.expect_err("too large").kind(), ErrorKind::LimitExceeded);
    assert_eq!(replayed(outcome(&store, "0")).response().body(), most.as_bytes());
}

/// Claims as many keys as the store lets in, and gives each the largest checkpoint it takes.
fn fill(store: &Store) -> Vec<Claim> {
    let mut claims = Vec::new();
    loop {
        match store.claim(request(&format!("{:0>200}", claims.len()))).wait() {
            Ok(outcome) => claims.push(claimed(outcome)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::LimitExceeded);
                break;
            }
        }
    }
    let mut saved = 0;
    for claim in &claims {
        let most = Checkpoint::new("n".repeat(64), [9; 1024]).expect("good");
        match claim.save_checkpoint(most).wait() {
            Ok(()) => saved += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::LimitExceeded),
        }
    }
    assert!(saved > 0 && saved < claims.len(), "{saved} of {}", claims.len());
    claims
}

#[test]
fn promise_10_claims_in_flight_and_their_checkpoints_always_fit_a_segment() {
    let mut world = World::new();
    let store = world.open();
    let mut claims = fill(&store);
    // Several segments go by, each of which states all of them again.
    let free = claims.pop().expect("some");
    free.release().wait().expect("released");
    for _ in 0..300 {
        let most = Checkpoint::new("n".repeat(64), [9; 1024]).expect("good");
        claims[0].save_checkpoint(most).wait().expect("in place of its last");
        store.step_upkeep();
    }
    assert!(store.stats().log_bytes > 5 << 16);
    let count = claims.len();
    world.crash(Survival::Nothing, 0);
    drop((claims, store));
    let store = world.open();
    assert_eq!(store.recovery().claims, count as u64);
    assert_eq!(claimed(outcome(&store, &format!("{:0>200}", 0))).attempt(), 2);
}

#[test]
fn bad_names_are_refused() {
    let invalid = |error: Error| assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    invalid(Scope::new("").expect_err("empty"));
    invalid(Key::new("").expect_err("empty"));
    invalid(Scope::new("s".repeat(256)).expect_err("long"));
    invalid(Key::new("k".repeat(256)).expect_err("long"));
    invalid(Key::from_bytes(&[b'a', 0xff]).expect_err("not UTF-8"));
    invalid(Scope::from_bytes(b"\xc3\x28").expect_err("not UTF-8"));
    invalid(Key::from_bytes(b"").expect_err("empty"));
    // The longest in bytes, not in characters.
    assert!(Key::new("ü".repeat(127)).is_ok());
    assert!(Key::new("ü".repeat(128)).is_err());
    invalid(Checkpoint::new("", b"").expect_err("no name"));
    let large = Checkpoint::new("name", [0; 1025]).expect_err("too large");
    assert_eq!(large.kind(), ErrorKind::LimitExceeded);
    let long = Checkpoint::new("n".repeat(65), b"").expect_err("a long name");
    assert_eq!(long.kind(), ErrorKind::LimitExceeded);
}

#[test]
fn the_longest_names_work() {
    let mut world = World::new();
    let store = world.open();
    let name = "ü".repeat(127) + "x";
    let request = || ClaimRequest::new(scope(&name), key(&name));
    let holder = claimed(store.claim(request()).wait().expect("an outcome"));
    let most = Checkpoint::new("n".repeat(64), [9; 1024]).expect("good");
    holder.save_checkpoint(most).wait().expect("saved");
    holder.complete(StoredResponse::new("")).wait().expect("completed");
    assert_eq!(replayed(store.claim(request()).wait().expect("one")).response().body(), b"");
    assert!(store.forget(&scope(&name), &key(&name)).wait().expect("forgotten"));
}

#[test]
fn bad_durations_are_refused_and_nothing_is_claimed() {
    let mut world = World::new();
    let store = world.open();
    let century = Duration::from_secs(100 * 365 * 24 * 3600);
    for bad in [Duration::ZERO, century + Duration::from_nanos(1), Duration::MAX] {
        let ttl = refused(store.claim(request("a").ttl(bad)).wait());
        let lease = refused(store.claim(request("a").lease(bad)).wait());
        assert_eq!((ttl.kind(), lease.kind()), (ErrorKind::InvalidInput, ErrorKind::InvalidInput));
    }
    assert_eq!(store.stats().in_flight, 0);
    let longest = request("a").ttl(century).lease(century);
    let holder = claimed(store.claim(longest).wait().expect("an outcome"));
    assert_eq!(holder.extend(Duration::ZERO).expect_err("zero").kind(), ErrorKind::InvalidInput);
    assert_eq!(holder.extend(Duration::MAX).expect_err("long").kind(), ErrorKind::InvalidInput);
    holder.complete(StoredResponse::new("b")).wait().expect("completed");
    // The shortest last a millisecond.
    let shortest = request("b").ttl(Duration::from_nanos(1));
    let holder = claimed(store.claim(shortest).wait().expect("an outcome"));
    let record = holder.complete(StoredResponse::new("c")).wait().expect("completed");
    assert_eq!(record.expires_at().as_millis() - record.completed_at().as_millis(), 1);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let bad = [
        Options::new().ttl(Duration::ZERO),
        Options::new().ttl(Duration::MAX),
        Options::new().lease(Duration::ZERO),
        Options::new().lease(Duration::MAX),
        Options::new().durability(Durability::Interval(Duration::ZERO)),
        Options::new().scope_limit(1, Duration::ZERO),
        Options::new().segment_bytes(0),
        Options::new().segment_bytes((1 << 16) - 1),
        Options::new().segment_bytes(3 << 16),
        Options::new().segment_bytes(1 << 31),
        Options::new().max_in_flight(0),
        Options::new().leap_threshold(Duration::ZERO),
        Options::new().leap_threshold(Duration::from_millis(900)),
    ];
    for options in bad {
        let world = World::new();
        let error = Store::open_in(&world.environment(), &options, true).expect_err("bad");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{options:?}");
        assert!(world.disk.file("MANIFEST").is_none(), "something was made of {options:?}");
    }
}
