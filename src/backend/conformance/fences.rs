//! Fenced: tokens rise with each claim, never repeat, and never begin anew.

use super::stage::{Stage, crowd, forged, key, lost, owner};
use super::{Case, Checked, Failed, Needs, Subject, ensure};
use crate::types::ClaimRequest;

pub(super) fn cases<S: Subject>() -> Vec<Case<S>> {
    let case = |number, promise, check| Case { number, promise, needs: Needs::Nothing, check };
    vec![
        case("5.1", "tokens rise from claim to claim, whatever the key", rise),
        case("5.2", "of many threads no two get the same token, and each sees them rise", crowds),
        Case {
            number: "5.3",
            promise: "tokens go on rising after a restart",
            needs: Needs::Durability,
            check: restarts,
        },
        case("5.4", "a token that was never given is refused", never_given),
        case("5.5", "a token of another key is refused", of_another_key),
    ]
}

fn rise<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let mut last = 0;
    for i in 0..50 {
        let claim = actor.win(&stage.request(&format!("key {i}")))?;
        let token = claim.token().get();
        ensure!(token > last, "{token} after {last}");
        last = token;
        match i % 3 {
            0 => drop(actor.complete(claim.id(), "done")?),
            1 => actor.release(claim.id())?,
            _ => {}
        }
    }
    Ok(())
}

fn crowds<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let all = crowd(6, |thread| -> Result<Vec<u64>, Failed> {
        let mut tokens = Vec::new();
        for i in 0..20 {
            let scope = stage.scope(&format!("thread {thread}"));
            let claim = actor.win(&ClaimRequest::new(scope, key(&format!("{i}"))))?;
            tokens.push(claim.token().get());
        }
        Ok(tokens)
    });
    let mut every = Vec::new();
    for tokens in all {
        let tokens = tokens?;
        ensure!(tokens.is_sorted(), "a thread saw its tokens fall: {tokens:?}");
        every.extend(tokens);
    }
    every.sort_unstable();
    let count = every.len();
    every.dedup();
    ensure!(every.len() == count, "{} tokens were given twice", count - every.len());
    Ok(())
}

fn restarts<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let mut last = 0;
    for round in 0..4 {
        let actor = stage.open()?;
        for i in 0..3 {
            let claim = actor.win(&stage.request(&format!("key {round}/{i}")))?;
            let token = claim.token().get();
            ensure!(token > last, "{token} after {last}, in round {round}");
            last = token;
            if i == 0 {
                actor.release(claim.id())?;
            }
        }
    }
    Ok(())
}

fn never_given<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let request = stage.request("a");
    let claim = actor.win(&request)?;
    let token = claim.token().get();
    for other in [0, token.saturating_sub(1), token.saturating_add(1), u64::MAX] {
        if other != token {
            actor.is_over_for(&forged(claim.id(), other))?;
        }
    }
    let fresh =
        crate::backend::ClaimId::new(stage.scope(""), key("never claimed"), owner(), claim.token());
    actor.is_over_for(&fresh)?;
    actor.find_in_flight(&request)
}

fn of_another_key<S: Subject>(stage: &Stage<'_, S>) -> Checked {
    let actor = stage.open()?;
    let (one, other) = (stage.request("one"), stage.request("other"));
    let (first, second) = (actor.win(&one)?, actor.win(&other)?);
    let crossed = forged(first.id(), second.token().get());
    lost("complete", actor.complete(&crossed, "crossed"))?;
    lost("release", actor.release(&crossed))?;
    actor.find_in_flight(&one)?;
    actor.find_in_flight(&other)
}
