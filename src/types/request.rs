//! What a caller asks for when it claims a key.

use std::sync::Arc;
use std::time::Duration;

use super::{Caller, DropPolicy, Fingerprint, Key, OwnerId, Scope, Terms};

/// A request to execute a key: whose it is, what it would do, and how its record is to be kept.
///
/// ```
/// use oncekey::{ClaimRequest, Key, Scope};
///
/// # fn main() -> oncekey::Result<()> {
/// let request = ClaimRequest::new(Scope::new("acct_42")?, Key::new("9f2c")?)
///     .operation("POST /v1/charges")
///     .payload(br#"{"amount": 100}"#);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    pub(crate) scope: Scope,
    pub(crate) key: Key,
    pub(crate) operation: Option<Arc<str>>,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) caller: Option<Arc<Caller>>,
    pub(crate) terms: Terms,
    /// Who claims, if it claims without a guard.
    pub(crate) owner: Option<OwnerId>,
}

/// What a request says, for those who write a [`Backend`](crate::backend::Backend). What is `None`
/// was left to the backend.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RequestParts<'a> {
    /// Whose key it is.
    pub scope: &'a Scope,
    /// Which key.
    pub key: &'a Key,
    /// What is being done.
    pub operation: Option<&'a str>,
    /// What retries must repeat.
    pub fingerprint: &'a Fingerprint,
    /// Who asks.
    pub caller: Option<&'a Caller>,
    /// How long the record is replayed, counted from completion.
    pub ttl: Option<Duration>,
    /// Until when nobody may take the claim over, counted from the claim.
    pub lease: Option<Duration>,
    /// What becomes of the claim if nobody ends it.
    pub on_drop: Option<DropPolicy>,
}

impl ClaimRequest {
    /// A request for `key` of `scope`, with an empty operation and payload and the store's
    /// defaults.
    #[must_use]
    pub fn new(scope: Scope, key: Key) -> Self {
        Self {
            scope,
            key,
            operation: None,
            fingerprint: Fingerprint::EMPTY,
            caller: None,
            terms: Terms::default(),
            owner: None,
        }
    }

    /// What is being done (`POST /v1/charges`); compared as the payload is.
    #[must_use]
    pub fn operation(mut self, operation: impl Into<Arc<str>>) -> Self {
        let operation = operation.into();
        self.fingerprint.set_operation(&operation);
        self.operation = Some(operation);
        self
    }

    /// The payload that retries must repeat. Only its digest is kept.
    #[must_use]
    pub fn payload(mut self, payload: impl AsRef<[u8]>) -> Self {
        self.fingerprint.set_payload(payload.as_ref());
        self
    }

    /// A fingerprint computed by the caller, in place of the digests of operation and payload. Give
    /// it after [`operation`](Self::operation), which is still part of the downstream key.
    #[must_use]
    pub fn fingerprint(mut self, fingerprint: Fingerprint) -> Self {
        self.fingerprint = fingerprint;
        self
    }

    /// Who asks.
    #[must_use]
    pub fn caller(mut self, caller: Caller) -> Self {
        self.caller = Some(Arc::new(caller));
        self
    }

    /// How long the record is replayed, counted from completion, in place of the store's default.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.terms.ttl = Some(ttl);
        self
    }

    /// Until when nobody may take the claim over, counted from the claim, in place of the store's
    /// default.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.terms.lease = Some(lease);
        self
    }

    /// What becomes of the claim if it is dropped without an end, in place of the store's default.
    #[must_use]
    pub fn on_drop(mut self, policy: DropPolicy) -> Self {
        self.terms.on_drop = Some(policy);
        self
    }

    /// A request whose fingerprint was computed by the caller, and nothing is to be digested for.
    #[cfg(feature = "http")]
    pub(crate) fn of(
        (scope, key): (Scope, Key),
        operation: Arc<str>,
        fingerprint: Fingerprint,
        caller: Option<Arc<Caller>>,
        terms: Terms,
    ) -> Self {
        let operation = Some(operation);
        Self { scope, key, operation, fingerprint, caller, terms, owner: None }
    }

    /// All that the request says.
    #[must_use]
    pub fn parts(&self) -> RequestParts<'_> {
        RequestParts {
            scope: &self.scope,
            key: &self.key,
            operation: self.operation.as_deref(),
            fingerprint: &self.fingerprint,
            caller: self.caller.as_deref(),
            ttl: self.terms.ttl,
            lease: self.terms.lease,
            on_drop: self.terms.on_drop,
        }
    }
}
