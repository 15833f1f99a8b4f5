//! What every case works with: keys of its own, an open backend, and short ways to say what is
//! called and what is expected.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::{Failed, Needs, Subject};
use crate::backend::{Backend, ClaimId, Granted, Outcome, OwnerId, Survives, Waiting};
use crate::error::{ErrorKind, Result};
use crate::store::{Entry, Record, Resolution, Unresolved};
use crate::types::{Checkpoint, ClaimRequest, DropPolicy, Key, Scope, StoredResponse};

type Or<T> = std::result::Result<T, Failed>;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MS: Duration = Duration::from_millis(1);
/// A lease that does not run out by itself while a case runs on a real clock.
pub(super) const LONG: Duration = Duration::from_secs(600);

pub(super) struct Stage<'a, S: Subject> {
    pub(super) subject: &'a S,
    /// Makes the keys of this run and case its own.
    prefix: String,
}

impl<'a, S: Subject> Stage<'a, S> {
    pub(super) fn new(subject: &'a S, number: &str) -> Result<Self> {
        Ok(Self { subject, prefix: format!("{}-{number}", OwnerId::random()?) })
    }

    /// What a case needs that the backend does not have.
    pub(super) fn lacks(&self, needs: Needs) -> Or<Option<&'static str>> {
        let capabilities = self.open()?.backend.capabilities();
        let no_clock = || !self.subject.advance(MS);
        let no_waiting = || capabilities.waiting() == Waiting::Never;
        let is_lost = || capabilities.survives() < Survives::ProcessDeath;
        Ok(match needs {
            Needs::Clock | Needs::WaitingAndClock if no_clock() => {
                Some("its clock cannot be driven")
            }
            Needs::Waiting | Needs::WaitingAndClock if no_waiting() => Some("it does not wait"),
            Needs::Durability if is_lost() => Some("it forgets everything at its end"),
            _ => None,
        })
    }

    /// Opens the backend; drop what was opened before.
    pub(super) fn open(&self) -> Or<Actor<'_, S>> {
        Ok(Actor { backend: self.subject.open()?, stage: self })
    }

    /// A request for one of the case's own keys: its payload is its name, its lease is long.
    pub(super) fn request(&self, name: &str) -> ClaimRequest {
        self.request_in("", name)
    }

    /// The same in another of the case's own scopes.
    pub(super) fn request_in(&self, scope: &str, name: &str) -> ClaimRequest {
        ClaimRequest::new(self.scope(scope), key(name))
            .operation("POST /v1/charges")
            .payload(name)
            .lease(LONG)
            .ttl(LONG)
            .on_drop(DropPolicy::Hold)
    }

    pub(super) fn scope(&self, scope: &str) -> Scope {
        Scope::new(format!("{}{scope}", self.prefix)).expect("a short scope")
    }

    pub(super) fn advance(&self, by: Duration) -> Or<()> {
        ensure(self.subject.advance(by), || "its clock stopped".to_owned())
    }
}

pub(super) fn key(name: &str) -> Key {
    Key::new(name).expect("a short key")
}

/// An owner id of its own.
pub(super) fn owner() -> OwnerId {
    OwnerId::random().expect("the machine has randomness")
}

/// Names another claim of the same key.
pub(super) fn forged(claim: &ClaimId, token: u64) -> ClaimId {
    let (scope, key) = (claim.scope().clone(), claim.key().clone());
    ClaimId::new(scope, key, claim.owner(), crate::Token::new(token))
}

/// An open backend whose calls block.
pub(super) struct Actor<'a, S: Subject> {
    pub(super) backend: S::Backend,
    pub(super) stage: &'a Stage<'a, S>,
}

impl<S: Subject> Actor<'_, S> {
    fn run<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        self.stage.subject.block_on(future)
    }

    pub(super) fn try_claim(&self, owner: OwnerId, request: &ClaimRequest) -> Result<Outcome> {
        self.run(self.backend.claim(owner, request.clone()))
    }

    /// Claims as somebody new.
    pub(super) fn outcome(&self, request: &ClaimRequest) -> Or<Outcome> {
        Ok(self.try_claim(owner(), request)?)
    }

    /// Claims as somebody new, and must win.
    pub(super) fn win(&self, request: &ClaimRequest) -> Or<Granted> {
        self.win_as(owner(), request)
    }

    pub(super) fn win_as(&self, owner: OwnerId, request: &ClaimRequest) -> Or<Granted> {
        granted(self.try_claim(owner, request)?)
    }

    /// Claims as somebody new, and must find it in flight.
    pub(super) fn find_in_flight(&self, request: &ClaimRequest) -> Or<()> {
        match self.outcome(request)? {
            Outcome::InFlight(_) => Ok(()),
            other => Err(Failed(format!("expected InFlight, not {other:?}"))),
        }
    }

    /// Claims as somebody new, and must get the record.
    pub(super) fn find_record(&self, request: &ClaimRequest) -> Or<Record> {
        replayed(self.outcome(request)?)
    }

    /// Claims as somebody new, and must find it unresolved.
    pub(super) fn find_unresolved(&self, request: &ClaimRequest) -> Or<Unresolved> {
        match self.outcome(request)? {
            Outcome::Unresolved(unresolved) => Ok(unresolved),
            other => Err(Failed(format!("expected Unresolved, not {other:?}"))),
        }
    }

    /// Begins to claim, and goes away after one look.
    pub(super) fn claim_and_vanish(&self, owner: OwnerId, request: &ClaimRequest) {
        let call = self.backend.claim(owner, request.clone());
        self.run(async move {
            let mut call = pin!(call);
            std::future::poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_ready())).await
        });
    }

    pub(super) fn wait(
        &self,
        owner: OwnerId,
        request: &ClaimRequest,
        limit: Duration,
    ) -> Or<Outcome> {
        Ok(self.run(self.backend.wait(owner, request.clone(), limit))?)
    }

    pub(super) fn complete(&self, claim: &ClaimId, body: &str) -> Result<Record> {
        self.complete_with(claim, StoredResponse::new(body))
    }

    pub(super) fn complete_with(
        &self,
        claim: &ClaimId,
        response: StoredResponse,
    ) -> Result<Record> {
        self.run(self.backend.complete(claim, response))
    }

    pub(super) fn release(&self, claim: &ClaimId) -> Result<()> {
        self.run(self.backend.release(claim))
    }

    pub(super) fn abandon(&self, claim: &ClaimId) -> Result<()> {
        self.run(self.backend.abandon(claim))
    }

    pub(super) fn extend(&self, claim: &ClaimId, lease: Duration) -> Result<()> {
        self.run(self.backend.extend(claim, lease))
    }

    pub(super) fn checkpoint(&self, claim: &ClaimId, data: &str) -> Result<()> {
        let checkpoint = Checkpoint::new("charged", data)?;
        self.run(self.backend.checkpoint(claim, checkpoint))
    }

    pub(super) fn get(&self, request: &ClaimRequest) -> Or<Option<Entry>> {
        Ok(self.run(self.backend.get(&request.scope, &request.key))?)
    }

    pub(super) fn resolve(&self, attempt: &Unresolved, resolution: Resolution) -> Result<()> {
        self.run(self.backend.resolve(attempt, resolution))
    }

    /// Whatever a holder may call is refused, as a lost race.
    pub(super) fn is_over_for(&self, claim: &ClaimId) -> Or<()> {
        lost("complete", self.complete(claim, "too late"))?;
        lost("extend", self.extend(claim, LONG))?;
        lost("checkpoint", self.checkpoint(claim, "too late"))?;
        lost("abandon", self.abandon(claim))?;
        lost("release", self.release(claim))
    }
}

pub(super) fn granted(outcome: Outcome) -> Or<Granted> {
    match outcome {
        Outcome::Claimed(granted) => Ok(granted),
        other => Err(Failed(format!("expected Claimed, not {other:?}"))),
    }
}

pub(super) fn replayed(outcome: Outcome) -> Or<Record> {
    match outcome {
        Outcome::Replay(record) => Ok(record),
        other => Err(Failed(format!("expected Replay, not {other:?}"))),
    }
}

/// The record must have these bytes.
pub(super) fn has_body(record: &Record, body: &str) -> Or<()> {
    let found = record.response().body();
    ensure(found == body.as_bytes(), || format!("the response is {found:?}, not {body:?}"))
}

pub(super) fn lost<T: std::fmt::Debug>(verb: &str, answer: Result<T>) -> Or<()> {
    refused(verb, answer, ErrorKind::LeaseLost)
}

/// A call must be refused, and for this reason.
pub(super) fn refused<T: std::fmt::Debug>(
    verb: &str,
    answer: Result<T>,
    kind: ErrorKind,
) -> Or<()> {
    match answer {
        Err(error) if error.kind() == kind => Ok(()),
        other => Err(Failed(format!("{verb}: expected {kind:?}, not {other:?}"))),
    }
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Or<()> {
    if holds { Ok(()) } else { Err(Failed(what())) }
}

/// Runs the same on many threads at one time, and returns what each came to.
pub(super) fn crowd<T: Send>(threads: usize, act: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = std::sync::Barrier::new(threads);
    let (act, barrier) = (&act, &barrier);
    std::thread::scope(|scope| {
        let begin = |number| {
            scope.spawn(move || {
                barrier.wait();
                act(number)
            })
        };
        let all: Vec<_> = (0..threads).map(begin).collect();
        all.into_iter().map(|thread| thread.join().expect("a thread of the suite ends")).collect()
    })
}
