//! A completed record, as a replay or a look shows it.

use std::sync::Arc;

use super::Unresolved;
use crate::engine::Completed;
use crate::ids::{StoreTime, Token};
use crate::types::{Fingerprint, StoredResponse};

/// A completed key: its response, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    completed: Arc<Completed>,
    replayed: bool,
}

/// What a [`Backend`](crate::backend::Backend) makes a [`Record`] of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordParts {
    /// The fencing token it was completed under.
    pub token: Token,
    /// The attempt that completed it.
    pub attempt: u32,
    /// What the request was.
    pub fingerprint: Fingerprint,
    /// When it was completed.
    pub completed_at: StoreTime,
    /// Until when it is replayed.
    pub expires_at: StoreTime,
    /// The response, byte for byte as it was completed.
    pub response: StoredResponse,
}

impl Record {
    /// A record of a [`Backend`](crate::backend::Backend)'s own; `replayed` says whether it was
    /// completed before this call, rather than by it.
    #[must_use]
    pub fn from_parts(parts: RecordParts, replayed: bool) -> Self {
        let RecordParts { token, attempt, fingerprint, completed_at, expires_at, response } = parts;
        let completed = Completed {
            token,
            attempt,
            fingerprint,
            completed_at,
            expires_at,
            response,
            digest: None,
        };
        Self::new(Arc::new(completed), replayed)
    }

    pub(crate) fn new(completed: Arc<Completed>, replayed: bool) -> Self {
        Self { completed, replayed }
    }

    /// The response, byte for byte as it was completed.
    #[must_use]
    pub fn response(&self) -> &StoredResponse {
        &self.completed.response
    }

    /// Whether it was completed before this call, rather than by it.
    #[must_use]
    pub fn is_replay(&self) -> bool {
        self.replayed
    }

    /// The attempt that completed it.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.completed.attempt
    }

    /// The fencing token it was completed under.
    #[must_use]
    pub fn token(&self) -> Token {
        self.completed.token
    }

    /// What the request was.
    #[must_use]
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.completed.fingerprint
    }

    /// When it was completed.
    #[must_use]
    pub fn completed_at(&self) -> StoreTime {
        self.completed.completed_at
    }

    /// Until when it is replayed.
    #[must_use]
    pub fn expires_at(&self) -> StoreTime {
        self.completed.expires_at
    }
}

/// What [`Store::get`](crate::Store::get) finds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// The key was completed.
    Completed(Record),
    /// The key is claimed, or its claim was abandoned and may be taken over.
    InFlight {
        /// The claim's fencing token.
        token: Token,
        /// Its attempt.
        attempt: u32,
        /// Since when.
        claimed_at: StoreTime,
    },
    /// An attempt's effect is unknown.
    Unresolved(Unresolved),
}
