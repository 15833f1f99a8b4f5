//! The JSON object of an event, field by field.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserializer};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::{Origin, ParsedEvent, rfc3339};
use crate::audit::{
    Context, Event, EventId, EventKind, Judgement, KeyFormat, KeyShape, Label, Reason, Reasons,
    Verdict,
};
use crate::ids::{StoreId, StoreTime, Token};
use crate::types::Difference;

/// What a field that cannot be read is wrong in.
type Fault = String;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line<'a> {
    id: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    store: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_id: Option<Hash>,
    at_ms: u64,
    /// For people; `at_ms` is what counts.
    #[serde(default, skip_serializing_if = "Option::is_none", skip_deserializing)]
    at: Option<String>,
    kind: Text,
    key_hash: Hash,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<Named<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<Named<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<Number>,
    attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    age_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gap_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    differs: Option<Text>,
    #[serde(default, skip_serializing_if = "Party::is_empty")]
    caller: Party<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holder: Option<Party<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shape: Option<Shape>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    judgement: Option<Judged>,
}

/// A short text of a fixed set, or an id.
pub(super) type Text = Cow<'static, str>;

/// 64 bits as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash(pub(super) u64);

/// A number of 64 bits as a text of decimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Number(u64);

/// A label, and the text behind it.
#[derive(Debug, Serialize, Deserialize)]
struct Named<'a> {
    hash: Hash,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Party<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<Named<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    network: Option<Named<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<Named<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<Named<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Shape {
    format: Text,
    len: u16,
    prefix: Text,
    value: Number,
}

#[derive(Debug, Serialize, Deserialize)]
struct Judged {
    verdict: Text,
    reasons: Vec<Text>,
    score: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    against: Option<Text>,
}

impl<'a> Line<'a> {
    pub(super) fn of(
        origin: Option<Origin>,
        event: &Event,
        judgement: Option<&Judgement>,
        names: &impl Fn(Label) -> Option<Cow<'a, str>>,
    ) -> Self {
        let named = |label: Option<Label>| {
            label.map(|label| Named { hash: Hash(label.get()), name: names(label) })
        };
        let party = |context: &Context| Party {
            client: named(context.client),
            network: named(context.network),
            agent: named(context.agent),
            request: named(context.request),
        };
        Self {
            id: event.id.to_string().into(),
            store: origin.map(|origin| origin.store_id.to_string().into()),
            key_id: origin.map(|origin| Hash(origin.key_id)),
            at_ms: event.at.as_millis(),
            at: rfc3339(event.at),
            kind: event.kind.name().into(),
            key_hash: Hash(event.key_hash),
            scope: named(event.scope),
            operation: named(event.operation),
            token: event.token.map(|token| Number(token.get())),
            attempt: event.attempt,
            age_ms: event.age_ms,
            duration_ms: event.duration_ms,
            gap_ms: event.gap_ms,
            differs: event.differs.map(|differs| difference_name(differs).into()),
            caller: party(&event.context),
            holder: event.holder.as_ref().map(party),
            shape: event.shape.as_ref().map(Shape::of),
            judgement: judgement.map(Judged::of),
        }
    }

    pub(super) fn parsed(self) -> Result<ParsedEvent, Fault> {
        let mut names = Vec::new();
        let mut label = |named: Option<Named<'_>>| {
            let Named { hash, name } = named?;
            let label = Label::new(hash.0);
            names.extend(name.map(|name| (label, name.into_owned())));
            Some(label)
        };
        let mut party = |party: Party<'_>| Context {
            client: label(party.client),
            network: label(party.network),
            agent: label(party.agent),
            request: label(party.request),
        };
        let context = party(self.caller);
        let holder = self.holder.map(&mut party);
        let event = Event {
            id: event_id(&self.id)?,
            at: StoreTime(self.at_ms),
            kind: named_one(EventKind::ALL, EventKind::name, &self.kind, "kind")?,
            key_hash: self.key_hash.0,
            scope: label(self.scope),
            operation: label(self.operation),
            token: self.token.map(|token| Token(token.0)),
            attempt: self.attempt,
            age_ms: self.age_ms,
            duration_ms: self.duration_ms,
            gap_ms: self.gap_ms,
            differs: self.differs.map(|text| difference(&text)).transpose()?,
            context,
            holder,
            shape: self.shape.map(Shape::parsed).transpose()?,
        };
        let origin = origin_of(self.store.as_deref(), self.key_id)?;
        let judgement = self.judgement.map(Judged::parsed).transpose()?;
        Ok(ParsedEvent { origin, event, judgement, names })
    }
}

impl Party<'_> {
    fn is_empty(&self) -> bool {
        let Self { client, network, agent, request } = self;
        [client, network, agent, request].iter().all(|part| part.is_none())
    }
}

impl Shape {
    fn of(shape: &KeyShape) -> Self {
        Self {
            format: shape.format.name().into(),
            len: shape.len,
            prefix: format!("{:08x}", shape.prefix).into(),
            value: Number(shape.value),
        }
    }

    fn parsed(self) -> Result<KeyShape, Fault> {
        let prefix = digits(&self.prefix, 8).and_then(|prefix| u32::try_from(prefix).ok());
        Ok(KeyShape {
            format: named_one(KeyFormat::ALL, KeyFormat::name, &self.format, "format")?,
            len: self.len,
            prefix: prefix.ok_or_else(|| format!("no prefix: {:?}", self.prefix))?,
            value: self.value.0,
        })
    }
}

impl Judged {
    fn of(judgement: &Judgement) -> Self {
        Self {
            verdict: judgement.verdict.name().into(),
            reasons: judgement.reasons.iter().map(|reason| reason.name().into()).collect(),
            score: judgement.score,
            against: judgement.against.map(|id| id.to_string().into()),
        }
    }

    fn parsed(self) -> Result<Judgement, Fault> {
        let mut reasons = Reasons::NONE;
        for name in &self.reasons {
            reasons = reasons.with(named_one(Reason::ALL, Reason::name, name, "reason")?);
        }
        Ok(Judgement {
            verdict: named_one(Verdict::ALL, Verdict::name, &self.verdict, "verdict")?,
            reasons,
            score: self.score,
            against: self.against.map(|text| event_id(&text)).transpose()?,
        })
    }
}

pub(super) fn origin_of(
    store: Option<&str>,
    key_id: Option<Hash>,
) -> Result<Option<Origin>, Fault> {
    match (store, key_id) {
        (Some(store), Some(Hash(key_id))) => {
            let store_id = StoreId::parse(store);
            let store_id = store_id.ok_or_else(|| format!("no store's id: {store:?}"))?;
            Ok(Some(Origin { store_id, key_id }))
        }
        (None, None) => Ok(None),
        _ => Err("of store and key_id there is one without the other".into()),
    }
}

/// The one of a set that has this name.
fn named_one<T: Copy>(
    all: impl IntoIterator<Item = T>,
    name_of: fn(T) -> &'static str,
    name: &str,
    what: &str,
) -> Result<T, Fault> {
    let found = all.into_iter().find(|one| name_of(*one) == name);
    found.ok_or_else(|| format!("no such {what}: {name:?}"))
}

/// The name of what differs.
pub(super) fn difference_name(differs: Difference) -> &'static str {
    match differs {
        Difference::Operation => "operation",
        Difference::Payload => "payload",
        Difference::OperationAndPayload => "operation_and_payload",
    }
}

fn difference(name: &str) -> Result<Difference, Fault> {
    let all = [Difference::Operation, Difference::Payload, Difference::OperationAndPayload];
    named_one(all, difference_name, name, "difference")
}

pub(super) fn event_id(text: &str) -> Result<EventId, Fault> {
    let parts = text.split_once('.');
    let id = parts.and_then(|(boot, sequence)| {
        Some(EventId::new(boot.parse().ok()?, sequence.parse().ok()?))
    });
    // An id has one way to be written, so that it can be compared as a text.
    id.filter(|id| id.to_string() == text).ok_or_else(|| format!("no event's id: {text:?}"))
}

/// So many hexadecimal digits, no sign and no capitals.
fn digits(text: &str, count: usize) -> Option<u64> {
    let fits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_hex = text.len() == count && text.bytes().all(fits);
    is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Reads a text without keeping it.
struct Visit<T>(fn(&str) -> Option<T>, &'static str);

impl<T> de::Visitor<'_> for Visit<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        self.0(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hash = |text: &str| digits(text, 16).map(Self);
        deserializer.deserialize_str(Visit(hash, "16 hexadecimal digits"))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = |text: &str| {
            let number = text.parse().ok().filter(|number: &u64| number.to_string() == text);
            number.map(Self)
        };
        deserializer.deserialize_str(Visit(number, "a number in a text"))
    }
}
