//! The claim as its holder has it: a guard that must be ended, and whose drop follows a policy.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{Inner, Late, Pending, Record};
use crate::engine::Granted;
use crate::error::{Error, Result};
use crate::ids::Token;
use crate::telemetry::Stopwatch;
use crate::types::{Checkpoint, DownstreamKey, Key, Scope, StoredResponse};

/// What is known of an attempt, and what its holder may do midway. Cloned freely; it ends nothing.
///
/// Like a clone of the store it keeps the store open, and the directory locked, for as long as it
/// lives (unless [`Store::close`](crate::Store::close) closes it): do not keep one in a cache.
#[derive(Debug, Clone)]
pub struct ClaimContext {
    inner: Arc<Inner>,
    scope: Scope,
    key: Key,
    operation: Option<Arc<str>>,
    granted: Granted,
}

impl ClaimContext {
    /// What a gateway deduplicates by: the same for every attempt at this key.
    #[must_use]
    pub fn downstream_key(&self) -> DownstreamKey {
        DownstreamKey::derive(&self.scope, self.operation.as_deref().unwrap_or(""), &self.key)
    }

    /// The fencing token: higher than that of every earlier claim in this store.
    #[must_use]
    pub fn token(&self) -> Token {
        self.granted.token
    }

    /// 1 for the first claim of a key, and one more each time it is taken over.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.granted.attempt
    }

    /// The last checkpoint of an earlier attempt, in a takeover.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.granted.checkpoint.as_ref()
    }

    /// The record that this request came too late for, if it is known that there was one.
    #[must_use]
    pub fn late_retry(&self) -> Option<Late> {
        self.granted.late.map(Late::new)
    }

    /// The scope that was claimed in.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The key that was claimed.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    pub(crate) fn operation(&self) -> Option<Arc<str>> {
        self.operation.clone()
    }

    /// Moves the lease's end to this long from now. Nothing is written: leases live in memory.
    ///
    /// # Errors
    /// [`LeaseLost`](crate::ErrorKind::LeaseLost) if the claim is over, unresolved, or dropped: a
    /// claim whose guard is gone cannot end any more, and must not be kept alive.
    pub fn extend(&self, lease: Duration) -> Result<()> {
        let extended = self.inner.engine.extend(self.granted.hash, self.granted.token, lease);
        extended.inspect_err(|error| self.tell_stale(error))
    }

    /// Has the audit told of a holder who was refused.
    fn tell_stale(&self, error: &Error) {
        let Granted { hash, token, attempt, .. } = self.granted;
        self.inner.engine.audit_stale((hash, &self.scope, &self.key), (token, attempt), error);
    }

    /// Saves a recovery point for a later attempt.
    ///
    /// # Errors
    /// [`LeaseLost`](crate::ErrorKind::LeaseLost) if the claim is over, or unresolved.
    pub fn save_checkpoint(&self, checkpoint: Checkpoint) -> Pending<()> {
        let (hash, token) = (self.granted.hash, self.granted.token);
        let decided = self.inner.engine.checkpoint(hash, token, checkpoint);
        let decided = decided.inspect_err(|error| self.tell_stale(error));
        Pending::new(self.inner.clone(), decided.map(|ticket| ((), ticket)))
    }
}

/// The exclusive right to execute a key. End it with [`complete`](Self::complete) or
/// [`release`](Self::release); dropping it without follows the claim's
/// [`DropPolicy`](crate::DropPolicy).
#[must_use = "a claim that is dropped follows its policy: complete it or release it"]
pub struct Claim {
    /// Taken when the claim ends, so that its drop does nothing then.
    context: Option<ClaimContext>,
}

impl Claim {
    pub(crate) fn new(
        inner: Arc<Inner>,
        scope: Scope,
        key: Key,
        operation: Option<Arc<str>>,
        granted: Granted,
    ) -> Self {
        Self { context: Some(ClaimContext { inner, scope, key, operation, granted }) }
    }

    /// Stores the response: every retry gets it until the TTL is over. Decided when called; the
    /// value only waits for the disk.
    ///
    /// A completion that is refused (too large, disk full) gives the claim back inside of its
    /// error.
    pub fn complete(self, response: StoredResponse) -> CompleteCall {
        let Granted { hash, token, .. } = self.granted;
        let engine = &self.inner.engine;
        let watch = Stopwatch::start(&engine.time);
        let decided = match engine.complete(hash, token, response) {
            Ok((record, ticket)) => {
                let told = Ok((Record::new(record, false), ticket));
                Ok(Pending::new(self.end(), told).measured(watch))
            }
            Err((error, response)) => {
                self.tell_stale(&error);
                engine.meter.completed(Some(&error), watch, &engine.time);
                Err(Box::new(CompleteError { error, returned: Some(Box::new((self, response))) }))
            }
        };
        CompleteCall { decided: Some(decided) }
    }

    /// Gives the key back: a retry may run at once. For requests that had no effect.
    ///
    /// # Errors
    /// [`LeaseLost`](crate::ErrorKind::LeaseLost) if the claim was over already.
    pub fn release(self) -> Pending<()> {
        let Granted { hash, token, .. } = self.granted;
        let decided = self.inner.engine.release(hash, token);
        if let Err(error) = &decided {
            self.tell_stale(error);
        }
        Pending::new(self.end(), decided.map(|ticket| ((), ticket)))
    }

    /// What is known of this attempt, to keep or to pass on.
    #[must_use]
    pub fn context(&self) -> &ClaimContext {
        self
    }

    /// Ends the guard and leaves the claim as it is: its owner names it by its token.
    pub(crate) fn into_context(mut self) -> ClaimContext {
        let context = self.context.take().expect(HAS_CONTEXT);
        context.inner.let_go();
        context
    }

    /// Ends the guard: its claim was ended, or is lost.
    fn end(mut self) -> Arc<Inner> {
        let context = self.context.take().expect(HAS_CONTEXT);
        context.inner.let_go();
        context.inner
    }
}

const HAS_CONTEXT: &str = "a claim has its context until it ends";

impl std::ops::Deref for Claim {
    type Target = ClaimContext;

    fn deref(&self) -> &ClaimContext {
        self.context.as_ref().expect(HAS_CONTEXT)
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("token", &self.token())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some(context) = &self.context else { return };
        let engine = &context.inner.engine;
        if engine.abandon(context.granted.hash, context.granted.token) {
            engine.nudge();
        }
        context.inner.let_go();
    }
}

/// What [`Claim::complete`] returns: awaited on any executor, or waited for by a thread.
#[derive(Debug)]
#[must_use = "the outcome is not known until this is awaited or waited for"]
pub struct CompleteCall {
    decided: Option<std::result::Result<Pending<Record>, Box<CompleteError>>>,
}

impl CompleteCall {
    /// Waits on this thread.
    ///
    /// # Errors
    /// See [`CompleteError`].
    pub fn wait(mut self) -> std::result::Result<Record, CompleteError> {
        match self.decided.take() {
            Some(Ok(pending)) => pending.wait().map_err(CompleteError::told),
            Some(Err(refused)) => Err(*refused),
            None => Err(CompleteError::told(super::call::told_already())),
        }
    }
}

impl Future for CompleteCall {
    type Output = std::result::Result<Record, CompleteError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(Ok(pending)) = &mut self.decided {
            let told = std::task::ready!(Pin::new(pending).poll(cx));
            self.decided = None;
            return Poll::Ready(told.map_err(CompleteError::told));
        }
        Poll::Ready(Err(match self.decided.take() {
            Some(Err(refused)) => *refused,
            _ => CompleteError::told(super::call::told_already()),
        }))
    }
}

/// Why a claim was not completed, and the claim itself if it can still be.
pub struct CompleteError {
    error: Error,
    returned: Option<Box<(Claim, StoredResponse)>>,
}

impl CompleteError {
    fn told(error: Error) -> Self {
        Self { error, returned: None }
    }

    /// What happened.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Coarse: what to do about it.
    #[must_use]
    pub fn kind(&self) -> crate::ErrorKind {
        self.error.kind()
    }

    /// The claim and the response, if the completion was refused before anything was decided:
    /// complete it with a smaller response or none, or release it. Dropping it follows its policy.
    #[must_use]
    pub fn into_claim(self) -> Option<(Claim, StoredResponse)> {
        self.returned.map(|returned| *returned)
    }
}

impl fmt::Debug for CompleteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CompleteError({:?})", self.error)
    }
}

impl fmt::Display for CompleteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for CompleteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl From<CompleteError> for Error {
    fn from(error: CompleteError) -> Self {
        error.error
    }
}
