//! What is told of one key.

use std::fmt;

use super::owner::Owner;
use crate::engine::{Flight, State};
use crate::error::Result;
use crate::ids::{StoreTime, Token};
use crate::log::CompletionFrame;
use crate::types::{Checkpoint, DropPolicy, Fingerprint, Key, Scope, StoredResponse};

/// What has become of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyState {
    /// Replayed to every retry.
    Completed,
    /// Its record, or its abandoned claim, is still on disk and counts no more.
    Expired,
    /// Claimed by a process that runs.
    InFlight,
    /// Claimed by a process that is gone: the next claim takes it over.
    Abandoned,
    /// An attempt's effect is unknown: nobody runs until somebody resolves it.
    Unresolved,
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Completed => "completed",
            Self::Expired => "expired",
            Self::InFlight => "in flight",
            Self::Abandoned => "abandoned",
            Self::Unresolved => "unresolved",
        })
    }
}

/// A key and what is known of it, without its response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyRow {
    /// Whose it is.
    pub scope: Scope,
    /// Which key.
    pub key: Key,
    /// What has become of it. Expired or not is judged by the wall clock, or by the store's last
    /// time if that is later.
    pub state: KeyState,
    /// The fencing token of its newest claim.
    pub token: Token,
    /// The attempt.
    pub attempt: u32,
    /// Since when it is in this state; a claim whose owner died, since it was claimed.
    pub since: StoreTime,
    /// When it expires or has expired; `None` for claims that do not.
    pub expires_at: Option<StoreTime>,
    /// The status of the response, if it was completed.
    pub status: Option<u32>,
    /// The length of the response's body, if it was completed.
    pub body_bytes: Option<u64>,
    /// What becomes of the claim when it is dropped, if it is one.
    pub on_drop: Option<DropPolicy>,
    /// The name of the claim's last checkpoint.
    pub checkpoint: Option<String>,
    /// What the request was.
    pub fingerprint: Fingerprint,
    /// The file and the offset of its record; `None` for claims, which are stated again and again.
    pub place: Option<(String, u64)>,
}

/// A key and all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyDetail {
    /// What is known of it.
    pub row: KeyRow,
    /// The response, if it was completed.
    pub response: Option<StoredResponse>,
    /// The last checkpoint of its claim.
    pub checkpoint: Option<Checkpoint>,
    /// The moment by which expiry was judged.
    pub now: StoreTime,
}

impl KeyRow {
    /// A record's row. An error if its scope or key is none, which no writer writes.
    pub(super) fn of_completion(
        frame: &CompletionFrame<'_>,
        place: (String, u64),
        now: StoreTime,
    ) -> Result<Self> {
        let expires_at = frame.expires_at();
        let expired = expires_at <= now;
        Ok(Self {
            scope: Scope::from_bytes(frame.scope)?,
            key: Key::from_bytes(frame.key)?,
            state: if expired { KeyState::Expired } else { KeyState::Completed },
            token: frame.token,
            attempt: frame.attempt,
            since: frame.completed_at,
            expires_at: Some(expires_at),
            status: Some(frame.status),
            body_bytes: Some(frame.response.plain_len() as u64),
            on_drop: None,
            checkpoint: None,
            fingerprint: Fingerprint::from_bytes(*frame.fingerprint),
            place: Some(place),
        })
    }

    /// A claim's row. What the log calls held is held only as long as the owner runs.
    pub(super) fn of_flight(flight: &Flight, owner: Owner, now: StoreTime) -> Self {
        let (state, since, expires_at) = match flight.state {
            State::Unresolved { since } => (KeyState::Unresolved, since, None),
            State::Held { .. } | State::Completing { .. } if !owner.is_running() => {
                let state = match flight.policy {
                    DropPolicy::Unresolved => KeyState::Unresolved,
                    DropPolicy::Hold | DropPolicy::Release => KeyState::Abandoned,
                };
                (state, flight.claimed_at, None)
            }
            State::Abandoned { at } => {
                let expires_at = at.plus_ms(flight.ttl_ms);
                let expired = expires_at <= now;
                let state = if expired { KeyState::Expired } else { KeyState::Abandoned };
                (state, at, Some(expires_at))
            }
            State::Held { .. } | State::Completing { .. } => {
                (KeyState::InFlight, flight.claimed_at, None)
            }
        };
        Self {
            scope: flight.scope.clone(),
            key: flight.key.clone(),
            state,
            token: flight.token,
            attempt: flight.attempt,
            since,
            expires_at,
            status: None,
            body_bytes: None,
            on_drop: Some(flight.policy),
            checkpoint: flight.checkpoint.as_ref().map(|checkpoint| checkpoint.name().to_owned()),
            fingerprint: flight.fingerprint,
            place: None,
        }
    }
}
