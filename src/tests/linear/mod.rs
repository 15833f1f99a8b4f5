//! Histories of real stores are linearizable: of threads, and of sequences with crashes at any
//! moment.

pub(crate) mod client;
mod sequences;
mod threads;

use crate::simulator::linear::verdict::Verdict;

/// How many histories a test checks: more than it says by `ONCEKEY_HISTORIES`.
fn histories(few: u64) -> u64 {
    let asked = std::env::var("ONCEKEY_HISTORIES").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(few)
}

#[track_caller]
fn assert_linearizable(verdict: &Verdict, seed: u64) {
    assert!(verdict.is_linearizable(), "seed {seed}: {verdict}");
}
