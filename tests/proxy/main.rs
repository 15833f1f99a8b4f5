//! `oncekey proxy` as its clients, its upstream and its operator see it: over real sockets, with
//! processes that are killed.
#![allow(clippy::disallowed_methods, reason = "a test is a user of the library, not its engine")]

#[path = "../support/answer.rs"]
mod answer;
mod framing;
mod headers;
mod hostile;
mod limits;
mod operator;
#[path = "../support/process.rs"]
mod process;
mod python;
mod unknown;
mod upstream;
mod wire;
