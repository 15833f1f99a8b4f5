//! The memory of keys that expired: what tells a late retry from a fresh key once the expired
//! record has left the index and its segment is gone.
//!
//! A key enters when its record leaves the index because its TTL is over: 64 bits of its hash, and
//! the expiry as a footer says it. It is first *pending*, in the shard's own list and in a journal.
//! When many are, or some have been for a while, they become a *run*, a sorted file with a filter
//! in memory. A claim probes the filters; a hit is confirmed by reading one block before it is
//! told.
//!
//! Invariants:
//! - Whatever enters is on disk before the manifest lets go of the segment that proves it, unless
//!   the disk refuses; then it is in memory alone, and that is counted.
//! - A forgotten key is *hidden*: a mark says up to which expiry nothing is told of it. A mark may
//!   hide too much (a record that expired before the one forgotten would have), never too little.
//! - There are at most [`MAX_RUNS`](memory::MAX_RUNS) runs, so that few hits are false.
//! - Nothing here is the truth of a key: damage costs a report, never a claim.
//!
//! Left to others: what leaves the index and why ([`crate::engine`]).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::disallowed_types
    )
)]

mod entry;
mod fuse;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod journal;
mod memory;
mod merge;
mod pending;
mod run;

pub(crate) use entry::{LateEntry, Told, moment};
pub(crate) use journal::{Journal, JournalName};
pub(crate) use memory::{LateFaults, LateMemory, Opened, Runs, WORTH};
pub(crate) use pending::{Ask, Pending};
pub(crate) use run::{Progress, Run, RunFault, RunName};
