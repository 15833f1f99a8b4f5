//! A store's answers as a history has them.
//!
//! An error that decided nothing is a refusal: such a call is struck out of the history.

use super::history::{Digest, Response, Seen};
use super::recorder::Told;
use crate::{Checkpoint, CompleteError, Entry, Error, ErrorKind, Outcome, Record, Result};
use crate::{StoredResponse, Unresolved};

/// What stands for a stored response.
pub(crate) fn digest(response: &StoredResponse) -> Digest {
    Digest::of(response.status(), response.body())
}

/// What stands for a checkpoint.
pub(crate) fn digest_of_checkpoint(checkpoint: &Checkpoint) -> Digest {
    let name = checkpoint.name().as_bytes();
    Digest::of(u32::try_from(name.len()).unwrap_or(u32::MAX), &[name, checkpoint.data()].concat())
}

/// Of a claim, or of waiting for somebody else's.
pub(crate) fn claim(told: &Result<Outcome>) -> Told {
    let outcome = match told {
        Ok(outcome) => outcome,
        Err(error) => return failure(error),
    };
    Told::Response(match outcome {
        Outcome::Claimed(claim) => Response::Claimed {
            token: claim.token().get(),
            attempt: claim.attempt(),
            checkpoint: claim.checkpoint().map(digest_of_checkpoint),
        },
        Outcome::Replay(record) => seen(record),
        Outcome::InFlight(flight) => {
            let left = flight.lease_left().map(|left| left.as_millis());
            Response::InFlight {
                attempt: flight.attempt(),
                lease_left_ms: left.map(|ms| u64::try_from(ms).unwrap_or(u64::MAX)),
            }
        }
        Outcome::Mismatch(mismatch) => {
            Response::Mismatch { differs: mismatch.differs_in(), in_flight: mismatch.in_flight() }
        }
        Outcome::Unresolved(unresolved) => response_of(unresolved),
        Outcome::Expired(late) => Response::Expired {
            completed_ms: late.completed_at().map(crate::StoreTime::as_millis),
            expired_ms: late.expired_at().as_millis(),
        },
    })
}

/// Of a completion.
pub(crate) fn complete(told: &std::result::Result<Record, CompleteError>) -> Told {
    match told {
        Ok(record) => Told::Response(seen(record)),
        Err(error) => failure(error.error()),
    }
}

/// Of what only succeeds or fails: release, extend, checkpoint, resolve.
pub(crate) fn done(told: &Result<()>) -> Told {
    match told {
        Ok(()) => Told::Response(Response::Done),
        Err(error) => failure(error),
    }
}

/// Of a forget.
pub(crate) fn forget(told: &Result<bool>) -> Told {
    match told {
        Ok(was_there) => Told::Response(Response::Forgotten(*was_there)),
        Err(error) => failure(error),
    }
}

/// Of a look.
pub(crate) fn get(told: &Result<Option<Entry>>) -> Told {
    Told::Response(match told {
        Ok(None) => Response::Nothing,
        Ok(Some(Entry::Completed(record))) => seen(record),
        Ok(Some(Entry::InFlight { token, attempt, .. })) => {
            Response::Held { token: token.get(), attempt: *attempt }
        }
        Ok(Some(Entry::Unresolved(unresolved))) => response_of(unresolved),
        Err(_) => return Told::Refused,
    })
}

fn seen(record: &Record) -> Response {
    Response::Record(Seen {
        token: record.token().get(),
        attempt: record.attempt(),
        answer: digest(record.response()),
        completed_ms: record.completed_at().as_millis(),
        expires_ms: record.expires_at().as_millis(),
    })
}

fn response_of(unresolved: &Unresolved) -> Response {
    Response::Unresolved { token: unresolved.token().get(), attempt: unresolved.attempt() }
}

fn failure(error: &Error) -> Told {
    match error.kind() {
        ErrorKind::LeaseLost => Told::Response(Response::LeaseLost),
        ErrorKind::NotFound => Told::Response(Response::NotFound),
        ErrorKind::InFlight => Told::Response(Response::Busy),
        ErrorKind::OutcomeUnknown => Told::Unknown,
        _ => Told::Refused,
    }
}
