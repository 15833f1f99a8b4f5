//! Its own claim: a retry after a lost answer recognises what it has done already.

use super::stage::{MS, SECOND, Stage, crowd, granted, has_body, lost, owner};
use super::waits::wait_alone;
use super::{Case, Checked, Needs, Subject, ensure};
use crate::backend::Outcome;
use crate::types::StoredResponse;

pub(super) fn cases<S: Subject>() -> Vec<Case<S>> {
    let case = |number, promise, check| Case { number, promise, needs: Needs::Nothing, check };
    let timed = |number, promise, check| Case { number, promise, needs: Needs::Clock, check };
    vec![
        case("8.1", "an owner that claims again is told of the same claim", again),
        case("8.2", "an owner whose call was cut off claims again, as attempt 1", cut_off),
        case("8.3", "calls of one owner at one time are one claim", at_one_time),
        case("8.4", "an owner that claims again after the end gets the record", after_completion),
        case("8.5", "a completion that is repeated answers the record again", completed_twice),
        case("8.6", "a second completion with another response is refused", other_response),
        case("8.7", "waiting, too, recognises the owner's claim", by_waiting),
        case("8.8", "a claim that its owner released is not recognised", after_release),
        timed("8.9", "claiming again begins the lease anew", renewed),
        timed("8.10", "a claim that was taken over is not recognised", taken_over),
        timed("8.11", "an owner may claim again when its lease is over, before all others", late),
    ]
}

fn again<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let (who, request) = (owner(), stage.request("a"));
    let claim = actor.win_as(who, &request)?;
    for _ in 0..3 {
        let again = actor.win_as(who, &request)?;
        ensure!(again.id() == claim.id(), "{:?} became {:?}", claim.id(), again.id());
        ensure!(again.attempt() == 1, "attempt {}", again.attempt());
        actor.find_in_flight(&request)?;
    }
    has_body(&actor.complete(claim.id(), "done")?, "done")
}

fn cut_off<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    for round in 0..20 {
        let (who, request) = (owner(), stage.request(&format!("key {round}")));
        actor.claim_and_vanish(who, &request);
        let claim = actor.win_as(who, &request)?;
        ensure!(claim.attempt() == 1, "attempt {}", claim.attempt());
        actor.find_in_flight(&request)?;
        has_body(&actor.complete(claim.id(), "done")?, "done")?;
    }
    Ok(())
}

fn at_one_time<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    for round in 0..10 {
        let (who, request) = (owner(), stage.request(&format!("key {round}")));
        let mut first = None;
        for outcome in crowd(6, |_| actor.try_claim(who, &request)) {
            let claim = granted(outcome?)?;
            let id = claim.id().clone();
            let same = *first.get_or_insert_with(|| id.clone()) == id;
            ensure!(same, "two claims of one owner");
        }
        actor.find_in_flight(&request)?;
    }
    Ok(())
}

fn after_completion<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let (who, request) = (owner(), stage.request("a"));
    let claim = actor.win_as(who, &request)?;
    actor.complete(claim.id(), "done")?;
    match actor.try_claim(who, &request)? {
        Outcome::Replay(record) => has_body(&record, "done"),
        other => {
            ensure!(false, "expected Replay, not {other:?}");
            Ok(())
        }
    }
}

fn completed_twice<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    let claim = actor.win(&request)?;
    let response = StoredResponse::new("done").with_status(201);
    let first = actor.complete_with(claim.id(), response.clone())?;
    for _ in 0..2 {
        let again = actor.complete_with(claim.id(), response.clone())?;
        ensure!(again.response() == first.response(), "another response");
        ensure!(again.expires_at() == first.expires_at(), "another expiry");
    }
    Ok(())
}

fn other_response<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    let claim = actor.win(&request)?;
    actor.complete(claim.id(), "first")?;
    lost("complete", actor.complete(claim.id(), "second"))?;
    has_body(&actor.find_record(&request)?, "first")
}

fn by_waiting<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let (who, request) = (owner(), stage.request("a"));
    let claim = actor.win_as(who, &request)?;
    let again = granted(wait_alone(&actor, who, &request, 600 * SECOND)?)?;
    ensure!(again.id() == claim.id(), "{:?} became {:?}", claim.id(), again.id());
    Ok(())
}

fn after_release<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let (who, request) = (owner(), stage.request("a"));
    let first = actor.win_as(who, &request)?;
    actor.release(first.id())?;
    let second = actor.win_as(who, &request)?;
    ensure!(second.token() > first.token(), "the released claim came back");
    actor.is_over_for(first.id())
}

fn renewed<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let (who, request) = (owner(), stage.request("a").lease(10 * SECOND));
    actor.win_as(who, &request)?;
    stage.advance(8 * SECOND)?;
    actor.win_as(who, &request)?;
    stage.advance(10 * SECOND - MS)?;
    actor.find_in_flight(&request)?;
    stage.advance(MS)?;
    actor.win(&request)?;
    Ok(())
}

fn taken_over<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let (who, request) = (owner(), stage.request("a"));
    let first = actor.win_as(who, &request.clone().lease(SECOND))?;
    stage.advance(SECOND)?;
    let second = actor.win(&request)?;
    match actor.try_claim(who, &request)? {
        Outcome::InFlight(_) => {}
        other => ensure!(false, "expected InFlight, not {other:?}"),
    }
    actor.is_over_for(first.id())?;
    has_body(&actor.complete(second.id(), "done")?, "done")
}

fn late<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let (who, request) = (owner(), stage.request("a").lease(SECOND));
    let first = actor.win_as(who, &request)?;
    stage.advance(5 * SECOND)?;
    let again = actor.win_as(who, &request)?;
    ensure!(again.token() == first.token(), "its own claim became a takeover");
    ensure!(again.attempt() == 1, "attempt {}", again.attempt());
    actor.find_in_flight(&request)
}
