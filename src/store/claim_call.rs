//! Claiming, as its caller waits for it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::call::LeftWaker;
use super::{Claim, InFlight, Inner, Late, Mismatch, Outcome, Record, Unresolved};
use crate::engine::{Decided, Decision, OpenClaim, Ticket};
use crate::error::Result;
use crate::ids::KeyHash;
use crate::telemetry::{Call, Came, Stopwatch, events};
use crate::types::ClaimRequest;

/// What [`Store::claim`](crate::Store::claim) returns: awaited on any executor, or waited for by a
/// thread.
#[derive(Debug)]
#[must_use = "nothing is claimed until this is awaited or waited for"]
pub struct ClaimCall {
    request: Option<ClaimRequest>,
    deciding: Deciding,
}

impl ClaimCall {
    pub(crate) fn new(inner: Arc<Inner>, request: ClaimRequest) -> Self {
        Self { request: Some(request), deciding: Deciding::new(inner, Call::Claim) }
    }

    /// Waits on this thread.
    ///
    /// # Errors
    /// See [`Store::claim`](crate::Store::claim).
    pub fn wait(mut self) -> Result<Outcome> {
        self.open()?;
        self.deciding.wait()
    }

    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn deciding(&self) -> &Deciding {
        &self.deciding
    }

    fn open(&mut self) -> Result<()> {
        if let Some(request) = self.request.take() {
            self.deciding.open(request)?;
        }
        Ok(())
    }
}

impl Future for ClaimCall {
    type Output = Result<Outcome>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Outcome>> {
        self.open()?;
        self.deciding.poll(cx)
    }
}

/// A claim between its decision and the telling of it.
///
/// If it is dropped in between, a claim it won is taken back, whatever the policy: its caller never
/// had it.
#[derive(Debug)]
pub(crate) struct Deciding {
    /// Moves into the outcome.
    inner: Option<Arc<Inner>>,
    claim: Option<OpenClaim>,
    decided: Option<Decided>,
    left: LeftWaker,
    call: Call,
    watch: Stopwatch,
}

impl Deciding {
    pub(crate) fn new(inner: Arc<Inner>, call: Call) -> Self {
        let watch = match call {
            // It begins when it is awaited, or waited for.
            Call::Claim => Stopwatch::default(),
            _ => Stopwatch::start(&inner.engine.time),
        };
        Self { inner: Some(inner), claim: None, decided: None, left: LeftWaker::None, call, watch }
    }

    fn open(&mut self, request: ClaimRequest) -> Result<()> {
        let engine = &self.inner()?.engine;
        let watch = Stopwatch::start(&engine.time);
        let claim = engine.open_claim(request);
        self.watch = watch;
        self.claim = Some(self.measure(claim)?);
        Ok(())
    }

    /// Passes an answer on, and has it counted if it is an error.
    fn measure<T>(&self, answer: Result<T>) -> Result<T> {
        if let (Err(error), Some(inner)) = (&answer, &self.inner) {
            let engine = &inner.engine;
            engine.meter.failed(self.call, error, self.watch, &engine.time);
        }
        answer
    }

    /// Has a decision counted, and told where it is worth it, which its caller is about to get.
    fn report(&self, hash: KeyHash, decision: &Decision) -> Result<()> {
        let engine = &self.inner()?.engine;
        let came = came(decision);
        // Who waits looks again and again.
        if self.call == Call::Claim || came != Came::InFlight {
            engine.meter.told(self.call, came, self.watch, &engine.time);
            events::told(engine.store_id(), hash, decision);
        }
        Ok(())
    }

    /// The limit of a wait was reached with the other's claim still in flight.
    pub(crate) fn gave_up(&self, inner: &Inner, claim: &OpenClaim, attempt: u32) {
        let engine = &inner.engine;
        engine.audit_gave_up(claim, attempt);
        engine.meter.told(self.call, Came::InFlight, self.watch, &engine.time);
    }

    /// What was decided and not told yet.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn decided(&self) -> Option<&Decided> {
        self.decided.as_ref()
    }

    fn inner(&self) -> Result<&Arc<Inner>> {
        self.inner.as_ref().ok_or_else(super::call::told_already)
    }

    /// Begins again, with what an outcome that was not the end gave back.
    pub(crate) fn again(&mut self, inner: Arc<Inner>, claim: OpenClaim) {
        self.inner = Some(inner);
        self.claim = Some(claim);
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Outcome>> {
        if self.decided.is_none() {
            let ticket = self.decide(Some(cx.waker()))?;
            // A decision that was enqueued has left the waker with its batch.
            if ticket != Ticket::DONE && self.won() {
                self.left = LeftWaker::First;
                return Poll::Pending;
            }
        }
        let ticket = self.ticket();
        let inner = self.inner.as_ref().ok_or_else(super::call::told_already)?;
        if inner.poll_ticket(ticket, &mut self.left, cx).is_pending() {
            return Poll::Pending;
        }
        let fate = inner.engine.fate(ticket).unwrap_or(Ok(()));
        Poll::Ready(self.tell(fate))
    }

    pub(crate) fn wait(&mut self) -> Result<Outcome> {
        let ticket = self.decide(None)?;
        let fate = self.inner()?.engine.wait(ticket);
        self.tell(fate)
    }

    fn decide(&mut self, waker: Option<&Waker>) -> Result<Ticket> {
        let claim = self.claim.as_ref().ok_or_else(super::call::told_already)?;
        let decided = self.inner()?.engine.claim(claim, waker);
        self.decided = Some(self.measure(decided)?);
        Ok(self.ticket())
    }

    /// Whether this call has won the key, rather than an earlier one of the same owner.
    fn won(&self) -> bool {
        let won = |decided: &Decided| match &decided.decision {
            Decision::Claimed(granted) => !granted.recognised,
            _ => false,
        };
        self.decided.as_ref().is_some_and(won)
    }

    /// What must be on disk before the decision is told. That somebody is in flight may be told at
    /// once.
    fn ticket(&self) -> Ticket {
        match &self.decided {
            Some(Decided { decision: Decision::InFlight { .. }, .. }) | None => Ticket::DONE,
            Some(decided) => decided.ticket,
        }
    }

    fn tell(&mut self, fate: Result<()>) -> Result<Outcome> {
        self.left = LeftWaker::None;
        let decided = self.decided.take().ok_or_else(super::call::told_already)?;
        if let (Err(error), Decision::Claimed(_)) = (&fate, &decided.decision) {
            self.inner()?.let_go();
            return self.measure(Err(error.clone()));
        }
        self.measure(fate)?;
        let claim = self.claim.take().ok_or_else(super::call::told_already)?;
        if let Err(refused) = self.inner()?.engine.guard(&claim) {
            self.decided = Some(decided);
            self.take_back();
            return self.measure(Err(refused));
        }
        self.report(claim.hash, &decided.decision)?;
        let inner = self.inner.take().ok_or_else(super::call::told_already)?;
        Ok(match decided.decision {
            Decision::Claimed(granted) => {
                let ClaimRequest { scope, key, operation, .. } = claim.request;
                Outcome::Claimed(Claim::new(inner, scope, key, operation, granted))
            }
            Decision::Replay(record) => Outcome::Replay(Record::new(record, true)),
            Decision::InFlight { ended, lease_left_ms, caller, attempt } => {
                Outcome::InFlight(InFlight {
                    inner,
                    claim: Box::new(claim),
                    ended,
                    lease_left_ms,
                    caller,
                    attempt,
                })
            }
            Decision::Mismatch { difference, in_flight } => {
                Outcome::Mismatch(Mismatch { difference, in_flight })
            }
            Decision::Unresolved { token, attempt, since } => {
                let ClaimRequest { scope, key, .. } = claim.request;
                Outcome::Unresolved(Unresolved::new(scope, key, token, attempt, since))
            }
            Decision::Expired(late) => Outcome::Expired(Late::new(late)),
        })
    }
}

fn came(decision: &Decision) -> Came {
    match decision {
        Decision::Claimed(granted) if granted.attempt > 1 => Came::Takeover,
        Decision::Claimed(_) => Came::Claimed,
        Decision::Replay(_) => Came::Replay,
        Decision::InFlight { .. } => Came::InFlight,
        Decision::Mismatch { .. } => Came::Mismatch,
        Decision::Unresolved { .. } => Came::Unresolved,
        Decision::Expired(_) => Came::Expired,
    }
}

impl Deciding {
    /// Gives back what was won and not told.
    fn take_back(&mut self) {
        let Some(Decided { decision: Decision::Claimed(granted), .. }) = self.decided.take() else {
            return;
        };
        let Ok(inner) = self.inner() else { return };
        // If the store is poisoned there is nothing to take back: the outcome is unknown to
        // everyone.
        // What an earlier call won may have been told.
        if !granted.recognised && inner.engine.take_back_untold(granted.hash, granted.token).is_ok()
        {
            inner.engine.nudge();
        }
        inner.let_go();
    }
}

impl Drop for Deciding {
    fn drop(&mut self) {
        self.take_back();
    }
}
