//! Whole stores with all their threads: clients claim, complete, wait, forget and let go while time
//! passes, or while the store is closed under them; what they are told can be explained.

use std::time::Duration;

use super::clients::play;
use super::{explore, join_all};
use crate::sync::thread;
use crate::tests::linear::client::Habits;
use crate::tests::world::{World, request};
use crate::{ErrorKind, Outcome, StoredResponse};

#[test]
fn promises_1_to_6_what_clients_are_told_can_be_explained() {
    explore("stores, clients", || {
        let habits = Habits {
            keys: 2,
            ttls_ms: vec![5, 40, 3_600_000],
            leases_ms: vec![3, 30, 60_000],
            forgets: 2,
            patience_ms: 10,
        };
        play(3, 4, &habits, |store| {
            let closed = store.close(Duration::ZERO).wait().expect("closed");
            assert_eq!(closed.remaining, 0);
        });
    });
}

#[test]
fn promise_8_a_store_that_is_closed_leaves_nobody_waiting() {
    explore("stores, closing", || {
        let store = World::new().open_with_threads(true);
        let serve = |name: &'static str| {
            let store = store.clone();
            thread::spawn(move || {
                let mut answer = store.claim(request(name)).wait();
                while let Ok(Outcome::InFlight(flight)) = answer {
                    answer = flight.wait(Duration::from_secs(60)).wait();
                }
                match answer {
                    Ok(Outcome::Claimed(claim)) => {
                        claim.complete(StoredResponse::new("done")).wait().expect("completed");
                    }
                    Ok(Outcome::Replay(_)) => {}
                    Err(error) if error.kind() == ErrorKind::Closed => {}
                    other => panic!("{other:?}"),
                }
            })
        };
        let serving = [serve("k"), serve("k")];
        let closed = store.close(Duration::from_secs(60)).wait().expect("closed");
        assert_eq!(closed.remaining, 0);
        join_all(serving);
        let error = store.claim(request("late")).wait().expect_err("closed");
        assert_eq!(error.kind(), ErrorKind::Closed);
    });
}
