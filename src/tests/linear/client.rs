//! A client of a store that does anything a service could, at random, and has it recorded.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::simulator::linear::answer;
use crate::simulator::linear::history::{Call, Response};
use crate::simulator::linear::recorder::{CallId, Recorder, Told};
use crate::tests::chaos::Numbers;
use crate::tests::world::{key, scope};
use crate::{
    Checkpoint, Claim, ClaimContext, ClaimRequest, DropPolicy, InFlight, Outcome, Resolution,
    Result, Store, StoredResponse,
};

/// What a client asks for.
#[derive(Debug, Clone)]
pub(crate) struct Habits {
    pub(crate) keys: u64,
    pub(crate) ttls_ms: Vec<u64>,
    pub(crate) leases_ms: Vec<u64>,
    /// How many of twenty calls forget.
    pub(crate) forgets: u64,
    /// For how long it waits for somebody else's claim, if it does.
    pub(crate) patience_ms: u64,
}

pub(crate) struct Client<'a> {
    pub(crate) process: u32,
    pub(crate) numbers: Numbers,
    pub(crate) store: Store,
    recorder: &'a Recorder,
    habits: &'a Habits,
    now_ms: &'a (dyn Fn() -> u64 + Sync),
    /// How many calls it has made.
    pub(crate) calls: u64,
    claims: Vec<(u32, Claim)>,
    /// Of claims that were ended, or lost, or not.
    contexts: Vec<(u32, ClaimContext)>,
}

impl<'a> Client<'a> {
    pub(crate) fn new(
        process: u32,
        seed: u64,
        store: Store,
        (recorder, habits): (&'a Recorder, &'a Habits),
        now_ms: &'a (dyn Fn() -> u64 + Sync),
    ) -> Self {
        let (claims, contexts) = (Vec::new(), Vec::new());
        let numbers = Numbers(seed);
        Self { process, numbers, store, recorder, habits, now_ms, calls: 0, claims, contexts }
    }

    /// Anything.
    pub(crate) fn act(&mut self) {
        let key = self.numbers.below(self.habits.keys) as u32;
        if self.numbers.below(20) < self.habits.forgets {
            return self.forget(key);
        }
        match self.numbers.below(20) {
            0..=6 => self.claim(key),
            7..=10 => self.complete(),
            11 => self.release(),
            12 => self.let_go(),
            13 => self.save_checkpoint(),
            14 => self.extend(),
            15 => self.resolve(key),
            _ => self.get(key),
        }
    }

    /// Drops every claim, as policies say, so that the store can be closed.
    pub(crate) fn drop_all(&mut self) {
        while !self.claims.is_empty() {
            self.let_go();
        }
        self.contexts.clear();
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.numbers.below(count) == 0
    }

    fn invoke(&mut self, key: u32, call: Call) -> CallId {
        self.calls += 1;
        self.recorder.invoke(self.process, key, call, (self.now_ms)())
    }

    fn told(&self, id: CallId, told: Told) {
        self.recorder.told(id, told, (self.now_ms)());
    }

    fn choose(&mut self, from: &[u64]) -> u64 {
        from[self.numbers.below(from.len() as u64) as usize]
    }

    fn request(&mut self, key: u32) -> (ClaimRequest, Call) {
        let payload = if self.one_in(8) { "other" } else { "one" };
        let policy = match self.numbers.below(4) {
            0 | 1 => DropPolicy::Hold,
            2 => DropPolicy::Release,
            _ => DropPolicy::Unresolved,
        };
        let ttl_ms = self.choose(&self.habits.ttls_ms);
        let lease_ms = self.choose(&self.habits.leases_ms);
        let (scope, name) = names(key);
        let request = ClaimRequest::new(scope, name)
            .payload(payload)
            .on_drop(policy)
            .ttl(Duration::from_millis(ttl_ms))
            .lease(Duration::from_millis(lease_ms));
        let fingerprint = request.fingerprint;
        (request, Call::Claim { fingerprint, policy, ttl_ms, lease_ms: Some(lease_ms) })
    }

    fn claim(&mut self, key: u32) {
        let (request, call) = self.request(key);
        let calling = self.store.claim(request);
        let id = self.invoke(key, call);
        let outcome = if self.one_in(10) {
            match self.poll_claim(id, calling) {
                Some(outcome) => outcome,
                None => return,
            }
        } else {
            calling.wait()
        };
        self.told(id, answer::claim(&outcome));
        match outcome {
            Ok(Outcome::Claimed(claim)) => self.keep(key, claim),
            Ok(Outcome::InFlight(flight)) if self.habits.patience_ms > 0 && self.one_in(2) => {
                self.wait_for(key, call, flight);
            }
            _ => {}
        }
    }

    /// Polls a claim call once, and drops it if it has no outcome.
    fn poll_claim(
        &self,
        id: CallId,
        calling: impl IntoFuture<Output = Result<Outcome>>,
    ) -> Option<Result<Outcome>> {
        let back = {
            let mut future = pin!(calling.into_future());
            match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(outcome) => return Some(outcome),
                Poll::Pending => self.recorder.cancel(id, (self.now_ms)()),
            }
        };
        self.recorder.returned(back, Response::Done, (self.now_ms)());
        None
    }

    fn wait_for(&mut self, key: u32, call: Call, flight: InFlight) {
        let id = self.invoke(key, call);
        let limit = Duration::from_millis(self.habits.patience_ms);
        let outcome = flight.wait(limit).wait();
        self.told(id, answer::claim(&outcome));
        if let Ok(Outcome::Claimed(claim)) = outcome {
            self.keep(key, claim);
        }
    }

    fn keep(&mut self, key: u32, claim: Claim) {
        self.contexts.push((key, claim.context().clone()));
        self.claims.push((key, claim));
        if self.contexts.len() > 8 {
            self.contexts.remove(0);
        }
    }

    fn take(&mut self) -> Option<(u32, Claim)> {
        let count = self.claims.len() as u64;
        (count > 0).then(|| self.claims.swap_remove(self.numbers.below(count) as usize))
    }

    fn complete(&mut self) {
        let Some((key, claim)) = self.take() else { return };
        let body = self.numbers.below(1 << 40).to_le_bytes();
        let response = StoredResponse::new(body).with_status(self.process);
        let call = Call::Complete { token: claim.token().get(), answer: answer::digest(&response) };
        let id = self.invoke(key, call);
        let calling = claim.complete(response);
        if self.one_in(6) {
            // Nobody waits for it. It was decided when it was called.
            self.poll_once(id, calling, answer::complete);
        } else {
            self.told(id, answer::complete(&calling.wait()));
        }
    }

    /// Polls a call once, and drops it.
    fn poll_once<T>(
        &self,
        id: CallId,
        calling: impl IntoFuture<Output = T>,
        answer: impl Fn(&T) -> Told,
    ) {
        let mut future = pin!(calling.into_future());
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(told) => self.told(id, answer(&told)),
            Poll::Pending => self.recorder.untold(id, (self.now_ms)()),
        }
    }

    fn release(&mut self) {
        let Some((key, claim)) = self.take() else { return };
        let id = self.invoke(key, Call::Release { token: claim.token().get() });
        let calling = claim.release();
        if self.one_in(4) {
            self.poll_once(id, calling, answer::done);
        } else {
            self.told(id, answer::done(&calling.wait()));
        }
    }

    fn let_go(&mut self) {
        let Some((key, claim)) = self.take() else { return };
        let id = self.invoke(key, Call::Drop { token: claim.token().get() });
        drop(claim);
        self.recorder.returned(id, Response::Done, (self.now_ms)());
    }

    fn context(&mut self) -> Option<(u32, ClaimContext)> {
        let count = self.contexts.len() as u64;
        (count > 0).then(|| self.contexts[self.numbers.below(count) as usize].clone())
    }

    fn save_checkpoint(&mut self) {
        let Some((key, context)) = self.context() else { return };
        let data = self.numbers.below(1 << 40).to_le_bytes();
        let checkpoint = Checkpoint::new("step", data).expect("a small one");
        let saved = answer::digest_of_checkpoint(&checkpoint);
        let id = self.invoke(key, Call::Checkpoint { token: context.token().get(), saved });
        let calling = context.save_checkpoint(checkpoint);
        if self.one_in(4) {
            self.poll_once(id, calling, answer::done);
        } else {
            self.told(id, answer::done(&calling.wait()));
        }
    }

    fn extend(&mut self) {
        let Some((key, context)) = self.context() else { return };
        let lease_ms = self.choose(&self.habits.leases_ms);
        let id = self.invoke(key, Call::Extend { token: context.token().get(), lease_ms });
        let told = context.extend(Duration::from_millis(lease_ms));
        self.told(id, answer::done(&told));
    }

    fn resolve(&mut self, key: u32) {
        let response = StoredResponse::new("resolved").with_status(self.numbers.below(99) as u32);
        let (resolution, answer) = match self.numbers.below(2) {
            0 => (Resolution::NotExecuted, None),
            _ => {
                let digest = answer::digest(&response);
                (Resolution::Completed(response), Some(digest))
            }
        };
        let id = self.invoke(key, Call::Resolve { answer });
        let (scope, name) = names(key);
        let calling = self.store.resolve(&scope, &name, resolution);
        if self.one_in(6) {
            self.poll_once(id, calling, answer::done);
        } else {
            self.told(id, answer::done(&calling.wait()));
        }
    }

    fn forget(&mut self, key: u32) {
        let id = self.invoke(key, Call::Forget);
        let (scope, name) = names(key);
        let calling = self.store.forget(&scope, &name);
        if self.one_in(6) {
            self.poll_once(id, calling, answer::forget);
        } else {
            self.told(id, answer::forget(&calling.wait()));
        }
    }

    fn get(&mut self, key: u32) {
        let id = self.invoke(key, Call::Get);
        let (scope, name) = names(key);
        self.told(id, answer::get(&self.store.get(&scope, &name).wait()));
    }
}

fn names(number: u32) -> (crate::Scope, crate::Key) {
    (scope("acct"), key(&format!("key {number}")))
}
