//! The table of claims in flight: a key has one holder at any time, and whatever ends or renews a
//! claim meets a takeover before or after it, never in between.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use super::clients::play;
use super::{explore, join_all};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::thread;
use crate::tests::linear::client::Habits;
use crate::tests::world::{World, key, request, scope};
use crate::{DropPolicy, Entry, ErrorKind, Outcome, Resolution, Store, StoredResponse};

/// Takes the key if nobody has it, and lets it go in one way or another.
fn hold(store: &Store, held: &AtomicBool, way: usize) {
    let claiming = store.claim(request("k").on_drop(DropPolicy::Release)).wait();
    let Outcome::Claimed(claim) = claiming.expect("an outcome") else { return };
    assert!(!held.swap(true, Ordering::SeqCst), "two holders");
    claim.extend(Duration::from_secs(60)).expect("it is the holder's");
    assert!(held.swap(false, Ordering::SeqCst), "somebody else let it go");
    match way {
        0 => claim.release().wait().expect("released"),
        1 => drop(claim),
        _ => drop(claim.complete(StoredResponse::new("done")).wait().expect("completed")),
    }
}

#[test]
fn promise_1_a_key_has_one_holder() {
    explore("flights, one holder", || {
        let (store, held) = (World::new().open_with_threads(true), Arc::default());
        let holding = [0, 1, 2].map(|way| {
            let (store, held) = (store.clone(), Arc::clone(&held));
            thread::spawn(move || (0..2).for_each(|_| hold(&store, &held, way)))
        });
        join_all(holding);
    });
}

/// The lease is over: a holder that goes on meets those who take the key over.
#[test]
fn promise_1_a_takeover_comes_before_or_after_what_the_earlier_holder_does() {
    explore("flights, takeovers", || {
        let mut world = World::new();
        let store = world.open_with_threads(true);
        let asks = || request("k").lease(Duration::from_secs(1)).on_drop(DropPolicy::Hold);
        let Outcome::Claimed(first) = store.claim(asks()).wait().expect("an outcome") else {
            panic!("a fresh key")
        };
        let highest = Arc::new(AtomicU64::new(first.token().get()));
        world.advance(Duration::from_secs(1));
        let take = |body: &'static str| {
            let (store, highest) = (store.clone(), highest.clone());
            thread::spawn(move || {
                let Outcome::Claimed(claim) = store.claim(asks()).wait().expect("an outcome")
                else {
                    return 0;
                };
                let token = claim.token().get();
                assert!(claim.attempt() > 1);
                highest.fetch_max(token, Ordering::SeqCst);
                match claim.complete(StoredResponse::new(body)).wait() {
                    Ok(_) => 1,
                    Err(error) => panic!("{error}: the lease was renewed by the claim"),
                }
            })
        };
        let taking = ["second", "third"].map(take);
        let before = highest.load(Ordering::SeqCst);
        let extended = first.extend(Duration::from_secs(1));
        if before > first.token().get() {
            let error = extended.expect_err("somebody else's");
            assert_eq!(error.kind(), ErrorKind::LeaseLost);
        }
        let first = first.complete(StoredResponse::new("first")).wait();
        let completed = taking.map(|thread| thread.join().expect("told")).iter().sum::<u32>();
        assert_eq!(completed + u32::from(first.is_ok()), 1, "completed once");
        let error = first.err().map(|error| error.kind());
        assert!(error.is_none_or(|kind| kind == ErrorKind::LeaseLost), "{error:?}");
    });
}

/// An attempt becomes unresolved, and its caller, who was never told of it, goes away while
/// somebody resolves it: what was taken back is not resolved afterwards.
#[test]
fn promise_4_an_attempt_that_was_taken_back_is_not_resolved_any_more() {
    explore("flights, resolving", || {
        let mut world = World::new();
        let store = world.open_with_threads(true);
        let asks = |policy| request("k").lease(Duration::from_secs(1)).on_drop(policy);
        let first = store.claim(asks(DropPolicy::Hold)).wait().expect("an outcome");
        world.advance(Duration::from_secs(1));
        let mut untold = Box::pin(store.claim(asks(DropPolicy::Unresolved)));
        let polled = untold.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        world.advance(Duration::from_secs(1));
        let met = store.claim(request("k")).wait().expect("an outcome");
        assert!(matches!(met, Outcome::Unresolved(_)), "{met:?}");
        let since = store.stats().store_time;
        let going = {
            let clock = world.clock.clone();
            thread::spawn(move || {
                drop(untold);
                clock.advance(Duration::from_millis(1));
            })
        };
        let (scope, key) = (scope("acct"), key("k"));
        let response = StoredResponse::new("an operator's");
        let resolved = store.resolve(&scope, &key, Resolution::Completed(response)).wait();
        join_all([going]);
        match (resolved, store.get(&scope, &key).wait().expect("a look")) {
            (Ok(()), Some(Entry::Completed(record))) => assert_eq!(record.completed_at(), since),
            (Err(error), Some(Entry::InFlight { .. })) => {
                assert_eq!(error.kind(), ErrorKind::InFlight);
            }
            other => panic!("{other:?}"),
        }
        drop(first);
    });
}

#[test]
fn promise_1_what_clients_of_one_key_are_told_can_be_explained() {
    explore("flights, clients", || {
        let habits = Habits {
            keys: 1,
            ttls_ms: vec![20, 3_600_000],
            leases_ms: vec![5, 60_000],
            forgets: 1,
            patience_ms: 0,
        };
        play(3, 4, &habits, |_| {});
    });
}
