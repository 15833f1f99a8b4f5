//! `oncekey proxy` as its clients, its upstream and its operator see it: over real sockets, with
//! processes that are killed.
#![allow(clippy::disallowed_methods, reason = "a test is a user of the library, not its engine")]

mod headers;
mod hostile;
mod limits;
mod operator;
mod process;
mod python;
mod unknown;
mod upstream;
mod wire;
