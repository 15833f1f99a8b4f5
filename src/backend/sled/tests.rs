//! The sled backend passes the suite, and does what the suite does not ask.

use std::sync::Arc;
use std::time::Duration;

use super::SledBackend;
use crate::backend::conformance::{Subject, run};
use crate::backend::{Backend, Outcome, OwnerId};
use crate::block_on::block_on;
use crate::error::Result;
use crate::simulation::SimClock;
use crate::{ClaimRequest, ErrorKind, Key, Options, Scope, StoredResponse};

struct Sled {
    db: sled::Db,
    clock: Arc<SimClock>,
    options: Options,
    _dir: tempfile::TempDir,
}

impl Sled {
    fn new(options: Options) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let config = sled::Config::new().path(dir.path().join("db")).flush_every_ms(None);
        let db = config.open().expect("a database");
        Self { db, clock: Arc::new(SimClock::new(1_790_000_000_000)), options, _dir: dir }
    }
}

impl Subject for Sled {
    type Backend = SledBackend;

    fn open(&self) -> Result<SledBackend> {
        SledBackend::with_clock(&self.db, &self.options, self.clock.clone())
    }

    fn advance(&self, by: Duration) -> bool {
        self.clock.advance(by);
        true
    }
}

fn request(name: &str) -> ClaimRequest {
    ClaimRequest::new(Scope::new("acct").expect("short"), Key::new(name).expect("short"))
}

fn execute(backend: &SledBackend, request: ClaimRequest) -> u64 {
    let outcome = block_on(backend.claim(OwnerId::random().expect("random"), request));
    let Outcome::Claimed(claim) = outcome.expect("an outcome") else { panic!("not claimed") };
    block_on(backend.complete(claim.id(), StoredResponse::new("done"))).expect("completed");
    claim.token().get()
}

#[test]
fn sled_keeps_the_contract() {
    let report = run(&Sled::new(Options::new()));
    report.assert_passed();
    assert_eq!(report.skipped(), 0, "\n{report}");
}

#[test]
fn promise_5_tokens_go_on_rising_when_the_database_is_opened_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut last = 0;
    for round in 0..4 {
        let db = sled::open(dir.path().join("db")).expect("a database");
        let backend = SledBackend::open(&db).expect("a backend");
        let token = execute(&backend, request(&format!("key {round}")));
        assert!(token > last, "{token} after {last}");
        last = token;
    }
}

#[test]
fn promise_10_expired_records_are_removed_by_the_claims_after_them() {
    let subject = Sled::new(Options::new());
    let backend = subject.open().expect("a backend");
    for i in 0..50 {
        execute(&backend, request(&format!("old {i}")).ttl(Duration::from_secs(1)));
    }
    subject.advance(Duration::from_secs(2));
    for i in 0..150 {
        execute(&backend, request(&format!("new {i}")));
    }
    // Those that live, and the time.
    assert_eq!(subject.db.open_tree("oncekey").expect("a tree").len(), 151);
    subject.advance(Duration::from_secs(3000));
    assert_eq!(backend.prune().expect("pruned"), 0);
}

#[test]
fn a_response_that_is_too_large_leaves_the_claim() {
    let subject = Sled::new(Options::new().max_response_bytes(10));
    let backend = subject.open().expect("a backend");
    let outcome = block_on(backend.claim(OwnerId::random().expect("random"), request("a")));
    let Ok(Outcome::Claimed(claim)) = outcome else { panic!("not claimed") };
    let refused = block_on(backend.complete(claim.id(), StoredResponse::new("x".repeat(11))));
    assert_eq!(refused.expect_err("too large").kind(), ErrorKind::LimitExceeded);
    block_on(backend.complete(claim.id(), StoredResponse::new(""))).expect("completed");
}

#[test]
fn a_value_of_something_else_is_an_error_and_not_a_free_key() {
    let subject = Sled::new(Options::new());
    let backend = subject.open().expect("a backend");
    execute(&backend, request("a"));
    let tree = subject.db.open_tree("oncekey").expect("a tree");
    let (name, _) = tree.last().expect("a look").expect("a record");
    tree.insert(name, b"something else").expect("inserted");
    let owner = OwnerId::random().expect("random");
    let refused = block_on(backend.claim(owner, request("a"))).expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
}
