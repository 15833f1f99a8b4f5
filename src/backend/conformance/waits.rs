//! Waiting: for the end of somebody else's claim, up to a limit.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use super::stage::{Actor, LONG, MS, SECOND, Stage, granted, has_body, owner, replayed};
use super::{Case, Checked, Failed, Needs, Subject, ensure};
use crate::backend::{Outcome, OwnerId};
use crate::types::ClaimRequest;

pub(super) fn cases<S: Subject>() -> Vec<Case<S>> {
    let case = |number, promise, needs, check| Case { number, promise, needs, check };
    let (waits, timed) = (Needs::Waiting, Needs::WaitingAndClock);
    vec![
        case("9.1", "whoever waits for a free key claims it at once", Needs::Nothing, free),
        case("9.2", "whoever waits for a completed key gets the record", Needs::Nothing, completed),
        case("9.3", "no longer than the limit is waited for", Needs::Nothing, limit),
        case("9.4", "a completion ends waiting, with the same bytes", waits, completion),
        case("9.5", "a release ends waiting, with the claim for one", waits, release),
        case("9.6", "a lease that runs out ends waiting, with a takeover", timed, lease),
        case("9.7", "a limit of driven time ends waiting", timed, driven_limit),
        case("9.8", "whoever waits with another payload is told so at once", waits, mismatch),
    ]
}

/// Waits on other threads while `act` goes on here; returns what they came to. One that is never
/// told is brought to the limit of its wait, where the clock can be driven.
fn meanwhile<S: Subject, T: Send>(
    stage: &Stage<'_, S>,
    waiters: usize,
    wait: impl Fn() -> Result<T, Failed> + Sync,
    act: impl FnOnce(&dyn Fn() -> bool) -> Checked,
) -> Result<Vec<T>, Failed> {
    let begun = Barrier::new(waiters + 1);
    let told = AtomicUsize::new(0);
    let is_told = || told.load(Ordering::SeqCst) == waiters;
    std::thread::scope(|scope| {
        let begin = |_| {
            scope.spawn(|| {
                begun.wait();
                let outcome = wait();
                told.fetch_add(1, Ordering::SeqCst);
                outcome
            })
        };
        let threads: Vec<_> = (0..waiters).map(begin).collect();
        begun.wait();
        let acted = act(&is_told);
        end_waits(stage, &is_told);
        let join = |thread: ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err(Failed("a waiter panicked".to_owned())))
        };
        let outcomes: Vec<_> = threads.into_iter().map(join).collect();
        acted?;
        outcomes.into_iter().collect()
    })
}

/// Gives those who wait plenty of turns; then their time is up.
fn end_waits<S: Subject>(stage: &Stage<'_, S>, is_told: &dyn Fn() -> bool) {
    const TURNS: u32 = 500_000;
    for turn in 0..2 * TURNS {
        if is_told() || turn > TURNS && !stage.subject.advance(SECOND) {
            return;
        }
        std::thread::yield_now();
    }
}

/// Waits while nothing happens.
pub(super) fn wait_alone<S: Subject>(
    actor: &Actor<'_, S>,
    owner: OwnerId,
    request: &ClaimRequest,
    limit: Duration,
) -> Result<Outcome, Failed> {
    let wait = || actor.wait(owner, request, limit);
    let mut told = meanwhile(actor.stage, 1, wait, |_| Ok(()))?;
    told.pop().ok_or_else(|| Failed("nobody waited".to_owned()))
}

fn free<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let claim = granted(wait_alone(&actor, owner(), &stage.request("a"), LONG)?)?;
    ensure!(claim.attempt() == 1, "attempt {}", claim.attempt());
    Ok(())
}

fn completed<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    let claim = actor.win(&request)?;
    actor.complete(claim.id(), "done")?;
    has_body(&replayed(wait_alone(&actor, owner(), &request, LONG)?)?, "done")
}

fn limit<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    actor.win(&request)?;
    match wait_alone(&actor, owner(), &request, Duration::ZERO)? {
        Outcome::InFlight(_) => Ok(()),
        other => Err(Failed(format!("expected InFlight, not {other:?}"))),
    }
}

fn completion<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    for round in 0..5 {
        let request = stage.request(&format!("key {round}"));
        let claim = actor.win(&request)?;
        let told = meanwhile(
            stage,
            4,
            || actor.wait(owner(), &request, LONG),
            |_| {
                // Whether they wait already or come later is the machine's choice.
                (0..100 * round).for_each(|_| std::thread::yield_now());
                has_body(&actor.complete(claim.id(), "done")?, "done")
            },
        )?;
        for outcome in told {
            has_body(&replayed(outcome)?, "done")?;
        }
    }
    Ok(())
}

fn release<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    for round in 0..5 {
        let request = stage.request(&format!("key {round}"));
        let claim = actor.win(&request)?;
        let told = meanwhile(
            stage,
            1,
            || actor.wait(owner(), &request, LONG),
            |_| {
                (0..100 * round).for_each(|_| std::thread::yield_now());
                Ok(actor.release(claim.id())?)
            },
        )?;
        for outcome in told {
            let next = granted(outcome)?;
            ensure!(next.token() > claim.token(), "{} again", next.token());
        }
    }
    // In a crowd that waits for one another each gets the claim or the record of the one who did.
    let request = stage.request("crowd");
    let first = actor.win(&request)?;
    let wait = || match actor.wait(owner(), &request, LONG)? {
        Outcome::Claimed(claim) => {
            actor.complete(claim.id(), "done").map(|_| true).map_err(Failed::from)
        }
        other => has_body(&replayed(other)?, "done").map(|()| false),
    };
    let won = meanwhile(stage, 4, wait, |_| Ok(actor.release(first.id())?))?;
    let winners = won.iter().filter(|won| **won).count();
    ensure!(winners == 1, "{winners} have won");
    Ok(())
}

/// Lets time pass in steps until somebody was told.
fn pass_time<S: Subject>(stage: &Stage<'_, S>, is_told: &dyn Fn() -> bool) -> Checked {
    for _ in 0..1_000_000 {
        if is_told() {
            return Ok(());
        }
        stage.advance(MS)?;
        std::thread::yield_now();
    }
    Ok(())
}

fn lease<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    let claim = actor.win(&request.clone().lease(SECOND))?;
    let wait = || actor.wait(owner(), &request, 2000 * SECOND);
    let told = meanwhile(stage, 1, wait, |is_told| pass_time(stage, is_told))?;
    for outcome in told {
        let next = granted(outcome)?;
        ensure!(next.attempt() == 2, "attempt {}", next.attempt());
    }
    actor.is_over_for(claim.id())
}

fn driven_limit<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    // More than time is ever driven by: a waiter may get its turn late.
    let request = stage.request("a").lease(1_000_000 * SECOND);
    actor.win(&request)?;
    let wait = || actor.wait(owner(), &request, SECOND);
    let told = meanwhile(stage, 1, wait, |is_told| pass_time(stage, is_told))?;
    for outcome in told {
        ensure!(matches!(outcome, Outcome::InFlight(_)), "expected InFlight, not {outcome:?}");
    }
    Ok(())
}

fn mismatch<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    actor.win(&request)?;
    match wait_alone(&actor, owner(), &request.payload("other"), LONG)? {
        Outcome::Mismatch(_) => Ok(()),
        other => Err(Failed(format!("expected Mismatch, not {other:?}"))),
    }
}
