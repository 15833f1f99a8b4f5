//! Claiming, as its caller waits for it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::{Claim, InFlight, Inner, Late, Mismatch, Outcome, Record, Unresolved};
use crate::engine::{Decided, Decision, OpenClaim, Ticket};
use crate::error::Result;
use crate::types::ClaimRequest;

/// What [`Store::claim`](crate::Store::claim) returns: awaited on any executor, or waited for by a thread.
#[derive(Debug)]
#[must_use = "nothing is claimed until this is awaited or waited for"]
pub struct ClaimCall {
    request: Option<ClaimRequest>,
    deciding: Deciding,
}

impl ClaimCall {
    pub(crate) fn new(inner: Arc<Inner>, request: ClaimRequest) -> Self {
        Self { request: Some(request), deciding: Deciding::new(inner, None) }
    }

    /// Waits on this thread.
    ///
    /// # Errors
    /// See [`Store::claim`](crate::Store::claim).
    pub fn wait(mut self) -> Result<Outcome> {
        self.open()?;
        self.deciding.wait()
    }

    fn open(&mut self) -> Result<()> {
        if let Some(request) = self.request.take() {
            self.deciding.claim = Some(Box::new(self.deciding.inner.engine.open_claim(request)?));
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
/// If it is dropped in between, a claim it won is released, whatever the policy: its caller never had it.
#[derive(Debug)]
pub(crate) struct Deciding {
    pub(crate) inner: Arc<Inner>,
    pub(crate) claim: Option<Box<OpenClaim>>,
    decided: Option<Decided>,
    waker: Option<Waker>,
}

impl Deciding {
    pub(crate) fn new(inner: Arc<Inner>, claim: Option<Box<OpenClaim>>) -> Self {
        Self { inner, claim, decided: None, waker: None }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Outcome>> {
        if self.decided.is_none() {
            let ticket = self.decide(Some(cx.waker()))?;
            // A decision that was enqueued has left the waker with its batch.
            self.waker = (ticket != Ticket::DONE && self.won()).then(|| cx.waker().clone());
        }
        let ticket = self.ticket();
        if self.inner.poll_ticket(ticket, &mut self.waker, cx).is_pending() {
            return Poll::Pending;
        }
        let fate = self.inner.engine.fate(ticket).unwrap_or(Ok(()));
        Poll::Ready(self.tell(fate))
    }

    pub(crate) fn wait(&mut self) -> Result<Outcome> {
        let ticket = self.decide(None)?;
        let fate = self.inner.engine.wait(ticket);
        self.tell(fate)
    }

    fn decide(&mut self, waker: Option<&Waker>) -> Result<Ticket> {
        let claim = self.claim.as_ref().ok_or_else(super::call::told_already)?;
        self.decided = Some(self.inner.engine.claim(claim, waker)?);
        Ok(self.ticket())
    }

    fn won(&self) -> bool {
        matches!(&self.decided, Some(decided) if matches!(decided.decision, Decision::Claimed(_)))
    }

    /// What must be on disk before the decision is told. That somebody is in flight may be told at once.
    fn ticket(&self) -> Ticket {
        match &self.decided {
            Some(Decided { decision: Decision::InFlight { .. }, .. }) | None => Ticket::DONE,
            Some(decided) => decided.ticket,
        }
    }

    fn tell(&mut self, fate: Result<()>) -> Result<Outcome> {
        self.waker = None;
        let decided = self.decided.take().ok_or_else(super::call::told_already)?;
        fate?;
        let claim = self.claim.take().ok_or_else(super::call::told_already)?;
        let inner = self.inner.clone();
        Ok(match decided.decision {
            Decision::Claimed(granted) => {
                let ClaimRequest { scope, key, operation, .. } = claim.request;
                Outcome::Claimed(Claim::new(inner, scope, key, operation, granted))
            }
            Decision::Replay(record) => Outcome::Replay(Record::new(record, true)),
            Decision::InFlight { ended, lease_left_ms, caller, attempt } => {
                Outcome::InFlight(InFlight { inner, claim, ended, lease_left_ms, caller, attempt })
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

impl Drop for Deciding {
    fn drop(&mut self) {
        let Some(Decided { decision: Decision::Claimed(granted), .. }) = &self.decided else {
            return;
        };
        // If the store is poisoned there is nothing to release: the outcome is unknown to everyone.
        if self.inner.engine.release(granted.hash, granted.token).is_ok() {
            self.inner.engine.nudge();
        }
    }
}
