//! What the engine tells the audit: each decision once, where it is taken.
//!
//! What is decided under a key's lock is handed over under it, so that the events of a key have the
//! order of its decisions; that takes no lock, but once in an eighth of the ring, to wake the
//! audit thread. What is answered from the disk, with no lock held, is handed over when it is
//! answered.
//!
//! An event says what was decided, not that it reached the disk: a store that fails meanwhile says
//! so by an event of its own.

use super::Engine;
use super::claim::OpenClaim;
use super::flight::{Completed, Flight};
use crate::audit::{Digest, Draft, EventKind, Seen};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{KeyHash, StoreTime, Token};
use crate::telemetry::events;
use crate::types::{Difference, Key, Scope};

/// The wall clock must move by this much against the monotonic one to be worth an event.
const STEP_MS: u64 = 1000;

/// What a claim met, or made.
#[derive(Debug, Default)]
pub(super) struct Met {
    pub(super) token: Option<Token>,
    pub(super) attempt: u32,
    /// Since when it is there, or over.
    pub(super) since: Option<StoreTime>,
    pub(super) differs: Option<Difference>,
    pub(super) holder: Digest,
}

impl Met {
    /// A claim in flight.
    pub(super) fn flight(flight: &Flight) -> Self {
        Self {
            token: Some(flight.token),
            attempt: flight.attempt,
            since: Some(flight.claimed_at),
            differs: None,
            holder: flight.digest.unwrap_or_default(),
        }
    }

    /// A record.
    pub(super) fn record(record: &Completed) -> Self {
        Self {
            token: Some(record.token),
            attempt: record.attempt,
            since: Some(record.completed_at),
            differs: None,
            holder: record.digest.unwrap_or_default(),
        }
    }

    pub(super) fn differing(self, differs: Difference) -> Self {
        Self { differs: Some(differs), ..self }
    }
}

impl Engine {
    /// A claim was answered.
    pub(super) fn audit_claim(
        &self,
        kind: EventKind,
        claim: &OpenClaim,
        at: Option<StoreTime>,
        met: impl FnOnce() -> Met,
    ) {
        // Who waits looks again and again.
        if claim.waits_since_ms.is_some() && kind == EventKind::InFlight {
            return;
        }
        if let Some(judged) = self.audit.record(|| self.draft_of_claim(kind, claim, at, met())) {
            *claim.judged.lock() = Some(judged);
        }
    }

    /// Whether the guard, if there is one, lets a claim be answered.
    pub(crate) fn guard(&self, claim: &OpenClaim) -> Result<()> {
        let Some(judged) = claim.judged.lock().take() else { return Ok(()) };
        if !self.audit.refuses(&judged) {
            return Ok(());
        }
        let met =
            || Met { token: judged.event.token, attempt: judged.event.attempt, ..Met::default() };
        self.audit_claim(EventKind::Refused, claim, None, met);
        let message = format!(
            "the guard of the store refused a collision of key {}: {} ({})",
            claim.hash, judged.judgement.verdict, judged.judgement.reasons
        );
        Err(Error::new(ErrorKind::Refused, message))
    }

    fn draft_of_claim(
        &self,
        kind: EventKind,
        claim: &OpenClaim,
        at: Option<StoreTime>,
        met: Met,
    ) -> Draft {
        let request = &claim.request;
        let at = at.unwrap_or_else(|| self.time.latest());
        let waited = |since: u64| self.time.monotonic_ms().saturating_sub(since);
        let kind = match kind {
            EventKind::Replayed if claim.waits_since_ms.is_some() => EventKind::Waited,
            kind => kind,
        };
        let is_first = matches!(kind, EventKind::Claimed | EventKind::LateRetry);
        Draft {
            key_hash: self.audit.key_hash(claim.hash, &request.scope, &request.key),
            seen: claim.seen,
            texts: self.audit.texts(&claim.seen, request),
            token: met.token.unwrap_or(Token(0)),
            attempt: met.attempt,
            age_ms: met.since.map(|since| at.ms_since(since)).into(),
            duration_ms: claim.waits_since_ms.map(waited).into(),
            differs: met.differs,
            holder: met.holder,
            shape: if is_first { self.audit.shape(&request.key) } else { None },
            ..Draft::new(kind, at)
        }
    }

    /// Somebody waited for another's claim until the limit was reached.
    pub(crate) fn audit_gave_up(&self, claim: &OpenClaim, attempt: u32) {
        let met = || Met { attempt, ..Met::default() };
        self.audit_claim(EventKind::Waited, claim, None, met);
    }

    /// A claim was refused.
    pub(super) fn audit_refusal(&self, claim: &OpenClaim, error: &Error) {
        if matches!(error.kind(), ErrorKind::LimitExceeded | ErrorKind::DiskFull) {
            self.audit_claim(EventKind::Limited, claim, None, Met::default);
        }
    }

    /// A claim ended, or its holder is gone.
    pub(super) fn audit_end(&self, kind: EventKind, flight: &Flight, at: Option<StoreTime>) {
        self.audit.record(|| {
            let at = at.unwrap_or_else(|| self.time.latest());
            let Flight { hash, scope, key, seen, .. } = flight;
            // A claim from before the store was opened has not been seen.
            let label = seen.scope.or_else(|| self.audit.scope(scope));
            Draft {
                key_hash: self.audit.key_hash(*hash, scope, key),
                seen: Seen { scope: label, ..seen.without_request() },
                token: flight.token,
                attempt: flight.attempt,
                duration_ms: Some(at.ms_since(flight.claimed_at)).into(),
                ..Draft::new(kind, at)
            }
        });
    }

    /// Attempts whose process died, and that must not run twice. Their tokens rise.
    pub(super) fn audit_left_by_a_crash(&self, tokens: &[Token]) {
        if tokens.is_empty() || !self.audit.is_on() {
            return;
        }
        for shard in &self.shards {
            let shard = shard.lock();
            let left = shard.flights().filter(|flight| tokens.binary_search(&flight.token).is_ok());
            left.for_each(|flight| self.audit_end(EventKind::LeftUnresolved, flight, None));
        }
    }

    /// A holder whose claim was over was refused.
    pub(crate) fn audit_stale(
        &self,
        (hash, scope, key): (KeyHash, &Scope, &Key),
        (token, attempt): (Token, u32),
        error: &Error,
    ) {
        if error.kind() != ErrorKind::LeaseLost {
            return;
        }
        self.audit.record(|| Draft {
            token,
            attempt,
            ..self.draft_of_key(EventKind::StaleHolder, (hash, scope, key))
        });
    }

    /// A record was forgotten.
    pub(super) fn audit_forgotten(&self, named: (KeyHash, &Scope, &Key), record: &Completed) {
        self.audit.record(|| {
            let draft = self.draft_of_key(EventKind::Forgotten, named);
            Draft {
                token: record.token,
                attempt: record.attempt,
                age_ms: Some(draft.at.ms_since(record.completed_at)).into(),
                ..draft
            }
        });
    }

    fn draft_of_key(&self, kind: EventKind, (hash, scope, key): (KeyHash, &Scope, &Key)) -> Draft {
        Draft {
            key_hash: self.audit.key_hash(hash, scope, key),
            seen: Seen { scope: self.audit.scope(scope), ..Seen::default() },
            ..Draft::new(kind, self.time.latest())
        }
    }

    /// The first failure of the disk.
    pub(super) fn tell_poisoned(&self, cause: &Error) {
        self.audit.record(|| Draft::new(EventKind::Poisoned, self.time.latest()));
        events::poisoned(self.store_id, cause);
    }

    /// Looks whether the clock has stepped since the last time.
    pub(super) fn audit_clock(&self) {
        if !self.audit.is_on() {
            return;
        }
        // A leap of the monotonic clock (a suspend) moves no wall clock against it.
        let step_ms = self.audit.wall_step_ms(&self.time);
        let leap_ms = self.audit.rise_of_leap_ms(self.time.held_back_ms());
        let duration_ms = step_ms.max(leap_ms);
        if duration_ms >= STEP_MS {
            self.audit.record(|| Draft {
                duration_ms: Some(duration_ms).into(),
                ..Draft::new(EventKind::ClockStep, self.time.latest())
            });
        }
    }
}
