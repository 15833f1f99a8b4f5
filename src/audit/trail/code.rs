//! One event as bytes. Times, tokens and labels are told relative to the events before it in its
//! block and the labels before it in its segment; its sequence is not told at all, since a block
//! has no gaps.
//!
//! ```text
//! kind (5 bits), shape?, holder?, differs?   1 byte
//! which of the other fields there are        1 byte
//! which parts of context and holder          1 byte, if there is either
//! time since the event before                varint, zigzag
//! key hash                                   8 bytes
//! the fields that there are, in the order of `put_event`
//! ```

use super::dictionary::{Dictionary, Names, NoLabel, Numbers};
use crate::audit::label::Network;
use crate::audit::{Context, Event, EventId, EventKind, KeyFormat, KeyShape, Label};
use crate::ids::{StoreTime, Token};
use crate::log::{Reader, put};
use crate::types::Difference;

const KIND: u8 = 0x1f;
const SHAPE: u8 = 0x20;
const HOLDER: u8 = 0x40;
const DIFFERS: u8 = 0x80;

const SCOPE: u8 = 1;
const OPERATION: u8 = 2;
const TOKEN: u8 = 4;
const ATTEMPT: u8 = 8;
const AGE: u8 = 16;
const DURATION: u8 = 32;
const CONTEXT: u8 = 128;

const CLIENT: u8 = 1;
const NETWORK: u8 = 2;
const AGENT: u8 = 4;
const REQUEST: u8 = 8;
/// The holder's parts are in the upper half of their byte.
const OF_HOLDER: u32 = 4;

/// What an event's times and tokens are told relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Before {
    pub(crate) at: StoreTime,
    pub(crate) token: u64,
}

/// The names behind an event's labels, as far as they may be kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventNames<'a> {
    pub(crate) known: &'a Names,
    /// The request's id: it is kept with the event, since each is another.
    pub(crate) request: Option<&'a str>,
}

const fn zigzag(by: i64) -> u64 {
    ((by << 1) ^ (by >> 63)).cast_unsigned()
}

const fn unzigzag(coded: u64) -> i64 {
    (coded >> 1).cast_signed() ^ -((coded & 1).cast_signed())
}

fn put_change(out: &mut Vec<u8>, from: u64, to: u64) {
    put(out, zigzag(to.wrapping_sub(from).cast_signed()));
}

fn read_change(body: &mut Reader<'_>, from: u64) -> Option<u64> {
    Some(from.wrapping_add(unzigzag(body.varint()?).cast_unsigned()))
}

/// Appends an event.
pub(crate) fn put_event(
    out: &mut Vec<u8>,
    event: &Event,
    before: &mut Before,
    dictionary: &mut Dictionary,
    names: EventNames<'_>,
) {
    let context = parts(&event.context);
    let holder = event.holder.as_ref().map_or(0, parts);
    let flag = |is_on: bool, flag: u8| if is_on { flag } else { 0 };
    let has_context = context != 0 || event.holder.is_some();
    out.push(
        code(event.kind)
            | flag(event.shape.is_some(), SHAPE)
            | flag(event.holder.is_some(), HOLDER)
            | flag(event.differs.is_some(), DIFFERS),
    );
    out.push(
        flag(event.scope.is_some(), SCOPE)
            | flag(event.operation.is_some(), OPERATION)
            | flag(event.token.is_some(), TOKEN)
            | flag(event.attempt != usual_attempt(event.token), ATTEMPT)
            | flag(event.age_ms.is_some(), AGE)
            | flag(event.duration_ms.is_some(), DURATION)
            | flag(has_context, CONTEXT),
    );
    if has_context {
        out.push(context | holder << OF_HOLDER);
    }
    put_change(out, before.at.0, event.at.0);
    before.at = event.at;
    out.extend_from_slice(&event.key_hash.to_le_bytes());
    if let Some(label) = event.scope {
        dictionary.put(out, label, names.known);
    }
    if let Some(label) = event.operation {
        dictionary.put(out, label, names.known);
    }
    if let Some(token) = event.token {
        put_change(out, before.token, token.0);
        before.token = token.0;
    }
    if event.attempt != usual_attempt(event.token) {
        put(out, u64::from(event.attempt));
    }
    for ms in [event.age_ms, event.duration_ms].into_iter().flatten() {
        put(out, ms);
    }
    if let Some(differs) = event.differs {
        out.push(difference_code(differs));
    }
    put_context(out, &event.context, dictionary, names);
    if let Some(holder) = &event.holder {
        put_context(out, holder, dictionary, EventNames { request: None, ..names });
    }
    if let Some(shape) = &event.shape {
        out.push(format_code(shape.format));
        put(out, u64::from(shape.len));
        out.extend_from_slice(&shape.prefix.to_le_bytes());
        put(out, shape.value);
    }
}

/// The attempt that need not be told.
fn usual_attempt(token: Option<Token>) -> u32 {
    u32::from(token.is_some())
}

fn parts(context: &Context) -> u8 {
    let flag = |label: Option<Label>, flag: u8| if label.is_some() { flag } else { 0 };
    flag(context.client, CLIENT)
        | flag(context.network, NETWORK)
        | flag(context.agent, AGENT)
        | flag(context.request, REQUEST)
}

fn put_context(
    out: &mut Vec<u8>,
    context: &Context,
    dictionary: &mut Dictionary,
    names: EventNames<'_>,
) {
    if let Some(label) = context.client {
        dictionary.put(out, label, names.known);
    }
    if let Some(label) = context.network {
        put_network(out, label, dictionary, names.known);
    }
    if let Some(label) = context.agent {
        dictionary.put(out, label, names.known);
    }
    if let Some(label) = context.request {
        out.extend_from_slice(&label.get().to_le_bytes());
        let name = names.request.and_then(|name| name.get(..MAX_REQUEST.min(name.len())));
        match name {
            None => put(out, 0),
            Some(name) => {
                put(out, name.len() as u64 + 1);
                out.extend_from_slice(name.as_bytes());
            }
        }
    }
}

/// How a network is told: by itself, since there are many, or as another label.
const LABEL: u8 = 0;
const V4: u8 = 4;
const V6: u8 = 6;

fn put_network(out: &mut Vec<u8>, label: Label, dictionary: &mut Dictionary, known: &Names) {
    match Network::of_label(label) {
        Some(Network::V4(prefix)) => {
            out.push(V4);
            out.extend_from_slice(&prefix);
        }
        Some(Network::V6(prefix)) => {
            out.push(V6);
            out.extend_from_slice(&prefix);
        }
        None => {
            out.push(LABEL);
            dictionary.put(out, label, known);
        }
    }
}

fn read_network(body: &mut Reader<'_>, labels: &mut Labels<'_>) -> Option<Label> {
    match body.array()? {
        [LABEL] => labels.read(body),
        [V4] => Some(Network::V4(*body.array()?).label()),
        [V6] => Some(Network::V6(*body.array()?).label()),
        _ => None,
    }
}

/// A longer id of a request is kept as its label alone, unless it can be cut here.
const MAX_REQUEST: usize = 128;

/// Takes the next event off the front; advances `before`.
pub(crate) fn read_event(
    body: &mut Reader<'_>,
    id: EventId,
    before: &mut Before,
    numbers: &mut Numbers,
    names: &mut Names,
) -> Result<Option<Event>, Malformed> {
    let mut lost = false;
    let event = read_fields(body, id, before, &mut Labels { numbers, names, lost: &mut lost });
    match event {
        None => Err(Malformed),
        Some(_) if lost => Ok(None),
        Some(event) => Ok(Some(event)),
    }
}

/// The bytes are no event: what follows it in its block cannot be found either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

struct Labels<'a> {
    numbers: &'a mut Numbers,
    names: &'a mut Names,
    /// Whether one of the event's labels was in a block that is lost.
    lost: &'a mut bool,
}

impl Labels<'_> {
    fn read(&mut self, body: &mut Reader<'_>) -> Option<Label> {
        match self.numbers.read(body, self.names) {
            Ok(label) => Some(label),
            Err(NoLabel::Malformed) => None,
            Err(NoLabel::Lost) => {
                *self.lost = true;
                Some(Label::new(0))
            }
        }
    }
}

/// A field that is there if its flag is: `None` if it should be and is not.
macro_rules! if_has {
    ($flags:expr, $flag:expr, $read:expr) => {
        if $flags & $flag != 0 { Some($read?) } else { None }
    };
}

fn read_fields(
    body: &mut Reader<'_>,
    id: EventId,
    before: &mut Before,
    labels: &mut Labels<'_>,
) -> Option<Event> {
    let &[first, flags] = body.array()?;
    let kind = EventKind::ALL.get(usize::from(first & KIND)).copied()?;
    let contexts = if flags & CONTEXT != 0 { *body.array::<1>()? } else { [0] };
    let at = StoreTime(read_change(body, before.at.0)?);
    before.at = at;
    let mut event = Event::new(id, at, kind, body.u64()?);
    event.scope = if_has!(flags, SCOPE, labels.read(body));
    event.operation = if_has!(flags, OPERATION, labels.read(body));
    event.token = if_has!(flags, TOKEN, read_change(body, before.token).map(Token));
    before.token = event.token.map_or(before.token, |token| token.0);
    event.attempt = match flags & ATTEMPT {
        0 => usual_attempt(event.token),
        _ => body.varint_u32()?,
    };
    event.age_ms = if_has!(flags, AGE, body.varint());
    event.duration_ms = if_has!(flags, DURATION, body.varint());
    event.differs = if_has!(first, DIFFERS, read_difference(body));
    let [contexts] = contexts;
    event.context = read_context(body, contexts, labels)?;
    event.holder = if_has!(first, HOLDER, read_context(body, contexts >> OF_HOLDER, labels));
    event.shape = if_has!(first, SHAPE, read_shape(body));
    Some(event)
}

fn read_context(body: &mut Reader<'_>, parts: u8, labels: &mut Labels<'_>) -> Option<Context> {
    let client = if_has!(parts, CLIENT, labels.read(body));
    let network = if_has!(parts, NETWORK, read_network(body, labels));
    let agent = if_has!(parts, AGENT, labels.read(body));
    let request = if_has!(parts, REQUEST, body.u64().map(Label::new));
    if let Some(label) = request
        && let Some(len) = body.varint_len()?.checked_sub(1)
    {
        labels.names.keep(label, std::str::from_utf8(body.bytes(len)?).ok()?);
    }
    Some(Context { client, network, agent, request })
}

fn read_shape(body: &mut Reader<'_>) -> Option<KeyShape> {
    let [format] = *body.array::<1>()?;
    Some(KeyShape {
        format: KeyFormat::ALL.get(usize::from(format)).copied()?,
        len: u16::try_from(body.varint()?).ok()?,
        prefix: body.u32()?,
        value: body.varint()?,
    })
}

const fn format_code(format: KeyFormat) -> u8 {
    match format {
        KeyFormat::UuidV4 => 0,
        KeyFormat::UuidV7 => 1,
        KeyFormat::UuidOther => 2,
        KeyFormat::Ulid => 3,
        KeyFormat::Decimal => 4,
        KeyFormat::Hexadecimal => 5,
        KeyFormat::Base64 => 6,
        KeyFormat::Other => 7,
    }
}

const fn code(kind: EventKind) -> u8 {
    kind as u8
}

#[allow(clippy::indexing_slicing, reason = "in a constant, where it cannot panic later")]
const _: () = {
    let mut at = 0;
    while at < EventKind::ALL.len() {
        assert!(EventKind::ALL[at] as usize == at && at <= KIND as usize);
        at += 1;
    }
};

const fn difference_code(differs: Difference) -> u8 {
    match differs {
        Difference::Operation => 0,
        Difference::Payload => 1,
        Difference::OperationAndPayload => 2,
    }
}

fn read_difference(body: &mut Reader<'_>) -> Option<Difference> {
    match body.array()? {
        [0] => Some(Difference::Operation),
        [1] => Some(Difference::Payload),
        [2] => Some(Difference::OperationAndPayload),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
