//! Events as bytes: whatever is written is read again, and takes as little as is promised.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::super::dictionary::{Dictionary, Names, Numbers};
use super::{Before, EventNames, put_event, read_event};
use crate::audit::{Context, Event, EventId, EventKind, KeyFormat, KeyShape, Label};
use crate::ids::{StoreTime, Token};
use crate::log::Reader;
use crate::types::Difference;

/// Names of no label.
pub(crate) fn nameless() -> EventNames<'static> {
    static NONE: LazyLock<Names> = LazyLock::new(Names::default);
    EventNames { known: &NONE, request: None }
}

fn label() -> impl Strategy<Value = Option<Label>> {
    // Few, so that they come again, and any.
    prop::option::of(prop_oneof![
        (0_u64..40).prop_map(Label::new),
        any::<u64>().prop_map(Label::new)
    ])
}

fn context() -> impl Strategy<Value = Context> {
    (label(), label(), label(), label()).prop_map(|(client, network, agent, request)| Context {
        client,
        network,
        agent,
        request,
    })
}

fn shape() -> impl Strategy<Value = KeyShape> {
    (0..KeyFormat::ALL.len(), any::<u16>(), any::<u32>(), any::<u64>()).prop_map(
        |(format, len, prefix, value)| KeyShape {
            format: KeyFormat::ALL[format],
            len,
            prefix,
            value,
        },
    )
}

fn differs() -> impl Strategy<Value = Difference> {
    use Difference::{Operation, OperationAndPayload, Payload};
    prop::sample::select(vec![Operation, Payload, OperationAndPayload])
}

pub(crate) fn events(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Event>> {
    let numbers = (any::<u64>(), any::<u64>(), prop::option::of(any::<u64>()), any::<u32>());
    let ms = || prop::option::of(any::<u64>());
    let fields = (
        (0..EventKind::ALL.len(), numbers, (label(), label())),
        (ms(), ms()),
        (prop::option::of(differs()), context(), prop::option::of(context())),
        prop::option::of(shape()),
    );
    let event = fields.prop_map(|((kind, numbers, texts), times, who, shape)| {
        let (at, key_hash, token, attempt) = numbers;
        let id = EventId::new(1, 0);
        let mut event = Event::new(id, StoreTime(at), EventKind::ALL[kind], key_hash);
        (event.scope, event.operation) = texts;
        (event.token, event.attempt) = (token.map(Token), attempt);
        (event.age_ms, event.duration_ms) = times;
        (event.differs, event.context, event.holder) = who;
        event.shape = shape;
        event
    });
    prop::collection::vec(event, count).prop_map(|mut events| {
        for (sequence, event) in (0..).zip(&mut events) {
            event.id.sequence = sequence;
        }
        events
    })
}

fn encoded(events: &[Event]) -> Vec<u8> {
    let mut before = Before { at: StoreTime(7), token: 0 };
    let (mut out, mut dictionary) = (Vec::new(), Dictionary::default());
    for event in events {
        put_event(&mut out, event, &mut before, &mut dictionary, nameless());
    }
    out
}

fn decoded(bytes: &[u8]) -> Vec<Event> {
    let mut before = Before { at: StoreTime(7), token: 0 };
    let (mut numbers, mut names) = (Numbers::default(), Names::default());
    let (mut body, mut events) = (Reader::new(bytes), Vec::new());
    while body.end().is_none() {
        let id = EventId::new(1, events.len() as u64);
        match read_event(&mut body, id, &mut before, &mut numbers, &mut names) {
            Ok(event) => events.push(event.expect("no label is lost")),
            Err(_) => break,
        }
    }
    events
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(events in events(0..40)) {
        prop_assert_eq!(decoded(&encoded(&events)), events);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        decoded(&bytes);
    }

    #[test]
    fn no_damage_makes_it_panic(events in events(1..8), at: prop::sample::Index, to: u8) {
        let mut bytes = encoded(&events);
        let at = at.index(bytes.len());
        bytes[at] = to;
        decoded(&bytes);
        decoded(&bytes[..at]);
    }
}
