//! `oncekey audit merge` and `oncekey audit ship`, run as a user runs them, on real stores.

#![allow(clippy::disallowed_methods, reason = "a test is a user of the library, not its engine")]

mod merging;
mod shipping;
#[path = "../support/regions.rs"]
mod support;
