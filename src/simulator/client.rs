//! Virtual clients: each is one task that does what a service does with one request, and now and
//! then what it should not.

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::linear::answer;
use super::linear::history::Call;
use super::linear::recorder::Told;
use super::model::{Ask, KeyId, Model, Seen, Times, Verdict, body_of, checkpoint_of};
use super::watch::Watch;
use super::witness::Heard;
use super::world::World;
use crate::audit::EventKind;
use crate::{
    Claim, ClaimRequest, DropPolicy, Error, ErrorKind, Key, Outcome, Resolution, Result, Scope,
    Store, StoredResponse,
};

/// A client and the store it talks to.
#[derive(Clone)]
pub(crate) struct Client {
    world: Rc<World>,
    store: Store,
}

const COMPLETED: &[EventKind] = &[EventKind::Completed];
const RELEASED: &[EventKind] = &[EventKind::Released];
const RESOLVED: &[EventKind] = &[EventKind::Resolved];
const FORGOTTEN: &[EventKind] = &[EventKind::Forgotten];

/// Whether a call was granted, as far as the model is concerned.
type Granted = Verdict<Option<u64>>;

impl Client {
    pub(crate) fn new(world: Rc<World>, store: Store) -> Self {
        Self { world, store }
    }

    /// One request from its beginning to its end.
    pub(crate) async fn live(self) {
        let dice = &self.world.dice;
        let key = dice.index(self.world.profile.keys);
        let Some((scope, name)) = World::name(key) else { return };
        if !dice.percent(self.world.profile.lookers) {
            return self.claim(key, scope, name).await;
        }
        match dice.below(10) {
            0..=4 => self.look(key, scope, name).await,
            5 | 6 => self.resolve(key, scope, name).await,
            7 | 8 => self.forget(key, scope, name).await,
            _ => self.flush().await,
        }
    }

    // ---- claiming -------------------------------------------------------------------------------

    fn ask(&self, key: KeyId) -> Ask {
        let dice = &self.world.dice;
        let policies = [DropPolicy::Hold, DropPolicy::Release, DropPolicy::Unresolved];
        Ask {
            key,
            payload: if dice.percent(10) { dice.below(4) as u8 } else { 0 },
            policy: dice.pick(&policies, DropPolicy::Hold),
            ttl_ms: dice.pick(self.world.profile.ttls_ms, 1000),
            lease_ms: dice.pick(&[1, 500, 5_000, 60_000], 1000),
        }
    }

    async fn claim(&self, key: KeyId, scope: Scope, name: Key) {
        let ask = self.ask(key);
        let request = ClaimRequest::new(scope, name)
            .operation(if ask.payload & 2 == 0 { "POST /v1/charges" } else { "POST /v1/refunds" })
            .payload(if ask.payload & 1 == 0 { "amount=100" } else { "amount=200" })
            .on_drop(ask.policy)
            .ttl(Duration::from_millis(ask.ttl_ms))
            .lease(Duration::from_millis(ask.lease_ms));
        let request = match self.world.caller() {
            Some(caller) => request.caller(caller),
            None => request,
        };
        let heard = Call::Claim {
            fingerprint: request.fingerprint,
            policy: ask.policy,
            ttl_ms: ask.ttl_ms,
            lease_ms: Some(ask.lease_ms),
        };
        let call = self.store.claim(request);
        let mut told = self.watch(heard, ask, call).await;
        for _ in 0..2 {
            told = match told {
                Ok(Outcome::InFlight(flight)) if self.world.dice.percent(60) => {
                    self.world.hit("a client waits for another");
                    let limit = self.world.dice.pick(&[0, 100, 10_000, 100_000], 100);
                    self.watch(heard, ask, flight.wait(Duration::from_millis(limit))).await
                }
                other => other,
            };
        }
        if let Ok(Outcome::Claimed(claim)) = told {
            self.work(key, claim).await;
        }
    }

    fn watch<C: super::watch::Decides>(&self, heard: Call, ask: Ask, call: C) -> Watch<C> {
        Watch::new(self.hear(ask.key, heard), self.store.clone(), ask, call)
    }

    fn hear(&self, key: KeyId, call: Call) -> Heard {
        Heard::begin(&self.world, key, call)
    }

    // ---- holding a claim ------------------------------------------------------------------------

    /// What a holder does with its claim.
    async fn work(&self, key: KeyId, claim: Claim) {
        let mut held = Held { client: self.clone(), key, claim: Some(claim) };
        let dice = &self.world.dice;
        for _ in 0..dice.below(3) {
            match dice.below(4) {
                0 => self.checkpoint(&held).await,
                1 => self.extend(&held),
                _ => self.world.pause(dice.below(4)).await,
            }
        }
        match dice.below(10) {
            0..=6 => self.complete(&mut held).await,
            7 => self.release(&mut held).await,
            8 => self.world.pause(dice.below(20)).await,
            _ => {}
        }
    }

    async fn complete(&self, held: &mut Held) {
        let mut size = self.world.dice.pick(self.world.profile.sizes, 10);
        while let Some(claim) = held.claim.take() {
            let token = claim.token().get();
            let response = StoredResponse::new(body_of(token, size));
            let key = held.key;
            let answer = answer::digest(&response);
            let heard = self.hear(key, Call::Complete { token, answer });
            let call = claim.complete(response);
            let told = self
                .settle(
                    ("a completion", COMPLETED),
                    (key, Some(token)),
                    call,
                    |model, times, reply| model.complete(key, token, size, times, reply),
                )
                .await;
            heard.told(answer::complete(&told));
            self.world.note([4, key as u64, token], || {
                format!("key {key} completed by {token} with {size} bytes: {told:?}")
            });
            let Err(error) = told else {
                self.world.hit("completed");
                return;
            };
            let kind = error.kind();
            held.claim = error.into_claim().map(|(claim, _)| claim);
            if kind == ErrorKind::LeaseLost {
                self.world.hit("a stale holder is refused");
                return;
            }
            // Too large, or no room for the body: then without one.
            if size == 0 || !matches!(kind, ErrorKind::LimitExceeded | ErrorKind::DiskFull) {
                return;
            }
            size = 0;
        }
    }

    async fn release(&self, held: &mut Held) {
        let Some(claim) = held.claim.take() else { return };
        let (key, token) = (held.key, claim.token().get());
        let heard = self.hear(key, Call::Release { token });
        let told = self
            .settle(
                ("a release", RELEASED),
                (key, Some(token)),
                claim.release(),
                |model, times, reply| model.release(key, token, times, reply),
            )
            .await;
        heard.told(answer::done(&told));
        self.world.note([5, key as u64, token], || format!("key {key} released: {told:?}"));
    }

    async fn checkpoint(&self, held: &Held) {
        let Some(claim) = &held.claim else { return };
        let number = self.world.next_number.get();
        self.world.next_number.set(number + 1);
        let Some(checkpoint) = checkpoint_of(number) else { return };
        let (key, token) = (held.key, claim.token().get());
        let saved = answer::digest_of_checkpoint(&checkpoint);
        let heard = self.hear(key, Call::Checkpoint { token, saved });
        let call = claim.save_checkpoint(checkpoint);
        let told = self
            .settle(("a checkpoint", &[]), (key, Some(token)), call, |model, times, reply| {
                model.checkpoint(key, token, number, times, reply)
            })
            .await;
        heard.told(answer::done(&told));
        self.world.note([6, key as u64, number], || format!("key {key} checkpoint: {told:?}"));
    }

    fn extend(&self, held: &Held) {
        let Some(claim) = &held.claim else { return };
        let (key, token) = (held.key, claim.token().get());
        let lease_ms = self.world.dice.pick(&[1, 5_000, 100_000], 1000);
        let heard = self.hear(key, Call::Extend { token, lease_ms });
        let told = claim.extend(Duration::from_millis(lease_ms));
        let came = told.as_ref().copied().map_err(Error::kind);
        self.world.tell_ledger_of_end(key, &[], Some(token), came);
        heard.told(answer::done(&told));
        let times = self.world.times(&self.store);
        self.world.note([7, key as u64, token], || format!("key {key} extended: {told:?}"));
        if let Some(reply) = self.reply("an extension", &told) {
            self.world.judge(|model| model.extend(key, token, lease_ms, times, reply));
        }
    }

    // ---- others ---------------------------------------------------------------------------------

    async fn look(&self, key: KeyId, scope: Scope, name: Key) {
        let look = self.world.model.borrow_mut().begin_look(key);
        let begin = self.world.times(&self.store);
        let heard = self.hear(key, Call::Get);
        let call = self.store.get(&scope, &name);
        let times = begin.until(self.world.times(&self.store));
        let pages = self.world.model.borrow().shown_to(&look);
        if !self.world.dead.get() {
            self.world.model.borrow_mut().end_look();
        }
        let told = call.await;
        heard.told(answer::get(&told));
        match told {
            Err(error) => self.world.check_error("a look", &error),
            Ok(entry) => {
                let seen = Seen::new(entry.as_ref());
                self.world.note([8, key as u64, 0], || format!("key {key} is seen: {seen:?}"));
                self.world.hit("looked");
                self.world.judge(|model| {
                    Model::check_seen(&pages, times, &seen)?;
                    if matches!(seen, Seen::Done(_) | Seen::Unresolved { .. }) {
                        model.told(look.rests_on);
                    }
                    Ok(())
                });
            }
        }
    }

    async fn resolve(&self, key: KeyId, scope: Scope, name: Key) {
        let token = self.world.model.borrow().page(key).flight.as_ref().map(|f| f.token);
        let size = self.world.dice.percent(50).then_some(12);
        let response = size.map(|size| StoredResponse::new(body_of(token.unwrap_or(0), size)));
        let answer = response.as_ref().map(answer::digest);
        let resolution = response.map_or(Resolution::NotExecuted, Resolution::Completed);
        let heard = self.hear(key, Call::Resolve { answer });
        let call = self.store.resolve(&scope, &name, resolution);
        let told = self
            .settle(("a resolution", RESOLVED), (key, None), call, |model, times, reply| {
                model.resolve(key, size, times, reply)
            })
            .await;
        heard.told(answer::done(&told));
        if told.is_ok() {
            self.world.hit("resolved");
        }
        self.world.note([9, key as u64, 0], || format!("key {key} resolved: {told:?}"));
    }

    async fn forget(&self, key: KeyId, scope: Scope, name: Key) {
        // What is remembered of the key is hidden on disk at once: nobody can do that in the
        // middle of what the journal of it, or the log, writes.
        std::future::poll_fn(|cx: &mut Context<'_>| {
            if self.world.depth() > 0 && !self.store.engine().may_forget() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        self.world.model.borrow_mut().may_hide(key);
        let look = self.world.model.borrow_mut().begin_look(key);
        let begin = self.world.times(&self.store);
        let heard = self.hear(key, Call::Forget);
        let mut call = self.store.forget(&scope, &name);
        let mut first = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut call).poll(cx))).await;
        let times = begin.until(self.world.times(&self.store));
        let decided = match (&first, call.decided()) {
            (Poll::Ready(told), _) => told.as_ref().map(|was| *was).map_err(Clone::clone),
            (Poll::Pending, Some(was)) => Ok(*was),
            (Poll::Pending, None) => return,
        };
        let came = decided.as_ref().map(|was| *was).map_err(Error::kind);
        if came != Ok(false) {
            self.world.tell_ledger_of_end(key, FORGOTTEN, None, came.map(|_| ()));
        }
        let reply = self.reply("forgetting", &decided);
        let number = reply.and_then(|reply| {
            self.world.judge(|model| model.forget(&look, times, reply)).flatten()
        });
        if !self.world.dead.get() {
            self.world.model.borrow_mut().end_look();
        }
        self.world.say(|| format!("forgetting key {key} is decided: entry {number:?}"));
        if first.is_pending() {
            first = Poll::Ready(call.await);
        }
        heard.told(match &first {
            Poll::Ready(told) => answer::forget(told),
            Poll::Pending => Told::Unknown,
        });
        self.world.note([10, key as u64, 0], || format!("key {key} forgotten: {first:?}"));
        match (first, number) {
            (Poll::Ready(Ok(was)), Some(number)) => {
                self.world.hit(if was { "forgotten" } else { "nothing to forget" });
                self.world.tell_model(|model| model.told(number));
            }
            (Poll::Ready(Err(error)), Some(_)) => self.world.check_error("forgetting", &error),
            _ => {}
        }
    }

    async fn flush(&self) {
        let logged = self.world.model.borrow().logged();
        let mut call = pin!(self.store.flush());
        let told = std::future::poll_fn(|cx: &mut Context<'_>| {
            // It syncs by itself, which nobody can in the middle of a disk call.
            if self.world.depth() > 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            call.as_mut().poll(cx)
        })
        .await;
        self.world.note([11, logged, 0], || format!("flushed up to {logged}: {told:?}"));
        match told {
            Ok(()) => {
                self.world.hit("flushed");
                self.world.tell_model(|model| model.synced(logged));
            }
            Err(error) => self.world.check_error("a flush", &error),
        }
    }

    // ---- settling -------------------------------------------------------------------------------

    /// Takes in a call that was decided when it was made, and waits for what comes of it.
    async fn settle<T, E: Into<Error> + AsError>(
        &self,
        (what, told_as): (&'static str, &'static [EventKind]),
        (key, token): (KeyId, Option<u64>),
        call: impl Future<Output = std::result::Result<T, E>>,
        decide: impl FnOnce(&mut Model, Times, std::result::Result<(), ErrorKind>) -> Granted,
    ) -> std::result::Result<T, E> {
        let mut call = pin!(call);
        // A call that is refused says so at once.
        let first = std::future::poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
        let came = match &first {
            Poll::Ready(Err(error)) => Err(error.as_error().kind()),
            _ => Ok(()),
        };
        self.world.tell_ledger_of_end(key, told_as, token, came);
        let times = self.world.times(&self.store);
        let reply = match &first {
            Poll::Ready(Err(error)) => self.reply::<()>(what, &Err(error.as_error().clone())),
            _ => Some(Ok(())),
        };
        let decide = |model: &mut Model, reply| decide(model, times, reply);
        let number =
            reply.and_then(|reply| self.world.judge(|model| decide(model, reply)).flatten());
        self.world.say(|| format!("{what} is decided: entry {number:?}"));
        let told = match first {
            Poll::Ready(told) => told,
            Poll::Pending => call.await,
        };
        match (&told, number) {
            (Ok(_), Some(number)) => {
                self.world.tell_model(|model| model.told(number));
            }
            (Err(error), Some(_)) => self.world.check_error(what, error.as_error()),
            _ => {}
        }
        told
    }

    /// The reply of a call; `None` if it was refused for a reason that says nothing about the key.
    fn reply<T: Copy>(
        &self,
        what: &'static str,
        told: &Result<T>,
    ) -> Option<std::result::Result<T, ErrorKind>> {
        let error = match told {
            Ok(value) => return Some(Ok(*value)),
            Err(error) => error,
        };
        match error.kind() {
            kind @ (ErrorKind::LeaseLost | ErrorKind::NotFound | ErrorKind::InFlight) => {
                Some(Err(kind))
            }
            ErrorKind::LimitExceeded if what == "a completion" => None,
            _ => {
                self.world.check_error(what, error);
                None
            }
        }
    }
}

/// An error of any verb.
pub(crate) trait AsError {
    fn as_error(&self) -> &Error;
}

impl AsError for Error {
    fn as_error(&self) -> &Error {
        self
    }
}

impl AsError for crate::CompleteError {
    fn as_error(&self) -> &Error {
        self.error()
    }
}

/// A claim in a client's hands. Dropping it tells the model.
struct Held {
    client: Client,
    key: KeyId,
    claim: Option<Claim>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(claim) = self.claim.take() else { return };
        let Client { world, store } = &self.client;
        let token = claim.token().get();
        let usable = !store.engine().is_poisoned() && !world.is_closed(store);
        let is_held_only = usable || world.dead.get();
        let heard = Heard::begin(world, self.key, Call::Drop { token });
        drop(claim);
        world.tell_ledger_of_drop(self.key, token);
        if usable {
            heard.done();
        }
        if world.dead.get() {
            return;
        }
        world.hit("a claim is dropped");
        let (times, key) = (world.times(store), self.key);
        world.note([12, key as u64, token], || format!("key {key} is dropped by {token}"));
        if is_held_only {
            world.tell_model(|model| model.drop_claim(key, token, times));
        }
    }
}
