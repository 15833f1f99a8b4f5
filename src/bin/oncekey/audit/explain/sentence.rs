//! An event of a key in a sentence.

use oncekey::audit::story::{Fate, Present};
use oncekey::audit::{Event, EventKind, Trail};

use crate::audit::words::{another, name, party, span};

/// What happened.
pub(super) fn of_event(event: &Event, trail: &Trail) -> String {
    use EventKind::{
        Claimed, ClockStep, Completed, Dropped, Expired, Forgotten, InFlight, LateRetry,
        LeftUnresolved, Limited, MetUnresolved, Mismatch, Poisoned, Refused, Released, Replayed,
        Resolved, StaleHolder, TakenOver, Waited,
    };
    let who = party(trail, &event.context);
    let who = if who.is_empty() { "somebody".to_owned() } else { who };
    let what =
        event.operation.map_or_else(String::new, |label| format!(" for {}", name(trail, label)));
    let claim = event.token.map_or_else(|| "a claim".into(), |token| format!("claim {token}"));
    let took = event.duration_ms.map_or_else(String::new, |ms| format!(" after {}", span(ms)));
    let age = event.age_ms.map_or_else(|| "some time".into(), span);
    let sentence = match event.kind {
        Claimed => format!("{who} claimed the key{what}: {claim}"),
        TakenOver => format!(
            "{who} took the key over{what} from a claim made {age} before{}, whose lease was over \
             or whose owner had died: {claim}, attempt {}",
            holder(event, trail),
            event.attempt,
        ),
        LateRetry => format!("{who} claimed the key{what} {age} after it had expired: {claim}"),
        Expired => format!("{who} asked{what} {age} after the record had expired: refused"),
        Completed => format!("{claim} was completed{took}"),
        Replayed => format!(
            "{who} asked again{what} and was given the record of {claim}, completed {age} before",
        ),
        InFlight => format!(
            "{who} asked again{what} while {claim}, made {age} before, was executed: told so",
        ),
        Waited if event.token.is_some() => {
            format!("{who} waited{took} and was given the record of {claim}")
        }
        Waited => format!("{who} waited for the claim that was executed and gave up{took}"),
        Mismatch => format!(
            "{who} asked{what} with {} than {claim} was made with: refused",
            event.differs.map_or("another request", another),
        ),
        MetUnresolved => {
            format!("{who} asked again{what} and met {claim}, whose effect is unknown: refused")
        }
        LeftUnresolved => format!("{claim} was left with its effect unknown{took}"),
        Resolved => format!("somebody settled {claim}{took}"),
        Released => format!("{claim} was given back{took}: nothing was executed, its holder says"),
        Dropped => format!("the holder of {claim} let go of it{took} without saying what it did"),
        StaleHolder => format!("the holder of {claim} came back after that was over: refused"),
        Forgotten if event.age_ms.is_none() => {
            format!("{claim}, whose owner had gone, was forgotten on request{took}")
        }
        Forgotten => {
            format!("the record of {claim}, completed {age} before, was forgotten on request")
        }
        Limited => format!("{who} asked{what}: refused for a limit"),
        ClockStep => format!(
            "the clock of the machine stepped by {}",
            event.duration_ms.map_or_else(|| "some time".into(), span)
        ),
        Poisoned => "the disk failed, and the store took no more changes: what was on its way may \
                     be lost"
            .into(),
        Refused => format!("the service's guard had {who} refused: what they met was not told"),
        kind => kind.name().to_owned(),
    };
    let gap =
        event.gap_ms.map_or_else(String::new, |ms| format!(" ({} after the try before)", span(ms)));
    format!("{sentence}{gap}")
}

fn holder(event: &Event, trail: &Trail) -> String {
    let holder = event.holder.as_ref().map(|holder| party(trail, holder));
    holder.filter(|who| !who.is_empty()).map_or_else(String::new, |who| format!(" by {who}"))
}

/// What the store says now.
pub(super) fn of_present(present: &Present) -> String {
    let claim = present.token;
    match present.fate {
        Fate::Completed => format!("the store has the record of claim {claim} now"),
        Fate::Unresolved => format!("the store has claim {claim} as unresolved now"),
        _ if present.is_running => {
            format!("claim {claim} is in flight now: the process that has the store runs")
        }
        _ => format!("claim {claim} is in the store now, and nobody runs that holds it"),
    }
}
