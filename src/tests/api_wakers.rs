//! Wakers that do more than wake: they call back into the store, let go of what they hold, block,
//! or panic. No lock of the store may be held while one runs, and one that panics harms nobody.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use super::api_poll::ByHand;
use super::chaos::within;
use super::world::{World, claim, claim_on_drop, key, outcome, replayed, request, scope};
use crate::simulation::{Fault, FaultPlan};
use crate::{Claim, DropPolicy, FlightCall, Outcome, Store, StoredResponse};

const LEASE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(3600);

/// A waker that meddles: with the key it waits for, with what it holds, with the future it wakes.
struct Meddler {
    store: Store,
    woken: AtomicUsize,
    /// Polled with this waker, and dropped by it.
    waiter: Mutex<Option<Pin<Box<FlightCall>>>>,
    spare: Mutex<Option<Claim>>,
}

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Ordering::SeqCst);
        let _ = self.store.stats();
        let _ = self.store.unresolved();
        drop(self.spare.lock().expect("no panic").take());
        drop(self.waiter.lock().expect("no panic").take());
        let mut again = Box::pin(self.store.claim(request("a")));
        let told = again.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let std::task::Poll::Ready(Ok(Outcome::InFlight(flight))) = told {
            drop(ByHand::begun(flight.wait(LONG)));
        }
        drop(again);
        drop(self.store.forget(&scope("acct"), &key("a")));
        let _ = self.store.prune().wait();
        let _ = self.store.compact().wait();
    }
}

/// Somebody who waits for the key `a`, with a meddling waker.
fn meddler(store: &Store) -> Arc<Meddler> {
    let Outcome::InFlight(flight) = outcome(store, "a") else { panic!("not in flight") };
    let mut waiter = Box::pin(flight.wait(LONG));
    let meddler = Arc::new(Meddler {
        store: store.clone(),
        woken: AtomicUsize::new(0),
        waiter: Mutex::new(None),
        spare: Mutex::new(Some(claim_on_drop(store, "spare", DropPolicy::Unresolved))),
    });
    let waker = Waker::from(meddler.clone());
    assert!(waiter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    *meddler.waiter.lock().expect("no panic") = Some(waiter);
    meddler
}

/// Has a meddler wait for a claim, and ends the claim in some way.
fn meddle(policy: DropPolicy, end: fn(&World, &Store, Claim)) {
    within(Duration::from_secs(20), move || {
        let mut world = World::new();
        let store = world.open();
        let holder = claim_on_drop(&store, "a", policy);
        let meddler = meddler(&store);
        end(&world, &store, holder);
        assert!(meddler.woken.load(Ordering::SeqCst) > 0, "nobody woke it");
        while store.step_commit() {}
        let _ = store.claim(request("b")).wait();
    });
}

#[test]
fn a_waker_may_meddle_when_a_claim_completes() {
    meddle(DropPolicy::Hold, |_, store, holder| {
        let completion = holder.complete(StoredResponse::new("x"));
        assert!(store.step_commit());
        completion.wait().expect("completed");
    });
}

#[test]
fn a_waker_may_meddle_when_a_claim_is_released() {
    meddle(DropPolicy::Hold, |_, _, holder| holder.release().wait().expect("released"));
}

#[test]
fn a_waker_may_meddle_when_a_dropped_claim_is_released() {
    meddle(DropPolicy::Release, |_, _, holder| drop(holder));
}

#[test]
fn a_waker_may_meddle_when_a_dropped_claim_is_unresolved() {
    meddle(DropPolicy::Unresolved, |_, _, holder| drop(holder));
}

#[test]
fn a_waker_may_meddle_when_a_lease_is_moved() {
    meddle(DropPolicy::Hold, |_, _, holder| holder.extend(LEASE / 2).expect("extended"));
}

#[test]
fn a_waker_may_meddle_when_a_claim_is_taken_over() {
    meddle(DropPolicy::Hold, |world, store, _stale| {
        world.advance(LEASE);
        claim(store, "a").release().wait().expect("released");
    });
}

#[test]
fn a_waker_may_meddle_when_a_lost_takeover_is_taken_back() {
    meddle(DropPolicy::Hold, |world, store, _stale| {
        world.advance(LEASE);
        drop(ByHand::begun(store.claim(request("a"))));
    });
}

#[test]
fn a_waker_may_meddle_when_an_expired_lease_turns_unresolved() {
    meddle(DropPolicy::Unresolved, |world, store, _stale| {
        world.advance(LEASE);
        assert!(matches!(outcome(store, "a"), Outcome::Unresolved(_)));
    });
}

#[test]
fn a_waker_may_meddle_when_its_timer_goes_off() {
    meddle(DropPolicy::Hold, |world, store, _stale| {
        world.advance(LEASE);
        store.step_upkeep();
    });
}

#[test]
fn a_waker_may_meddle_when_the_disk_fails() {
    meddle(DropPolicy::Hold, |world, store, holder| {
        let mut plan = FaultPlan::new();
        plan.fail_from(0, Fault::FailedSync);
        world.disk.set_faults(plan);
        holder.complete(StoredResponse::new("x")).wait().expect_err("the disk failed");
        let _ = store.stats();
    });
}

/// A waker that does something once.
struct Once(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Wake for Once {
    fn wake(self: Arc<Self>) {
        let run = self.0.lock().expect("no panic").take();
        if let Some(run) = run {
            run();
        }
    }
}

fn waker(run: impl FnOnce() + Send + 'static) -> Waker {
    Waker::from(Arc::new(Once(Mutex::new(Some(Box::new(run))))))
}

#[test]
fn a_waker_may_block_on_the_store() {
    within(Duration::from_secs(20), || {
        let mut world = World::new();
        for threads in [false, true] {
            let store = world.open_with_threads(threads);
            let holder = claim(&store, "a");
            let mut completion = Box::pin(holder.complete(StoredResponse::new("x")));
            let (told, done) = mpsc::channel();
            let blocking = store.clone();
            let waker = waker(move || {
                replayed(outcome(&blocking, "a"));
                claim(&blocking, "b").complete(StoredResponse::new("y")).wait().expect("completed");
                told.send(()).expect("the test waits");
            });
            let mut cx = Context::from_waker(&waker);
            if completion.as_mut().poll(&mut cx).is_pending() {
                // Led by this thread, unless the store has one for it.
                claim(&store, "c").release().wait().expect("released");
                done.recv().expect("the waker ran to its end");
            }
            replayed(outcome(&store, "a"));
            drop((completion, waker));
            for name in ["a", "b"] {
                let _ = store.forget(&scope("acct"), &key(name)).wait();
            }
        }
    });
}

#[test]
fn a_waker_that_panics_harms_nobody() {
    within(Duration::from_secs(20), || {
        let mut world = World::new();
        for threads in [false, true] {
            let store = world.open_with_threads(threads);
            let holder = claim(&store, "a");
            let waiting = ByHand::begun(match outcome(&store, "a") {
                Outcome::InFlight(flight) => flight.wait(LONG),
                other => panic!("{other:?}"),
            });
            let mut unlucky = Box::pin(holder.complete(StoredResponse::new("x")));
            let panics = waker(|| std::panic::resume_unwind(Box::new("the waker's")));
            let pending = unlucky.as_mut().poll(&mut Context::from_waker(&panics)).is_pending();
            let mut behind = ByHand::new(store.claim(request("b")));
            let told = behind.poll();
            // Whoever leads goes on.
            let led = catch_unwind(AssertUnwindSafe(|| {
                claim(&store, "c").release().wait().expect("released");
            }));
            assert!(led.is_ok(), "the waker's panic came through");
            if pending {
                drop(unlucky);
            }
            while told.is_none() && behind.poll().is_none() {
                std::thread::yield_now();
            }
            while waiting.woken() == 0 {
                std::thread::yield_now();
            }
            replayed(waiting.ready().expect("an outcome"));
            assert!(!store.stats().poisoned);
            drop(behind);
            for name in ["a", "b"] {
                let _ = store.forget(&scope("acct"), &key(name)).wait();
            }
        }
    });
}
