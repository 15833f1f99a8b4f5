//! The power goes at every disk call of a run, and at every disk call of a recovery (promises 1, 2,
//! 3, 5 and 7).
//!
//! What was acknowledged is there, what was not is in one state or the other, and stays in it;
//! tokens rise; nothing is reported as damage.

use super::script::Run;
use super::sweep::{is_full, sample, sweep};
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

/// How the stores of a sweep sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syncs {
    EachBatch,
    Interval,
}

impl Syncs {
    pub(crate) fn run(self, stop_at_error: bool) -> Run {
        match self {
            Self::EachBatch => Run::new(World::new(), stop_at_error),
            Self::Interval => Run::in_intervals(stop_at_error),
        }
    }
}

/// How many calls of the disk the whole script makes.
pub(crate) fn calls_of_script(syncs: Syncs) -> u64 {
    let mut run = syncs.run(true);
    run.play();
    run.assert_did_everything();
    run.world.disk.calls()
}

/// The run up to a crash.
fn crashed_at(call: u64, syncs: Syncs) -> Run {
    let mut run = syncs.run(true);
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
fn check(run: &Run, mut world: World, survival: Survival, second: Survival) {
    let store = world.open();
    let found = run.check(&store, survival);
    // The clone stands for the dead process: its store must not close the survivor's log.
    let mut next = world.fork();
    next.crash(second, 7);
    drop(store);
    let store = next.open();
    assert_eq!(run.ledger.find(&store), found, "after a second crash");
    drop(store);
    let store = next.open();
    assert!(store.recovery().clean);
    assert_eq!(run.ledger.find(&store), found, "after a clean close");
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

fn sweep_calls(parity: u64, syncs: Syncs) {
    let calls = calls_of_script(syncs);
    let part = if parity == 0 { "even" } else { "odd" };
    let title = format!("crash sweep, {syncs:?}, at each of the {part} ones of {calls} calls");
    let cases: Vec<u64> = (parity..calls).step_by(2).collect();
    sweep(
        &title,
        &cases,
        |call| format!("call {call}"),
        |&call| {
            let run = crashed_at(call, syncs);
            for (survival, other) in
                SURVIVALS.into_iter().zip(SURVIVALS.into_iter().cycle().skip(1))
            {
                let second = if other == Survival::Everything { other } else { Survival::Nothing };
                case(&format!("crash at call {call}, {survival:?}, seed {call}"), || {
                    check(&run, survivor(&run, survival, call), survival, second);
                });
            }
            SURVIVALS.len()
        },
    );
}

#[test]
fn promises_2_and_7_hold_at_every_crash_of_a_run_even_calls() {
    sweep_calls(0, Syncs::EachBatch);
}

#[test]
fn promises_2_and_7_hold_at_every_crash_of_a_run_odd_calls() {
    sweep_calls(1, Syncs::EachBatch);
}

/// In `Interval` mode what was told survives a kill, and what was synced a power cut; tokens rise
/// all the same.
#[test]
fn promises_5_and_7_hold_at_every_crash_of_a_run_that_syncs_in_intervals() {
    sweep_calls(0, Syncs::Interval);
}

#[test]
fn promises_5_and_7_hold_at_every_other_crash_of_a_run_that_syncs_in_intervals() {
    sweep_calls(1, Syncs::Interval);
}

#[test]
fn promise_7_holds_at_every_crash_of_a_recovery() {
    sweep_recovery(Syncs::EachBatch);
}

#[test]
fn promise_7_holds_at_every_crash_of_a_recovery_that_syncs_in_intervals() {
    sweep_recovery(Syncs::Interval);
}

fn sweep_recovery(syncs: Syncs) {
    let calls = calls_of_script(syncs);
    let step = if is_full() { 1 } else { usize::try_from(calls / 12).expect("few") };
    let survivals = [Survival::Nothing, Survival::Everything, Survival::Random];
    let all = (0..calls).step_by(step);
    let cases: Vec<_> = all.flat_map(|call| survivals.map(|survival| (call, survival))).collect();
    let title =
        format!("crash sweep, {syncs:?}, at each call of the recoveries of {calls} crashes");
    sweep(
        &title,
        &cases,
        |case| format!("{case:?}"),
        |&(call, survival)| crash_recovery(&crashed_at(call, syncs), call, survival),
    );
}

/// Crashes the recovery at each of its calls; returns how many there are.
fn crash_recovery(run: &Run, call: u64, survival: Survival) -> usize {
    let mut during = 0;
    loop {
        let mut world = survivor(run, survival, call);
        world.disk.crash_at(during);
        let over = match world.try_open() {
            Ok(store) => {
                assert!(!store.stats().poisoned, "open returns a store that works, or an error");
                let over = world.disk.calls() <= during;
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
            check(run, world, survival, Survival::Nothing);
        });
        during += 1;
        if over {
            return usize::try_from(during).expect("few");
        }
    }
}

#[test]
fn promise_7_holds_for_many_seeds() {
    let both = [Syncs::EachBatch, Syncs::Interval];
    let calls = both.map(calls_of_script);
    let seeds = 2400;
    let cases: Vec<(u64, usize)> = (0..seeds).zip([0, 1].into_iter().cycle()).collect();
    let cases = sample(cases, 11);
    let title = format!("crash sweep, {seeds} seeds");
    sweep(
        &title,
        &cases,
        |case| format!("{case:?}"),
        |&(seed, which)| {
            let call = seed * calls[which] / seeds;
            let run = crashed_at(call, both[which]);
            let survivals = [Survival::Torn, Survival::Random, Survival::Reordered];
            for survival in survivals {
                case(&format!("crash at call {call}, {survival:?}, seed {seed}"), || {
                    let world = survivor(&run, survival, 1000 + seed);
                    check(&run, world, survival, Survival::Nothing);
                });
            }
            survivals.len()
        },
    );
}
