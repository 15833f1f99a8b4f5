//! Effects that are unknown: held, not run again, until somebody settles them.

use super::stage::{Actor, LONG, SECOND, Stage, crowd, forged, has_body, key, lost, refused};
use super::{Case, Checked, Failed, Needs, Subject, ensure};
use crate::backend::Granted;
use crate::error::ErrorKind;
use crate::ids::StoreTime;
use crate::store::{Entry, Resolution, Unresolved};
use crate::types::{ClaimRequest, DropPolicy, StoredResponse};

pub(super) fn cases<S: Subject>() -> Vec<Case<S>> {
    let case = |number, promise, check| Case { number, promise, needs: Needs::Nothing, check };
    let timed = |number, promise, check| Case { number, promise, needs: Needs::Clock, check };
    vec![
        case("10.1", "an abandoned claim of the policy Unresolved is nobody's", nobodys),
        case("10.2", "resolved by a response, it is replayed", by_response),
        case("10.3", "resolved as not executed, the key is free", not_executed),
        case("10.4", "the holder may still complete what is unresolved", by_its_holder),
        case("10.5", "what is not unresolved cannot be resolved", nothing_there),
        case("10.6", "a resolution touches no later attempt", no_later_attempt),
        case("10.7", "a resolution by a response may be repeated, and not changed", repeated),
        case("10.8", "of many who resolve an attempt one decides", one_decides),
        case("10.9", "an abandoned claim of Hold stays in flight and cannot be extended", hold),
        case("10.10", "an abandoned claim of Release may be claimed at once", release),
        timed("10.11", "a lease that runs out under Unresolved leaves it unresolved", lease_over),
        timed(
            "10.12",
            "an abandoned claim of Hold is taken over when its lease is over",
            hold_over,
        ),
    ]
}

fn completed(body: &str) -> Resolution {
    Resolution::Completed(StoredResponse::new(body))
}

/// A claim of the policy `Unresolved` that its holder has let go.
fn left<S: Subject>(
    actor: &Actor<'_, S>,
    request: &ClaimRequest,
) -> Result<(Granted, Unresolved), Failed> {
    let claim = actor.win(request)?;
    actor.abandon(claim.id())?;
    let attempt = actor.find_unresolved(request)?;
    ensure!(attempt.token() == claim.token(), "another attempt is unresolved");
    Ok((claim, attempt))
}

fn request<S: Subject>(stage: &Stage<'_, S>) -> ClaimRequest {
    stage.request("a").on_drop(DropPolicy::Unresolved)
}

fn nobodys<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = request(stage);
    let (claim, attempt) = left(&actor, &request)?;
    ensure!(attempt.attempt() == 1, "attempt {}", attempt.attempt());
    let named = *attempt.scope() == request.scope && *attempt.key() == request.key;
    ensure!(named, "the attempt at another key");
    lost("extend", actor.extend(claim.id(), LONG))?;
    lost("checkpoint", actor.checkpoint(claim.id(), "late"))?;
    match actor.get(&request)? {
        Some(Entry::Unresolved(found)) => ensure!(found.token() == claim.token(), "another"),
        other => ensure!(false, "expected Unresolved, not {other:?}"),
    }
    // Its owner does not run it again, either.
    match actor.try_claim(claim.id().owner(), &request)? {
        crate::backend::Outcome::Unresolved(_) => Ok(()),
        other => Err(Failed(format!("expected Unresolved, not {other:?}"))),
    }
}

fn by_response<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = request(stage);
    let (claim, attempt) = left(&actor, &request)?;
    actor.resolve(&attempt, completed("settled"))?;
    has_body(&actor.find_record(&request)?, "settled")?;
    lost("complete", actor.complete(claim.id(), "late"))
}

fn not_executed<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = request(stage);
    let (claim, attempt) = left(&actor, &request)?;
    actor.resolve(&attempt, Resolution::NotExecuted)?;
    let next = actor.win(&request)?;
    ensure!(next.token() > claim.token(), "{} after {}", next.token(), claim.token());
    actor.is_over_for(claim.id())
}

fn by_its_holder<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = request(stage);
    let (claim, attempt) = left(&actor, &request)?;
    has_body(&actor.complete(claim.id(), "after all")?, "after all")?;
    let answer = actor.resolve(&attempt, Resolution::NotExecuted);
    ensure!(answer.is_err(), "what was completed is resolved as not executed");
    has_body(&actor.find_record(&request)?, "after all")
}

fn nothing_there<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = request(stage);
    let claim = actor.win(&request)?;
    let name = |name: &str, token| {
        let (scope, now) = (request.scope.clone(), StoreTime::from_millis(0));
        Unresolved::new(scope, key(name), token, 1, now)
    };
    let held = name("a", claim.token());
    refused("resolve", actor.resolve(&held, Resolution::NotExecuted), ErrorKind::InFlight)?;
    refused("resolve", actor.resolve(&held, completed("no")), ErrorKind::InFlight)?;
    let absent = name("absent", claim.token());
    refused("resolve", actor.resolve(&absent, Resolution::NotExecuted), ErrorKind::NotFound)?;
    let other = forged(claim.id(), claim.token().get() + 1).token();
    let other = name("a", other);
    refused("resolve", actor.resolve(&other, Resolution::NotExecuted), ErrorKind::NotFound)?;
    actor.find_in_flight(&request)
}

fn no_later_attempt<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = request(stage);
    let (_, first) = left(&actor, &request)?;
    actor.resolve(&first, Resolution::NotExecuted)?;
    let (_, second) = left(&actor, &request)?;
    refused("resolve", actor.resolve(&first, Resolution::NotExecuted), ErrorKind::NotFound)?;
    refused("resolve", actor.resolve(&first, completed("old")), ErrorKind::NotFound)?;
    let found = actor.find_unresolved(&request)?;
    ensure!(found.token() == second.token(), "the later attempt is gone");
    actor.resolve(&second, completed("new"))?;
    has_body(&actor.find_record(&request)?, "new")
}

fn repeated<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = request(stage);
    let (_, attempt) = left(&actor, &request)?;
    for _ in 0..3 {
        actor.resolve(&attempt, completed("settled"))?;
    }
    refused("resolve", actor.resolve(&attempt, completed("other")), ErrorKind::NotFound)?;
    has_body(&actor.find_record(&request)?, "settled")
}

fn one_decides<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    for round in 0..10 {
        let request = stage.request(&format!("key {round}")).on_drop(DropPolicy::Unresolved);
        let (_, attempt) = left(&actor, &request)?;
        let body = |number| format!("by {number}");
        let answers = crowd(4, |number| actor.resolve(&attempt, completed(&body(number))));
        let decided: Vec<usize> =
            (0..).zip(&answers).filter(|(_, answer)| answer.is_ok()).map(|(n, _)| n).collect();
        let &[winner] = decided.as_slice() else {
            return Err(Failed(format!("{} have decided", decided.len())));
        };
        has_body(&actor.find_record(&request)?, &body(winner))?;
    }
    Ok(())
}

fn hold<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    let claim = actor.win(&request)?;
    actor.abandon(claim.id())?;
    actor.find_in_flight(&request)?;
    lost("extend", actor.extend(claim.id(), LONG))?;
    // Whoever let go may find out that it was done after all.
    has_body(&actor.complete(claim.id(), "after all")?, "after all")
}

fn release<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a").on_drop(DropPolicy::Release);
    let claim = actor.win(&request)?;
    actor.abandon(claim.id())?;
    let next = actor.win(&request)?;
    ensure!(next.token() > claim.token(), "{} after {}", next.token(), claim.token());
    actor.is_over_for(claim.id())
}

fn lease_over<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = request(stage).lease(SECOND);
    let claim = actor.win(&request)?;
    stage.advance(SECOND)?;
    let attempt = actor.find_unresolved(&request)?;
    ensure!(attempt.token() == claim.token(), "another attempt is unresolved");
    stage.advance(1000 * SECOND)?;
    actor.find_unresolved(&request)?;
    has_body(&actor.complete(claim.id(), "after all")?, "after all")
}

fn hold_over<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a").lease(10 * SECOND);
    let claim = actor.win(&request)?;
    stage.advance(SECOND)?;
    actor.abandon(claim.id())?;
    actor.find_in_flight(&request)?;
    stage.advance(9 * SECOND)?;
    let next = actor.win(&request)?;
    ensure!(next.attempt() == 2, "attempt {}", next.attempt());
    actor.is_over_for(claim.id())
}
