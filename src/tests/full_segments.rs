//! Segments at their limits: the last bytes of one, and the claims that are stated at the head of
//! the next.

use super::api_poll::ByHand;
use super::world::{World, body, claim, execute, request};
use crate::simulation::Survival;
use crate::{Checkpoint, ErrorKind, StoredResponse};

#[test]
fn promise_7_an_idle_store_vouches_for_its_last_batch_wherever_the_segment_ends() {
    // Every distance of the eighth record's end from the segment's end, in granules.
    for size in (1800..8000).step_by(16) {
        let mut world = World::new();
        let store = world.open();
        for i in 0..10 {
            let size = if i == 0 { size } else { 7000 };
            execute(&store, &format!("k{i}"), &"x".repeat(size));
            store.step_upkeep();
            store.step_upkeep();
            assert!(!store.stats().poisoned, "record {i} after one of {size} bytes");
        }
        drop(store);
        let store = world.open();
        for i in 0..10 {
            assert!(body(&store, &format!("k{i}")).is_some());
        }
    }
}

#[test]
fn promise_10_checkpoints_are_refused_before_the_claims_outgrow_a_segment() {
    let mut world = World::new();
    let store = world.open();
    let checkpoint = || Checkpoint::new("n".repeat(64), vec![7; 1024]).expect("a small one");
    let mut claims: Vec<_> = (0..60).map(|i| claim(&store, &format!("k{i}"))).collect();
    let mut refused = 0;
    for claim in &claims {
        match claim.save_checkpoint(checkpoint()).wait() {
            Ok(()) => assert_eq!(refused, 0, "once there is no room there is none"),
            Err(error) if error.kind() == ErrorKind::LimitExceeded => refused += 1,
            Err(error) => panic!("{error}"),
        }
        store.step_upkeep();
        assert!(!store.stats().poisoned);
    }
    assert!((20..60).contains(&refused), "{refused} of 60: 60 KiB do not fit");
    // A checkpoint in place of another takes no more room.
    claims[0].save_checkpoint(checkpoint()).wait().expect("replaced");
    for i in 0..20 {
        let done = claims.pop().expect("a claim");
        done.complete(StoredResponse::new("x".repeat(7000))).wait().expect("completed");
        store.step_upkeep();
        assert!(!store.stats().poisoned, "record {i}");
    }
    world.crash(Survival::Everything, 0);
    drop((claims, store));
    let store = world.open();
    assert_eq!(store.recovery().claims, 40);
    let taken = claim(&store, "k0");
    assert_eq!((taken.attempt(), taken.checkpoint().map(|c| c.data().len())), (2, Some(1024)));
}

/// The first part of a batch that does not fit into a segment, and the claims at the head of the
/// next one, are on disk before the rest is. A power cut in between leaves a claim that was made
/// after completions which are lost: nobody was told of either.
#[test]
fn promise_2_a_batch_that_is_split_by_the_end_of_a_segment_loses_nothing_that_was_told() {
    let mut ahead = 0;
    for during in 0.. {
        let mut world = World::new();
        let store = world.open();
        execute(&store, "early", "answer");
        let claims: Vec<_> = (0..12).map(|i| claim(&store, &format!("k{i}"))).collect();
        for claim in claims {
            drop(claim.complete(StoredResponse::new("x".repeat(7000))));
        }
        let late = ByHand::begun(store.claim(request("late")));
        world.disk.crash_at(world.disk.calls() + during);
        let told = store.step_commit() && !store.stats().poisoned;
        world.crash(Survival::Nothing, 0);
        drop((late, store));
        let store = world.open();
        assert_eq!(body(&store, "early").as_deref(), Some(&b"answer"[..]));
        let completed = |i: &u32| body(&store, &format!("k{i}")).is_some();
        let count = (0..12).take_while(completed).count();
        assert!((count as u32..12).all(|i| !completed(&i)), "they are in the log in this order");
        assert!(count == 12 || !told, "told, and lost at {during}");
        for i in count..12 {
            assert_eq!(claim(&store, &format!("k{i}")).attempt(), 2, "k{i} at {during}");
        }
        let attempt = claim(&store, "late").attempt();
        ahead += u32::from(attempt == 2 && count < 12);
        if told {
            break;
        }
    }
    assert!(ahead > 0, "the segment did not end in the batch");
}
