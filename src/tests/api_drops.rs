//! Claims that nobody ends: what each policy makes of an early return, a panic, a cancelled task.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::world::{World, claim_on_drop, claimed, outcome, request};
use crate::simulation::Survival;
use crate::{Checkpoint, DropPolicy, Outcome, Store};

const LEASE: Duration = Duration::from_secs(60);
const POLICIES: [DropPolicy; 3] = [DropPolicy::Hold, DropPolicy::Release, DropPolicy::Unresolved];

/// What the key is after its claim was dropped under a policy, before and after the lease's end.
fn assert_dropped(world: &World, store: &Store, policy: DropPolicy, lease_over: bool) {
    match policy {
        DropPolicy::Release => assert_eq!(claimed(outcome(store, "a")).attempt(), 1),
        DropPolicy::Unresolved => {
            let Outcome::Unresolved(unresolved) = outcome(store, "a") else {
                panic!("it must not run")
            };
            assert_eq!(unresolved.attempt(), 1);
            assert_eq!(store.unresolved(), [unresolved]);
        }
        _ => {
            if !lease_over {
                assert!(matches!(outcome(store, "a"), Outcome::InFlight(_)));
                world.advance(LEASE);
            }
            assert_eq!(claimed(outcome(store, "a")).attempt(), 2);
        }
    }
}

fn early_return(store: &Store, policy: DropPolicy) -> Option<()> {
    let _claim = claim_on_drop(store, "a", policy);
    None?;
    Some(())
}

#[test]
fn a_dropped_claim_follows_its_policy() {
    for policy in POLICIES {
        for lease_over in [false, true] {
            let mut world = World::new();
            let store = world.open();
            let claim = claim_on_drop(&store, "a", policy);
            if lease_over {
                world.advance(LEASE);
            }
            drop(claim);
            assert_dropped(&world, &store, policy, lease_over);
        }
    }
}

#[test]
fn an_early_return_follows_the_policy() {
    for policy in POLICIES {
        let mut world = World::new();
        let store = world.open();
        assert_eq!(early_return(&store, policy), None);
        assert_dropped(&world, &store, policy, false);
    }
}

#[test]
fn a_panic_in_the_holder_follows_the_policy() {
    for policy in POLICIES {
        let mut world = World::new();
        let store = world.open();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _claim = claim_on_drop(&store, "a", policy);
            std::panic::resume_unwind(Box::new("the handler's"));
        }));
        assert!(panicked.is_err());
        assert_dropped(&world, &store, policy, false);
    }
}

#[test]
fn what_a_drop_decided_survives_a_crash() {
    for policy in POLICIES {
        let mut world = World::new();
        let store = world.open();
        drop(claim_on_drop(&store, "a", policy));
        store.flush().wait().expect("flushed");
        world.crash(Survival::Nothing, 3);
        drop(store);
        let store = world.open();
        assert_dropped(&world, &store, policy, true);
    }
}

#[test]
fn promise_1_a_second_attempt_that_is_dropped_never_makes_the_key_new() {
    // Attempt 1 may have had its effect. Whatever attempt 2's policy, nobody may be told that he
    // is the first.
    let mut world = World::new();
    let store = world.open();
    let first = claim_on_drop(&store, "a", DropPolicy::Hold);
    let midway = Checkpoint::new("charged", b"id 7").expect("good");
    first.save_checkpoint(midway.clone()).wait().expect("saved");
    drop(first);
    world.advance(LEASE);
    let second = claim_on_drop(&store, "a", DropPolicy::Release);
    assert_eq!(second.attempt(), 2);
    drop(second);
    // `Release`: a retry may run at once.
    let third = claimed(outcome(&store, "a"));
    assert_eq!((third.attempt(), third.checkpoint()), (3, Some(&midway)));
}

#[test]
fn an_abandoned_claim_expires_after_its_ttl_and_an_unresolved_one_stays() {
    let mut world = World::new();
    let store = world.open();
    let ttl = Duration::from_secs(1800);
    for (name, policy) in [("held", DropPolicy::Hold), ("open", DropPolicy::Unresolved)] {
        drop(claimed(store.claim(request(name).ttl(ttl).on_drop(policy)).wait().expect("one")));
    }
    world.advance(LEASE);
    store.step_upkeep();
    world.advance(ttl - Duration::from_millis(1));
    store.step_upkeep();
    assert_eq!(store.stats().in_flight, 2);
    world.advance(Duration::from_millis(1));
    store.step_upkeep();
    assert_eq!(store.stats().in_flight, 1);
    assert_eq!(claimed(outcome(&store, "held")).attempt(), 1);
    assert!(matches!(outcome(&store, "open"), Outcome::Unresolved(_)));
}

#[test]
fn a_claim_of_an_abandoned_key_past_its_ttl_is_a_late_retry() {
    let mut world = World::new();
    let store = world.open();
    let ttl = Duration::from_secs(1800);
    drop(claimed(store.claim(request("a").ttl(ttl)).wait().expect("one")));
    world.advance(LEASE);
    store.step_upkeep();
    world.advance(ttl);
    let claim = claimed(outcome(&store, "a"));
    assert_eq!(claim.attempt(), 1);
    let late = claim.late_retry().expect("it was there");
    assert_eq!(
        late.expired_at().as_millis() - late.completed_at().expect("known").as_millis(),
        1_800_000
    );
}
