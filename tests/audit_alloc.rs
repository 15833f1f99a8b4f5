//! Promise 9: an event costs its caller no allocation.

mod common;

use std::time::Duration;

use allocation_counter::measure;
use common::{claimed, key, scope};
use oncekey::audit::Audit;
use oncekey::{Caller, ClaimRequest, Durability, Options, StoredResponse};

const ROUNDS: u64 = 2000;

/// Allocations that this thread makes for as many claims, completions and replays.
fn allocations(audit: Audit) -> u64 {
    let dir = tempfile::tempdir().expect("a directory");
    let durability = Durability::Interval(Duration::from_secs(1));
    let options = Options::new().durability(durability).segment_bytes(4 << 20).audit(audit);
    let store = options.create(dir.path().join("store")).expect("a store");
    let round = |name: &str| {
        let caller = Caller::new().client("ios").user_agent("agent").request_id(name);
        let request = ClaimRequest::new(scope(), key(name)).operation("charge").caller(caller);
        let claim = claimed(store.claim(request.clone()).wait().expect("an outcome"));
        claim.complete(StoredResponse::new("done")).wait().expect("completed");
        drop(store.claim(request).wait().expect("an outcome"));
    };
    (0..ROUNDS).for_each(|i| round(&format!("before-{i}")));
    measure(|| (0..ROUNDS).for_each(|i| round(&format!("while-{i}")))).count_total
}

#[test]
fn promise_9_an_event_allocates_nothing_on_its_callers_side() {
    let (off, on) = (allocations(Audit::off()), allocations(Audit::new()));
    println!("{off} allocations without an audit, {on} with one");
    // Tables and buffers grow at other moments; of three events a round none may allocate.
    assert!(on <= off + ROUNDS / 20, "{off} {on}");
}
