//! Time: no record is replayed after its expiry, and none is dropped before it.

use super::stage::{MS, SECOND, Stage, has_body};
use super::{Case, Checked, Needs, Subject, ensure};

pub(super) fn cases<S: Subject>() -> Vec<Case<S>> {
    let case = |number, promise, check| Case { number, promise, needs: Needs::Clock, check };
    vec![
        case("6.1", "a record is replayed until its TTL is over, and not at that moment", exact),
        case("6.2", "the TTL is counted from the completion", from_completion),
        case("6.3", "a look does not find what has expired", look),
        case("6.4", "a claim outlives the TTL of its record to be", live_claim),
        case("6.5", "each record has the TTL of its own request", own_ttl),
        case("6.6", "a key whose record expired is claimed under a higher token", again),
        Case {
            number: "6.7",
            promise: "a record's expiry is the same moment after a restart",
            needs: Needs::Clock,
            check: restart,
        },
    ]
}

fn exact<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a").ttl(10 * SECOND);
    let claim = actor.win(&request)?;
    let record = actor.complete(claim.id(), "done")?;
    let lives_ms = record.expires_at().as_millis() - record.completed_at().as_millis();
    ensure!(lives_ms == 10_000, "it is to live {lives_ms} ms");
    stage.advance(10 * SECOND - MS)?;
    has_body(&actor.find_record(&request)?, "done")?;
    stage.advance(MS)?;
    let next = actor.win(&request)?;
    has_body(&actor.complete(next.id(), "again")?, "again")
}

fn from_completion<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a").ttl(10 * SECOND);
    let claim = actor.win(&request)?;
    stage.advance(8 * SECOND)?;
    actor.complete(claim.id(), "done")?;
    stage.advance(8 * SECOND)?;
    has_body(&actor.find_record(&request)?, "done")
}

fn look<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a").ttl(SECOND);
    let claim = actor.win(&request)?;
    actor.complete(claim.id(), "done")?;
    stage.advance(SECOND - MS)?;
    ensure!(actor.get(&request)?.is_some(), "a living record is not found");
    stage.advance(MS)?;
    ensure!(actor.get(&request)?.is_none(), "an expired record is found");
    Ok(())
}

fn live_claim<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a").ttl(SECOND).lease(60 * SECOND);
    let claim = actor.win(&request)?;
    stage.advance(30 * SECOND)?;
    actor.find_in_flight(&request)?;
    actor.complete(claim.id(), "done")?;
    has_body(&actor.find_record(&request)?, "done")
}

fn own_ttl<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let short = stage.request("short").ttl(5 * SECOND);
    let long = stage.request("long").ttl(500 * SECOND);
    for request in [&short, &long] {
        let claim = actor.win(request)?;
        actor.complete(claim.id(), "done")?;
    }
    stage.advance(5 * SECOND)?;
    has_body(&actor.find_record(&long)?, "done")?;
    actor.win(&short)?;
    Ok(())
}

fn again<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a").ttl(SECOND);
    let mut last = 0;
    for _ in 0..3 {
        let claim = actor.win(&request)?;
        let token = claim.token().get();
        ensure!(token > last, "{token} after {last}");
        ensure!(claim.attempt() == 1, "attempt {} of a fresh run", claim.attempt());
        last = token;
        actor.complete(claim.id(), "done")?;
        stage.advance(SECOND)?;
    }
    Ok(())
}

fn restart<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a").ttl(10 * SECOND);
    let claim = actor.win(&request)?;
    actor.complete(claim.id(), "done")?;
    stage.advance(5 * SECOND)?;
    drop(actor);
    let actor = stage.open()?;
    stage.advance(5 * SECOND - MS)?;
    has_body(&actor.find_record(&request)?, "done")?;
    stage.advance(MS)?;
    actor.win(&request)?;
    Ok(())
}
