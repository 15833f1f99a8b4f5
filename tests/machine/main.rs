//! The real machine: power cuts on real files, kills, full and failing disks, copies of a store
//! that is being written, and a day's load in an hour.
//!
//! None of it runs with the other tests: it takes root, loop devices or minutes. How much of each is
//! done is chosen by variables of the environment (`docs/testing.md`); what the machine lacks is
//! said, and skipped.

#![allow(clippy::disallowed_methods, reason = "a test is a user of the library, not its engine")]

#[path = "../common/mod.rs"]
mod common;

mod book;
mod child;
mod copies;
mod cuts;
mod errors;
mod full;
mod ground;
mod judge;
mod kills;
mod leaks;
mod load;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A number that the environment may choose.
pub fn chosen(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is no number")),
        Err(_) => default,
    }
}

/// The wall clock in milliseconds, as store time has it.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("not that far")
}

/// Lets time pass: a load has a pace, and a fault comes at some instant. Nothing is waited for.
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}
