//! What a claim call of a backend answers, as plain data.

use std::time::Duration;

use super::Granted;
use crate::store::{Late, Mismatch, Record, Unresolved};
use crate::types::Caller;

/// What [`Backend::claim`](super::Backend::claim) and [`Backend::wait`](super::Backend::wait)
/// answer: the outcomes of [`oncekey::Outcome`](crate::Outcome), without guards.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Outcome {
    /// The caller executes the key, and nobody else does. It was won by this call, or by an earlier
    /// one with the same owner id.
    Claimed(Granted),
    /// The key was completed: the first answer, byte for byte.
    Replay(Record),
    /// Somebody else is executing the key: wait for the end, or tell the client to come back.
    InFlight(InFlight),
    /// The key belongs to another request: never its response, and never the claim.
    Mismatch(Mismatch),
    /// An attempt ended with its effect unknown; nobody runs until somebody resolves it.
    Unresolved(Unresolved),
    /// The key's record has expired, and the backend refuses late retries.
    Expired(Late),
}

/// Somebody else is executing the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    attempt: u32,
    lease_left: Option<Duration>,
    holder: Option<Caller>,
}

impl InFlight {
    /// The attempt that runs, and how long its lease lasts (`None`: it has no deadline).
    #[must_use]
    pub fn new(attempt: u32, lease_left: Option<Duration>) -> Self {
        Self { attempt, lease_left, holder: None }
    }

    /// Adds who holds the claim.
    #[must_use]
    pub fn with_holder(mut self, holder: Option<Caller>) -> Self {
        self.holder = holder;
        self
    }

    /// The attempt that is running.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// How long the holder's lease lasts; `None` if it has no deadline.
    #[must_use]
    pub fn lease_left(&self) -> Option<Duration> {
        self.lease_left
    }

    /// Who holds the claim, as far as its request said and the backend keeps it.
    #[must_use]
    pub fn holder(&self) -> Option<&Caller> {
        self.holder.as_ref()
    }

    /// When to come back: in a second, or when the lease is over if that is sooner.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        const SOON: Duration = Duration::from_secs(1);
        self.lease_left.unwrap_or(SOON).clamp(Duration::from_millis(1), SOON)
    }
}
