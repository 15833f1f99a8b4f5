//! Durable before told, as far as a restart can show; and the same bytes for every retry.

use super::stage::{Stage, crowd, has_body, key, replayed};
use super::{Case, Checked, Needs, Subject, ensure};
use crate::backend::Outcome;
use crate::store::{Entry, Resolution};
use crate::types::{ClaimRequest, DropPolicy, StoredResponse};

pub(super) fn cases<S: Subject>() -> Vec<Case<S>> {
    let needs = Needs::Durability;
    let case = |number, promise, check| Case { number, promise, needs, check };
    let now = |number, promise, check| Case { number, promise, needs: Needs::Nothing, check };
    vec![
        case("2.1", "a claim survives a restart: it is never run again as a first attempt", claim),
        case("2.2", "a completion survives a restart, byte for byte", completion),
        case(
            "2.3",
            "an unresolved attempt survives a restart, and is resolved after it",
            unresolved,
        ),
        case("2.4", "a checkpoint survives a restart", checkpoint),
        case("2.5", "a resolution survives a restart", resolution),
        case("2.6", "a release survives a restart", release),
        now("3.1", "every retry gets the same bytes and status, whatever they are", same_bytes),
        now("3.2", "a crowd of retries gets the same bytes", crowd_of_retries),
        now("3.3", "a replay tells the claim that completed the key", told_of_the_claim),
    ]
}

fn claim<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let request = stage.request("a");
    let first = stage.open()?.win(&request)?;
    let actor = stage.open()?;
    match actor.outcome(&request)? {
        Outcome::InFlight(_) => {}
        Outcome::Claimed(claim) => {
            ensure!(claim.attempt() == 2, "attempt {} after a restart", claim.attempt());
            ensure!(claim.token() > first.token(), "a takeover under a lower token");
            actor.is_over_for(first.id())?;
        }
        other => ensure!(false, "a claim became {other:?}"),
    }
    Ok(())
}

fn completion<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    let claim = actor.win(&request)?;
    let done = actor.complete_with(claim.id(), StoredResponse::new("done").with_status(201))?;
    drop(actor);
    for _ in 0..2 {
        let found = stage.open()?.find_record(&request)?;
        has_body(&found, "done")?;
        ensure!(found.response().status() == 201, "status {}", found.response().status());
        ensure!(found.expires_at() == done.expires_at(), "another expiry after a restart");
    }
    Ok(())
}

fn unresolved<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let request = stage.request("a").on_drop(DropPolicy::Unresolved);
    let actor = stage.open()?;
    let claim = actor.win(&request)?;
    actor.abandon(claim.id())?;
    drop(actor);
    let actor = stage.open()?;
    let attempt = actor.find_unresolved(&request)?;
    ensure!(attempt.token() == claim.token(), "another attempt is unresolved");
    actor.resolve(&attempt, Resolution::Completed(StoredResponse::new("settled")))?;
    has_body(&actor.find_record(&request)?, "settled")
}

fn checkpoint<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    let claim = actor.win(&request)?;
    actor.checkpoint(claim.id(), "first")?;
    actor.checkpoint(claim.id(), "second")?;
    drop(actor);
    // Its own claim again, or a takeover, if its owner is taken to have died with the process.
    let again = stage.open()?.win_as(claim.id().owner(), &request)?;
    let data = again.checkpoint().map(|checkpoint| checkpoint.data().to_vec());
    ensure!(data.as_deref() == Some(b"second"), "the checkpoint is {data:?}");
    Ok(())
}

fn resolution<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let request = stage.request("a").on_drop(DropPolicy::Unresolved);
    let actor = stage.open()?;
    let claim = actor.win(&request)?;
    actor.abandon(claim.id())?;
    let attempt = actor.find_unresolved(&request)?;
    actor.resolve(&attempt, Resolution::NotExecuted)?;
    drop(actor);
    let actor = stage.open()?;
    let next = actor.win(&request)?;
    ensure!(next.token() > claim.token(), "{} after {}", next.token(), claim.token());
    Ok(())
}

fn release<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let request = stage.request("a");
    let actor = stage.open()?;
    let claim = actor.win(&request)?;
    actor.release(claim.id())?;
    drop(actor);
    let actor = stage.open()?;
    actor.win(&request)?;
    actor.is_over_for(claim.id())
}

fn same_bytes<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let every_byte: Vec<u8> = (0..=255).collect();
    let bodies =
        [Vec::new(), vec![0], every_byte.clone(), every_byte.repeat(64), b"x".repeat(8000)];
    for (number, body) in (0_u32..).zip(bodies) {
        let request = stage.request(&format!("key {number}"));
        let status = [0, 201, 255, 65_536, u32::MAX].get(number as usize).copied().unwrap_or(1);
        let response = StoredResponse::new(body).with_status(status);
        let claim = actor.win(&request)?;
        let told = actor.complete_with(claim.id(), response.clone())?;
        ensure!(*told.response() == response, "the completion tells another response");
        for _ in 0..2 {
            let found = actor.find_record(&request)?;
            ensure!(*found.response() == response, "response {number} was changed");
        }
    }
    Ok(())
}

fn crowd_of_retries<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    let outcomes = crowd(6, |number| -> std::result::Result<_, super::Failed> {
        loop {
            match actor.outcome(&request)? {
                Outcome::Claimed(claim) => {
                    let record = actor.complete(claim.id(), &format!("by {number}"))?;
                    return Ok(record.response().clone());
                }
                Outcome::InFlight(_) => std::thread::yield_now(),
                other => return Ok(replayed(other)?.response().clone()),
            }
        }
    });
    let mut first = None;
    for response in outcomes {
        let response = response?;
        let same = first.get_or_insert_with(|| response.clone()) == &response;
        ensure!(same, "two responses for one key");
    }
    Ok(())
}

fn told_of_the_claim<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = ClaimRequest::new(stage.scope("other"), key("a")).payload("1");
    let claim = actor.win(&request)?;
    actor.complete(claim.id(), "done")?;
    let found = actor.find_record(&request)?;
    ensure!(found.is_replay(), "a replay says that it is none");
    ensure!(found.token() == claim.token(), "token {}", found.token());
    ensure!(found.attempt() == 1, "attempt {}", found.attempt());
    ensure!(*found.fingerprint() == request.fingerprint, "another fingerprint");
    ensure!(found.expires_at() > found.completed_at(), "it expires before it was completed");
    match actor.get(&request)? {
        Some(Entry::Completed(record)) => {
            ensure!(record.response() == found.response(), "a look differs")
        }
        other => ensure!(false, "expected the record, not {other:?}"),
    }
    Ok(())
}
