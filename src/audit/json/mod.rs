//! What is in a trail, with what was made of it, as lines of JSON and back.
//!
//! Invariants: what was written is read back to the same values; a line is ASCII, without a control
//! character, so that it can be shown anywhere; no number that is written as one is more than 2^53,
//! which many parsers of JSON would blur, but for counts of milliseconds. What is not known is left
//! out. Fields that are not known to a reader are skipped by it.
//!
//! The names of fields are stable, and listed in `docs/audit.md`.
//!
//! Left to others: where lines go and come from, and how long one may be.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod line;
mod other;
#[cfg(test)]
mod tests;
mod time;

use line::Line;
use other::Other;
use std::borrow::Cow;
pub use time::rfc3339;

use super::{Damage, Event, Gap, Judgement, Label, TrailItem};
use crate::error::{Error, Result};
use crate::ids::StoreId;

/// Whose events they are: what [`Trail::store_id`](super::Trail::store_id) and
/// [`Trail::key_id`](super::Trail::key_id) say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Origin {
    /// The store.
    pub store_id: StoreId,
    /// Which secret its hashes were made with.
    pub key_id: u64,
}

impl Origin {
    /// A store whose hashes were made with this secret.
    #[must_use]
    pub const fn new(store_id: StoreId, key_id: u64) -> Self {
        Self { store_id, key_id }
    }
}

/// An event as it was read from JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParsedEvent {
    /// Whose it is, if the line says so.
    pub origin: Option<Origin>,
    /// The event.
    pub event: Event,
    /// What it was judged to be, if it was.
    pub judgement: Option<Judgement>,
    /// The names of its labels, as far as the line has them.
    pub names: Vec<(Label, String)>,
}

/// An item of a trail as it was read from JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParsedItem {
    /// An event.
    Event(Box<ParsedEvent>),
    /// Events are missing here.
    Gap {
        /// Whose, if the line says so.
        origin: Option<Origin>,
        /// Which.
        gap: Gap,
    },
    /// Bytes of the trail were no events.
    Damage {
        /// Whose, if the line says so.
        origin: Option<Origin>,
        /// Which.
        damage: Damage,
    },
}

/// An event as a JSON object on one line, without the line's end.
///
/// ```
/// use oncekey::StoreTime;
/// use oncekey::audit::{Event, EventId, EventKind, event_json, parse_event};
///
/// let at = StoreTime::from_millis(1_790_000_000_000);
/// let event = Event::new(EventId::new(7, 42), at, EventKind::Claimed, 0x00c0_ffee);
/// let line = event_json(None, &event, None, &|_| None);
/// assert_eq!(
///     line,
///     r#"{"id":"7.42","at_ms":1790000000000,"at":"2026-09-21T14:13:20.000Z","kind":"claimed","#
///         .to_owned() + r#""key_hash":"0000000000c0ffee","attempt":0}"#
/// );
/// assert_eq!(parse_event(&line)?.event, event);
/// # Ok::<(), oncekey::Error>(())
/// ```
#[must_use]
pub fn event_json<'a>(
    origin: Option<Origin>,
    event: &Event,
    judgement: Option<&Judgement>,
    names: &impl Fn(Label) -> Option<Cow<'a, str>>,
) -> String {
    let line = Line::of(origin, event, judgement, names);
    // Maps with keys that are no texts are all that it could refuse, and there are none.
    ascii(serde_json::to_string(&line).unwrap_or_default())
}

/// An item of a trail as a JSON object on one line: an event as [`event_json`] writes it,
/// `{"gap":{...}}` or `{"damage":{...}}`.
#[must_use]
pub fn item_json<'a>(
    origin: Option<Origin>,
    item: &TrailItem,
    judgement: Option<&Judgement>,
    names: &impl Fn(Label) -> Option<Cow<'a, str>>,
) -> String {
    let other = match item {
        TrailItem::Event(event) => return event_json(origin, event, judgement, names),
        TrailItem::Gap(gap) => Other::gap(origin, gap),
        TrailItem::Damage(damage) => Other::damage(origin, damage),
    };
    ascii(serde_json::to_string(&other).unwrap_or_default())
}

/// Reads what [`event_json`] wrote.
///
/// # Errors
/// [`Corrupt`](crate::ErrorKind::Corrupt) if it is no JSON, or not an event's; the text says where.
pub fn parse_event(line: &str) -> Result<ParsedEvent> {
    let line: Line<'_> = serde_json::from_str(line).map_err(|error| wrong(&error))?;
    line.parsed().map_err(|error| wrong(&error))
}

/// Reads what [`item_json`] wrote.
///
/// # Errors
/// [`Corrupt`](crate::ErrorKind::Corrupt) if it is no JSON, or no item's; the text says where.
pub fn parse_item(line: &str) -> Result<ParsedItem> {
    let not_an_event = match serde_json::from_str::<Line<'_>>(line) {
        Ok(event) => {
            let event = event.parsed().map_err(|error| wrong(&error))?;
            return Ok(ParsedItem::Event(Box::new(event)));
        }
        Err(error) => error,
    };
    match serde_json::from_str::<Other<'_>>(line) {
        Ok(other) if other.is_something() => other.parsed().map_err(|error| wrong(&error)),
        _ => Err(wrong(&not_an_event)),
    }
}

fn wrong(error: &dyn std::fmt::Display) -> Error {
    Error::new(crate::ErrorKind::Corrupt, format!("this is no event in JSON: {error}"))
}

/// The same JSON in ASCII: what a terminal would obey or hide becomes an escape, and so do letters.
pub(super) fn ascii(json: String) -> String {
    let is_plain = |byte: u8| byte.is_ascii() && byte != 0x7f;
    if json.bytes().all(is_plain) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 32);
    for c in json.chars() {
        if u8::try_from(c).is_ok_and(is_plain) {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}
