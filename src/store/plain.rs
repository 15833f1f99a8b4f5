//! The verbs without guards: claims are named by owner and token. What
//! [`Backend`](crate::backend::Backend) is made of.
//!
//! Every verb but `claim` is decided when it is called, as those of the guards are.

use std::time::Duration;

use super::{ClaimCall, Pending, Record, Resolution, Store};
use crate::engine::{Found, Ticket};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{KeyHash, Token};
use crate::options::Options;
use crate::telemetry::Stopwatch;
use crate::types::{Checkpoint, ClaimRequest, Key, OwnerId, Scope, StoredResponse};

/// Whose claim of which key.
pub(crate) struct Named<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) key: &'a Key,
    pub(crate) token: Token,
}

impl Store {
    /// Claims a key for an owner that may ask again.
    pub(crate) fn claim_as(&self, owner: OwnerId, mut request: ClaimRequest) -> ClaimCall {
        request.owner = Some(owner);
        self.claim(request)
    }

    /// How the store was opened.
    pub(crate) fn options(&self) -> &Options {
        &self.inner.engine.options
    }

    /// Completes a claim; or answers the record that the same call has stored before.
    pub(crate) fn complete_named(
        &self,
        claim: &Named<'_>,
        response: StoredResponse,
    ) -> Pending<Record> {
        let watch = Stopwatch::start(&self.inner.engine.time);
        let completed = match self.inner.engine.complete(self.hash(claim), claim.token, response) {
            Ok((record, ticket)) => Ok((Record::new(record, false), ticket)),
            Err((error, response)) => self
                .or_known(error, claim, &response)
                .inspect_err(|error| self.tell_stale(claim, error)),
        };
        Pending::new(self.inner.clone(), completed).measured(watch)
    }

    /// Frees the key.
    pub(crate) fn release_named(&self, claim: &Named<'_>) -> Pending<()> {
        let released = self.inner.engine.release(self.hash(claim), claim.token);
        self.told(released.inspect_err(|error| self.tell_stale(claim, error)))
    }

    /// Lets go of a claim, which follows its policy.
    pub(crate) fn abandon_named(&self, claim: &Named<'_>) -> Pending<()> {
        let dropped = self.inner.engine.let_go_of(self.hash(claim), claim.token);
        self.told(dropped.inspect_err(|error| self.tell_stale(claim, error)))
    }

    /// Moves the end of a lease.
    pub(crate) fn extend_named(&self, claim: &Named<'_>, lease: Duration) -> Result<()> {
        let extended = self.inner.engine.extend(self.hash(claim), claim.token, lease);
        extended.inspect_err(|error| self.tell_stale(claim, error))
    }

    /// Saves a recovery point.
    pub(crate) fn checkpoint_named(
        &self,
        claim: &Named<'_>,
        checkpoint: Checkpoint,
    ) -> Pending<()> {
        let saved = self.inner.engine.checkpoint(self.hash(claim), claim.token, checkpoint);
        self.told(saved.inspect_err(|error| self.tell_stale(claim, error)))
    }

    /// Settles this unresolved attempt and no other.
    pub(crate) fn resolve_named(&self, attempt: &Named<'_>, resolution: Resolution) -> Pending<()> {
        let response = match resolution {
            Resolution::Completed(response) => Some(response),
            Resolution::NotExecuted => None,
        };
        let token = Some(attempt.token);
        let (scope, key) = (attempt.scope, attempt.key);
        let resolved = match self.inner.engine.resolve(scope, key, token, response.clone()) {
            Ok(ticket) => Ok(ticket),
            Err(error) => match response {
                Some(response) => self.or_known(error, attempt, &response).map(|known| known.1),
                None => Err(error),
            },
        };
        self.told(resolved)
    }

    /// What was refused because it has been done already: the key's record has this token and this
    /// response, and tokens are never given twice.
    fn or_known(
        &self,
        error: Error,
        claim: &Named<'_>,
        response: &StoredResponse,
    ) -> Result<(Record, Ticket)> {
        let is_over = matches!(
            error.kind(),
            ErrorKind::LeaseLost | ErrorKind::NotFound | ErrorKind::InFlight
        );
        if !is_over {
            return Err(error);
        }
        match self.inner.engine.look_up(claim.scope, claim.key)? {
            (Found::Completed(record), ticket)
                if record.token == claim.token && record.response == *response =>
            {
                Ok((Record::new(record, true), ticket))
            }
            _ => Err(error),
        }
    }

    /// Has the audit told of a holder who was refused. Which attempt it was nobody knows.
    fn tell_stale(&self, claim: &Named<'_>, error: &Error) {
        let named = (self.hash(claim), claim.scope, claim.key);
        self.inner.engine.audit_stale(named, (claim.token, 0), error);
    }

    fn hash(&self, claim: &Named<'_>) -> KeyHash {
        self.inner.engine.hash(claim.scope.as_bytes(), claim.key.as_bytes())
    }

    fn told(&self, decided: Result<Ticket>) -> Pending<()> {
        Pending::new(self.inner.clone(), decided.map(|ticket| ((), ticket)))
    }
}
