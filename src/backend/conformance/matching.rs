//! No wrong answer: another request never gets the response, nor the claim; and scopes are apart.

use super::stage::{SECOND, Stage, has_body, key};
use super::{Case, Checked, Failed, Needs, Subject, ensure};
use crate::backend::Outcome;
use crate::store::Mismatch;
use crate::types::{ClaimRequest, Difference, DropPolicy};

pub(super) fn cases<S: Subject>() -> Vec<Case<S>> {
    let case = |number, promise, check| Case { number, promise, needs: Needs::Nothing, check };
    vec![
        case("4.1", "another payload is a mismatch while the first is in flight", in_flight),
        case("4.2", "another payload is a mismatch when the first is completed", completed),
        case("4.3", "another payload is a mismatch when the first is unresolved", unresolved),
        case("4.4", "a mismatch says whether operation, payload or both differ", differs),
        case("4.5", "the owner of a claim, too, gets a mismatch for another payload", same_owner),
        case("4.6", "the first request's retries go on working after a mismatch", goes_on),
        case("4.7", "the same key in two scopes is two keys", scopes),
        case("4.8", "where a scope ends and a key begins is told apart", names),
        Case {
            number: "4.9",
            promise: "another payload does not take over when the lease is over",
            needs: Needs::Clock,
            check: lease_over,
        },
    ]
}

fn mismatch(outcome: Outcome) -> Result<Mismatch, Failed> {
    match outcome {
        Outcome::Mismatch(mismatch) => Ok(mismatch),
        other => Err(Failed(format!("expected Mismatch, not {other:?}"))),
    }
}

fn in_flight<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    actor.win(&request)?;
    let found = mismatch(actor.outcome(&request.clone().payload("other"))?)?;
    ensure!(found.in_flight(), "it does not say that the first is in flight");
    actor.find_in_flight(&request)
}

fn completed<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    let claim = actor.win(&request)?;
    actor.complete(claim.id(), "done")?;
    let found = mismatch(actor.outcome(&request.clone().payload("other"))?)?;
    ensure!(!found.in_flight(), "it says that the first is in flight");
    has_body(&actor.find_record(&request)?, "done")
}

fn unresolved<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a").on_drop(DropPolicy::Unresolved);
    let claim = actor.win(&request)?;
    actor.abandon(claim.id())?;
    mismatch(actor.outcome(&request.clone().payload("other"))?)?;
    actor.find_unresolved(&request).map(|_| ())
}

fn differs<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    let claim = actor.win(&request)?;
    for round in 0..2 {
        let (operation, payload) = ("POST /v1/refunds", "other");
        let asked = [
            (request.clone().operation(operation), Difference::Operation),
            (request.clone().payload(payload), Difference::Payload),
            (
                request.clone().operation(operation).payload(payload),
                Difference::OperationAndPayload,
            ),
        ];
        for (other, expected) in asked {
            let found = mismatch(actor.outcome(&other)?)?.differs_in();
            ensure!(found == expected, "{found} differs, it says, not {expected}");
        }
        if round == 0 {
            actor.complete(claim.id(), "done")?;
        }
    }
    Ok(())
}

fn same_owner<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    let claim = actor.win(&request)?;
    let owner = claim.id().owner();
    mismatch(actor.try_claim(owner, &request.clone().payload("other"))?)?;
    let again = actor.win_as(owner, &request)?;
    ensure!(again.token() == claim.token(), "another claim after the mismatch");
    Ok(())
}

fn goes_on<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    let other = request.clone().payload("other");
    let claim = actor.win(&request)?;
    for _ in 0..3 {
        mismatch(actor.outcome(&other)?)?;
    }
    has_body(&actor.complete(claim.id(), "done")?, "done")?;
    for _ in 0..3 {
        mismatch(actor.outcome(&other)?)?;
        has_body(&actor.find_record(&request)?, "done")?;
    }
    Ok(())
}

fn scopes<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let (one, other) = (stage.request_in("one", "a"), stage.request_in("other", "a"));
    let claim = actor.win(&one)?;
    actor.complete(claim.id(), "of one")?;
    ensure!(actor.get(&other)?.is_none(), "a look sees another scope's record");
    let claim = actor.win(&other)?;
    actor.complete(claim.id(), "of the other")?;
    has_body(&actor.find_record(&one)?, "of one")?;
    has_body(&actor.find_record(&other)?, "of the other")
}

fn names<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let pairs =
        [("ab", "c"), ("a", "bc"), ("a/b", "c"), ("a", "b/c"), ("a\0b", "c"), ("a", "b\0c")];
    for (scope, name) in pairs {
        let request = ClaimRequest::new(stage.scope(scope), key(name)).payload("1");
        let claim = actor.win(&request)?;
        actor.complete(claim.id(), &format!("{scope:?} and {name:?}"))?;
    }
    for (scope, name) in pairs {
        let request = ClaimRequest::new(stage.scope(scope), key(name)).payload("1");
        has_body(&actor.find_record(&request)?, &format!("{scope:?} and {name:?}"))?;
    }
    Ok(())
}

fn lease_over<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a").lease(SECOND);
    let claim = actor.win(&request)?;
    stage.advance(2 * SECOND)?;
    mismatch(actor.outcome(&request.payload("other"))?)?;
    has_body(&actor.complete(claim.id(), "done")?, "done")
}
