//! The power goes at every disk call of a run, and at every disk call of a recovery (promises 1, 2,
//! 3, 5 and 7).
//!
//! What was acknowledged is there, what was not is in one state or the other, and stays in it;
//! tokens rise; nothing is reported as damage.

use super::script::Run;
use super::world::World;
use crate::simulation::Survival;

/// What a crash leaves, tried in turn at every call.
const SURVIVALS: [Survival; 5] = [
    Survival::Nothing,
    Survival::Everything,
    Survival::Torn,
    Survival::Random,
    Survival::Reordered,
];

fn new_run() -> Run {
    Run::new(World::new(), true)
}

/// How many calls of the disk the whole script makes.
pub(crate) fn calls_of_script() -> u64 {
    let mut run = new_run();
    run.play();
    assert!(run.errors.is_empty(), "without a fault: {:?}", run.errors);
    run.world.disk.calls()
}

/// The run up to a crash.
fn crashed_at(call: u64) -> Run {
    let mut run = new_run();
    run.world.disk.crash_at(call);
    run.play();
    run
}

/// The world after the crash, for one survival.
fn survivor(run: &Run, survival: Survival, seed: u64) -> World {
    let mut world = run.world.fork();
    world.crash(survival, seed);
    world
}

/// Opens, crashes once more, opens again, closes, opens again: what is found stays what it is.
fn check(run: &Run, mut world: World, second: Survival) {
    let store = world.open();
    let found = run.ledger.check(&store);
    // The clone stands for the dead process: its store must not close the survivor's log.
    let mut next = world.fork();
    next.crash(second, 7);
    drop(store);
    let store = next.open();
    assert_eq!(run.ledger.check(&store), found, "after a second crash");
    drop(store);
    let store = next.open();
    assert!(store.recovery().clean);
    assert_eq!(run.ledger.check(&store), found, "after a clean close");
    run.ledger.check_claims(&store, &found);
}

/// Runs a check and says which case it was if it fails.
fn case(name: &str, check: impl FnOnce()) {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
    if let Err(panic) = result {
        eprintln!("failed: {name}");
        std::panic::resume_unwind(panic);
    }
}

fn sweep(from: u64, step: usize) {
    for call in (from..calls_of_script()).step_by(step) {
        let run = crashed_at(call);
        for (survival, other) in SURVIVALS.into_iter().zip(SURVIVALS.into_iter().cycle().skip(1)) {
            let second = if other == Survival::Everything { other } else { Survival::Nothing };
            case(&format!("crash at call {call}, {survival:?}, seed {call}"), || {
                check(&run, survivor(&run, survival, call), second);
            });
        }
    }
}

#[test]
fn promises_2_and_7_hold_at_every_crash_of_a_run_even_calls() {
    sweep(0, 2);
}

#[test]
fn promises_2_and_7_hold_at_every_crash_of_a_run_odd_calls() {
    sweep(1, 2);
}

#[test]
fn promise_7_holds_at_every_crash_of_a_recovery() {
    let calls = calls_of_script();
    for call in (0..calls).step_by(usize::try_from(calls / 12).expect("few")) {
        let run = crashed_at(call);
        for survival in [Survival::Nothing, Survival::Everything, Survival::Random] {
            crash_recovery(&run, call, survival);
        }
    }
}

/// Crashes the recovery at each of its calls.
fn crash_recovery(run: &Run, call: u64, survival: Survival) {
    for during in 0.. {
        let mut world = survivor(run, survival, call);
        world.disk.crash_at(during);
        let over = match world.try_open() {
            // The background's first round may meet the end of the disk; the store is open by then.
            Ok(store) => {
                let over = !store.stats().poisoned && world.disk.calls() <= during;
                let mut next = world.fork();
                next.crash(survival, during);
                drop(store);
                world = next;
                over
            }
            Err(_) => {
                world.crash(survival, during);
                false
            }
        };
        case(&format!("crash at call {call}, {survival:?}, then at {during} of recovery"), || {
            check(run, world, Survival::Nothing);
        });
        if over {
            return;
        }
    }
}

#[test]
fn promise_7_holds_for_many_seeds() {
    let calls = calls_of_script();
    for seed in 0..120 {
        let call = seed * calls / 120;
        let run = crashed_at(call);
        for survival in [Survival::Torn, Survival::Random, Survival::Reordered] {
            case(&format!("crash at call {call}, {survival:?}, seed {seed}"), || {
                check(&run, survivor(&run, survival, 1000 + seed), Survival::Nothing);
            });
        }
    }
}
