//! What is told of a store, as one line of JSON and back: events as
//! [`event_json`](crate::audit::event_json) writes them, and what is said of those that are not
//! there.
//!
//! | line | what |
//! | --- | --- |
//! | `{"id":"7.42",...}` | an event |
//! | `{"gap":...}`, `{"damage":...}` | of `oncekey audit export`: what its trail does not have |
//! | `{"told":"lost",...,"first":"7.10","count":"5"}` | the trail does not have them |
//! | `{"told":"mark",...,"next":"7.43","at_ms":...}` | all before `next`, and no more until then |
//! | `{"told":"end",...,"next":"7.43","closed":true}` | the opening is over |
//!
//! The last three begin with `told`, and have `store` and `key_id`.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

use super::told::Told;
use crate::audit::{
    Damage, EventId, Gap, Judgement, Label, Origin, ParsedEvent, ParsedItem, event_json, parse_item,
};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{StoreId, StoreTime};

/// A line as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ToldLine {
    /// Whose it is, if the line says so.
    pub origin: Option<Origin>,
    /// What it tells of the store; nothing, if it is about bytes that were no events.
    pub told: Option<Told>,
    /// Bytes of the trail that were no events.
    pub damage: Option<Damage>,
    /// What the event was judged to be, if it was.
    pub judgement: Option<Judgement>,
    /// The names of labels, as far as the line has them.
    pub names: Vec<(Label, String)>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Statement {
    told: String,
    store: String,
    key_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    count: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    closed: Option<bool>,
}

/// What is told as a JSON object on one line, without the line's end.
///
/// ```
/// use oncekey::audit::merge::{Told, parse_told, told_json};
/// use oncekey::audit::{EventId, Origin};
/// use oncekey::StoreId;
///
/// let store = StoreId::parse(&"0c".repeat(16)).expect("32 digits");
/// let told = Told::End { next: EventId::new(7, 42), is_closed: true };
/// let line = told_json(Origin::new(store, 5), &told, &|_| None);
/// assert_eq!(parse_told(&line)?.told, Some(told));
/// # Ok::<(), oncekey::Error>(())
/// ```
#[must_use]
pub fn told_json<'a>(
    origin: Origin,
    told: &Told,
    names: &impl Fn(Label) -> Option<Cow<'a, str>>,
) -> String {
    let of = Statement {
        store: origin.store_id.to_string(),
        key_id: format!("{:016x}", origin.key_id),
        ..Statement::default()
    };
    let statement = match told {
        Told::Event(event) => return event_json(Some(origin), event, None, names),
        Told::Lost { first, count } => Statement {
            told: "lost".into(),
            first: Some(first.to_string()),
            count: Some(count.to_string()),
            ..of
        },
        Told::Mark { next, at } => Statement {
            told: "mark".into(),
            next: Some(next.to_string()),
            at_ms: Some(at.as_millis()),
            ..of
        },
        Told::End { next, is_closed } => Statement {
            told: "end".into(),
            next: Some(next.to_string()),
            closed: Some(*is_closed),
            ..of
        },
    };
    // There is nothing in it that could be refused.
    serde_json::to_string(&statement).unwrap_or_default()
}

/// Reads what [`told_json`] wrote.
///
/// # Errors
/// [`Corrupt`](crate::ErrorKind::Corrupt) if it is neither an event nor one of the others.
pub fn parse_told(line: &str) -> Result<ToldLine> {
    if !line.trim_start().starts_with("{\"told\"") {
        return Ok(match parse_item(line)? {
            ParsedItem::Event(parsed) => {
                let ParsedEvent { origin, event, judgement, names } = *parsed;
                let told = Some(Told::Event(event));
                ToldLine { origin, told, damage: None, judgement, names }
            }
            ParsedItem::Gap { origin, gap } => ToldLine::other(origin, of_gap(&gap), None),
            ParsedItem::Damage { origin, damage } => ToldLine::other(origin, None, Some(damage)),
        });
    }
    let wrong = |what: String| {
        Error::new(ErrorKind::Corrupt, format!("this is no statement about a store: {what}"))
    };
    let statement: Statement =
        serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
    let (origin, told) = read(&statement)
        .ok_or_else(|| wrong(format!("{:?} with what is missing or wrong", statement.told)))?;
    Ok(ToldLine::other(Some(origin), Some(told), None))
}

impl ToldLine {
    fn other(origin: Option<Origin>, told: Option<Told>, damage: Option<Damage>) -> Self {
        Self { origin, told, damage, judgement: None, names: Vec::new() }
    }
}

/// What a gap in a trail tells.
fn of_gap(gap: &Gap) -> Option<Told> {
    let after = |id: EventId| EventId::new(id.boot, id.sequence.saturating_add(1));
    match (gap.lost, gap.before, gap.after) {
        (Some(count), Some(before), _) => {
            let first = EventId::new(before.boot, before.sequence.saturating_sub(count));
            Some(Told::Lost { first, count })
        }
        (Some(count), None, Some(last)) => Some(Told::Lost { first: after(last), count }),
        // An opening ended without having been closed.
        (None, _, Some(last)) => Some(Told::End { next: after(last), is_closed: false }),
        _ => None,
    }
}

fn read(statement: &Statement) -> Option<(Origin, Told)> {
    let id = |text: &Option<String>| {
        let (boot, sequence) = text.as_deref()?.split_once('.')?;
        Some(EventId::new(boot.parse().ok()?, sequence.parse().ok()?))
    };
    let origin = Origin::new(
        StoreId::parse(&statement.store)?,
        u64::from_str_radix(&statement.key_id, 16).ok()?,
    );
    let told = match statement.told.as_str() {
        "lost" => Told::Lost {
            first: id(&statement.first)?,
            count: statement.count.as_deref()?.parse().ok()?,
        },
        "mark" => Told::Mark { next: id(&statement.next)?, at: StoreTime(statement.at_ms?) },
        "end" => Told::End { next: id(&statement.next)?, is_closed: statement.closed? },
        _ => return None,
    };
    Some((origin, told))
}
