//! A story as one JSON object.

use oncekey::StoreTime;
use oncekey::audit::story::{Attempt, BlindSpot, Present, Step};
use oncekey::audit::{EventId, event_json, rfc3339};
use serde_json::{Map, Value, json};

use super::{Told, sentence};
use crate::audit::source;
use crate::words;

pub(super) fn object(told: &Told) -> String {
    let Told { scope, key, hashes, story, trail, .. } = told;
    let conclusion = story.conclusion;
    let hash = hashes.iter().find(|(id, _)| Some(*id) == trail.key_id());
    let object = json!({
        "scope": scope.as_str(),
        "key": key.as_str(),
        "key_hash": hash.map(|(_, hash)| format!("{hash:016x}")),
        "conclusion": {
            "finding": conclusion.finding.name(),
            "apparent": conclusion.apparent.name(),
            "text": conclusion.to_string(),
            "since": conclusion.reach.since.map(time),
            "until": conclusion.reach.until.map(time),
            "missing": conclusion.missing,
            "completed": conclusion.completed,
            "doubtful": conclusion.doubtful,
        },
        "attempts": story.attempts.iter().map(attempt).collect::<Vec<_>>(),
        "hidden_attempt": story.has_hidden,
        "hidden_attempt_said_by": story.hidden_said_by.map(id),
        "stranger_said_by": story.stranger.map(id),
        "steps": story.steps.iter().map(|item| step(told, item)).collect::<Vec<_>>(),
        "steps_left_out": story.steps_left_out,
        "secrets_missing": !told.other_secrets.is_empty(),
    });
    words::json(&object, true)
}

fn step(told: &Told, step: &Step) -> Value {
    match step {
        Step::Event(event, judgement) => {
            let trail = &told.trail;
            let names = |label| trail.name(label);
            let line = event_json(source::origin(trail), event, judgement.as_ref(), &names);
            // It was written by a serializer just now.
            let object: Value = serde_json::from_str(&line).unwrap_or_default();
            json!({ "event": object, "text": sentence::of_event(event, trail) })
        }
        Step::Blind(spot) => json!({ "missing": blind(spot), "text": spot.to_string() }),
        Step::Present(present) => {
            json!({ "present": now(present), "text": sentence::of_present(present) })
        }
        _ => Value::Object(Map::new()),
    }
}

fn blind(spot: &BlindSpot) -> Value {
    json!({
        "kind": spot.kind.name(),
        "lost": spot.lost,
        "after": spot.between.0.map(id),
        "before": spot.between.1.map(id),
        "could_hide_an_execution": spot.matters,
    })
}

fn now(present: &Present) -> Value {
    json!({
        "token": present.token.get().to_string(),
        "attempt": present.attempt,
        "fate": present.fate.name(),
        "since": time(present.since),
        "is_running": present.is_running,
    })
}

fn attempt(attempt: &Attempt) -> Value {
    json!({
        "token": attempt.token.get().to_string(),
        "number": attempt.number,
        "came": attempt.came.name(),
        "claimed": attempt.claimed.map(id),
        "fate": attempt.fate.name(),
        "ended": attempt.ended.map(id),
        "came_back": attempt.came_back.map(id),
        "settled": attempt.settled,
        "text": attempt.to_string(),
    })
}

fn id(id: EventId) -> String {
    id.to_string()
}

fn time(time: StoreTime) -> Value {
    json!({ "ms": time.as_millis(), "at": rfc3339(time) })
}
