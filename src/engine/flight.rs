//! A claim in flight: everything that is known of a key between its claim and the end of it.
//!
//! Flights live in their key's shard and are changed under its lock only. A flight that is
//! completing keeps its record in memory until the completion is on disk and in the index, so that
//! no one else can win the key meanwhile.

use std::sync::Arc;

use super::batch::Ticket;
use super::lookup::Spot;
use super::signal::{Signal, Wakers};
use crate::audit::{Digest, Seen};
use crate::ids::{KeyHash, StoreTime, Token};
use crate::log::{CALLER_BYTES, ClaimFrame, ClaimState};
use crate::types::{
    Caller, Checkpoint, DropPolicy, Fingerprint, Key, OwnerId, Scope, StoredResponse,
};

#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) hash: KeyHash,
    pub(crate) scope: Scope,
    pub(crate) key: Key,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) token: Token,
    pub(crate) attempt: u32,
    pub(crate) claimed_at: StoreTime,
    pub(crate) ttl_ms: u64,
    pub(crate) policy: DropPolicy,
    pub(crate) state: State,
    pub(crate) checkpoint: Option<Checkpoint>,
    /// What is being done and for whom, as far as the audit wants to know.
    pub(crate) seen: Seen,
    pub(crate) caller: Option<Arc<Caller>>,
    /// What the log says of its caller.
    pub(crate) digest: Option<Digest>,
    /// Who claimed it, if there is no guard: a repeated claim of theirs is told of this one.
    pub(crate) owner: Option<Owner>,
    /// The batch that makes the newest decision about this flight durable.
    pub(crate) ticket: Ticket,
    /// The expired record that a completion will replace.
    pub(crate) replaces: Option<Spot>,
    /// Waiters for the end of this claim; made by the first of them.
    pub(crate) ended: Option<Arc<Signal>>,
}

/// Who holds a claim without a guard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) id: OwnerId,
    /// Whether it has claimed the key again: then more than one call may have told of the claim.
    pub(crate) again: bool,
}

#[derive(Debug)]
pub(crate) enum State {
    /// Somebody may be executing. `until_ms` is the lease's end in monotonic milliseconds, `None`
    /// for no deadline;
    /// `dropped` says that the holder let go under the policy `Hold`.
    Held { until_ms: Option<u64>, dropped: bool },
    /// The owner's process died: a claim is a takeover at once.
    Abandoned { at: StoreTime },
    /// The attempt's effect is unknown.
    Unresolved { since: StoreTime },
    /// The completion waits for its batch.
    Completing { record: Arc<Completed> },
}

/// What a completion stored, as a replay gives it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Completed {
    pub(crate) token: Token,
    pub(crate) attempt: u32,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) completed_at: StoreTime,
    pub(crate) expires_at: StoreTime,
    pub(crate) response: StoredResponse,
    /// What is kept of whoever claimed it.
    pub(crate) digest: Option<Digest>,
}

impl Owner {
    pub(crate) fn new(id: OwnerId) -> Self {
        Self { id, again: false }
    }
}

impl Flight {
    /// Since when it is unresolved, if it is.
    pub(crate) fn unresolved_since(&self) -> Option<StoreTime> {
        match self.state {
            State::Unresolved { since } => Some(since),
            _ => None,
        }
    }

    /// Whether this owner holds the claim, and has not let go of it.
    pub(crate) fn is_held_by(&self, owner: Option<OwnerId>) -> bool {
        let held = matches!(self.state, State::Held { dropped: false, .. });
        held && owner.is_some() && self.owner.map(|owner| owner.id) == owner
    }

    pub(crate) fn is_for(&self, scope: &Scope, key: &Key) -> bool {
        self.scope == *scope && self.key == *key
    }

    /// Whether the lease is over at `now_ms` of the monotonic clock; a claim without a deadline is
    /// held, never free.
    pub(crate) fn lease_is_over(&self, now_ms: u64) -> bool {
        match self.state {
            State::Held { until_ms: Some(until_ms), .. } => now_ms >= until_ms,
            State::Abandoned { .. } => true,
            _ => false,
        }
    }

    /// The signal of this flight, made on first use.
    pub(crate) fn signal(&mut self) -> Arc<Signal> {
        self.ended.get_or_insert_default().clone()
    }

    /// Has all woken who wait for this claim's end, or for a change of its lease.
    pub(crate) fn ring(&self, wakers: &mut Wakers) {
        if let Some(signal) = &self.ended {
            signal.ring(wakers);
        }
    }

    /// The bytes that must stay free for this flight to end: a completion without a body, or an
    /// unresolved frame.
    pub(crate) fn reserve(&self) -> u64 {
        reserve(&self.scope, &self.key)
    }

    /// The frame that states this claim again at the head of a new segment.
    pub(crate) fn restate(&self) -> ClaimFrame<'_> {
        ClaimFrame {
            token: self.token,
            claimed_at: self.claimed_at,
            ttl_ms: self.ttl_ms,
            attempt: self.attempt,
            policy: self.policy.to_byte(),
            state: match self.state {
                State::Abandoned { at } => ClaimState::Abandoned { at },
                State::Unresolved { since } => ClaimState::Unresolved { since },
                State::Held { .. } | State::Completing { .. } => ClaimState::Held,
            },
            scope: self.scope.as_bytes(),
            key: self.key.as_bytes(),
            fingerprint: self.fingerprint.as_bytes(),
            caller: self.digest.map(Digest::to_bytes),
            checkpoint: self
                .checkpoint
                .as_ref()
                .map(|checkpoint| (checkpoint.name().as_bytes(), checkpoint.data())),
        }
    }
}

/// The same of a key that may come to be in flight.
pub(crate) fn reserve(scope: &Scope, key: &Key) -> u64 {
    (scope.as_bytes().len() + key.as_bytes().len() + RESERVE_BYTES) as u64
}

/// Frame header, varints at their longest, fingerprint, caller, padding, the batch header it may
/// come with, a footer entry.
const RESERVE_BYTES: usize = 8 + 60 + 32 + CALLER_BYTES + 16 + 64 + 16;
