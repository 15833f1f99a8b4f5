//! What is wrong with a request is said, and changes nothing.

use std::time::Duration;

use super::stage::{LONG, Stage, has_body, owner, refused};
use super::{Case, Checked, Needs, Subject, ensure};
use crate::error::ErrorKind;

pub(super) fn cases<S: Subject>() -> Vec<Case<S>> {
    let case = |number, promise, check| Case { number, promise, needs: Needs::Nothing, check };
    vec![
        case("11.1", "a TTL or lease of zero is refused, and claims nothing", zero),
        case("11.2", "a lease that is extended by zero is refused, and goes on", zero_extension),
        case("11.3", "scopes and keys of any length and any text are kept apart", any_text),
        case("11.4", "the downstream key is the same for every attempt", downstream),
    ]
}

fn zero<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    for bad in [request.clone().ttl(Duration::ZERO), request.clone().lease(Duration::ZERO)] {
        refused("claim", actor.try_claim(owner(), &bad), ErrorKind::InvalidInput)?;
    }
    ensure!(actor.get(&request)?.is_none(), "something was claimed");
    actor.win(&request)?;
    Ok(())
}

fn zero_extension<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    let claim = actor.win(&request)?;
    refused("extend", actor.extend(claim.id(), Duration::ZERO), ErrorKind::InvalidInput)?;
    actor.find_in_flight(&request)?;
    actor.extend(claim.id(), LONG)?;
    has_body(&actor.complete(claim.id(), "done")?, "done")
}

fn any_text<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let longest = "x".repeat(255);
    let names =
        ["a", "A", "a ", " a", "ä", "a\u{308}", "'", "%", "_", "\\", "\0", "\u{10ffff}", &longest];
    for name in names {
        let claim = actor.win(&stage.request(name))?;
        actor.complete(claim.id(), name)?;
    }
    for name in names {
        has_body(&actor.find_record(&stage.request(name))?, name)?;
    }
    Ok(())
}

fn downstream<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    let first = actor.win(&request)?;
    actor.release(first.id())?;
    let second = actor.win(&request)?;
    ensure!(first.downstream_key() == second.downstream_key(), "it changed");
    actor.release(second.id())?;
    let other = actor.win(&request.operation("POST /v1/refunds"))?;
    ensure!(first.downstream_key() != other.downstream_key(), "another operation has the same");
    Ok(())
}
