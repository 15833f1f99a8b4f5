//! What the store answered, in the model's terms.

use super::page::{Done, body_of};
use crate::engine::{Completed, Decision, LateRecord};
use crate::{Checkpoint, Difference, Entry, Late, Outcome, Record};

/// The answer to a claim: as it was decided, or as it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Claimed { token: u64, attempt: u32, checkpoint: Option<u64>, late: Option<Past> },
    Replay(Shown),
    InFlight { attempt: u32 },
    Mismatch { difference: Difference, in_flight: bool },
    Unresolved { token: u64, attempt: u32 },
    Expired(Past),
}

/// What is said of a record that a retry came too late for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Past {
    /// Not known of a key that is only remembered.
    pub(crate) completed_ms: Option<u64>,
    pub(crate) expired_ms: u64,
}

/// A record as the store shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) token: u64,
    pub(crate) attempt: u32,
    /// The length of the response; `None` if its bytes are not those of its token.
    pub(crate) size: Option<usize>,
    pub(crate) completed_ms: u64,
    pub(crate) expires_ms: u64,
}

impl Shown {
    fn new(token: u64, attempt: u32, body: &[u8], completed_ms: u64, expires_ms: u64) -> Self {
        let size = (body == body_of(token, body.len())).then_some(body.len());
        Self { token, attempt, size, completed_ms, expires_ms }
    }

    fn of_completed(completed: &Completed) -> Self {
        Self::new(
            completed.token.get(),
            completed.attempt,
            completed.response.body(),
            completed.completed_at.as_millis(),
            completed.expires_at.as_millis(),
        )
    }

    pub(crate) fn of_record(record: &Record) -> Self {
        Self::new(
            record.token().get(),
            record.attempt(),
            record.response().body(),
            record.completed_at().as_millis(),
            record.expires_at().as_millis(),
        )
    }

    pub(crate) fn is(&self, done: &Done) -> bool {
        let Done { token, attempt, size, completed_ms, expires_ms, .. } = *done;
        *self == Self { token, attempt, size: Some(size), completed_ms, expires_ms }
    }
}

impl Past {
    fn of_late(late: Late) -> Self {
        let completed = late.completed_at();
        let completed_ms = completed.map(crate::StoreTime::as_millis);
        Self { completed_ms, expired_ms: late.expired_at().as_millis() }
    }

    /// Whether this is said of a record. What is only remembered is rounded up to a second.
    pub(crate) fn is_of(&self, done: &Done) -> bool {
        match self.completed_ms {
            Some(ms) => (ms, self.expired_ms) == (done.completed_ms, done.expires_ms),
            None => (0..1000).contains(&self.expired_ms.wrapping_sub(done.expires_ms)),
        }
    }

    fn of_record(late: LateRecord) -> Self {
        Self::of_late(Late::new(late))
    }
}

impl Said {
    pub(crate) fn decided(decision: &Decision) -> Self {
        match decision {
            Decision::Claimed(granted) => Self::Claimed {
                token: granted.token.get(),
                attempt: granted.attempt,
                checkpoint: number_of(granted.checkpoint.as_ref()),
                late: granted.late.map(Past::of_record),
            },
            Decision::Replay(completed) => Self::Replay(Shown::of_completed(completed)),
            Decision::InFlight { attempt, .. } => Self::InFlight { attempt: *attempt },
            Decision::Mismatch { difference, in_flight } => {
                Self::Mismatch { difference: *difference, in_flight: *in_flight }
            }
            Decision::Unresolved { token, attempt, .. } => {
                Self::Unresolved { token: token.get(), attempt: *attempt }
            }
            Decision::Expired(late) => Self::Expired(Past::of_record(*late)),
        }
    }

    pub(crate) fn told(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Claimed(claim) => Self::Claimed {
                token: claim.token().get(),
                attempt: claim.attempt(),
                checkpoint: number_of(claim.checkpoint()),
                late: claim.late_retry().map(Past::of_late),
            },
            Outcome::Replay(record) => Self::Replay(Shown::of_record(record)),
            Outcome::InFlight(flight) => Self::InFlight { attempt: flight.attempt() },
            Outcome::Mismatch(mismatch) => Self::Mismatch {
                difference: mismatch.differs_in(),
                in_flight: mismatch.in_flight(),
            },
            Outcome::Unresolved(held) => {
                Self::Unresolved { token: held.token().get(), attempt: held.attempt() }
            }
            Outcome::Expired(late) => Self::Expired(Past::of_late(*late)),
        }
    }
}

/// What a look at a key shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Nothing,
    InFlight {
        token: u64,
        attempt: u32,
    },
    Unresolved {
        token: u64,
        attempt: u32,
    },
    Done(Shown),
    /// The record is damaged, or one that may be it.
    Unreadable,
}

impl Seen {
    pub(crate) fn new(entry: Option<&Entry>) -> Self {
        match entry {
            None => Self::Nothing,
            Some(Entry::Completed(record)) => Self::Done(Shown::of_record(record)),
            Some(Entry::InFlight { token, attempt, .. }) => {
                Self::InFlight { token: token.get(), attempt: *attempt }
            }
            Some(Entry::Unresolved(held)) => {
                Self::Unresolved { token: held.token().get(), attempt: held.attempt() }
            }
        }
    }
}

/// Checkpoints carry a number.
pub(crate) fn checkpoint_of(number: u64) -> Option<Checkpoint> {
    Checkpoint::new("step", number.to_le_bytes()).ok()
}

fn number_of(checkpoint: Option<&Checkpoint>) -> Option<u64> {
    let bytes = checkpoint?.data().try_into().ok()?;
    Some(u64::from_le_bytes(bytes))
}
