//! What a claim call answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Claim, FlightCall, Inner, Record, Unresolved};
use crate::engine::{LateRecord, OpenClaim, Signal};
use crate::ids::StoreTime;
use crate::types::{Caller, Difference};

/// What a claim call answers.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The caller executes the key, and nobody else does.
    Claimed(Claim),
    /// The key was completed: the first answer, byte for byte.
    Replay(Record),
    /// Somebody is executing the key: wait for the end, or tell the client to come back.
    InFlight(InFlight),
    /// The key belongs to another request: never its response, and never the claim.
    Mismatch(Mismatch),
    /// An attempt ended with its effect unknown; nobody runs until somebody resolves it.
    Unresolved(Unresolved),
    /// The key's record has expired, and the store refuses late retries
    /// ([`Options::refuse_late_retries`](crate::Options::refuse_late_retries)).
    Expired(Late),
}

/// Somebody is executing the key.
pub struct InFlight {
    pub(crate) inner: Arc<Inner>,
    pub(crate) claim: Box<OpenClaim>,
    pub(crate) ended: Arc<Signal>,
    pub(crate) lease_left_ms: Option<u64>,
    pub(crate) caller: Option<Arc<Caller>>,
    pub(crate) attempt: u32,
}

impl InFlight {
    /// Waits until that claim has ended, at most this long. What it answers is an outcome again:
    /// the replay as a rule, a claim if the holder gave up, or `InFlight` once more when the limit
    /// is reached.
    pub fn wait(self, limit: Duration) -> FlightCall {
        FlightCall::new(self.inner, self.claim, limit)
    }

    /// When to come back: in a second, or when the lease is over if that is sooner.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        const SOON_MS: u64 = 1000;
        Duration::from_millis(self.lease_left_ms.unwrap_or(SOON_MS).clamp(1, SOON_MS))
    }

    /// How long the holder's lease lasts; `None` if it has no deadline.
    #[must_use]
    pub fn lease_left(&self) -> Option<Duration> {
        self.lease_left_ms.map(Duration::from_millis)
    }

    /// Who holds the claim, as far as its request said.
    #[must_use]
    pub fn holder(&self) -> Option<&Caller> {
        self.caller.as_deref()
    }

    /// The attempt that is running.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight")
            .field("attempt", &self.attempt)
            .field("lease_left_ms", &self.lease_left_ms)
            .finish_non_exhaustive()
    }
}

/// The key was claimed or completed by another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mismatch {
    pub(crate) difference: Difference,
    pub(crate) in_flight: bool,
}

impl Mismatch {
    /// What a [`Backend`](crate::backend::Backend) found to differ, and whether the first request
    /// is still in flight or unresolved.
    #[must_use]
    pub const fn new(difference: Difference, in_flight: bool) -> Self {
        Self { difference, in_flight }
    }

    /// What differs from the first request.
    #[must_use]
    pub fn differs_in(&self) -> Difference {
        self.difference
    }

    /// Whether the first request is still in flight (or unresolved) rather than completed.
    #[must_use]
    pub fn in_flight(&self) -> bool {
        self.in_flight
    }
}

/// A record that a request came too late for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Late {
    record: LateRecord,
}

impl Late {
    pub(crate) fn new(record: LateRecord) -> Self {
        Self { record }
    }

    /// A record that a [`Backend`](crate::backend::Backend) knows to have expired; when it was
    /// completed may be forgotten.
    #[must_use]
    pub const fn from_times(completed_at: Option<StoreTime>, expired_at: StoreTime) -> Self {
        Self { record: LateRecord { completed_at, expired_at } }
    }

    /// When the key was completed (or abandoned). `None` if its record is gone and the key is only
    /// remembered ([`Options::remember_late`](crate::Options::remember_late)).
    #[must_use]
    pub fn completed_at(&self) -> Option<StoreTime> {
        self.record.completed_at
    }

    /// When its record expired. Of a key that is only remembered this is rounded up to a second of
    /// the store's own count, and never later than now.
    #[must_use]
    pub fn expired_at(&self) -> StoreTime {
        self.record.expired_at
    }
}
