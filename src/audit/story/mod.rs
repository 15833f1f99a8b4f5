//! The story of one key: what happened to it, in order, and whether it was executed more than once.
//!
//! Invariants:
//! - "Once" is never said where two claims were completed, or where a claim that nobody ended was
//!   made again: what an attempt did that did not say how it ended is unknown, and is counted as if
//!   it had been executed.
//! - Events that are missing where they could hide an execution make the answer "unknown". What
//!   cannot hide one is passed over: between two events of one claim no other claim can have
//!   counted, and what is missing more than a horizon before or after the key's events bounds the
//!   time that is spoken of, which the answer says.
//! - Memory is bounded, however often a key was asked for.
//!
//! | file | what |
//! | --- | --- |
//! | `teller.rs` | takes the items of a trail, one after the other |
//! | `attempts.rs` | the claims of the key, and what became of each |
//! | `blind.rs` | where events are missing, and whether that matters |
//! | `conclusion.rs` | what it comes to |
//!
//! Left to others: which key (`key_hash.rs`), verdicts, and words for what events say.

mod attempts;
mod blind;
mod conclusion;
mod teller;
#[cfg(test)]
mod tests;

pub use attempts::{Attempt, Came, Fate};
pub use blind::{BlindKind, BlindSpot};
pub use conclusion::{Conclusion, Finding};
pub use teller::{Present, Storyteller};

use super::{Event, EventId, Judgement};
use crate::ids::StoreTime;

/// What happened to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Story {
    /// Its events, and what is missing between them, in order. Of very many only the first and the
    /// last are kept.
    pub steps: Vec<Step>,
    /// How many were left out in the middle.
    pub steps_left_out: u64,
    /// Its claims, in order. Of very many only the last are kept, and those that count.
    pub attempts: Vec<Attempt>,
    /// Whether there must have been an attempt before one of these that is not seen, and may have
    /// been executed.
    pub has_hidden: bool,
    /// Which event says so.
    pub hidden_said_by: Option<EventId>,
    /// A holder came back (this event says so) of a claim that is not seen.
    pub stranger: Option<EventId>,
    /// What it comes to.
    pub conclusion: Conclusion,
}

/// A part of a story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "nearly all steps are events")]
pub enum Step {
    /// An event of the key; or one of the whole store that matters to it (the disk failed, the
    /// clock stepped).
    Event(Event, Option<Judgement>),
    /// Events are missing here.
    Blind(BlindSpot),
    /// The store says now what has become of the key.
    Present(Present),
}

/// From when to when a story can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reach {
    /// What was before is not known; `None` if the trail reaches back to the making of the store.
    pub since: Option<StoreTime>,
    /// What came later is not known; `None` if the store says itself what has become of the key.
    pub until: Option<StoreTime>,
}
