//! The embedded store as a backend.
//!
//! Owner ids live in memory, as leases do: an owner dies with the process, and after a restart its
//! claims are ownerless, so that a claim is a takeover at once (or unresolved, if that is the
//! policy). Nothing of this goes to disk.

use std::future::ready;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::{
    Backend, Capabilities, ClaimId, Granted, InFlight, Outcome, OwnerId, Survives, Waiting,
};
use crate::error::Result;
use crate::options::Durability;
use crate::store::{
    self, ClaimCall, Entry, FlightCall, Named, Record, Resolution, Store, Unresolved,
};
use crate::types::{Checkpoint, ClaimRequest, Key, Scope, StoredResponse};

/// Claims without a deadline ([`Options::no_lease`](crate::Options::no_lease)) are held until they
/// end or the process does; where owners may vanish, leave the lease on.
///
/// [`close`](Store::close) waits for claims that were won here as it does for guards, until their
/// lease is over. A claim does not keep the store open.
impl Backend for Store {
    fn capabilities(&self) -> Capabilities {
        let survives = match self.options().durability {
            Durability::Sync => Survives::PowerCut,
            Durability::Interval(_) => Survives::ProcessDeath,
        };
        Capabilities::new(survives, Waiting::Notified)
    }

    fn claim(
        &self,
        owner: OwnerId,
        request: ClaimRequest,
    ) -> impl Future<Output = Result<Outcome>> + Send {
        let winner = Winner { owner, lease: request.terms.lease.or(self.options().lease) };
        Asking { winner, state: Asked::Claim(self.claim_as(owner, request)), limit: None }
    }

    fn wait(
        &self,
        owner: OwnerId,
        request: ClaimRequest,
        limit: Duration,
    ) -> impl Future<Output = Result<Outcome>> + Send {
        let winner = Winner { owner, lease: request.terms.lease.or(self.options().lease) };
        let state = Asked::Claim(self.claim_as(owner, request));
        Asking { winner, state, limit: Some(limit) }
    }

    fn complete(
        &self,
        claim: &ClaimId,
        response: StoredResponse,
    ) -> impl Future<Output = Result<Record>> + Send {
        self.complete_named(&named(claim), response)
    }

    fn release(&self, claim: &ClaimId) -> impl Future<Output = Result<()>> + Send {
        self.release_named(&named(claim))
    }

    fn abandon(&self, claim: &ClaimId) -> impl Future<Output = Result<()>> + Send {
        self.abandon_named(&named(claim))
    }

    fn extend(&self, claim: &ClaimId, lease: Duration) -> impl Future<Output = Result<()>> + Send {
        ready(self.extend_named(&named(claim), lease))
    }

    fn checkpoint(
        &self,
        claim: &ClaimId,
        checkpoint: Checkpoint,
    ) -> impl Future<Output = Result<()>> + Send {
        self.checkpoint_named(&named(claim), checkpoint)
    }

    fn get(&self, scope: &Scope, key: &Key) -> impl Future<Output = Result<Option<Entry>>> + Send {
        Store::get(self, scope, key)
    }

    fn resolve(
        &self,
        attempt: &Unresolved,
        resolution: Resolution,
    ) -> impl Future<Output = Result<()>> + Send {
        let (scope, key, token) = (attempt.scope(), attempt.key(), attempt.token());
        self.resolve_named(&Named { scope, key, token }, resolution)
    }
}

fn named(claim: &ClaimId) -> Named<'_> {
    Named { scope: claim.scope(), key: claim.key(), token: claim.token() }
}

/// A claim that is asked for. Written out, since an `async` block keeps what it waits for twice,
/// and a request carries it around.
struct Asking {
    winner: Winner,
    state: Asked,
    /// For how long somebody else's claim is waited for, if it is.
    limit: Option<Duration>,
}

enum Asked {
    Claim(ClaimCall),
    Flight(FlightCall),
}

impl Future for Asking {
    type Output = Result<Outcome>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Outcome>> {
        loop {
            let told = match &mut self.state {
                Asked::Claim(call) => ready!(Pin::new(call).poll(cx))?,
                Asked::Flight(call) => ready!(Pin::new(call).poll(cx))?,
            };
            match (told, self.limit.take()) {
                (store::Outcome::InFlight(flight), Some(limit)) => {
                    self.state = Asked::Flight(flight.wait(limit));
                }
                (told, _) => return Poll::Ready(Ok(self.winner.plain(told))),
            }
        }
    }
}

/// What the store's outcome does not say of a claim that is won.
struct Winner {
    owner: OwnerId,
    lease: Option<Duration>,
}

impl Winner {
    /// An outcome without its guard.
    fn plain(&self, outcome: store::Outcome) -> Outcome {
        match outcome {
            store::Outcome::Claimed(claim) => {
                let context = claim.into_context();
                let (scope, key) = (context.scope().clone(), context.key().clone());
                let id = ClaimId::new(scope, key, self.owner, context.token());
                let granted = Granted::of(id, context.operation(), context.attempt())
                    .with_lease(self.lease)
                    .with_checkpoint(context.checkpoint().cloned())
                    .with_late_retry(context.late_retry());
                Outcome::Claimed(granted)
            }
            store::Outcome::Replay(record) => Outcome::Replay(record),
            store::Outcome::InFlight(flight) => Outcome::InFlight(
                InFlight::new(flight.attempt(), flight.lease_left())
                    .with_holder(flight.holder().cloned()),
            ),
            store::Outcome::Mismatch(mismatch) => Outcome::Mismatch(mismatch),
            store::Outcome::Unresolved(unresolved) => Outcome::Unresolved(unresolved),
            store::Outcome::Expired(late) => Outcome::Expired(late),
        }
    }
}
