//! The store and the model side by side: each operation is done to both, and the outcomes are
//! compared.

use std::time::Duration;

use super::book::{Done, Flight, Page, State};
use super::judge::Expected;
use super::{KEYS, KeyId, Op};
use crate::simulation::{Clock, Survival};
use crate::tests::world::World;
use crate::{
    Checkpoint, Claim, ClaimRequest, DropPolicy, Entry, ErrorKind, Key, Options, Outcome,
    Resolution, Scope, Store, StoredResponse,
};

pub(super) struct Machine {
    world: World,
    store: Option<Store>,
    pages: Vec<Page>,
    claims: Vec<(KeyId, Claim)>,
    highest_token: u64,
    pub(super) refuses_late: bool,
    steps: u64,
}

impl Machine {
    pub(super) fn new(options: Options) -> Self {
        let refuses_late = options.refuse_late_retries;
        let mut world = World::with(options);
        let store = Some(world.open());
        let pages = vec![Page::default(); usize::from(KEYS)];
        Self { world, store, pages, claims: Vec::new(), highest_token: 0, refuses_late, steps: 0 }
    }

    pub(super) fn apply(&mut self, op: &Op) {
        self.steps += 1;
        match op {
            Op::Claim { key, payload, policy, ttl_s, lease_s } => {
                self.claim(*key, *payload, *policy, (*ttl_s, *lease_s));
            }
            Op::Complete(claim, size) => self.complete(*claim, *size),
            Op::Release(claim) => self.release(*claim),
            Op::Drop(claim) => self.drop_claim(*claim),
            Op::Checkpoint(claim) => self.checkpoint(*claim),
            Op::Extend(claim) => self.extend(*claim),
            Op::Resolve(key, done) => self.resolve(*key, *done),
            Op::Forget(key) => self.forget(*key),
            Op::Get(key) => self.get(*key),
            Op::Advance(by) => self.world.advance(*by),
            Op::Leap => self.leap(),
            Op::Upkeep => self.upkeep(),
            Op::Tidy => {
                let store = self.store();
                while store.step_prune() || store.step_compact() {}
            }
            Op::Close => self.reopen(None),
            Op::Crash(survival) => self.reopen(Some(*survival)),
        }
        let stats = self.store().stats();
        assert!(!stats.poisoned);
        let in_flight = self.pages.iter().filter(|page| page.flight.is_some()).count();
        assert_eq!(stats.in_flight, in_flight as u64);
    }

    pub(super) fn store(&self) -> &Store {
        self.store.as_ref().expect("an open store")
    }

    pub(super) fn page(&mut self, key: KeyId) -> &mut Page {
        &mut self.pages[usize::from(key)]
    }

    /// Store time, and the latest it can be.
    fn time_ms(&self) -> (u64, u64) {
        let stats = self.store().stats();
        (stats.store_time.as_millis(), stats.store_time.as_millis() + stats.held_back_ms)
    }

    pub(super) fn monotonic_ms(&self) -> u64 {
        self.world.clock.monotonic_ms()
    }

    fn claim(&mut self, key: KeyId, payload: bool, policy: DropPolicy, (ttl, lease): (u64, u64)) {
        let (scope, name) = names(key);
        let request = ClaimRequest::new(scope, name)
            .payload(if payload { "one" } else { "other" })
            .on_drop(policy)
            .ttl(Duration::from_secs(ttl))
            .lease(Duration::from_secs(lease));
        let outcome = self.store().claim(request).wait().expect("an outcome");
        let (now, _) = self.time_ms();
        let until_ms = self.monotonic_ms() + lease * 1000;
        let fresh = Flight {
            token: 0,
            attempt: 1,
            payload,
            policy,
            ttl_ms: ttl * 1000,
            checkpoint: None,
            state: State::Held { until_ms, dropped: false },
        };
        match self.expect(key, payload, now, &outcome) {
            Expected::Told => {}
            Expected::Claim { attempt, checkpoint } => {
                let Outcome::Claimed(claim) = outcome else { panic!("{outcome:?}, not a claim") };
                assert_eq!(claim.attempt(), attempt);
                let data = checkpoint.map(|step: u64| step.to_le_bytes().to_vec());
                assert_eq!(claim.checkpoint().map(|saved| saved.data().to_vec()), data);
                let token = claim.token().get();
                assert!(token > self.highest_token, "{token} after {}", self.highest_token);
                self.highest_token = token;
                let page = self.page(key);
                page.ghost = None;
                page.flight = Some(Flight { token, attempt, checkpoint, ..fresh });
                self.claims.push((key, claim));
            }
        }
    }

    fn take_claim(&mut self, choice: usize) -> Option<(KeyId, Claim)> {
        let count = self.claims.len();
        (count > 0).then(|| self.claims.swap_remove(choice % count))
    }

    fn complete(&mut self, choice: usize, size: usize) {
        let Some((key, claim)) = self.take_claim(choice) else { return };
        let token = claim.token().get();
        let body: Vec<u8> = self.steps.to_le_bytes().into_iter().cycle().take(size).collect();
        let told = claim.complete(StoredResponse::new(body.clone())).wait();
        let (_, latest) = self.time_ms();
        let page = self.page(key);
        if page.flight_of(token).is_none() {
            assert_eq!(told.unwrap_err().kind(), ErrorKind::LeaseLost);
            return;
        }
        told.expect("completed");
        end(page, body, latest);
    }

    fn release(&mut self, choice: usize) {
        let Some((key, claim)) = self.take_claim(choice) else { return };
        let token = claim.token().get();
        let told = claim.release().wait();
        let page = self.page(key);
        if page.flight_of(token).is_none() {
            assert_eq!(told.unwrap_err().kind(), ErrorKind::LeaseLost);
            return;
        }
        told.expect("released");
        page.flight = None;
    }

    fn drop_claim(&mut self, choice: usize) {
        let Some((key, claim)) = self.take_claim(choice) else { return };
        let token = claim.token().get();
        drop(claim);
        self.store().flush().wait().expect("flushed");
        self.dropped(key, token);
    }

    fn dropped(&mut self, key: KeyId, token: u64) {
        let (_, latest) = self.time_ms();
        let page = self.page(key);
        let Some(flight) = page.flight_of(token) else { return };
        match (&mut flight.state, flight.policy) {
            (State::Held { dropped, .. }, DropPolicy::Hold) => *dropped = true,
            (State::Held { .. }, DropPolicy::Release) if flight.attempt == 1 => page.flight = None,
            // What the attempts before it did is unknown still.
            (State::Held { .. }, DropPolicy::Release) => {
                flight.policy = DropPolicy::Hold;
                flight.state = State::Abandoned { from_ms: latest, to_ms: latest };
            }
            (State::Held { .. }, DropPolicy::Unresolved) => flight.state = State::Unresolved,
            _ => {}
        }
    }

    fn checkpoint(&mut self, choice: usize) {
        let (count, step) = (self.claims.len(), self.steps);
        if count == 0 {
            return;
        }
        let (key, claim) = &self.claims[choice % count];
        let (key, token) = (*key, claim.token().get());
        let saved = Checkpoint::new("step", step.to_le_bytes()).expect("a small one");
        let told = claim.save_checkpoint(saved).wait();
        match held(self.page(key).flight_of(token)) {
            Some(flight) => {
                told.expect("saved");
                flight.checkpoint = Some(step);
            }
            None => assert_eq!(told.unwrap_err().kind(), ErrorKind::LeaseLost),
        }
    }

    fn extend(&mut self, choice: usize) {
        let (count, until_ms) = (self.claims.len(), self.monotonic_ms() + 90_000);
        if count == 0 {
            return;
        }
        let (key, claim) = &self.claims[choice % count];
        let (key, token) = (*key, claim.token().get());
        let told = claim.extend(Duration::from_secs(90));
        match held(self.page(key).flight_of(token)) {
            Some(flight) => {
                told.expect("extended");
                flight.state = State::Held { until_ms, dropped: false };
            }
            None => assert_eq!(told.unwrap_err().kind(), ErrorKind::LeaseLost),
        }
    }

    fn resolve(&mut self, key: KeyId, done: bool) {
        let (scope, name) = names(key);
        let body = self.steps.to_le_bytes().to_vec();
        let resolution = match done {
            true => Resolution::Completed(StoredResponse::new(body.clone())),
            false => Resolution::NotExecuted,
        };
        let told = self.store().resolve(&scope, &name, resolution).wait();
        let (_, latest) = self.time_ms();
        let page = self.page(key);
        match page.flight.as_ref().map(|flight| flight.state) {
            None => assert_eq!(told.unwrap_err().kind(), ErrorKind::NotFound),
            Some(State::Unresolved) => {
                told.expect("resolved");
                match done {
                    true => end(page, body, latest),
                    false => page.flight = None,
                }
            }
            Some(_) => assert_eq!(told.unwrap_err().kind(), ErrorKind::InFlight),
        }
    }

    fn forget(&mut self, key: KeyId) {
        let (scope, name) = names(key);
        let told = self.store().forget(&scope, &name).wait();
        let (now, _) = self.time_ms();
        let page = self.page(key);
        match page.flight.as_ref().map(|flight| flight.state) {
            None => {
                assert_eq!(told.expect("forgotten"), page.live(now).is_some());
                page.done = None;
            }
            Some(State::Abandoned { .. }) => {
                assert!(told.expect("forgotten"));
                page.flight = None;
            }
            Some(_) => assert_eq!(told.unwrap_err().kind(), ErrorKind::InFlight),
        }
    }

    fn get(&mut self, key: KeyId) {
        let (scope, name) = names(key);
        let found = self.store().get(&scope, &name).wait().expect("a look");
        let (now, _) = self.time_ms();
        let page = self.page(key);
        match (&page.flight, page.live(now), found) {
            (Some(flight), _, Some(Entry::InFlight { token, attempt, .. })) => {
                assert_ne!(flight.state, State::Unresolved);
                assert_eq!((token.get(), attempt), (flight.token, flight.attempt));
            }
            (Some(flight), _, Some(Entry::Unresolved(held))) => {
                assert_eq!(flight.state, State::Unresolved);
                assert_eq!(held.token().get(), flight.token);
            }
            (None, Some(done), Some(Entry::Completed(record))) => {
                assert_eq!(record.response().body(), done.body);
                assert_eq!(record.expires_at().as_millis(), done.expires_ms);
            }
            (None, None, None) => {}
            (_, _, found) => panic!("{found:?} of {page:?} at {now}"),
        }
    }

    fn leap(&mut self) {
        self.world.advance(Duration::from_secs(7200));
        // It is noticed by whoever looks at the time first.
        self.time_ms();
        self.world.advance(Duration::from_secs(601));
        self.upkeep();
    }

    fn upkeep(&mut self) {
        self.store().step_upkeep();
        self.sweep();
    }

    fn sweep(&mut self) {
        let ((now, latest), monotonic) = (self.time_ms(), self.monotonic_ms());
        for key in 0..KEYS {
            self.page(key).sweep(now, latest, monotonic);
            if self.page(key).may_be_over(now) {
                let token = self.page(key).flight.as_ref().map(|flight| flight.token);
                let there = self.token_in_flight(key);
                self.page(key).learn(there == token, now);
            }
        }
    }

    fn token_in_flight(&self, key: KeyId) -> Option<u64> {
        let (scope, name) = names(key);
        match self.store().get(&scope, &name).wait().expect("a look") {
            Some(Entry::InFlight { token, .. }) => Some(token.get()),
            _ => None,
        }
    }

    /// Closes the store or crashes it, and opens it again.
    fn reopen(&mut self, crash: Option<Survival>) {
        if let Some(survival) = crash {
            self.world.crash(survival, self.steps);
            self.claims.clear();
            self.store = None;
        } else {
            for (key, claim) in std::mem::take(&mut self.claims) {
                let token = claim.token().get();
                drop(claim);
                self.dropped(key, token);
            }
            let closed = self.store().close(Duration::ZERO).wait().expect("closed");
            assert_eq!(closed.remaining, 0);
            self.store = None;
        }
        self.store = Some(self.world.open());
        let (_, latest) = self.time_ms();
        for key in 0..KEYS {
            self.bring_back(key, crash.is_some());
            self.page(key).orphan(latest, crash.is_some());
        }
        self.sweep();
    }

    /// A claim that upkeep had forgotten may be there again after a crash.
    fn bring_back(&mut self, key: KeyId, crashed: bool) {
        let Some(ghost) = self.page(key).ghost.take().filter(|_| crashed) else { return };
        if self.token_in_flight(key) == Some(ghost.token) {
            self.page(key).flight = Some(ghost);
        }
    }
}

/// A flight becomes a record.
fn end(page: &mut Page, body: Vec<u8>, latest_ms: u64) {
    let Some(flight) = page.flight.take() else { return };
    page.done = Some(Done {
        token: flight.token,
        attempt: flight.attempt,
        payload: flight.payload,
        body,
        expires_ms: latest_ms + flight.ttl_ms,
    });
}

fn held(flight: Option<&mut Flight>) -> Option<&mut Flight> {
    flight.filter(|flight| matches!(flight.state, State::Held { .. }))
}

fn names(key: KeyId) -> (Scope, Key) {
    let scope =
        Scope::new(if key.is_multiple_of(2) { "acct" } else { "other" }).expect("a good scope");
    (scope, Key::new(format!("key-{}", key / 2)).expect("a good key"))
}
