//! One holder: a key is claimed by one holder at a time, and whoever was it is it no more.

use super::stage::{Stage, crowd, has_body, lost, owner};
use super::{Case, Checked, Needs, Subject, ensure};
use crate::backend::Outcome;

pub(super) fn cases<S: Subject>() -> Vec<Case<S>> {
    let case = |number, promise, check| Case { number, promise, needs: Needs::Nothing, check };
    vec![
        case("1.1", "a fresh key is claimed by the first who asks, as attempt 1", fresh),
        case("1.2", "who asks while it is claimed finds it in flight", in_flight),
        case("1.3", "of many threads that claim a key one wins", one_of_many_wins),
        case("1.4", "a released key is claimed by the next, under a higher token", released),
        case("1.5", "who released a key can do nothing more with it", over_after_release),
        case("1.6", "who completed a key can do nothing more with it", over_after_completion),
        case("1.7", "each round of claims and releases of a crowd has one holder", rounds),
        case("1.8", "a look tells what a key is, and claims nothing", look),
    ]
}

fn fresh<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let (who, request) = (owner(), stage.request("a"));
    let claim = actor.win_as(who, &request)?;
    ensure!(claim.attempt() == 1, "attempt {}", claim.attempt());
    ensure!(claim.checkpoint().is_none(), "a checkpoint of nobody");
    let id = claim.id();
    ensure!(id.owner() == who, "the claim of another owner");
    let same = *id.scope() == request.scope && *id.key() == request.key;
    ensure!(same, "the claim of another key: {id:?}");
    Ok(())
}

fn in_flight<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    actor.win(&request)?;
    for _ in 0..3 {
        actor.find_in_flight(&request)?;
    }
    Ok(())
}

fn one_of_many_wins<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    for round in 0..20 {
        let request = stage.request(&format!("key {round}"));
        let outcomes = crowd(8, |_| actor.try_claim(owner(), &request));
        let mut won = 0;
        for outcome in outcomes {
            match outcome? {
                Outcome::Claimed(_) => won += 1,
                Outcome::InFlight(_) => {}
                other => ensure!(false, "neither claimed nor in flight: {other:?}"),
            }
        }
        ensure!(won == 1, "{won} of 8 have won");
    }
    Ok(())
}

fn released<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    let mut token = actor.win(&request)?;
    for _ in 0..3 {
        actor.release(token.id())?;
        let next = actor.win(&request)?;
        ensure!(next.token() > token.token(), "{} after {}", next.token(), token.token());
        token = next;
    }
    Ok(())
}

fn over_after_release<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    let first = actor.win(&request)?;
    actor.release(first.id())?;
    actor.is_over_for(first.id())?;
    let second = actor.win(&request)?;
    actor.is_over_for(first.id())?;
    has_body(&actor.complete(second.id(), "done")?, "done")
}

fn over_after_completion<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    let claim = actor.win(&request)?;
    actor.complete(claim.id(), "done")?;
    actor.is_over_for(claim.id())?;
    has_body(&actor.find_record(&request)?, "done")
}

fn rounds<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
    let actor = stage.open()?;
    let request = stage.request("a");
    let (holders, most, wins) = (AtomicI64::new(0), AtomicI64::new(0), AtomicU64::new(0));
    let checked = crowd(6, |_| -> Checked {
        for _ in 0..30 {
            if let Outcome::Claimed(claim) = actor.outcome(&request)? {
                most.fetch_max(holders.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                wins.fetch_add(1, Ordering::SeqCst);
                holders.fetch_sub(1, Ordering::SeqCst);
                actor.release(claim.id())?;
            }
        }
        Ok(())
    });
    checked.into_iter().collect::<Checked>()?;
    let most = most.into_inner();
    ensure!(most == 1, "{most} holders at one time");
    ensure!(wins.into_inner() > 0, "nobody ever wins");
    Ok(())
}

fn look<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    use crate::store::Entry;
    let actor = stage.open()?;
    let request = stage.request("a");
    ensure!(actor.get(&request)?.is_none(), "something is there before anybody claims");
    let claim = actor.win(&request)?;
    match actor.get(&request)? {
        Some(Entry::InFlight { token, attempt: 1, .. }) if token == claim.token() => {}
        other => ensure!(false, "expected the claim, not {other:?}"),
    }
    let record = actor.complete(claim.id(), "done")?;
    ensure!(!record.is_replay(), "a completion says that it is a replay");
    match actor.get(&request)? {
        Some(Entry::Completed(found)) => {
            has_body(&found, "done")?;
            ensure!(found.token() == claim.token(), "the record of another claim");
        }
        other => ensure!(false, "expected the record, not {other:?}"),
    }
    lost("release", actor.release(claim.id()))
}
