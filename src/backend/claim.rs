//! A claim as plain data: what names it, and what its winner is told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::OwnerId;
use crate::ids::Token;
use crate::store::Late;
use crate::types::{Checkpoint, ClaimRequest, DownstreamKey, Key, Scope};

/// Names one claim: whose key, who won it, and under which fencing token. Every verb that ends a
/// claim or speaks for it takes one.
///
/// It may be cloned, kept and sent elsewhere; dropping it does nothing.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClaimId {
    /// Apart, so that outcomes stay small.
    name: Arc<(Scope, Key)>,
    owner: OwnerId,
    token: Token,
}

impl ClaimId {
    /// Names the claim of `key` that `owner` won under `token`.
    #[must_use]
    pub fn new(scope: Scope, key: Key, owner: OwnerId, token: Token) -> Self {
        Self { name: Arc::new((scope, key)), owner, token }
    }

    /// Whose key it is.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.name.0
    }

    /// Which key.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.name.1
    }

    /// Who won it.
    #[must_use]
    pub fn owner(&self) -> OwnerId {
        self.owner
    }

    /// The fencing token: higher than that of every earlier claim in this backend.
    #[must_use]
    pub fn token(&self) -> Token {
        self.token
    }
}

impl fmt::Debug for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimId")
            .field("scope", self.scope())
            .field("key", self.key())
            .field("owner", &self.owner)
            .field("token", &self.token)
            .finish()
    }
}

/// A claim that was won.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    id: ClaimId,
    operation: Option<Arc<str>>,
    attempt: u32,
    lease: Option<Duration>,
    checkpoint: Option<Checkpoint>,
    late: Option<Late>,
}

impl Granted {
    /// What a backend tells `owner` who won what it asked for under `token`, as the given attempt
    /// (1 for the first, and one more with each takeover).
    #[must_use]
    pub fn new(request: &ClaimRequest, owner: OwnerId, token: Token, attempt: u32) -> Self {
        let id = ClaimId::new(request.scope.clone(), request.key.clone(), owner, token);
        Self::of(id, request.operation.clone(), attempt)
    }

    pub(crate) fn of(id: ClaimId, operation: Option<Arc<str>>, attempt: u32) -> Self {
        Self { id, operation, attempt, lease: None, checkpoint: None, late: None }
    }

    /// Adds how long the lease is; without, it has no deadline.
    #[must_use]
    pub fn with_lease(mut self, lease: Option<Duration>) -> Self {
        self.lease = lease;
        self
    }

    /// Adds the last checkpoint that was saved for the key.
    #[must_use]
    pub fn with_checkpoint(mut self, checkpoint: Option<Checkpoint>) -> Self {
        self.checkpoint = checkpoint;
        self
    }

    /// Adds the record that the request came too late for.
    #[must_use]
    pub fn with_late_retry(mut self, late: Option<Late>) -> Self {
        self.late = late;
        self
    }

    /// What names the claim.
    #[must_use]
    pub fn id(&self) -> &ClaimId {
        &self.id
    }

    /// The fencing token: higher than that of every earlier claim in this backend.
    #[must_use]
    pub fn token(&self) -> Token {
        self.id.token()
    }

    /// 1 for the first claim of a key, and one more each time it is taken over.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// How long nobody may take the claim over, counted from the claim; `None` if it has no
    /// deadline. A holder that works longer calls [`extend`](super::Backend::extend) before it is
    /// over.
    #[must_use]
    pub fn lease(&self) -> Option<Duration> {
        self.lease
    }

    /// The last checkpoint of an earlier attempt, in a takeover; or of this one, if the claim was
    /// recognised as the owner's own.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    /// The record that this request came too late for, if it is known that there was one.
    #[must_use]
    pub fn late_retry(&self) -> Option<Late> {
        self.late
    }

    /// What a gateway deduplicates by: the same for every attempt at this key, in every backend.
    #[must_use]
    pub fn downstream_key(&self) -> DownstreamKey {
        let operation = self.operation.as_deref().unwrap_or("");
        DownstreamKey::derive(self.id.scope(), operation, self.id.key())
    }
}
