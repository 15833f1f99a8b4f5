//! Every decision about a key, as a step from one value to the next: no database, no clock.
//!
//! The order of the questions is that of the engine: another fingerprint first, then the record,
//! then the attempt that is unresolved, then the owner's own claim, then the lease.

use std::time::Duration;

use super::value::{State, Value};
use crate::backend::{Granted, InFlight, Outcome, OwnerId, RecordParts};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{StoreTime, Token};
use crate::store::{Late, Mismatch, Record, Resolution, Unresolved};
use crate::types::{Checkpoint, ClaimRequest, DropPolicy, Fingerprint, StoredResponse};

/// What becomes of a key's value.
pub(super) enum Next {
    Same,
    Put(Value),
    Remove,
}

/// The time of a decision: expiry and lease ends are judged by the earlier, deadlines are counted
/// from the later (they differ while a leap of the clock is in doubt).
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) now_ms: u64,
    pub(super) latest_ms: u64,
}

/// A claim with everything that its request left open.
pub(super) struct Asked {
    pub(super) request: ClaimRequest,
    pub(super) owner: OwnerId,
    pub(super) ttl_ms: u64,
    pub(super) lease_ms: Option<u64>,
    pub(super) policy: DropPolicy,
    pub(super) refuse_late: bool,
}

impl Asked {
    fn lease_end(&self, moment: Moment) -> Option<u64> {
        self.lease_ms.map(|lease_ms| moment.latest_ms.saturating_add(lease_ms))
    }

    /// The claim as its winner is told of it.
    fn granted(&self, value: &Value, late: Option<Late>) -> Outcome {
        let token = Token::new(value.token);
        let granted = Granted::new(&self.request, self.owner, token, value.attempt)
            .with_lease(self.lease_ms.map(Duration::from_millis))
            .with_checkpoint(value.checkpoint.clone())
            .with_late_retry(late);
        Outcome::Claimed(granted)
    }

    /// A claim by this owner: the first, or one that follows another.
    fn begin(&self, token: u64, moment: Moment, earlier: Option<&Value>) -> Value {
        Value {
            token,
            attempt: earlier.map_or(1, |earlier| earlier.attempt.saturating_add(1)),
            fingerprint: *self.request.fingerprint.as_bytes(),
            owner: self.owner,
            since_ms: moment.latest_ms,
            ttl_ms: self.ttl_ms,
            policy: self.policy,
            checkpoint: earlier.and_then(|earlier| earlier.checkpoint.clone()),
            state: State::Held { until_ms: self.lease_end(moment), dropped: false },
        }
    }
}

/// Decides a claim. `draw` gives the next token.
pub(super) fn claim<E>(
    asked: &Asked,
    value: Option<Value>,
    moment: Moment,
    draw: impl FnOnce() -> std::result::Result<u64, E>,
) -> std::result::Result<(Outcome, Next), E> {
    let win = |token: u64, earlier: Option<&Value>, late: Option<Late>| {
        let next = asked.begin(token, moment, earlier);
        (asked.granted(&next, late), Next::Put(next))
    };
    let Some(value) = value else { return Ok(win(draw()?, None, None)) };
    let completed = matches!(value.state, State::Completed { .. });
    if completed && value.expires_ms() <= moment.now_ms {
        let late = late_of(&value);
        if asked.refuse_late {
            return Ok((Outcome::Expired(late), Next::Same));
        }
        return Ok(win(draw()?, None, Some(late)));
    }
    let fingerprint = Fingerprint::from_bytes(value.fingerprint);
    if let Some(difference) = asked.request.fingerprint.difference(&fingerprint) {
        return Ok((Outcome::Mismatch(Mismatch::new(difference, !completed)), Next::Same));
    }
    match value.state {
        State::Completed { .. } => Ok((Outcome::Replay(record(value, true)), Next::Same)),
        State::Unresolved => Ok((unresolved(asked, &value), Next::Same)),
        State::Held { dropped: false, .. } if value.owner == asked.owner => {
            let until_ms = asked.lease_end(moment);
            let next = Value { state: State::Held { until_ms, dropped: false }, ..value };
            Ok((asked.granted(&next, None), Next::Put(next)))
        }
        State::Held { until_ms, .. } if until_ms.is_none_or(|until| moment.now_ms < until) => {
            let left = until_ms.map(|until| Duration::from_millis(until - moment.now_ms));
            Ok((Outcome::InFlight(InFlight::new(value.attempt, left)), Next::Same))
        }
        State::Held { .. } if value.policy == DropPolicy::Unresolved => {
            let since_ms = moment.latest_ms;
            let next = Value { state: State::Unresolved, since_ms, ..value };
            Ok((unresolved(asked, &next), Next::Put(next)))
        }
        State::Held { .. } => Ok(win(draw()?, Some(&value), None)),
    }
}

fn late_of(value: &Value) -> Late {
    let completed_at = StoreTime::from_millis(value.since_ms);
    Late::from_times(Some(completed_at), StoreTime::from_millis(value.expires_ms()))
}

fn unresolved(asked: &Asked, value: &Value) -> Outcome {
    let (scope, key) = (asked.request.scope.clone(), asked.request.key.clone());
    let since = StoreTime::from_millis(value.since_ms);
    let token = Token::new(value.token);
    Outcome::Unresolved(Unresolved::new(scope, key, token, value.attempt, since))
}

/// The record of a completed value; an empty one of any other, which nobody asks for.
pub(super) fn record(value: Value, replayed: bool) -> Record {
    let expires_at = StoreTime::from_millis(value.expires_ms());
    let response = match value.state {
        State::Completed { status, body } => StoredResponse::new(body).with_status(status),
        State::Held { .. } | State::Unresolved => StoredResponse::default(),
    };
    let parts = RecordParts {
        token: Token::new(value.token),
        attempt: value.attempt,
        fingerprint: Fingerprint::from_bytes(value.fingerprint),
        completed_at: StoreTime::from_millis(value.since_ms),
        expires_at,
        response,
    };
    Record::from_parts(parts, replayed)
}

/// Completes a claim, or finds that the same was done before.
pub(super) fn complete(
    token: u64,
    response: &StoredResponse,
    value: Option<Value>,
    moment: Moment,
) -> Result<(Record, Next)> {
    let value = of_claim(token, value)?;
    if is_same(&value, response) && value.expires_ms() > moment.now_ms {
        return Ok((record(value, true), Next::Same));
    }
    let next = completed(not_over(value)?, response, moment);
    Ok((record(next.clone(), false), Next::Put(next)))
}

fn completed(value: Value, response: &StoredResponse, moment: Moment) -> Value {
    let (status, body) = (response.status(), response.body().to_vec());
    let state = State::Completed { status, body };
    Value { state, since_ms: moment.latest_ms, checkpoint: None, ..value }
}

fn is_same(value: &Value, response: &StoredResponse) -> bool {
    matches!(&value.state, State::Completed { status, body }
        if *status == response.status() && body == response.body())
}

pub(super) fn release(token: u64, value: Option<Value>) -> Result<((), Next)> {
    not_over(of_claim(token, value)?)?;
    Ok(((), Next::Remove))
}

pub(super) fn abandon(token: u64, value: Option<Value>, moment: Moment) -> Result<((), Next)> {
    let value = held(of_claim(token, value)?)?;
    let State::Held { until_ms, .. } = value.state else { return Err(lease_lost()) };
    let next = match value.policy {
        DropPolicy::Hold => {
            Next::Put(Value { state: State::Held { until_ms, dropped: true }, ..value })
        }
        DropPolicy::Release if value.attempt == 1 => Next::Remove,
        // What earlier attempts did is still unknown: the next is told that it is not the first.
        DropPolicy::Release => {
            let state = State::Held { until_ms: Some(0), dropped: true };
            Next::Put(Value { state, policy: DropPolicy::Hold, ..value })
        }
        DropPolicy::Unresolved => {
            Next::Put(Value { state: State::Unresolved, since_ms: moment.latest_ms, ..value })
        }
    };
    Ok(((), next))
}

pub(super) fn extend(
    token: u64,
    lease_ms: u64,
    value: Option<Value>,
    moment: Moment,
) -> Result<((), Next)> {
    let value = held(of_claim(token, value)?)?;
    if matches!(value.state, State::Held { dropped: true, .. }) {
        return Err(lease_lost());
    }
    let until_ms = Some(moment.latest_ms.saturating_add(lease_ms));
    Ok(((), Next::Put(Value { state: State::Held { until_ms, dropped: false }, ..value })))
}

pub(super) fn checkpoint(
    token: u64,
    checkpoint: &Checkpoint,
    value: Option<Value>,
) -> Result<((), Next)> {
    let value = held(of_claim(token, value)?)?;
    Ok(((), Next::Put(Value { checkpoint: Some(checkpoint.clone()), ..value })))
}

pub(super) fn resolve(
    token: u64,
    resolution: &Resolution,
    value: Option<Value>,
    moment: Moment,
) -> Result<((), Next)> {
    let nothing = || Error::new(ErrorKind::NotFound, "nothing is unresolved for this key");
    let value = value.filter(|value| value.token == token).ok_or_else(nothing)?;
    match (&value.state, resolution) {
        (State::Unresolved, Resolution::NotExecuted) => Ok(((), Next::Remove)),
        (State::Unresolved, Resolution::Completed(response)) => {
            Ok(((), Next::Put(completed(value, response, moment))))
        }
        (State::Completed { .. }, Resolution::Completed(response))
            if is_same(&value, response) && value.expires_ms() > moment.now_ms =>
        {
            Ok(((), Next::Same))
        }
        (State::Completed { .. }, _) => Err(nothing()),
        (State::Held { .. }, _) => {
            let what = "the key is in flight, not unresolved: its holder decides";
            Err(Error::new(ErrorKind::InFlight, what))
        }
    }
}

/// The value, if it is that of this claim.
fn of_claim(token: u64, value: Option<Value>) -> Result<Value> {
    value.filter(|value| value.token == token).ok_or_else(lease_lost)
}

/// The same, if the claim may still end.
fn not_over(value: Value) -> Result<Value> {
    if matches!(value.state, State::Completed { .. }) { Err(lease_lost()) } else { Ok(value) }
}

fn held(value: Value) -> Result<Value> {
    if matches!(value.state, State::Held { .. }) { Ok(value) } else { Err(lease_lost()) }
}

fn lease_lost() -> Error {
    Error::new(
        ErrorKind::LeaseLost,
        "this claim is over: it was taken over, completed, dropped, released or resolved",
    )
}
