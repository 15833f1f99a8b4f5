//! Leases: nobody takes a claim over before its lease is over; then anybody may.

use super::stage::{LONG, MS, SECOND, Stage, crowd, has_body, lost, owner};
use super::{Case, Checked, Needs, Subject, ensure};
use crate::backend::Outcome;
use crate::error::ErrorKind;
use crate::types::DropPolicy;

pub(super) fn cases<S: Subject>() -> Vec<Case<S>> {
    let case = |number, promise, check| Case { number, promise, needs: Needs::Clock, check };
    vec![
        case("7.1", "a claim is taken over when its lease is over, and not before", exact),
        case(
            "7.2",
            "a takeover has a higher token and attempt, and ends the earlier claim",
            fenced,
        ),
        case("7.3", "a lease that is over ends nothing until the next claim", ends_nothing),
        case("7.4", "an extension moves the end of the lease, to the millisecond", extended),
        case("7.5", "a lease that is over may be extended until the next claim", extended_late),
        case("7.6", "a takeover is told the last checkpoint", checkpoint),
        case("7.7", "of many who meet a lease that is over one takes over", one_takes_over),
        case("7.8", "a completion and a takeover at one time: one of them wins", race),
        case(
            "7.9",
            "a claim with the policy Release is taken over when its lease is over",
            release,
        ),
    ]
}

fn exact<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a").lease(10 * SECOND);
    let claim = actor.win(&request)?;
    ensure!(claim.lease() == Some(10 * SECOND), "the lease is {:?}", claim.lease());
    stage.advance(10 * SECOND - MS)?;
    actor.find_in_flight(&request)?;
    stage.advance(MS)?;
    actor.win(&request)?;
    Ok(())
}

fn fenced<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a").lease(SECOND);
    let mut last = actor.win(&request)?;
    for attempt in 2..5 {
        stage.advance(SECOND)?;
        let next = actor.win(&request)?;
        ensure!(next.attempt() == attempt, "attempt {}, not {attempt}", next.attempt());
        ensure!(next.token() > last.token(), "{} after {}", next.token(), last.token());
        actor.is_over_for(last.id())?;
        last = next;
    }
    let record = actor.complete(last.id(), "done")?;
    ensure!(record.attempt() == 4, "completed by attempt {}", record.attempt());
    has_body(&actor.find_record(&request)?, "done")
}

fn ends_nothing<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a").lease(SECOND);
    let claim = actor.win(&request)?;
    stage.advance(100 * SECOND)?;
    actor.checkpoint(claim.id(), "late")?;
    has_body(&actor.complete(claim.id(), "late")?, "late")?;
    has_body(&actor.find_record(&request)?, "late")
}

fn extended<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a").lease(10 * SECOND);
    let claim = actor.win(&request)?;
    stage.advance(9 * SECOND)?;
    actor.extend(claim.id(), 10 * SECOND)?;
    stage.advance(10 * SECOND - MS)?;
    actor.find_in_flight(&request)?;
    // Also to an earlier end.
    actor.extend(claim.id(), LONG)?;
    actor.extend(claim.id(), SECOND)?;
    stage.advance(SECOND - MS)?;
    actor.find_in_flight(&request)?;
    stage.advance(MS)?;
    actor.win(&request)?;
    lost("extend", actor.extend(claim.id(), LONG))
}

fn extended_late<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a").lease(SECOND);
    let claim = actor.win(&request)?;
    stage.advance(5 * SECOND)?;
    actor.extend(claim.id(), SECOND)?;
    actor.find_in_flight(&request)
}

fn checkpoint<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a").lease(SECOND);
    let first = actor.win(&request)?;
    actor.checkpoint(first.id(), "one")?;
    actor.checkpoint(first.id(), "two")?;
    stage.advance(SECOND)?;
    let second = actor.win(&request)?;
    let found = second.checkpoint().map(|found| (found.name(), found.data()));
    ensure!(found == Some(("charged", b"two".as_slice())), "the checkpoint is {found:?}");
    // It stays for the attempt after that.
    stage.advance(SECOND)?;
    let third = actor.win(&request)?;
    ensure!(third.checkpoint() == second.checkpoint(), "attempt 3 is told another checkpoint");
    Ok(())
}

fn one_takes_over<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    for round in 0..10 {
        let request = stage.request(&format!("key {round}"));
        actor.win(&request.clone().lease(SECOND))?;
        stage.advance(SECOND)?;
        let mut won = 0;
        for outcome in crowd(6, |_| actor.try_claim(owner(), &request)) {
            match outcome? {
                Outcome::Claimed(claim) => {
                    won += 1;
                    ensure!(claim.attempt() == 2, "attempt {}", claim.attempt());
                }
                Outcome::InFlight(_) => {}
                other => ensure!(false, "neither claimed nor in flight: {other:?}"),
            }
        }
        ensure!(won == 1, "{won} of 6 have taken it over");
    }
    Ok(())
}

fn race<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    for round in 0..20 {
        let request = stage.request(&format!("key {round}"));
        let claim = actor.win(&request.clone().lease(SECOND))?;
        stage.advance(SECOND)?;
        let mut taken_over = false;
        let mut completed = false;
        let both = crowd(2, |number| match number {
            0 => (Some(actor.complete(claim.id(), "first")), None),
            _ => (None, Some(actor.try_claim(owner(), &request))),
        });
        for answer in both {
            match answer {
                (Some(Ok(_)), _) => completed = true,
                (Some(Err(error)), _) => {
                    let kind = error.kind();
                    ensure!(kind == ErrorKind::LeaseLost, "complete: {error:?}");
                }
                (_, Some(outcome)) => match outcome? {
                    Outcome::Claimed(_) => taken_over = true,
                    Outcome::Replay(_) => {}
                    other => ensure!(false, "neither claimed nor replayed: {other:?}"),
                },
                _ => {}
            }
        }
        ensure!(completed != taken_over, "completed: {completed}, taken over: {taken_over}");
    }
    Ok(())
}

fn release<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a").lease(SECOND).on_drop(DropPolicy::Release);
    actor.win(&request)?;
    actor.find_in_flight(&request)?;
    stage.advance(SECOND)?;
    let next = actor.win(&request)?;
    ensure!(next.attempt() == 2, "attempt {}", next.attempt());
    Ok(())
}
