//! Which claims were made and have not ended, as far as the events tell.
//!
//! Of a key only its last claim counts (the highest token), and of that the furthest that it came
//! to: claimed, let go of, unresolved, ended. Taking the larger of two such states gives the same
//! in any order and however often, so parts of a trail add up. An end whose claim is not in the
//! same part is kept, for the part that has the claim.
//!
//! Invariants: at most [`KEPT`] open claims and as many lone ends; what does not fit is counted.

use serde::{Deserialize, Serialize};

use super::crowd::LabelMap;
use super::hex::Hex;
use crate::audit::{Event, EventKind};

const KEPT: usize = 1 << 16;

/// How far a claim has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimState {
    /// Its holder is executing, or gone without a word.
    Claimed,
    /// Its holder let go of it without an end.
    Dropped,
    /// Its effect is unknown.
    Unresolved,
    /// It has ended.
    Ended,
}

/// The last claim of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastClaim {
    /// Of which store.
    pub store: Hex,
    /// Of which key.
    pub key_hash: Hex,
    /// Its fencing token.
    pub token: u64,
    /// How far it came.
    pub state: ClaimState,
    /// When it was claimed, or first met, in store time.
    pub since_ms: u64,
    /// The event that says so.
    pub boot: u64,
    /// Its number.
    pub sequence: u64,
    /// Who claimed it, if that is known.
    pub client: Hex,
    /// What is being done.
    pub operation: Hex,
    /// Whether the claim itself was among the events.
    pub is_whole: bool,
    /// Whether nothing of an earlier claim of the key can be open elsewhere.
    pub is_first: bool,
}

impl LastClaim {
    /// What is known of a key from two sides.
    fn merge(&mut self, other: &Self, is_first: bool) {
        if (other.token, other.is_whole) > (self.token, self.is_whole) {
            let state = if other.token == self.token { self.state } else { ClaimState::Claimed };
            *self = Self { state: state.max(other.state), ..*other };
        } else if other.token == self.token {
            self.state = self.state.max(other.state);
            // The same claim met at two moments: the earlier one says more.
            if !other.is_whole && !self.is_whole {
                let place = |claim: &Self| (claim.since_ms, claim.boot, claim.sequence);
                if place(other) < place(self) {
                    *self = Self { state: self.state, ..*other };
                }
            }
        }
        self.is_first = is_first;
    }
}

/// The claims that have not ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Claims {
    keys: LabelMap<(Hex, Hex), LastClaim>,
    lone_ends: usize,
    /// Claims that were not followed for want of room.
    not_followed: u64,
    /// Lone ends that were not kept for want of room.
    lost_ends: u64,
}

impl Claims {
    /// Follows an event.
    pub fn observe(&mut self, store: Hex, event: &Event) {
        let (Some(token), Some(state)) = (event.token, state_after(event.kind)) else { return };
        if event.key_hash == 0 {
            return;
        }
        let makes = makes_a_claim(event.kind);
        let claim = LastClaim {
            store,
            key_hash: Hex(event.key_hash),
            token: token.get(),
            state,
            since_ms: event.at.as_millis(),
            boot: event.id.boot,
            sequence: event.id.sequence,
            client: event.context.client.into(),
            operation: event.operation.into(),
            is_whole: makes,
            is_first: event.kind == EventKind::Claimed,
        };
        let key = (store, claim.key_hash);
        if let Some(there) = self.keys.get_mut(&key) {
            let was_lone = there.state == ClaimState::Ended;
            there.merge(&claim, there.is_first);
            match (was_lone, there.state == ClaimState::Ended) {
                (false, true) if there.is_first => drop(self.keys.remove(&key)),
                (false, true) => self.lone_ends += 1,
                (true, false) => self.lone_ends -= 1,
                _ => {}
            }
        } else if state != ClaimState::Ended || is_an_end(event.kind) {
            self.put(claim);
        }
    }

    fn put(&mut self, claim: LastClaim) {
        let is_end = claim.state == ClaimState::Ended;
        let open = self.keys.len() - self.lone_ends;
        let used = if is_end { self.lone_ends } else { open };
        if used < KEPT {
            self.lone_ends += usize::from(is_end);
            self.keys.insert((claim.store, claim.key_hash), claim);
        } else {
            let count = if is_end { &mut self.lost_ends } else { &mut self.not_followed };
            *count = count.saturating_add(1);
        }
    }

    /// Adds what another part of a trail, or another trail, tells.
    pub fn merge(&mut self, other: &Self) {
        self.not_followed = self.not_followed.saturating_add(other.not_followed);
        self.lost_ends = self.lost_ends.saturating_add(other.lost_ends);
        for (key, claim) in &other.keys {
            let Some(there) = self.keys.get_mut(key) else {
                self.put(*claim);
                continue;
            };
            let was_end = there.state == ClaimState::Ended;
            there.merge(claim, there.is_first || claim.is_first);
            let is_end = there.state == ClaimState::Ended;
            self.lone_ends = self.lone_ends + usize::from(is_end) - usize::from(was_end);
        }
    }

    /// The claims that have not ended, the oldest first.
    #[must_use]
    pub fn open(&self) -> Vec<LastClaim> {
        let open = self.keys.values().filter(|claim| claim.state != ClaimState::Ended);
        let mut open: Vec<LastClaim> = open.copied().collect();
        open.sort_unstable_by_key(|claim| (claim.since_ms, claim.store, claim.key_hash));
        open
    }

    /// How many claims were not followed for want of room.
    #[must_use]
    pub fn not_followed(&self) -> u64 {
        self.not_followed
    }
}

fn makes_a_claim(kind: EventKind) -> bool {
    matches!(kind, EventKind::Claimed | EventKind::TakenOver | EventKind::LateRetry)
}

/// What an event says of the claim whose token it has.
fn state_after(kind: EventKind) -> Option<ClaimState> {
    match kind {
        EventKind::Claimed | EventKind::TakenOver | EventKind::LateRetry | EventKind::InFlight => {
            Some(ClaimState::Claimed)
        }
        EventKind::Dropped => Some(ClaimState::Dropped),
        EventKind::LeftUnresolved | EventKind::MetUnresolved => Some(ClaimState::Unresolved),
        EventKind::Completed | EventKind::Resolved | EventKind::Released => Some(ClaimState::Ended),
        EventKind::Replayed | EventKind::Forgotten => Some(ClaimState::Ended),
        _ => None,
    }
}

/// Whether it ends a claim, rather than meets one that has ended long ago.
fn is_an_end(kind: EventKind) -> bool {
    matches!(kind, EventKind::Completed | EventKind::Resolved | EventKind::Released)
}

/// As it is written down.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    claims: Vec<LastClaim>,
    not_followed: u64,
    lost_ends: u64,
}

impl From<Claims> for Stored {
    fn from(claims: Claims) -> Self {
        let Claims { keys, not_followed, lost_ends, .. } = claims;
        let mut claims: Vec<LastClaim> = keys.into_values().collect();
        claims.sort_unstable_by_key(|claim| (claim.store, claim.key_hash));
        Self { claims, not_followed, lost_ends }
    }
}

impl From<Stored> for Claims {
    fn from(stored: Stored) -> Self {
        let Stored { claims, not_followed, lost_ends } = stored;
        let mut read = Self { not_followed, lost_ends, ..Self::default() };
        for claim in claims {
            // Twice the same key is not what was written, and must not upset the counts.
            if !read.keys.contains_key(&(claim.store, claim.key_hash)) {
                read.put(claim);
            }
        }
        read
    }
}
