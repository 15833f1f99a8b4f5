//! Findings: what only the view of all stores shows.
//!
//! A store prevents a second execution of a key that it has. Two stores cannot: a request that
//! fails in one region and is sent again to another is executed in both. Whether that has happened
//! is a comparison of their trails.

use std::fmt;

use super::keys::{Claimed, Ending, Known};
use super::told::Producer;
use crate::audit::{EventId, Label};
use crate::ids::{StoreTime, Token};

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// The key was executed in two stores.
    ExecutedTwice,
    /// The key was claimed in two stores, and of one of the claims nobody knows whether it was
    /// executed: it is in flight, was dropped, or left unresolved.
    MaybeExecutedTwice,
    /// The key was used for different operations in two stores: a bug of the client.
    KeyReuse,
    /// A copy of a store replayed what the original had executed.
    ReplayedCopy,
}

impl FindingKind {
    /// Every kind.
    pub const ALL: [Self; 4] =
        [Self::ExecutedTwice, Self::MaybeExecutedTwice, Self::KeyReuse, Self::ReplayedCopy];

    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ExecutedTwice => "executed_twice",
            Self::MaybeExecutedTwice => "maybe_executed_twice",
            Self::KeyReuse => "key_reuse",
            Self::ReplayedCopy => "replayed_copy",
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How two executions lie in time, as far as clocks that differ can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Timing {
    /// One began before the other had ended, by more than the clocks may differ.
    Overlapping,
    /// The clocks may differ by more than what lies between them, or an end is not known.
    Unclear,
    /// One had ended before the other began, by more than the clocks may differ.
    OneAfterOther,
}

impl Timing {
    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overlapping => "overlapping",
            Self::Unclear => "unclear",
            Self::OneAfterOther => "one_after_other",
        }
    }
}

/// One execution of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Execution {
    /// Who tells of it.
    pub producer: Producer,
    /// Its claim's token.
    pub token: Token,
    /// When it was claimed, and by which event; not known if that event is missing, or was too long
    /// ago.
    pub claimed: Option<(StoreTime, EventId)>,
    /// How and when it ended, if it has. Of a record that is known from its replays alone, the
    /// moment is what they say.
    pub ended: Option<(Ending, StoreTime)>,
    /// What was executed.
    pub operation: Option<Label>,
    /// How many requests were answered with its response.
    pub replays: u32,
}

/// A key that several stores had to do with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// How the executions lie in time: overlapping if any two are.
    pub timing: Timing,
    /// Which secret the key's hash was made with.
    pub key_id: u64,
    /// The key.
    pub key_hash: u64,
    /// Whose key it is.
    pub scope: Option<Label>,
    /// The executions that are kept, in the order of their claims.
    pub executions: Vec<Execution>,
    /// Whether there were more executions: of a store the last four are kept.
    pub is_cut: bool,
}

/// What is asked about producers while claims are compared.
pub(super) trait Producers {
    fn producer(&self, head: u32) -> Producer;
    /// Whether the two may have run at the same time: other stores, or copies of one.
    fn are_apart(&self, one: u32, other: u32) -> bool;
}

/// What there is to say of a key; `None` if one store alone had to do with it.
pub(super) fn judge(
    known: &Known,
    producers: &impl Producers,
    max_skew_ms: u64,
) -> Option<(FindingKind, Timing)> {
    let counts = |claim: &&Claimed| claim.ended.is_none_or(|(end, _)| end != Ending::Released);
    let claims = known.claims().filter(counts);
    let mut found: Option<(FindingKind, Timing)> = None;
    for (at, one) in claims.clone().enumerate() {
        if let Some((_, copy)) = one.replayed_in
            && one.claimed.is_some()
            && producers.are_apart(one.head, copy)
        {
            found = worst(found, (FindingKind::ReplayedCopy, Timing::OneAfterOther));
        }
        for other in claims.clone().skip(at + 1) {
            if producers.are_apart(one.head, other.head) {
                found = worst(found, compare(one, other, max_skew_ms));
            }
        }
    }
    found
}

/// The first kind that holds counts, and of it what is nearest to happening at once.
fn worst(
    found: Option<(FindingKind, Timing)>,
    other: (FindingKind, Timing),
) -> Option<(FindingKind, Timing)> {
    Some(found.map_or(other, |found| found.min(other)))
}

fn compare(one: &Claimed, other: &Claimed, max_skew_ms: u64) -> (FindingKind, Timing) {
    let is_completed =
        |claim: &Claimed| claim.ended.is_some_and(|(ending, _)| ending == Ending::Completed);
    let differ = one.operation.zip(other.operation).is_some_and(|(one, other)| one != other);
    let kind = match is_completed(one) && is_completed(other) {
        _ if differ => FindingKind::KeyReuse,
        true => FindingKind::ExecutedTwice,
        false => FindingKind::MaybeExecutedTwice,
    };
    (kind, timing(one, other, max_skew_ms))
}

fn timing(one: &Claimed, other: &Claimed, max_skew_ms: u64) -> Timing {
    let begin = |claim: &Claimed| claim.claimed.map(|(at, _)| at);
    let end = |claim: &Claimed| claim.ended.map(|(_, at)| at);
    let surely = |earlier: Option<StoreTime>, later: Option<StoreTime>| {
        let pair = earlier.zip(later);
        pair.is_some_and(|(earlier, later)| earlier.plus_ms(max_skew_ms) < later)
    };
    if surely(end(one), begin(other)) || surely(end(other), begin(one)) {
        Timing::OneAfterOther
    } else if surely(begin(one), end(other)) && surely(begin(other), end(one)) {
        Timing::Overlapping
    } else {
        Timing::Unclear
    }
}

/// The executions of a key, as they are told.
pub(super) fn executions(known: &Known, producers: &impl Producers) -> Vec<Execution> {
    let told = known.claims().map(|claim| Execution {
        producer: producers.producer(claim.head),
        token: claim.token,
        claimed: claim.claimed,
        ended: claim.ended,
        operation: claim.operation,
        replays: claim.replays,
    });
    let mut told: Vec<Execution> = told.collect();
    told.sort_by_key(|execution| {
        let at = execution.claimed.map(|(at, _)| at);
        (at.or(execution.ended.map(|(_, at)| at)), execution.producer, execution.token)
    });
    told
}
