//! The downstream key: derived from scope, operation and key alone, for ever.

mod common;

use std::time::Duration;

use common::{claimed, key};
use oncekey::{Claim, ClaimRequest, Scope, Store};

fn claim(store: &Store, scope: &str, operation: &str, name: &str) -> Claim {
    let request = ClaimRequest::new(Scope::new(scope).expect("good"), key(name))
        .operation(operation)
        .payload("x")
        .lease(Duration::from_millis(1));
    loop {
        match store.claim(request.clone()).wait().expect("an outcome") {
            oncekey::Outcome::InFlight(flight) => drop(flight.wait(Duration::from_secs(30)).wait()),
            told => return claimed(told),
        }
    }
}

#[test]
fn it_is_the_same_for_every_attempt_in_every_store() {
    let dir = tempfile::tempdir().expect("a directory");
    let one = Store::create(dir.path().join("one")).expect("a store");
    let other = Store::create(dir.path().join("other")).expect("a store");
    let first = claim(&one, "acct_42", "POST /v1/charges", "8e0bd2");
    let second = claim(&one, "acct_42", "POST /v1/charges", "8e0bd2");
    let elsewhere = claim(&other, "acct_42", "POST /v1/charges", "8e0bd2");
    assert_eq!((first.attempt(), elsewhere.attempt()), (1, 1));
    assert!(second.attempt() >= 2);
    assert_eq!(first.downstream_key(), second.downstream_key());
    assert_eq!(first.downstream_key(), elsewhere.downstream_key());
    // A gateway remembers it longer than any version of this crate lives.
    assert_eq!(first.downstream_key().as_str(), "ok_dcd9fa8c2545b89f107344b048c336aa");
}

#[test]
fn each_part_counts_and_none_runs_into_the_next() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::create(dir.path().join("store")).expect("a store");
    let keys =
        [("a", "b", "c"), ("ab", "", "c"), ("a", "bc", "d"), ("a", "", "bc"), ("b", "b", "c")]
            .map(|(scope, operation, key)| claim(&store, scope, operation, key).downstream_key());
    for (i, one) in keys.iter().enumerate() {
        assert!(keys.iter().skip(i + 1).all(|other| other != one), "{keys:?}");
    }
}
