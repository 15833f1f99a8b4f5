//! Ending a claim: completion, release, the unknown end, and what a holder says midway.
//!
//! Every call here names the claim's token. A token that is no longer its key's newest is refused
//! (promise 1).

use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use super::batch::{Effect, Ticket};
use super::flight::{Completed, Flight, State};
use super::shard::Shard;
use super::signal::Wakers;
use crate::audit::{Digest, Draft, EventKind};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{KeyHash, StoreTime, Token};
use crate::log::{Body, CompletionFrame, Frame, pack};
use crate::options::check_duration;
use crate::sabotage::{self, Bug};
use crate::sync::MutexGuard;
use crate::telemetry::events;
use crate::types::{Checkpoint, DropPolicy, Key, Scope, StoredResponse};

use std::task::Waker;

impl Engine {
    /// Completes a claim. On an error nothing was decided and the claim goes on.
    pub(crate) fn complete(
        &self,
        hash: KeyHash,
        token: Token,
        response: StoredResponse,
    ) -> std::result::Result<(Arc<Completed>, Ticket), (Error, StoredResponse)> {
        self.complete_as(EventKind::Completed, (hash, token), response)
    }

    /// Completes a claim for its holder, or for whoever resolves it.
    fn complete_as(
        &self,
        kind: EventKind,
        (hash, token): (KeyHash, Token),
        response: StoredResponse,
    ) -> std::result::Result<(Arc<Completed>, Ticket), (Error, StoredResponse)> {
        let limit = self.options.response_limit(self.segment_size);
        if response.body().len() > limit {
            let message = format!(
                "the response has {} bytes; at most {limit} are allowed \
                 (Options::max_response_bytes, and an eighth of a segment)",
                response.body().len()
            );
            return Err((Error::new(ErrorKind::LimitExceeded, message), response));
        }
        if let Err(error) = self.check_writable() {
            return Err((error, response));
        }
        // Before anything is locked.
        let is_long = response.body().len() >= self.options.compress_from_bytes;
        let packed = if is_long { pack(response.body()) } else { None };
        self.make_room(packed.as_deref().unwrap_or(response.body()).len() as u64);
        let mut shard = self.shard(hash).lock();
        if sabotage::is_on(Bug::ToldUndecided) {
            let attempt = shard.flight_of(hash, token).map_or(1, |flight| flight.attempt);
            let draft = Draft::new(kind, self.time.latest());
            self.audit.record(|| Draft { key_hash: hash.0, token, attempt, ..draft });
        }
        let Some(flight) = shard.flight_of(hash, token) else {
            return Err((lease_lost(), response));
        };
        if !may_end(flight, kind) {
            return Err((lease_lost(), response));
        }
        let completed = self.complete_flight(flight, response, packed.as_deref())?;
        if !sabotage::is_on(Bug::ToldUndecided) {
            self.audit_end(kind, flight, Some(completed.0.completed_at));
        }
        shard.counts.completions += 1;
        Ok(completed)
    }

    fn complete_flight(
        &self,
        flight: &mut Flight,
        response: StoredResponse,
        packed: Option<&[u8]>,
    ) -> std::result::Result<(Arc<Completed>, Ticket), (Error, StoredResponse)> {
        let stored_len = packed.unwrap_or(response.body()).len();
        // The flight's own reserve is there for this; only a body needs room beyond it.
        let needs_room = stored_len > 0;
        let hold = match needs_room.then(|| self.hold_room(stored_len as u64)).transpose() {
            Ok(hold) => hold,
            Err(error) => return Err((error, response)),
        };
        let completed_at = self.time.latest();
        let record = Completed {
            token: flight.token,
            attempt: flight.attempt,
            fingerprint: flight.fingerprint,
            completed_at,
            expires_at: completed_at.plus_ms(flight.ttl_ms),
            response,
            digest: flight.digest,
        };
        let frame = CompletionFrame {
            token: record.token,
            completed_at,
            ttl_ms: flight.ttl_ms,
            attempt: record.attempt,
            status: record.response.status(),
            scope: flight.scope.as_bytes(),
            key: flight.key.as_bytes(),
            fingerprint: record.fingerprint.as_bytes(),
            caller: record.digest.map(Digest::to_bytes),
            response: match packed {
                None => Body::Plain(record.response.body()),
                Some(bytes) => {
                    Body::Packed { plain_len: record.response.body().len() as u32, bytes }
                }
            },
        };
        let effect = Effect::Publish {
            hash: flight.hash,
            token: record.token,
            expires_at: record.expires_at,
        };
        let pushed = self.queue.lock().push(&Frame::Completion(frame), Some(effect));
        drop(hold);
        let ticket = match pushed {
            Ok(ticket) => ticket,
            Err(error) => return Err((error, record.response)),
        };
        let record = Arc::new(record);
        if matches!(flight.state, State::Unresolved { .. }) {
            self.limits.settle();
        }
        flight.state = State::Completing { record: record.clone() };
        flight.ticket = ticket;
        Ok((record, ticket))
    }

    /// Releases a claim: the key is free at once.
    pub(crate) fn release(&self, hash: KeyHash, token: Token) -> Result<Ticket> {
        self.release_as(EventKind::Released, hash, token)
    }

    fn release_as(&self, kind: EventKind, hash: KeyHash, token: Token) -> Result<Ticket> {
        self.check_writable()?;
        let mut shard = self.shard(hash).lock();
        let Some(flight) = shard.flight_of(hash, token) else { return Err(lease_lost()) };
        if !may_end(flight, kind) {
            return Err(lease_lost());
        }
        self.release_flight(shard, (hash, token), kind)
    }

    /// Frees the key of a flight that is there and not completing.
    pub(crate) fn release_flight(
        &self,
        mut shard: MutexGuard<'_, Shard>,
        (hash, token): (KeyHash, Token),
        kind: EventKind,
    ) -> Result<Ticket> {
        let mut wakers = Wakers::default();
        let ticket = self.queue.lock().push(&Frame::Release { token }, None)?;
        if let Some(flight) = shard.remove(hash, token) {
            self.audit_end(kind, &flight, None);
            drop(shard);
            self.limits.leave(&flight);
            flight.ring(&mut wakers);
        }
        self.counters.releases.add(1);
        Ok(ticket)
    }

    /// Takes back a claim whose holder never had it, or let go of it under the policy `Release`:
    /// anybody may claim the key at once. After a first attempt it is as new; after a later one it
    /// is abandoned, since what the earlier attempts did is still unknown.
    pub(crate) fn take_back(&self, hash: KeyHash, token: Token) -> Result<()> {
        self.check_writable()?;
        let mut wakers = Wakers::default();
        let shard = self.shard(hash).lock();
        self.take_back_flight(shard, (hash, token), &mut wakers).map(|_| ())
    }

    /// Takes back a claim whose caller went away before it was told; unless another call of the
    /// same owner may have told of it.
    pub(crate) fn take_back_untold(&self, hash: KeyHash, token: Token) -> Result<()> {
        self.check_writable()?;
        let mut wakers = Wakers::default();
        let mut shard = self.shard(hash).lock();
        let flight = shard.flight_of(hash, token).ok_or_else(lease_lost)?;
        if flight.owner.is_some_and(|owner| owner.again) {
            return Ok(());
        }
        self.take_back_flight(shard, (hash, token), &mut wakers).map(|_| ())
    }

    fn take_back_flight(
        &self,
        mut shard: MutexGuard<'_, Shard>,
        (hash, token): (KeyHash, Token),
        wakers: &mut Wakers,
    ) -> Result<Ticket> {
        let flight = shard.flight_of(hash, token).ok_or_else(lease_lost)?;
        if matches!(flight.state, State::Completing { .. }) {
            return Err(lease_lost());
        }
        if flight.attempt == 1 {
            return self.release_flight(shard, (hash, token), EventKind::Released);
        }
        self.audit_end(EventKind::Dropped, flight, None);
        // It may have become unresolved meanwhile.
        self.limits.change(flight, |flight| {
            flight.policy = DropPolicy::Hold;
            flight.state = State::Abandoned { at: self.time.latest() };
        });
        flight.ring(wakers);
        Ok(flight.ticket)
    }

    /// A holder without a guard lets go of its claim: what [`abandon`](Self::abandon) does, told.
    pub(crate) fn let_go_of(&self, hash: KeyHash, token: Token) -> Result<Ticket> {
        self.check_writable()?;
        let mut wakers = Wakers::default();
        let mut shard = self.shard(hash).lock();
        let flight = held(shard.flight_of(hash, token))?;
        match flight.policy {
            DropPolicy::Hold => {
                self.drop_hold(flight);
                Ok(flight.ticket)
            }
            DropPolicy::Unresolved => {
                self.mark_unresolved(flight, None, &mut wakers)?;
                let (ticket, attempt) = (flight.ticket, flight.attempt);
                drop(shard);
                events::unresolved(self.store_id, hash, token, attempt);
                Ok(ticket)
            }
            DropPolicy::Release => self.take_back_flight(shard, (hash, token), &mut wakers),
        }
    }

    fn drop_hold(&self, flight: &mut Flight) {
        if let State::Held { dropped, .. } = &mut flight.state
            && !std::mem::replace(dropped, true)
        {
            self.audit_end(EventKind::Dropped, flight, None);
        }
    }

    /// Claims that are held without a guard, and whose lease is not over.
    pub(crate) fn count_owned(&self) -> usize {
        let now_ms = self.time.monotonic_ms();
        let is_owned = |flight: &&Flight| {
            let held = matches!(flight.state, State::Held { dropped: false, .. });
            held && flight.owner.is_some() && !flight.lease_is_over(now_ms)
        };
        self.shards.iter().map(|shard| shard.lock().flights().filter(is_owned).count()).sum()
    }

    /// A holder lets go of its claim without having ended it. Returns whether anything was queued.
    pub(crate) fn abandon(&self, hash: KeyHash, token: Token) -> bool {
        let mut wakers = Wakers::default();
        let mut shard = self.shard(hash).lock();
        let Some(flight) = shard.flight_of(hash, token) else { return false };
        if !matches!(flight.state, State::Held { .. }) {
            return false;
        }
        match flight.policy {
            DropPolicy::Hold => {
                self.drop_hold(flight);
                false
            }
            DropPolicy::Unresolved => {
                let attempt = flight.attempt;
                let is_marked = self.mark_unresolved(flight, None, &mut wakers).is_ok();
                drop(shard);
                if is_marked {
                    events::unresolved(self.store_id, hash, token, attempt);
                }
                is_marked
            }
            DropPolicy::Release => {
                drop(shard);
                self.take_back(hash, token).is_ok()
            }
        }
    }

    /// Records that a claim's effect is unknown.
    pub(crate) fn mark_unresolved(
        &self,
        flight: &mut Flight,
        waker: Option<&Waker>,
        wakers: &mut Wakers,
    ) -> Result<StoreTime> {
        self.poison.check()?;
        let since = self.time.latest();
        let mut queue = self.queue.lock();
        let ticket = queue.push(&Frame::Unresolved { token: flight.token, since }, None)?;
        queue.wait_with(waker);
        self.limits.change(flight, |flight| {
            flight.state = State::Unresolved { since };
            flight.ticket = ticket;
        });
        self.audit_end(EventKind::LeftUnresolved, flight, Some(since));
        flight.ring(wakers);
        Ok(since)
    }

    /// Saves a holder's recovery point.
    pub(crate) fn checkpoint(
        &self,
        hash: KeyHash,
        token: Token,
        checkpoint: Checkpoint,
    ) -> Result<Ticket> {
        self.check_writable()?;
        let size = (checkpoint.name().len() + checkpoint.data().len()) as u64;
        self.make_room(size);
        let mut shard = self.shard(hash).lock();
        let flight = held(shard.flight_of(hash, token))?;
        self.limits.admit_checkpoint(flight, size)?;
        let hold = self.hold_room(size + flight.reserve())?;
        let frame = Frame::Checkpoint {
            token,
            name: checkpoint.name().as_bytes(),
            data: checkpoint.data(),
        };
        let ticket = self.queue.lock().push(&frame, None)?;
        drop(hold);
        self.limits.change(flight, |flight| {
            flight.checkpoint = Some(checkpoint);
            flight.ticket = ticket;
        });
        Ok(ticket)
    }

    /// Moves a lease's end. Leases live in memory: nothing is written.
    pub(crate) fn extend(&self, hash: KeyHash, token: Token, lease: Duration) -> Result<()> {
        self.check_writable()?;
        let lease_ms = check_duration("lease", lease)?;
        let until = self.time.monotonic_ms().saturating_add(lease_ms);
        let mut wakers = Wakers::default();
        let mut shard = self.shard(hash).lock();
        let flight = held(shard.flight_of(hash, token))?;
        if matches!(flight.state, State::Held { dropped: true, .. }) {
            return Err(lease_lost());
        }
        flight.state = State::Held { until_ms: Some(until), dropped: false };
        // Whoever waits must know of an earlier end; a later one he finds when the old one comes.
        flight.ring(&mut wakers);
        Ok(())
    }

    /// Resolves an unresolved attempt, whichever it is or the one of this token alone: by the
    /// response it should have had, or as never executed.
    pub(crate) fn resolve(
        &self,
        scope: &Scope,
        key: &Key,
        attempt: Option<Token>,
        response: Option<StoredResponse>,
    ) -> Result<Ticket> {
        self.check_writable()?;
        let hash = self.hash(scope.as_bytes(), key.as_bytes());
        let mut shard = self.shard(hash).lock();
        let Some(flight) = shard.flight(hash, scope, key) else {
            return Err(nothing_unresolved());
        };
        if attempt.is_some_and(|token| token != flight.token) {
            return Err(nothing_unresolved());
        }
        if !matches!(flight.state, State::Unresolved { .. }) {
            return Err(its_holder_decides());
        }
        let token = flight.token;
        drop(shard);
        let resolved = match response {
            None => self.release_as(EventKind::Resolved, hash, token),
            Some(response) => {
                let completed = self.complete_as(EventKind::Resolved, (hash, token), response);
                completed.map(|(_, ticket)| ticket).map_err(|(error, _)| error)
            }
        };
        // The holder, or another who resolves, may have been faster; or the attempt was taken back,
        // and whoever took it over has been in flight since, if anybody has.
        let ended = |flight: &Flight| {
            flight.token == token && matches!(flight.state, State::Completing { .. })
        };
        resolved.map_err(|error| match error.kind() {
            ErrorKind::LeaseLost => match self.shard(hash).lock().flight(hash, scope, key) {
                Some(flight) if !ended(flight) => its_holder_decides(),
                _ => nothing_unresolved(),
            },
            _ => error,
        })
    }
}

/// An unresolved attempt: scope, key, token, attempt, since when.
type UnresolvedRow = (Scope, Key, Token, u32, StoreTime);

impl Engine {
    /// Every unresolved attempt.
    pub(crate) fn unresolved(&self) -> Vec<UnresolvedRow> {
        let mut rows = Vec::new();
        for shard in &self.shards {
            rows.extend(shard.lock().flights().filter_map(|flight| {
                let since = flight.unresolved_since()?;
                let (scope, key) = (flight.scope.clone(), flight.key.clone());
                Some((scope, key, flight.token, flight.attempt, since))
            }));
        }
        rows
    }
}

/// Whether a claim may be ended: not one whose completion is on its way; and nobody resolves an
/// attempt that is not unresolved any more.
fn may_end(flight: &Flight, kind: EventKind) -> bool {
    match kind {
        EventKind::Resolved => matches!(flight.state, State::Unresolved { .. }),
        _ => !matches!(flight.state, State::Completing { .. }),
    }
}

fn held(flight: Option<&mut Flight>) -> Result<&mut Flight> {
    flight.filter(|flight| matches!(flight.state, State::Held { .. })).ok_or_else(lease_lost)
}

fn its_holder_decides() -> Error {
    let what = "the key is in flight, not unresolved: its holder decides";
    Error::new(ErrorKind::InFlight, what)
}

fn nothing_unresolved() -> Error {
    Error::new(ErrorKind::NotFound, "nothing is unresolved for this key")
}

fn lease_lost() -> Error {
    Error::new(
        ErrorKind::LeaseLost,
        "this claim is over: it was taken over, completed, dropped, released or resolved",
    )
}
