//! What the metrics cost: the quickest call there is, a replay from memory, in short rounds that
//! take turns with and without a recorder.
//!
//! ```sh
//! cargo bench --bench telemetry                       # without the feature
//! cargo bench --bench telemetry --features metrics    # with it: without a recorder, and with one
//! ```
//!
//! The recorder keeps each value in memory, as an exporter with buckets does.

#![allow(clippy::disallowed_methods, reason = "a bench measures time")]

use std::time::Instant;

use oncekey::{ClaimRequest, Key, Outcome, Scope, Store, StoredResponse};

const ROUNDS: usize = 41;
const CALLS: u32 = 20_000;

fn request() -> ClaimRequest {
    let (scope, key) = (Scope::new("acct_42"), Key::new("key-1"));
    ClaimRequest::new(scope.expect("a scope"), key.expect("a key")).payload("amount=100")
}

/// Nanoseconds a replay takes.
fn round(store: &Store) -> f64 {
    let begin = Instant::now();
    for _ in 0..CALLS {
        let outcome = store.claim(request()).wait().expect("an outcome");
        assert!(matches!(outcome, Outcome::Replay(_)));
    }
    begin.elapsed().as_nanos() as f64 / f64::from(CALLS)
}

fn median(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

#[cfg(feature = "metrics")]
fn with_recorder<T>(run: impl FnOnce() -> T) -> T {
    let recorder = metrics_util::debugging::DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, run)
}

#[cfg(not(feature = "metrics"))]
fn with_recorder<T>(run: impl FnOnce() -> T) -> T {
    run()
}

fn main() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::create(dir.path().join("state")).expect("a store");
    let Outcome::Claimed(claim) = store.claim(request()).wait().expect("an outcome") else {
        panic!("not claimed");
    };
    claim.complete(StoredResponse::new("charged")).wait().expect("completed");
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        without.push(round(&store));
        with.push(with_recorder(|| round(&store)));
    }
    let (without, with) = (median(without), median(with));
    if cfg!(feature = "metrics") {
        println!("a replay: {without:.0} ns without a recorder, {with:.0} ns with one");
    } else {
        println!("a replay: {without:.0} ns, {with:.0} ns (twice the same)");
    }
}
