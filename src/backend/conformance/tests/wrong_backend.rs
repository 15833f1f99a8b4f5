//! A backend that is wrong in one chosen way: the embedded store, changed on the way in or out.

use std::collections::HashSet;
use std::time::Duration;

use parking_lot::Mutex;

use crate::backend::{
    Backend, Capabilities, ClaimId, Granted, Outcome, OwnerId, RecordParts, Survives,
};
use crate::error::{Error, ErrorKind, Result};
use crate::{
    Checkpoint, ClaimRequest, DropPolicy, Entry, Fingerprint, Key, Record, Resolution, Scope,
    Store, StoredResponse, Token, Unresolved,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    TwoHolders,
    ReleaseDoesNothing,
    LostRaceUnavailable,
    NotFenced,
    Forgetful,
    CheckpointLost,
    BodyCut,
    StatusLost,
    MismatchLast,
    Blind,
    ScopesMixed,
    NamesJoined,
    TokensFall,
    TokensRestart,
    TokensIgnored,
    ExpiresEarly,
    ExpiresLate,
    LeaseTooShort,
    ExtendDoesNothing,
    AttemptLost,
    OwnersUnknown,
    CompletesOnce,
    DoesNotWait,
    WaitsAsAnybody,
    RunsUnresolved,
    ResolvesAny,
    AbandonReleases,
    ZeroIsOne,
}

pub(super) struct Wrong {
    store: Store,
    fault: Fault,
    /// Added to tokens on their way out.
    shift: u64,
    completed: Mutex<HashSet<Token>>,
}

const MS: Duration = Duration::from_millis(1);

impl Wrong {
    pub(super) fn new(store: Store, fault: Fault, opened: u64) -> Self {
        // Tokens of each opening begin below those of the one before.
        let shift = if fault == Fault::TokensRestart { opened << 40 } else { 0 };
        Self { store, fault, shift, completed: Mutex::default() }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn token_out(&self, token: Token) -> Token {
        match self.fault {
            Fault::TokensFall => Token::new(u64::MAX - token.get()),
            Fault::TokensRestart => Token::new((1 << 60) + token.get() - self.shift),
            _ => token,
        }
    }

    fn token_in(&self, token: Token) -> Token {
        match self.fault {
            Fault::TokensFall => Token::new(u64::MAX - token.get()),
            Fault::TokensRestart => Token::new((token.get() + self.shift).saturating_sub(1 << 60)),
            _ => token,
        }
    }

    fn claim_in(&self, claim: &ClaimId) -> ClaimId {
        let (scope, key) = self.name(claim.scope(), claim.key());
        let mut token = self.token_in(claim.token());
        if self.is(Fault::TokensIgnored) {
            let held = crate::block_on::block_on(self.store.get(&scope, &key));
            if let Ok(Some(Entry::InFlight { token: newest, .. })) = held {
                token = newest;
            }
        }
        ClaimId::new(scope, key, claim.owner(), token)
    }

    fn name(&self, scope: &Scope, key: &Key) -> (Scope, Key) {
        let prefix = || scope.as_str().chars().take(32).collect::<String>();
        match self.fault {
            Fault::ScopesMixed => (Scope::new(prefix()).expect("short"), key.clone()),
            Fault::NamesJoined => {
                let joined = format!("{scope}{key}");
                let key = joined.chars().skip(32).take(250).collect::<String>();
                (Scope::new(prefix()).expect("short"), Key::new(key).expect("short"))
            }
            _ => (scope.clone(), key.clone()),
        }
    }

    fn request_in(&self, mut request: ClaimRequest) -> ClaimRequest {
        (request.scope, request.key) = self.name(&request.scope, &request.key);
        match self.fault {
            Fault::Blind => request.fingerprint = Fingerprint::EMPTY,
            Fault::ExpiresEarly => {
                request.terms.ttl = request.terms.ttl.map(|ttl| (ttl - MS).max(MS))
            }
            Fault::ExpiresLate => request.terms.ttl = request.terms.ttl.map(|ttl| ttl + MS),
            Fault::LeaseTooShort => {
                request.terms.lease = request.terms.lease.map(|lease| (lease - MS).max(MS))
            }
            Fault::ZeroIsOne => {
                request.terms.ttl = request.terms.ttl.map(|ttl| ttl.max(MS));
                request.terms.lease = request.terms.lease.map(|lease| lease.max(MS));
            }
            _ => {}
        }
        request
    }

    fn grant(&self, asked: &ClaimRequest, owner: OwnerId, token: Token, attempt: u32) -> Granted {
        let attempt = if self.is(Fault::AttemptLost) { 1 } else { attempt };
        Granted::new(asked, owner, self.token_out(token), attempt)
    }

    async fn answer(
        &self,
        owner: OwnerId,
        asked: ClaimRequest,
        limit: Option<Duration>,
    ) -> Result<Outcome> {
        let who = if self.is(Fault::OwnersUnknown) { OwnerId::random()? } else { owner };
        let request = self.request_in(asked.clone());
        let outcome = match limit {
            Some(_) if self.is(Fault::DoesNotWait) => self.store.claim_plain(who, &request).await?,
            Some(limit) => {
                let who = if self.is(Fault::WaitsAsAnybody) { OwnerId::random()? } else { who };
                Backend::wait(&self.store, who, request.clone(), limit).await?
            }
            None => self.store.claim_plain(who, &request).await?,
        };
        Ok(match outcome {
            Outcome::Claimed(granted) => {
                let told = self
                    .grant(&asked, owner, granted.token(), granted.attempt())
                    .with_lease(asked.terms.lease)
                    .with_checkpoint(granted.checkpoint().cloned())
                    .with_late_retry(granted.late_retry());
                Outcome::Claimed(told)
            }
            Outcome::InFlight(_) if self.is(Fault::TwoHolders) => {
                Outcome::Claimed(self.grant(&asked, owner, Token::new(u64::MAX), 1))
            }
            Outcome::Mismatch(mismatch) if self.is(Fault::MismatchLast) && mismatch.in_flight() => {
                Outcome::InFlight(crate::backend::InFlight::new(1, None))
            }
            Outcome::Unresolved(attempt) if self.is(Fault::RunsUnresolved) => {
                Outcome::Claimed(self.grant(&asked, owner, attempt.token(), 1))
            }
            Outcome::Unresolved(attempt) => Outcome::Unresolved(self.attempt_out(&asked, &attempt)),
            Outcome::Replay(record) => Outcome::Replay(self.record_out(&record)),
            other => other,
        })
    }

    fn attempt_out(&self, asked: &ClaimRequest, attempt: &Unresolved) -> Unresolved {
        let (scope, key) = (asked.scope.clone(), asked.key.clone());
        let token = self.token_out(attempt.token());
        Unresolved::new(scope, key, token, attempt.attempt(), attempt.since())
    }

    fn record_out(&self, record: &Record) -> Record {
        let mut response = record.response().clone();
        if self.is(Fault::BodyCut) {
            let mut body = response.body().to_vec();
            body.pop();
            response = StoredResponse::new(body).with_status(response.status());
        }
        if self.is(Fault::StatusLost) {
            response = response.with_status(0);
        }
        let parts = RecordParts {
            token: self.token_out(record.token()),
            attempt: record.attempt(),
            fingerprint: *record.fingerprint(),
            completed_at: record.completed_at(),
            expires_at: record.expires_at(),
            response,
        };
        Record::from_parts(parts, record.is_replay())
    }

    fn told<T>(&self, answer: Result<T>) -> Result<T> {
        answer.map_err(|error| match error.kind() {
            ErrorKind::LeaseLost if self.is(Fault::LostRaceUnavailable) => {
                Error::new(ErrorKind::Unavailable, "the store cannot answer")
            }
            _ => error,
        })
    }
}

impl Store {
    async fn claim_plain(&self, owner: OwnerId, request: &ClaimRequest) -> Result<Outcome> {
        Backend::claim(self, owner, request.clone()).await
    }
}

impl Backend for Wrong {
    fn capabilities(&self) -> Capabilities {
        let right = self.store.capabilities();
        assert_eq!(right.survives(), Survives::PowerCut);
        right
    }

    async fn claim(&self, owner: OwnerId, request: ClaimRequest) -> Result<Outcome> {
        self.answer(owner, request, None).await
    }

    async fn wait(
        &self,
        owner: OwnerId,
        request: ClaimRequest,
        limit: Duration,
    ) -> Result<Outcome> {
        self.answer(owner, request, Some(limit)).await
    }

    async fn complete(&self, claim: &ClaimId, response: StoredResponse) -> Result<Record> {
        let named = self.claim_in(claim);
        if self.is(Fault::CompletesOnce) && !self.completed.lock().insert(named.token()) {
            return Err(Error::new(ErrorKind::LeaseLost, "completed already"));
        }
        let answer = Backend::complete(&self.store, &named, response.clone()).await;
        if self.is(Fault::NotFenced) && answer.is_err() {
            let parts = RecordParts {
                token: claim.token(),
                attempt: 1,
                fingerprint: Fingerprint::EMPTY,
                completed_at: crate::StoreTime::from_millis(0),
                expires_at: crate::StoreTime::from_millis(u64::MAX),
                response,
            };
            return Ok(Record::from_parts(parts, false));
        }
        self.told(answer).map(|record| self.record_out(&record))
    }

    async fn release(&self, claim: &ClaimId) -> Result<()> {
        if self.is(Fault::ReleaseDoesNothing) {
            return Ok(());
        }
        self.told(Backend::release(&self.store, &self.claim_in(claim)).await)
    }

    async fn abandon(&self, claim: &ClaimId) -> Result<()> {
        let named = self.claim_in(claim);
        self.told(match self.fault {
            Fault::AbandonReleases => Backend::release(&self.store, &named).await,
            _ => Backend::abandon(&self.store, &named).await,
        })
    }

    async fn extend(&self, claim: &ClaimId, lease: Duration) -> Result<()> {
        if self.is(Fault::ExtendDoesNothing) {
            return Ok(());
        }
        self.told(Backend::extend(&self.store, &self.claim_in(claim), lease).await)
    }

    async fn checkpoint(&self, claim: &ClaimId, checkpoint: Checkpoint) -> Result<()> {
        if self.is(Fault::CheckpointLost) {
            return Ok(());
        }
        self.told(Backend::checkpoint(&self.store, &self.claim_in(claim), checkpoint).await)
    }

    async fn get(&self, scope: &Scope, key: &Key) -> Result<Option<Entry>> {
        let (scope, key) = self.name(scope, key);
        let found = Backend::get(&self.store, &scope, &key).await?;
        Ok(found.map(|entry| match entry {
            Entry::InFlight { token, attempt, claimed_at } => {
                Entry::InFlight { token: self.token_out(token), attempt, claimed_at }
            }
            Entry::Completed(record) => Entry::Completed(self.record_out(&record)),
            Entry::Unresolved(attempt) => {
                let asked = ClaimRequest::new(scope, key).on_drop(DropPolicy::Unresolved);
                Entry::Unresolved(self.attempt_out(&asked, &attempt))
            }
        }))
    }

    async fn resolve(&self, attempt: &Unresolved, resolution: Resolution) -> Result<()> {
        let (scope, key) = self.name(attempt.scope(), attempt.key());
        if self.is(Fault::ResolvesAny) {
            return self.store.resolve(&scope, &key, resolution).await;
        }
        let token = self.token_in(attempt.token());
        let named = Unresolved::new(scope, key, token, attempt.attempt(), attempt.since());
        Backend::resolve(&self.store, &named, resolution).await
    }
}
