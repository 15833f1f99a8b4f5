//! A store that was closed, or whose disk failed, changes nothing any more.

use std::time::Duration;

use super::world::{World, claim, execute};
use crate::simulation::Fault;
use crate::{Durability, ErrorKind, Options, Outcome};

#[test]
fn promise_7_upkeep_after_a_close_drops_no_claims() {
    let mut world = World::new();
    let store = world.open();
    drop(claim(&store, "held"));
    store.close(Duration::ZERO).wait().expect("closed");
    let calls = world.disk.calls();
    let _ = store.prune().wait();
    let _ = store.compact().wait();
    store.step_upkeep();
    assert_eq!(world.disk.calls(), calls, "the directory is somebody else's by now");
    let store = world.open();
    assert_eq!(store.recovery().claims, 1);
    assert_eq!(claim(&store, "held").attempt(), 2);
}

#[test]
fn promise_8_a_flush_after_a_failed_one_fails_too() {
    let mut world =
        World::with(Options::new().durability(Durability::Interval(Duration::from_secs(1))));
    let store = world.open();
    execute(&store, "a", "answer");
    world.disk.fail_at(world.disk.calls(), Fault::FailedSync);
    assert_eq!(store.flush().wait().unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    // The system has forgotten what it could not write: a sync that succeeds proves nothing.
    assert!(store.flush().wait().is_err());
    assert!(store.stats().poisoned);
    world.crash(crate::simulation::Survival::Nothing, 0);
    drop(store);
    let store = world.open();
    assert!(matches!(super::world::outcome(&store, "a"), Outcome::Claimed(_)));
}

#[test]
fn promise_8_a_read_that_fails_during_a_compaction_leaves_no_key_behind() {
    let prepare = || {
        let mut world = World::with(Options::new().ttl(Duration::from_secs(1800)));
        let store = world.open();
        for i in 0..40 {
            let ttl = if i % 8 == 7 { 24 * 3600 } else { 1800 };
            let request = super::world::request(&format!("k{i}")).ttl(Duration::from_secs(ttl));
            let claim = super::world::claimed(store.claim(request).wait().expect("an outcome"));
            let response = crate::StoredResponse::new("x".repeat(6000));
            claim.complete(response).wait().expect("completed");
            store.step_upkeep();
        }
        world.advance(Duration::from_secs(1801));
        store.step_upkeep();
        world.advance(Duration::from_secs(2700));
        while store.step_prune() {}
        (world, store)
    };
    let (world, store) = prepare();
    let before = world.disk.calls();
    assert!(store.step_compact());
    let calls = world.disk.calls() - before;
    for call in 0..calls {
        let (world, store) = prepare();
        world.disk.fail_at(before + call, Fault::Io);
        store.step_compact();
        // A look at a key whose index entry leads nowhere would never end.
        for i in 0..40 {
            let found =
                store.get(&super::world::scope("acct"), &super::world::key(&format!("k{i}")));
            assert_eq!(found.wait().expect("a look").is_some(), i % 8 == 7, "k{i}, call {call}");
        }
    }
}
