//! Whether what the clients of a store were told can be explained: a history is *linearizable* if
//! each call can be given one moment between its invocation and its return, so that the calls, in
//! the order of their moments, do what the sequential model of one key says (Herlihy, Wing 1990).
//!
//! - [`history`]: what clients see. [`recorder`]: how threads or a simulator write it down.
//! - [`answer`]: a store's answers as a history has them.
//! - [`spec`]: the sequential model of one key.
//! - [`checker`]: the search for the moments, key by key: keys are independent, and a history is
//!   linearizable if that of each key is.
//! - [`verdict`]: what it came to.
//!
//! # Time
//! A history has one axis of time, store time in milliseconds, on which leases are measured as
//! well. That holds in histories without leaps of the clock: store time and the monotonic clock
//! advance alike in a process's life. Between two lives store time goes on with the wall clock,
//! which must not step back.
//!
//! # What is not seen
//! Durability `Interval` over a power cut (what was told may be lost then), leaps that are held
//! back, listings (`unresolved`, `forget_scope`), and what only the audit is told.

#![allow(
    dead_code,
    reason = "what records and judges is there for tests, and for runs of the \
simulator; neither uses all of it"
)]

pub(crate) mod answer;
pub(crate) mod checker;
pub(crate) mod history;
pub(crate) mod recorder;
pub(crate) mod spec;
#[cfg(test)]
mod tests;
pub(crate) mod verdict;
