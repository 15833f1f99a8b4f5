//! A labelled event as JSON: hashes as 16 hexadecimal digits, times in milliseconds, what is not
//! known as null.

use oncekey::audit::synth::Labelled;
use oncekey::audit::{Context, KeyFormat, KeyShape, Label};
use serde::Serialize;

/// One line.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    boot: u64,
    sequence: u64,
    at_ms: u64,
    kind: &'static str,
    key_hash: String,
    scope: Option<String>,
    operation: Option<String>,
    token: Option<u64>,
    attempt: u32,
    age_ms: Option<u64>,
    duration_ms: Option<u64>,
    gap_ms: Option<u64>,
    differs: Option<String>,
    context: Party,
    holder: Option<Party>,
    shape: Option<Shape>,
    truth: Option<&'static str>,
    scenario: &'static str,
}

#[derive(Debug, Serialize)]
struct Party {
    client: Option<String>,
    network: Option<String>,
    agent: Option<String>,
    request: Option<String>,
}

#[derive(Debug, Serialize)]
struct Shape {
    format: &'static str,
    len: u16,
    prefix: u32,
    value: String,
}

impl Line {
    pub(super) fn of(labelled: &Labelled) -> Self {
        let event = &labelled.event;
        Self {
            boot: event.id.boot,
            sequence: event.id.sequence,
            at_ms: event.at.as_millis(),
            kind: event.kind.name(),
            key_hash: format!("{:016x}", event.key_hash),
            scope: hex(event.scope),
            operation: hex(event.operation),
            token: event.token.map(oncekey::Token::get),
            attempt: event.attempt,
            age_ms: event.age_ms,
            duration_ms: event.duration_ms,
            gap_ms: event.gap_ms,
            differs: event.differs.map(|differs| differs.to_string()),
            context: Party::of(&event.context),
            holder: event.holder.as_ref().map(Party::of),
            shape: event.shape.as_ref().map(Shape::of),
            truth: labelled.truth.map(oncekey::audit::Verdict::name),
            scenario: labelled.scenario.name(),
        }
    }
}

impl Party {
    fn of(context: &Context) -> Self {
        Self {
            client: hex(context.client),
            network: hex(context.network),
            agent: hex(context.agent),
            request: hex(context.request),
        }
    }
}

impl Shape {
    fn of(shape: &KeyShape) -> Self {
        let format = match shape.format {
            KeyFormat::UuidV4 => "uuid_v4",
            KeyFormat::UuidV7 => "uuid_v7",
            KeyFormat::UuidOther => "uuid_other",
            KeyFormat::Ulid => "ulid",
            KeyFormat::Decimal => "decimal",
            KeyFormat::Hexadecimal => "hexadecimal",
            KeyFormat::Base64 => "base64",
            _ => "other",
        };
        // As text: a number of 64 bits is more than many parsers of JSON keep.
        let value = shape.value.to_string();
        Self { format, len: shape.len, prefix: shape.prefix, value }
    }
}

fn hex(label: Option<Label>) -> Option<String> {
    label.map(|label| label.to_string())
}
