//! A backend that fails: nothing runs twice, nothing is lost, and every answer says which it was.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oncekey::backend::{Backend, Capabilities, ClaimId, Outcome, OwnerId};
use oncekey::http::{IdempotencyLayer, Rule};
use oncekey::{
    Checkpoint, ClaimRequest, Entry, Error, ErrorKind, Key, Record, Resolution, Result, Scope,
    Store, StoredResponse, Unresolved,
};

use crate::world::{Answer, Count, Sends, World, account, around, post, problem, reply};

/// When the fault strikes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Strikes {
    /// In place of the call.
    Before(ErrorKind),
    /// After it was done: its answer is lost.
    After(ErrorKind),
}

pub type Script = Arc<Mutex<VecDeque<(&'static str, Strikes)>>>;

/// A store whose next calls of some verbs fail.
#[derive(Clone)]
pub struct Faulty {
    store: Store,
    script: Script,
}

impl Faulty {
    pub fn new(store: &Store, script: &Script) -> Self {
        Self { store: store.clone(), script: script.clone() }
    }

    fn strike(&self, verb: &str) -> Option<Strikes> {
        let mut script = self.script.lock().expect("a lock");
        let at = script.iter().position(|(name, _)| *name == verb)?;
        script.remove(at).map(|(_, strikes)| strikes)
    }

    async fn through<F, T>(&self, verb: &str, call: impl FnOnce() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        match self.strike(verb) {
            Some(Strikes::Before(kind)) => Err(Error::new(kind, "on purpose")),
            Some(Strikes::After(kind)) => {
                call().await?;
                Err(Error::new(kind, "on purpose"))
            }
            None => call().await,
        }
    }
}

impl Backend for Faulty {
    fn capabilities(&self) -> Capabilities {
        Backend::capabilities(&self.store)
    }

    async fn claim(&self, owner: OwnerId, request: ClaimRequest) -> Result<Outcome> {
        self.through("claim", || Backend::claim(&self.store, owner, request)).await
    }

    async fn wait(
        &self,
        owner: OwnerId,
        request: ClaimRequest,
        limit: Duration,
    ) -> Result<Outcome> {
        self.through("claim", || self.store.wait(owner, request, limit)).await
    }

    async fn complete(&self, claim: &ClaimId, response: StoredResponse) -> Result<Record> {
        self.through("complete", || self.store.complete(claim, response)).await
    }

    async fn release(&self, claim: &ClaimId) -> Result<()> {
        self.through("release", || self.store.release(claim)).await
    }

    async fn abandon(&self, claim: &ClaimId) -> Result<()> {
        self.through("abandon", || self.store.abandon(claim)).await
    }

    async fn extend(&self, claim: &ClaimId, lease: Duration) -> Result<()> {
        self.through("extend", || self.store.extend(claim, lease)).await
    }

    async fn checkpoint(&self, claim: &ClaimId, checkpoint: Checkpoint) -> Result<()> {
        self.through("checkpoint", || self.store.checkpoint(claim, checkpoint)).await
    }

    async fn get(&self, scope: &Scope, key: &Key) -> Result<Option<Entry>> {
        self.through("get", || Backend::get(&self.store, scope, key)).await
    }

    async fn resolve(&self, attempt: &Unresolved, resolution: Resolution) -> Result<()> {
        self.through("resolve", || Backend::resolve(&self.store, attempt, resolution)).await
    }
}

struct Played {
    _world: World,
    store: Store,
    script: Script,
    layer: IdempotencyLayer<Faulty>,
    count: Count,
}

impl Played {
    fn new() -> Self {
        let world = World::new();
        let script = Script::default();
        let backend = Faulty::new(&world.store, &script);
        let layer = IdempotencyLayer::new(backend, account);
        Self { store: world.store.clone(), _world: world, script, layer, count: Count::default() }
    }

    fn strikes(&self, verb: &'static str, strikes: Strikes, times: usize) {
        self.script.lock().expect("a lock").extend(std::iter::repeat_n((verb, strikes), times));
    }

    async fn send(&self, body: &str) -> Answer {
        let ran = self.count.clone();
        let service = around(&self.layer, move |_| {
            let run = ran.up();
            async move { reply(201, format!("run {run}")) }
        });
        service.send(post("key", body)).await
    }
}

const UNAVAILABLE: [ErrorKind; 4] =
    [ErrorKind::Unavailable, ErrorKind::Poisoned, ErrorKind::Closed, ErrorKind::DiskFull];

/// Fail closed: nothing runs that is not claimed.
#[tokio::test]
async fn a_backend_that_cannot_answer_is_a_503() {
    for kind in UNAVAILABLE {
        let played = Played::new();
        played.strikes("claim", Strikes::Before(kind), 1);
        let refused = played.send("x").await;
        assert_eq!(refused.problem(), problem(503, "store-unavailable"), "{kind:?}");
        assert_eq!(refused.header("retry-after"), "1");
        assert_eq!(played.count.get(), 0);
        assert_eq!(played.send("x").await.status, 201);
    }
}

/// Fail open only by explicit choice.
#[tokio::test]
async fn fail_open_executes_without_protection() {
    for kind in UNAVAILABLE {
        let mut played = Played::new();
        played.layer = played.layer.fail_open();
        played.strikes("claim", Strikes::Before(kind), 1);
        assert_eq!(played.send("x").await.body, "run 1");
        // Nothing of it is known.
        assert_eq!(played.send("x").await.body, "run 2");
        assert!(played.send("x").await.is_replay());
    }
    let mut played = Played::new();
    played.layer = played.layer.fail_open();
    played.strikes("claim", Strikes::Before(ErrorKind::LimitExceeded), 1);
    assert_eq!(played.send("x").await.problem(), problem(429, "too-many-keys"));
}

#[tokio::test]
async fn what_a_guard_refuses_is_a_403() {
    let played = Played::new();
    played.strikes("claim", Strikes::Before(ErrorKind::Refused), 1);
    assert_eq!(played.send("x").await.problem(), problem(403, "refused"));
    assert_eq!(played.count.get(), 0);
}

#[tokio::test]
async fn a_limit_is_a_429() {
    let played = Played::new();
    played.strikes("claim", Strikes::Before(ErrorKind::LimitExceeded), 1);
    assert_eq!(played.send("x").await.problem(), problem(429, "too-many-keys"));
    assert_eq!(played.count.get(), 0);
}

/// A claim whose answer was lost is recognised by its owner id: it runs, once.
#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_asked_for_again() {
    let played = Played::new();
    played.strikes("claim", Strikes::After(ErrorKind::OutcomeUnknown), 2);
    assert_eq!(played.send("x").await.body, "run 1");
    assert!(played.send("x").await.is_replay());
    assert_eq!(played.count.get(), 1);
}

/// A completion whose answer was lost, or that found nobody, is asked for again.
#[tokio::test]
async fn a_completion_is_repeated_while_the_backend_does_not_answer() {
    for strikes in [
        Strikes::After(ErrorKind::OutcomeUnknown),
        Strikes::Before(ErrorKind::OutcomeUnknown),
        Strikes::Before(ErrorKind::Unavailable),
    ] {
        let played = Played::new();
        played.strikes("complete", strikes, 2);
        assert_eq!(played.send("x").await.body, "run 1", "{strikes:?}");
        assert!(played.send("x").await.is_replay());
        assert_eq!(played.count.get(), 1);
    }
}

/// What was executed and could not be stored is not told, and not run again.
#[tokio::test]
async fn a_completion_that_fails_is_an_unknown_outcome() {
    for kind in [ErrorKind::Poisoned, ErrorKind::Closed, ErrorKind::Unavailable] {
        let mut played = Played::new();
        played.layer = played.layer.rule(Rule::new().wait(Duration::ZERO));
        played.strikes("complete", Strikes::Before(kind), 5);
        assert_eq!(played.send("x").await.problem(), problem(503, "outcome-unknown"));
        assert_eq!(played.send("x").await.problem(), problem(409, "in-flight"));
        assert_eq!(played.count.get(), 1);
    }
}

/// A disk without room takes the fact that it was executed.
#[tokio::test]
async fn without_room_the_body_is_left_out() {
    let played = Played::new();
    played.strikes("complete", Strikes::Before(ErrorKind::DiskFull), 1);
    assert_eq!(played.send("x").await.body, "run 1");
    assert_eq!(played.send("x").await.problem(), problem(410, "response-not-kept"));
    assert_eq!(played.count.get(), 1);
}

/// A lost race is answered by what won it, never as a backend that cannot answer; and the loser
/// does not claim again what it has executed.
#[tokio::test]
async fn a_lost_race_is_answered_by_what_won() {
    let played = Played::new();
    played.strikes("complete", Strikes::After(ErrorKind::LeaseLost), 1);
    let answer = played.send("x").await;
    assert_eq!((answer.is_replay(), &answer.body[..]), (true, &b"run 1"[..]));

    let played = Played::new();
    played.strikes("complete", Strikes::Before(ErrorKind::LeaseLost), 1);
    assert_eq!(played.send("x").await.problem(), problem(409, "in-flight"));
}

/// Somebody decided that it was not executed while it still was: the key is free then, and the one
/// that was executed does not take it again.
#[tokio::test]
async fn an_attempt_that_was_written_off_does_not_claim_again() {
    let mut played = Played::new();
    let lease = Duration::from_millis(30);
    let rule = Rule::new().lease(lease).wait(Duration::from_secs(60));
    played.layer = played.layer.rule(rule);
    // Nothing renews its lease.
    played.strikes("extend", Strikes::Before(ErrorKind::LeaseLost), 1);
    let (may_end, ran) = (Arc::new(tokio::sync::Notify::new()), played.count.clone());
    let ends = may_end.clone();
    let service = Arc::new(around(&played.layer, move |_| {
        let (ends, run) = (ends.clone(), ran.up());
        async move {
            if run == 1 {
                ends.notified().await;
            }
            reply(201, format!("run {run}"))
        }
    }));
    let asked = service.clone();
    let first = tokio::spawn(async move { asked.send(post("key", "x")).await });
    while played.count.get() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(service.send(post("key", "x")).await.problem(), problem(409, "unresolved"));
    let (scope, key) = (Scope::new("acct").expect("a scope"), Key::new("key").expect("a key"));
    let resolved = played.store.resolve(&scope, &key, Resolution::NotExecuted).await;
    resolved.expect("resolved");
    may_end.notify_one();
    assert_eq!(first.await.expect("an answer").problem(), problem(503, "outcome-unknown"));
    assert_eq!(service.send(post("key", "x")).await.body, "run 2");
}

/// A key that cannot be given back is not lost for ever: its lease runs out.
#[tokio::test]
async fn a_release_that_fails_leaves_the_claim_to_its_lease() {
    let played = Played::new();
    played.strikes("release", Strikes::Before(ErrorKind::Poisoned), 1);
    let rule = Rule::new().lease(Duration::from_millis(50)).wait(Duration::from_secs(60));
    let ran = played.count.clone();
    let service = around(&played.layer.clone().rule(rule), move |_| {
        ran.up();
        async { reply(429, "") }
    });
    assert_eq!(service.send(post("key", "x")).await.status, 429);
    assert_eq!(service.send(post("key", "x")).await.problem(), problem(409, "unresolved"));
    assert_eq!(played.count.get(), 1);
}
