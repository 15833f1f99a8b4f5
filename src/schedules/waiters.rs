//! Waiters and wakers: a ring is heard by everybody who listened before it; a waiter that is
//! cancelled takes nobody's wake-up with it; a limit of time that has passed is noticed. Nobody
//! sleeps for ever.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::{explore, join_all, pick};
use crate::block_on::block_on;
use crate::engine::{Signal, Wakers};
use crate::simulation::Environment;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sync::thread;
use crate::tests::chaos::{ChaosDisk, How};
use crate::tests::world::{World, claim_on_drop, request};
use crate::{ClaimRequest, DropPolicy, ErrorKind, Outcome, Store, StoredResponse};

const LONG: Duration = Duration::from_secs(600);

#[test]
fn a_ring_is_heard_by_all_who_listen() {
    explore("a signal", || {
        let (signal, changed) = (Arc::new(Signal::default()), Arc::new(AtomicBool::new(false)));
        let listen = |cancelled: bool| {
            let (signal, changed) = (signal.clone(), changed.clone());
            thread::spawn(move || {
                let mut listener = signal.listen();
                if cancelled {
                    let _ = listener.poll(&mut Context::from_waker(Waker::noop()));
                } else if !changed.load(Ordering::SeqCst) {
                    listener.wait();
                    assert!(changed.load(Ordering::SeqCst));
                }
            })
        };
        let listening = [false, true, false].map(listen);
        changed.store(true, Ordering::SeqCst);
        signal.ring(&mut Wakers::default());
        join_all(listening);
    });
}

fn of_k() -> ClaimRequest {
    request("k").on_drop(DropPolicy::Release)
}

/// Asks for the key until it has its answer, and gives one where it is its turn.
async fn answer(store: &Store) {
    let mut outcome = store.claim(of_k()).await.expect("an outcome");
    loop {
        outcome = match outcome {
            Outcome::Claimed(claim) => {
                claim.complete(StoredResponse::new("done")).await.expect("completed");
                return;
            }
            Outcome::Replay(_) => return,
            Outcome::InFlight(flight) => flight.wait(LONG).await.expect("an outcome"),
            other => panic!("{other:?}"),
        };
    }
}

fn answer_on_a_thread(store: &Store) {
    let mut outcome = store.claim(of_k()).wait().expect("an outcome");
    loop {
        outcome = match outcome {
            Outcome::Claimed(claim) => return claim.release().wait().expect("released"),
            Outcome::Replay(_) => return,
            Outcome::InFlight(flight) => flight.wait(LONG).wait().expect("an outcome"),
            other => panic!("{other:?}"),
        };
    }
}

/// Waits for a while and goes away; if the key has come to it by then, it takes it along.
fn go_away(store: &Store) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut calling = pin!(async {
        match store.claim(of_k()).await.expect("an outcome") {
            Outcome::InFlight(flight) => flight.wait(LONG).await.expect("an outcome"),
            other => other,
        }
    });
    for _ in 0..pick(4) {
        if let Poll::Ready(outcome) = calling.as_mut().poll(&mut cx) {
            return drop(outcome);
        }
        thread::yield_now();
    }
}

#[test]
fn a_waiter_that_goes_away_takes_no_wake_up_with_it() {
    explore("waiters", || {
        let store = World::new().open_with_threads(true);
        let held = claim_on_drop(&store, "k", DropPolicy::Release);
        let with = |wait: fn(&Store)| {
            let store = store.clone();
            thread::spawn(move || wait(&store))
        };
        let waiting =
            [with(|store| block_on(answer(store))), with(answer_on_a_thread), with(go_away)];
        match pick(3) {
            0 => drop(held.complete(StoredResponse::new("first")).wait().expect("completed")),
            1 => held.release().wait().expect("released"),
            _ => drop(held),
        }
        join_all(waiting);
    });
}

#[test]
fn a_limit_that_has_passed_is_noticed() {
    explore("limits", || {
        let mut world = World::new();
        let store = world.open_with_threads(true);
        let _held = claim_on_drop(&store, "k", DropPolicy::Release);
        let left = Arc::new(AtomicU32::new(2));
        let wait = |limit_s: u64| {
            let (store, left) = (store.clone(), left.clone());
            thread::spawn(move || {
                let limit = Duration::from_secs(limit_s);
                match store.claim(of_k()).wait().expect("an outcome") {
                    Outcome::InFlight(flight) => drop(flight.wait(limit).wait()),
                    other => panic!("{other:?}"),
                }
                left.fetch_sub(1, Ordering::SeqCst);
            })
        };
        let waiting = [1, 2].map(wait);
        // Upkeep looks at the clock when it is called: that time has passed wakes nobody here.
        while left.load(Ordering::SeqCst) > 0 {
            world.advance(Duration::from_secs(1));
            store.engine().ask_upkeep(false);
            thread::yield_now();
        }
        join_all(waiting);
    });
}

#[test]
fn promise_8_who_waits_for_a_claim_wakes_when_the_disk_fails() {
    explore("waiters, a failed disk", || {
        let world = World::new();
        let chaos = ChaosDisk::new(world.disk.clone(), How::Errors);
        let environment = Environment { disk: chaos.clone(), threads: true, ..world.environment() };
        let store = Store::open_in(&environment, &world.options, true).expect("the store opens");
        let _held = claim_on_drop(&store, "k", DropPolicy::Hold);
        let wait = |store: &Store| match store.claim(of_k()).wait() {
            Ok(Outcome::InFlight(flight)) => flight.wait(LONG).wait().map(drop),
            other => other.map(drop),
        };
        let waiting = [0, 1].map(|_| {
            let store = store.clone();
            thread::spawn(move || {
                let kind = wait(&store).expect_err("nobody lets go of it").kind();
                assert_eq!(kind, ErrorKind::Poisoned);
            })
        });
        chaos.fail_after(pick(2));
        let told = store.claim(request("other")).wait();
        let kind = told.expect_err("the disk failed").kind();
        // Upkeep may have met the failure first.
        assert!([ErrorKind::OutcomeUnknown, ErrorKind::Poisoned].contains(&kind), "{kind:?}");
        join_all(waiting);
    });
}
