//! Every disk call fails, once or from then on (promise 8): an error is told and never a success
//! that is not so, and the next process finds all that was acknowledged. And disks that are full
//! for a while.

use super::crash_sweep::{Syncs, calls_of_script};
use super::world::{World, body, claim, execute, outcome, request};
use crate::simulation::{Fault, SimDisk, Survival};
use crate::{ErrorKind, Outcome, Store, StoredResponse};

const FAULTS: [Fault; 5] =
    [Fault::Io, Fault::Full, Fault::ShortWrite, Fault::FailedSync, Fault::TooManyFiles];

/// Plays the script on a disk with faults, and checks what the next process finds.
fn play(name: &str, syncs: Syncs, plan: impl Fn(&SimDisk)) {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut run = syncs.run(false);
        plan(&run.world.disk);
        run.play();
        for error in &run.errors {
            let told = [
                ErrorKind::OutcomeUnknown,
                ErrorKind::Poisoned,
                ErrorKind::DiskFull,
                ErrorKind::LimitExceeded,
                ErrorKind::Io,
                ErrorKind::LeaseLost,
            ];
            assert!(told.contains(&error.kind()), "told: {error:?}");
        }
        for survival in [Survival::Everything, Survival::Nothing] {
            let mut next = run.world.fork();
            next.crash(survival, 1);
            let store = next.open();
            let found = run.check(&store, survival);
            let mut last = next.fork();
            last.crash(Survival::Nothing, 2);
            drop(store);
            let store = last.open();
            assert_eq!(run.ledger.find(&store), found);
            run.ledger.check_claims(&store, &found);
        }
    }));
    if let Err(panic) = result {
        eprintln!("failed: {name}");
        std::panic::resume_unwind(panic);
    }
}

/// Each call of the script fails once, in two ways.
fn fail_once(syncs: Syncs) {
    for call in 0..calls_of_script(syncs) {
        let first = call as usize % FAULTS.len();
        for fault in [FAULTS[first], FAULTS[(first + 1) % FAULTS.len()]] {
            play(&format!("{fault:?} at call {call}"), syncs, |disk| disk.fail_at(call, fault));
        }
    }
}

#[test]
fn promise_8_a_call_that_fails_once_is_never_told_as_success() {
    fail_once(Syncs::EachBatch);
}

#[test]
fn promise_8_a_call_that_fails_once_is_never_told_as_success_in_intervals() {
    fail_once(Syncs::Interval);
}

#[test]
fn promise_8_a_disk_that_fails_for_good_is_never_told_as_success() {
    for syncs in [Syncs::EachBatch, Syncs::Interval] {
        for call in (0..calls_of_script(syncs)).step_by(2) {
            let fault = FAULTS[call as usize / 2 % FAULTS.len()];
            play(&format!("{fault:?} from call {call} on"), syncs, |disk| {
                disk.fail_from(call, fault);
            });
        }
    }
}

/// Leaves as much room as `bytes`.
fn fill_disk(world: &World, bytes: u64) {
    let names = crate::simulation::Disk::list(&*world.disk).expect("a list");
    let used: usize = names.iter().map(|name| world.disk.file(name).expect("a file").len()).sum();
    world.disk.set_capacity(used as u64 + bytes);
}

/// Claims and completes until the disk is full; returns the keys that were completed.
fn use_up(store: &Store, name: &str) -> Vec<String> {
    let mut done = Vec::new();
    for i in 0..100 {
        store.step_upkeep();
        let name = format!("{name}-{i}");
        let claim = match store.claim(request(&name)).wait() {
            Ok(Outcome::Claimed(claim)) => claim,
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
                return done;
            }
        };
        complete_somehow(claim);
        done.push(name);
    }
    panic!("the disk has no end");
}

/// Completes with a body, or without one where there is no room for it.
fn complete_somehow(claim: crate::Claim) {
    if let Err(refused) = claim.complete(StoredResponse::new("x".repeat(5000))).wait() {
        assert_eq!(refused.kind(), ErrorKind::DiskFull, "{refused}");
        let (claim, _) = refused.into_claim().expect("the claim comes back");
        claim.complete(StoredResponse::default()).wait().expect("there is room for no body");
    }
}

fn full_disk(room: u64) {
    let mut world = World::new();
    let store = world.open();
    execute(&store, "before", "answer");
    let held: Vec<_> = (0..20).map(|i| claim(&store, &format!("held-{i}"))).collect();
    fill_disk(&world, room);
    let mut done = use_up(&store, "one");
    for (i, claim) in held.into_iter().enumerate() {
        complete_somehow(claim);
        done.push(format!("held-{i}"));
        store.step_upkeep();
    }
    assert!(!store.stats().poisoned, "a full disk is no failed disk");
    assert_eq!(body(&store, "before").as_deref(), Some(&b"answer"[..]));
    // Room comes, and goes again.
    world.disk.set_capacity(u64::MAX);
    store.step_upkeep();
    execute(&store, "between", "answer");
    fill_disk(&world, room);
    done.extend(use_up(&store, "two"));
    drop(store);
    for _ in 0..2 {
        let store = world.open();
        for name in &done {
            assert!(matches!(outcome(&store, name), Outcome::Replay(_)), "{name}");
        }
        let mut next = world.fork();
        next.crash(Survival::Everything, 0);
        drop(store);
        world = next;
    }
    world.disk.set_capacity(u64::MAX);
    let store = world.open();
    execute(&store, "after", "answer");
    assert!(!store.stats().poisoned);
}

#[test]
fn promise_8_a_disk_without_room_for_a_segment_refuses_claims_and_completes_what_is_claimed() {
    full_disk(60_000);
}

#[test]
fn promise_8_a_disk_with_room_for_a_manifest_refuses_claims_and_completes_what_is_claimed() {
    full_disk(16_384);
}
