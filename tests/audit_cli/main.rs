//! `oncekey audit export`, `tail`, `explain` and `check` as a person or a script calls them, on real
//! files.
#![allow(clippy::disallowed_methods, reason = "a test is a user of the library, not its engine")]

mod check;
mod explain;
mod export;
mod tail;
mod world;
