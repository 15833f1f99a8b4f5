//! Claiming: one decision about a key, taken under its lock.
//!
//! The order of the questions is promise 4's and promise 1's: another fingerprint is a mismatch
//! whatever the state; a completion that is on its way is replayed; an unresolved attempt is
//! nobody's; a lease that is over may be taken over; anything else is in flight.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use super::Engine;
use super::audit::Met;
use super::batch::Ticket;
use super::flight::{Completed, Flight, Owner, State, reserve};
use super::lookup::{Searched, Spot};
use super::shard::Shard;
use super::signal::{Signal, Wakers};
use crate::audit::{Digest, EventKind, Judged, Seen};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{KeyHash, StoreTime, Token};
use crate::log::{ClaimFrame, ClaimState, Frame};
use crate::options::KeptFor;
use crate::sabotage::{self, Bug};
use crate::slip::{self, Slip};
use crate::sync::{Mutex, MutexGuard};
use crate::types::{Caller, Checkpoint, ClaimRequest, Difference, DropPolicy};

/// A claim request with the store's defaults filled in and everything checked.
#[derive(Debug)]
pub(crate) struct OpenClaim {
    pub(crate) request: ClaimRequest,
    pub(crate) hash: KeyHash,
    ttl_ms: u64,
    lease_ms: Option<u64>,
    policy: DropPolicy,
    /// Who asks and for what, as the audit sees it.
    pub(crate) seen: Seen,
    /// What the guard's rules say of what it met, if there is a guard.
    pub(crate) judged: Mutex<Option<Box<Judged>>>,
    /// Since when it waits for another's claim, in monotonic milliseconds, if it does.
    pub(crate) waits_since_ms: Option<u64>,
}

/// A decision, and the batch that must be on disk before it is told.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) decision: Decision,
    pub(crate) ticket: Ticket,
}

#[derive(Debug)]
pub(crate) enum Decision {
    Claimed(Granted),
    Replay(Arc<Completed>),
    InFlight {
        /// Notified when the claim ends.
        ended: Arc<Signal>,
        lease_left_ms: Option<u64>,
        caller: Option<Arc<Caller>>,
        attempt: u32,
    },
    Mismatch {
        difference: Difference,
        in_flight: bool,
    },
    Unresolved {
        token: Token,
        attempt: u32,
        since: StoreTime,
    },
    Expired(LateRecord),
}

/// A claim that was won.
#[derive(Debug, Clone)]
pub(crate) struct Granted {
    pub(crate) hash: KeyHash,
    pub(crate) token: Token,
    pub(crate) attempt: u32,
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) late: Option<LateRecord>,
    /// Whether its owner had won it before this call.
    pub(crate) recognised: bool,
}

/// The record that a late retry came too late for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LateRecord {
    /// Not known of a key that is only remembered.
    pub(crate) completed_at: Option<StoreTime>,
    pub(crate) expired_at: StoreTime,
}

impl OpenClaim {
    /// When the lease of a claim made now ends, in monotonic milliseconds.
    fn lease_end(&self, now_ms: u64) -> Option<u64> {
        self.lease_ms.map(|lease_ms| now_ms.saturating_add(lease_ms))
    }
}

/// What a claim finds in the index.
enum Past {
    Nothing,
    Expired(Spot, LateRecord),
    /// Its record is gone.
    Remembered(LateRecord),
}

impl Engine {
    /// Checks a request and fills in the defaults. Decides nothing.
    pub(crate) fn open_claim(&self, request: ClaimRequest) -> Result<OpenClaim> {
        let KeptFor { ttl_ms, lease_ms, policy } = self.options.keep(&request.terms)?;
        let hash = self.hash(request.scope.as_bytes(), request.key.as_bytes());
        let seen = self.audit.see(&request);
        let judged = Mutex::default();
        let waits_since_ms = None;
        Ok(OpenClaim { request, hash, ttl_ms, lease_ms, policy, seen, judged, waits_since_ms })
    }

    /// Decides a claim. A waker is left with the batch if the decision needs one.
    pub(crate) fn claim(&self, claim: &OpenClaim, waker: Option<&Waker>) -> Result<Decided> {
        let decided = self.decide(claim, waker);
        if let Err(error) = &decided {
            self.audit_refusal(claim, error);
        }
        decided
    }

    fn decide(&self, claim: &OpenClaim, waker: Option<&Waker>) -> Result<Decided> {
        self.check_writable()?;
        let (scope, key) = (&claim.request.scope, &claim.request.key);
        self.make_room(2 * reserve(scope, key));
        let mut wakers = Wakers::default();
        loop {
            let mut shard = self.shard(claim.hash).lock();
            if shard.flight(claim.hash, scope, key).is_some() {
                return self.meet(shard, claim, waker, &mut wakers);
            }
            let pinned = self.pin(&shard, claim.hash);
            let ask = shard.late.ask(claim.hash);
            if pinned.is_none() && ask.is_none() {
                return self.grant(shard, claim, Past::Nothing, waker);
            }
            let pinned = pinned.unwrap_or_default();
            drop(shard);
            match self.search(claim.hash, &pinned, scope, key)? {
                Searched::Stale => {}
                Searched::Live(_, record) => return Ok(self.answer_from(claim, record)),
                Searched::Expired(spot, record) => {
                    let mut shard = self.shard(claim.hash).lock();
                    let same = shard.flight(claim.hash, scope, key).is_none()
                        && self.still_in(&shard, claim.hash, spot);
                    if same {
                        let late = LateRecord {
                            completed_at: Some(record.completed_at),
                            expired_at: record.expires_at,
                        };
                        return self.grant(shard, claim, Past::Expired(spot, late), waker);
                    }
                }
                Searched::NotHere => {
                    let remembered = ask.as_ref().and_then(|ask| self.remembered(ask));
                    let mut shard = self.shard(claim.hash).lock();
                    let same = shard.flight(claim.hash, scope, key).is_none()
                        && (self.is_as_pinned(&shard, claim.hash, &pinned)
                            || slip::is_on(Slip::UncheckedLook))
                        && ask.is_none_or(|ask| shard.late.is_as_asked(&ask));
                    if same {
                        let past = remembered.map_or(Past::Nothing, Past::Remembered);
                        return self.grant(shard, claim, past, waker);
                    }
                }
            }
        }
    }

    /// Answers from a record on disk.
    fn answer_from(&self, claim: &OpenClaim, record: Completed) -> Decided {
        let decision = match claim.request.fingerprint.difference(&record.fingerprint) {
            Some(difference) => {
                self.counters.mismatches.add(1);
                let met = || Met::record(&record).differing(difference);
                self.audit_claim(EventKind::Mismatch, claim, None, met);
                Decision::Mismatch { difference, in_flight: false }
            }
            None => {
                self.counters.replays.add(1);
                self.audit_claim(EventKind::Replayed, claim, None, || Met::record(&record));
                Decision::Replay(Arc::new(record))
            }
        };
        Decided { decision, ticket: Ticket::DONE }
    }

    /// Decides a claim of a key that is in flight.
    fn meet(
        &self,
        mut shard: MutexGuard<'_, Shard>,
        claim: &OpenClaim,
        waker: Option<&Waker>,
        wakers: &mut Wakers,
    ) -> Result<Decided> {
        let request = &claim.request;
        let Some(flight) = shard.flight(claim.hash, &request.scope, &request.key) else {
            return Err(Error::new(ErrorKind::NotFound, "the claim ended while it was looked at"));
        };
        let ticket = flight.ticket;
        let told = |decision| Ok(Decided { decision, ticket });
        if let State::Abandoned { at } = flight.state
            && at.plus_ms(flight.ttl_ms) <= self.time.now()
        {
            let late = LateRecord { completed_at: Some(at), expired_at: at.plus_ms(flight.ttl_ms) };
            return self.grant_after_abandoned(shard, claim, late, (waker, wakers));
        }
        if let Some(difference) = request.fingerprint.difference(&flight.fingerprint) {
            self.counters.mismatches.add(1);
            let met = || Met::flight(flight).differing(difference);
            self.audit_claim(EventKind::Mismatch, claim, None, met);
            let in_flight = match &flight.state {
                State::Completing { record } => record.expires_at <= self.time.now(),
                _ => true,
            };
            return told(Decision::Mismatch { difference, in_flight });
        }
        match &flight.state {
            // Its completion is on its way and has expired: the key is free once it is on disk.
            State::Completing { record } if record.expires_at <= self.time.now() => {
                self.counters.in_flight.add(1);
                self.audit_claim(EventKind::InFlight, claim, None, || Met::flight(flight));
                told(in_flight(flight, self.time.monotonic_ms()))
            }
            State::Completing { record } => {
                self.counters.replays.add(1);
                let since = Some(record.completed_at);
                let met = || Met { since, ..Met::flight(flight) };
                self.audit_claim(EventKind::Replayed, claim, None, met);
                let record = record.clone();
                told(Decision::Replay(record))
            }
            State::Unresolved { since } => {
                let (token, attempt) = (flight.token, flight.attempt);
                self.audit_claim(EventKind::MetUnresolved, claim, None, || Met::flight(flight));
                told(Decision::Unresolved { token, attempt, since: *since })
            }
            State::Held { .. } | State::Abandoned { .. } => {
                let now_ms = self.time.monotonic_ms();
                if flight.is_held_by(request.owner) {
                    return Ok(self.recognise(flight, claim, now_ms, wakers));
                }
                if !flight.lease_is_over(now_ms) {
                    self.counters.in_flight.add(1);
                    self.audit_claim(EventKind::InFlight, claim, None, || Met::flight(flight));
                    return told(in_flight(flight, now_ms));
                }
                if flight.policy == DropPolicy::Unresolved {
                    return self.leave_unresolved(flight, claim, waker, wakers);
                }
                self.take_over(flight, claim, waker, wakers)
            }
        }
    }

    /// The owner asks again for what it holds: its answer was lost. Leases live in memory, so
    /// nothing is written.
    fn recognise(
        &self,
        flight: &mut Flight,
        claim: &OpenClaim,
        now_ms: u64,
        wakers: &mut Wakers,
    ) -> Decided {
        flight.state = State::Held { until_ms: claim.lease_end(now_ms), dropped: false };
        if let Some(owner) = &mut flight.owner {
            owner.again = true;
        }
        // Whoever waits must know of an earlier end of the lease.
        flight.ring(wakers);
        self.held.fetch_add(1, Ordering::Relaxed);
        let granted = Granted {
            hash: flight.hash,
            token: flight.token,
            attempt: flight.attempt,
            checkpoint: flight.checkpoint.clone(),
            late: None,
            recognised: true,
        };
        Decided { decision: Decision::Claimed(granted), ticket: flight.ticket }
    }

    /// A lease ran out under the policy `Unresolved`: nobody runs until somebody resolves it.
    fn leave_unresolved(
        &self,
        flight: &mut Flight,
        claim: &OpenClaim,
        waker: Option<&Waker>,
        wakers: &mut Wakers,
    ) -> Result<Decided> {
        let since = self.mark_unresolved(flight, waker, wakers)?;
        self.audit_claim(EventKind::MetUnresolved, claim, Some(since), || Met::flight(flight));
        let (token, attempt) = (flight.token, flight.attempt);
        Ok(Decided {
            decision: Decision::Unresolved { token, attempt, since },
            ticket: flight.ticket,
        })
    }

    /// Gives a key whose lease is over to the next claimant.
    fn take_over(
        &self,
        flight: &mut Flight,
        claim: &OpenClaim,
        waker: Option<&Waker>,
        wakers: &mut Wakers,
    ) -> Result<Decided> {
        if self.closing.load(Ordering::Acquire) {
            return Err(closing());
        }
        self.limits.admit_policy(claim.policy)?;
        let hold = self.hold_room(flight.reserve())?;
        let moment = self.time.moment();
        let claimed_at = moment.latest;
        let attempt = flight.attempt.saturating_add(1);
        let digest = claim.seen.digest();
        let mut queue = self.queue.lock();
        let keeps = sabotage::is_on(Bug::SameToken);
        let token = if keeps { flight.token } else { queue.draw()? };
        let frame = ClaimFrame {
            token,
            claimed_at,
            ttl_ms: claim.ttl_ms,
            attempt,
            policy: claim.policy.to_byte(),
            state: ClaimState::Held,
            caller: digest.map(Digest::to_bytes),
            ..flight.restate()
        };
        let ticket = queue.push(&Frame::Claim(frame), None)?;
        queue.wait_with(waker);
        drop(hold);
        // Its age and its holder are those of the claim that is taken over.
        let met = || Met { token: Some(token), attempt, ..Met::flight(flight) };
        self.audit_claim(EventKind::TakenOver, claim, Some(claimed_at), met);
        let state = State::Held { until_ms: claim.lease_end(moment.monotonic_ms), dropped: false };
        self.limits.change(flight, |flight| {
            flight.token = token;
            flight.attempt = attempt;
            flight.claimed_at = claimed_at;
            flight.ttl_ms = claim.ttl_ms;
            flight.policy = claim.policy;
            flight.state = state;
            flight.ticket = ticket;
            flight.seen = claim.seen;
            flight.caller.clone_from(&claim.request.caller);
            flight.digest = digest;
            flight.owner = claim.request.owner.map(Owner::new);
        });
        flight.ring(wakers);
        self.held.fetch_add(1, Ordering::Relaxed);
        self.counters.takeovers.add(1);
        let checkpoint = flight.checkpoint.clone();
        let (hash, late) = (flight.hash, None);
        let granted = Granted { hash, token, attempt, checkpoint, late, recognised: false };
        Ok(Decided { decision: Decision::Claimed(granted), ticket })
    }

    /// An abandoned claim outlived its TTL: it is as if it had never been, but the claimant is
    /// told.
    fn grant_after_abandoned(
        &self,
        mut shard: MutexGuard<'_, Shard>,
        claim: &OpenClaim,
        late: LateRecord,
        (waker, wakers): (Option<&Waker>, &mut Wakers),
    ) -> Result<Decided> {
        if self.options.refuse_late_retries {
            return Ok(self.refuse_late(claim, late));
        }
        let request = &claim.request;
        let token = match shard.flight(claim.hash, &request.scope, &request.key) {
            Some(flight) => flight.token,
            None => return Err(Error::new(ErrorKind::NotFound, "the claim ended meanwhile")),
        };
        let Some(old) = shard.remove(claim.hash, token) else {
            return Err(Error::new(ErrorKind::NotFound, "the claim ended meanwhile"));
        };
        let begun = self.begin(&mut shard, claim, (old.replaces, Some(late)), waker);
        if begun.is_ok() {
            self.limits.leave(&old);
            old.ring(wakers);
        } else {
            shard.add(old);
        }
        begun
    }

    /// Gives a key that nobody holds to its claimant.
    fn grant(
        &self,
        mut shard: MutexGuard<'_, Shard>,
        claim: &OpenClaim,
        past: Past,
        waker: Option<&Waker>,
    ) -> Result<Decided> {
        let (replaces, late) = match past {
            Past::Nothing => (None, None),
            Past::Expired(_, late) | Past::Remembered(late) if self.options.refuse_late_retries => {
                return Ok(self.refuse_late(claim, late));
            }
            Past::Expired(spot, late) => (Some(spot), Some(late)),
            Past::Remembered(late) => (None, Some(late)),
        };
        self.begin(&mut shard, claim, (replaces, late), waker)
    }

    /// Refuses a late retry.
    fn refuse_late(&self, claim: &OpenClaim, late: LateRecord) -> Decided {
        self.note_expiry_told();
        self.counters.late_retries.add(1);
        let met = || Met { since: Some(late.expired_at), ..Met::default() };
        self.audit_claim(EventKind::Expired, claim, None, met);
        Decided { decision: Decision::Expired(late), ticket: Ticket::DONE }
    }

    /// Begins a flight: admission, token, frame, table.
    fn begin(
        &self,
        shard: &mut Shard,
        claim: &OpenClaim,
        past: (Option<Spot>, Option<LateRecord>),
        waker: Option<&Waker>,
    ) -> Result<Decided> {
        if self.closing.load(Ordering::Acquire) {
            return Err(closing());
        }
        let request = &claim.request;
        let moment = self.time.moment();
        let mut flight = self.spares.box_up(Flight {
            hash: claim.hash,
            scope: request.scope.clone(),
            key: request.key.clone(),
            fingerprint: request.fingerprint,
            token: Token(0),
            attempt: 1,
            claimed_at: moment.latest,
            ttl_ms: claim.ttl_ms,
            policy: claim.policy,
            state: State::Held { until_ms: claim.lease_end(moment.monotonic_ms), dropped: false },
            checkpoint: None,
            seen: claim.seen,
            caller: request.caller.clone(),
            digest: claim.seen.digest(),
            owner: request.owner.map(Owner::new),
            ticket: Ticket::DONE,
            replaces: past.0,
            ended: None,
        });
        let hold = self.hold_room(2 * flight.reserve())?;
        self.limits.admit(&flight, moment.monotonic_ms)?;
        if let Err(error) = self.enqueue_claim(&mut flight, waker) {
            self.limits.leave(&flight);
            return Err(error);
        }
        drop(hold);
        self.held.fetch_add(1, Ordering::Relaxed);
        self.counters.late_retries.add(u64::from(past.1.is_some()));
        shard.counts.claims += 1;
        let granted = Granted {
            hash: flight.hash,
            token: flight.token,
            attempt: 1,
            checkpoint: None,
            late: past.1,
            recognised: false,
        };
        let ticket = flight.ticket;
        let kind = if past.1.is_some() { EventKind::LateRetry } else { EventKind::Claimed };
        self.audit_claim(kind, claim, Some(flight.claimed_at), || Met {
            token: Some(flight.token),
            attempt: 1,
            since: past.1.map(|late| late.expired_at),
            ..Met::default()
        });
        shard.add(flight);
        Ok(Decided { decision: Decision::Claimed(granted), ticket })
    }

    /// Draws a new flight's token and puts its frame into the log.
    fn enqueue_claim(&self, flight: &mut Flight, waker: Option<&Waker>) -> Result<()> {
        let mut queue = self.queue.lock();
        flight.token = queue.draw()?;
        flight.ticket = queue.push(&Frame::Claim(flight.restate()), None)?;
        queue.wait_with(waker);
        Ok(())
    }
}

fn in_flight(flight: &mut Flight, now_ms: u64) -> Decision {
    let lease_left_ms = match flight.state {
        State::Held { until_ms, .. } => until_ms.map(|until_ms| until_ms.saturating_sub(now_ms)),
        _ => None,
    };
    Decision::InFlight {
        lease_left_ms,
        caller: flight.caller.clone(),
        attempt: flight.attempt,
        ended: flight.signal(),
    }
}

fn closing() -> Error {
    Error::new(ErrorKind::Closed, "the store is closing: it takes no new claims")
}
