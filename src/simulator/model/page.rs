//! What the model knows of one key: plain data, no files.
//!
//! Where the store may be in one of several states (a lease whose end fell into a slow sync, a
//! checkpoint whose batch may not have survived), the page says so by a span or a list.

use crate::DropPolicy;

/// A moment that is known to lie between two others, in milliseconds, both possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) lo: u64,
    pub(crate) hi: u64,
}

impl Span {
    pub(crate) const fn at(ms: u64) -> Self {
        Self { lo: ms, hi: ms }
    }

    pub(crate) fn plus(self, ms: u64) -> Self {
        Self { lo: self.lo.saturating_add(ms), hi: self.hi.saturating_add(ms) }
    }

    /// Whether this may have come by then.
    pub(crate) const fn may_be_over(self, now: Self) -> bool {
        self.lo <= now.hi
    }

    /// Whether this has come by then.
    pub(crate) const fn is_over(self, now: Self) -> bool {
        self.hi <= now.lo
    }
}

/// A claim in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flight {
    pub(crate) token: u64,
    pub(crate) attempt: u32,
    /// Which of the payloads that clients send with this key.
    pub(crate) payload: u8,
    pub(crate) policy: DropPolicy,
    /// What the log says of the policy: a takeover that was taken back is held from then on,
    /// without the log knowing it.
    pub(crate) logged_policy: DropPolicy,
    pub(crate) ttl_ms: u64,
    /// What the last checkpoint may be; nothing in here stands for none at all.
    pub(crate) checkpoints: Vec<Option<u64>>,
    pub(crate) stage: Stage,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Under a lease, by the monotonic clock. If its holder let go, upkeep may have noticed since.
    Held { until: Span, dropped: bool, swept: Option<Span> },
    /// Nobody's, since some moment of store time.
    Abandoned { at: Span },
    /// Nobody's until it is resolved.
    Unresolved,
}

impl Flight {
    pub(crate) fn has_checkpoint(&self, checkpoint: Option<u64>) -> bool {
        match self.checkpoints.is_empty() {
            true => checkpoint.is_none(),
            false => self.checkpoints.contains(&checkpoint),
        }
    }

    /// The moment from which an abandoned claim is as if it had never been.
    pub(crate) fn end_of_abandoned(&self) -> Option<Span> {
        match self.stage {
            Stage::Abandoned { at } | Stage::Held { swept: Some(at), .. } => {
                Some(at.plus(self.ttl_ms))
            }
            _ => None,
        }
    }
}

/// A completed record; it may have expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) token: u64,
    pub(crate) attempt: u32,
    pub(crate) payload: u8,
    /// The length of the response, whose bytes follow from the token.
    pub(crate) size: usize,
    pub(crate) completed_ms: u64,
    pub(crate) expires_ms: u64,
}

/// One key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) flight: Option<Flight>,
    pub(crate) done: Option<Done>,
    /// An abandoned claim that upkeep forgot once its TTL was over. Nothing is written of that, so
    /// a crash may bring it back, as abandoned.
    pub(crate) ghost: Option<Flight>,
    /// Records of which one may be the key's, or none, where a claim that damage brought back lies
    /// above them, they cannot be read, or have expired. Then `done` is empty.
    pub(crate) beneath: Vec<Done>,
}

impl Page {
    /// The records of which one may be the key's.
    pub(super) fn dones(&self) -> impl Iterator<Item = &Done> {
        self.done.iter().chain(&self.beneath)
    }

    /// The record, if it may be alive at some moment of `now`: several only after damage.
    pub(crate) fn live(&self, now: Span) -> impl Iterator<Item = &Done> {
        self.dones().filter(move |done| done.expires_ms > now.lo)
    }

    /// The record, if it may have expired.
    pub(crate) fn expired(&self, now: Span) -> impl Iterator<Item = &Done> {
        self.dones().filter(move |done| done.expires_ms <= now.hi)
    }

    /// Whether no claim may lie above the record any more: none does, or its TTL is over.
    pub(crate) fn may_be_bare(&self, now: Span) -> bool {
        let end = |flight: &Flight| flight.end_of_abandoned();
        self.flight
            .as_ref()
            .is_none_or(|flight| end(flight).is_some_and(|end| end.may_be_over(now)))
    }

    /// The record becomes known: another one, or that there is none.
    pub(crate) fn set_done(&mut self, done: Option<Done>) {
        self.done = done;
        self.beneath.clear();
    }

    pub(crate) fn flight_of(&mut self, token: u64) -> Option<&mut Flight> {
        self.flight.as_mut().filter(|flight| flight.token == token)
    }
}

/// The bytes of a response. They depend on the token, so that no two attempts store the same.
pub(crate) fn body_of(token: u64, size: usize) -> Vec<u8> {
    let pattern = token.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
    pattern.iter().copied().cycle().take(size).collect()
}
