//! What is written is read back, and nothing else is.

use std::borrow::Cow;
use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::audit::{Context, EventId, EventKind, KeyFormat, KeyShape, Reason, Reasons, Verdict};
use crate::ids::{StoreTime, Token};
use crate::types::Difference;

fn one_of<T: Clone + std::fmt::Debug + 'static>(
    all: impl IntoIterator<Item = T>,
) -> impl Strategy<Value = T> {
    prop::sample::select(all.into_iter().collect::<Vec<_>>())
}

fn label() -> impl Strategy<Value = Option<Label>> {
    prop::option::of(any::<u64>().prop_map(Label::new))
}

fn context() -> impl Strategy<Value = Context> {
    [label(), label(), label(), label()].prop_map(|[client, network, agent, request]| Context {
        client,
        network,
        agent,
        request,
    })
}

fn shape() -> impl Strategy<Value = KeyShape> {
    (one_of(KeyFormat::ALL), any::<u16>(), any::<u32>(), any::<u64>())
        .prop_map(|(format, len, prefix, value)| KeyShape { format, len, prefix, value })
}

fn id() -> impl Strategy<Value = EventId> {
    (any::<u64>(), any::<u64>()).prop_map(|(boot, sequence)| EventId::new(boot, sequence))
}

fn event() -> impl Strategy<Value = Event> {
    let differences = [Difference::Operation, Difference::Payload, Difference::OperationAndPayload];
    let numbers = any::<(Option<u64>, Option<u64>, Option<u64>, Option<u64>)>();
    let first = (id(), any::<u64>(), one_of(EventKind::ALL), any::<u64>(), label(), label());
    let rest = (numbers, any::<u32>(), prop::option::of(one_of(differences)));
    let parties = (context(), prop::option::of(context()), prop::option::of(shape()));
    (first, rest, parties).prop_map(|(first, rest, parties)| {
        let (id, at_ms, kind, key_hash, scope, operation) = first;
        let ((token, age_ms, duration_ms, gap_ms), attempt, differs) = rest;
        let (context, holder, shape) = parties;
        Event {
            id,
            at: StoreTime(at_ms),
            kind,
            key_hash,
            scope,
            operation,
            token: token.map(Token),
            attempt,
            age_ms,
            duration_ms,
            gap_ms,
            differs,
            context,
            holder,
            shape,
        }
    })
}

fn judgement() -> impl Strategy<Value = Judgement> {
    let reasons = prop::collection::vec(one_of(Reason::ALL), 0..8);
    (one_of(Verdict::ALL), reasons, any::<u8>(), prop::option::of(id())).prop_map(
        |(verdict, reasons, score, against)| Judgement {
            verdict,
            reasons: reasons.into_iter().fold(Reasons::NONE, Reasons::with),
            score,
            against,
        },
    )
}

fn labels(event: &Event) -> Vec<Label> {
    let of = |context: &Context| [context.client, context.network, context.agent, context.request];
    let contexts = [Some(event.context), event.holder];
    let parties = contexts.iter().flatten().flat_map(of);
    parties.chain([event.scope, event.operation]).flatten().collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        event in event(),
        judgement in prop::option::of(judgement()),
        origin in prop::option::of((any::<[u8; 16]>(), any::<u64>())),
        texts in prop::collection::vec(any::<String>(), 0..6),
    ) {
        let origin = origin.map(|(id, key_id)| Origin::new(StoreId(id), key_id));
        let names: HashMap<Label, &str> =
            labels(&event).into_iter().zip(texts.iter().map(String::as_str)).collect();
        let name = |label: Label| names.get(&label).map(|name| Cow::from(*name));
        let line = event_json(origin, &event, judgement.as_ref(), &name);
        prop_assert!(line.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{}", line);
        let parsed = parse_event(&line).expect("read back");
        prop_assert_eq!(parsed.event, event);
        prop_assert_eq!(parsed.judgement, judgement);
        prop_assert_eq!(parsed.origin, origin);
        let read: HashMap<Label, &str> =
            parsed.names.iter().map(|(label, name)| (*label, name.as_str())).collect();
        prop_assert_eq!(read, names);
    }

    #[test]
    fn rubbish_is_refused_and_nothing_else_happens(
        event in event(),
        at in any::<prop::sample::Index>(),
        byte in any::<char>(),
    ) {
        let line = event_json(None, &event, None, &|_| None);
        let mut chars: Vec<char> = line.chars().collect();
        let at = at.index(chars.len());
        chars[at] = byte;
        let changed: String = chars.into_iter().collect();
        if let Ok(parsed) = parse_event(&changed) {
            // What it was read as is what it says.
            let again = parse_event(&event_json(None, &parsed.event, None, &|_| None));
            prop_assert_eq!(again.expect("read back").event, parsed.event);
        }
        let cut: String = line.chars().take(at).collect();
        prop_assert!(parse_event(&cut).is_err());
    }
}

#[test]
fn gaps_and_damage_are_lines_of_their_own() {
    let origin = Some(Origin::new(StoreId([1; 16]), 2));
    for (origin, lost) in [(None, None), (origin, Some(7))] {
        let (after, before) = (Some(EventId::new(1, 2)), Some(EventId::new(3, 0)));
        let gap = Gap { after, before, lost };
        let line = item_json(origin, &TrailItem::Gap(gap), None, &|_| None);
        assert!(line.starts_with(r#"{"gap":{"after":"1.2","before":"3.0""#), "{line}");
        assert_eq!(parse_item(&line).expect("read back"), ParsedItem::Gap { origin, gap });
        assert!(parse_event(&line).is_err());
        let (file, what) = ("trail-\u{1b}".into(), "torn".into());
        let damage = Damage { file, offset: 80, bytes: 9, what };
        let line = item_json(origin, &TrailItem::Damage(damage.clone()), None, &|_| None);
        assert_eq!(parse_item(&line).expect("read back"), ParsedItem::Damage { origin, damage });
    }
    let event = Event::new(EventId::new(1, 2), StoreTime(3), EventKind::Claimed, 4);
    let line = item_json(origin, &TrailItem::Event(event), None, &|_| None);
    let Ok(ParsedItem::Event(parsed)) = parse_item(&line) else { panic!("{line}") };
    assert_eq!((parsed.event, parsed.origin), (event, origin));
    for bad in ["{}", "[]", "", "1", r#"{"gap":null}"#, r#"{"gap":{},"damage":{}}"#, "{\"gap\":{}"]
    {
        assert!(parse_item(bad).is_err(), "{bad}");
    }
}

#[test]
fn names_of_fields_are_those_of_the_document() {
    let names = |label: Label| {
        Some(Cow::from(if label.get() == 1 { "a\u{1b}[31m\u{202e}\u{9b}" } else { "b" }))
    };
    let context =
        Context { client: Some(Label::new(1)), network: None, agent: None, request: None };
    let event = Event {
        scope: Some(Label::new(2)),
        token: Some(Token(9_007_199_254_740_993)),
        attempt: 2,
        age_ms: Some(5),
        differs: Some(Difference::OperationAndPayload),
        context,
        holder: Some(Context::default()),
        shape: Some(KeyShape { format: KeyFormat::Ulid, len: 26, prefix: 7, value: 8 }),
        ..Event::new(EventId::new(3, 4), StoreTime(0), EventKind::Mismatch, 255)
    };
    let judgement = Judgement {
        verdict: Verdict::KeyReuse,
        reasons: Reasons::NONE.with(Reason::OtherPayload),
        score: 90,
        against: Some(EventId::new(3, 1)),
    };
    let origin = Origin::new(StoreId([0xab; 16]), 1);
    let line = event_json(Some(origin), &event, Some(&judgement), &names);
    let expected = [
        r#"{"id":"3.4","store":"abababababababababababababababab","key_id":"0000000000000001","#,
        r#""at_ms":0,"at":"1970-01-01T00:00:00.000Z","kind":"mismatch","#,
        r#""key_hash":"00000000000000ff","scope":{"hash":"0000000000000002","name":"b"},"#,
        r#""token":"9007199254740993","attempt":2,"age_ms":5,"differs":"operation_and_payload","#,
        r#""caller":{"client":{"hash":"0000000000000001","name":"a\u001b[31m\u202e\u009b"}},"#,
        r#""holder":{},"shape":{"format":"ulid","len":26,"prefix":"00000007","value":"8"},"#,
        r#""judgement":{"verdict":"key_reuse","reasons":["other_payload"],"score":90,"#,
        r#""against":"3.1"}}"#,
    ];
    assert_eq!(line, expected.concat());
}

#[test]
fn what_is_no_event_is_refused_in_words() {
    let good =
        r#"{"id":"1.2","at_ms":3,"kind":"claimed","key_hash":"0000000000000001","attempt":1}"#;
    assert!(parse_event(good).is_ok());
    let more = good.replace("\"attempt\"", "\"news\":[{}],\"attempt\"");
    assert!(parse_event(&more).is_ok(), "fields of later versions are skipped");
    for (from, to) in [
        ("1.2", "1.02"),
        ("1.2", "+1.2"),
        ("1.2", "1"),
        ("claimed", "borrowed"),
        ("0000000000000001", "1"),
        ("0000000000000001", "000000000000000G"),
        ("0000000000000001", "00000000000000AB"),
        ("\"at_ms\":3", "\"at_ms\":-3"),
        ("\"at_ms\":3", "\"at_ms\":3,\"at_ms\":4"),
        ("\"attempt\"", "\"store\":\"abababababababababababababababab\",\"attempt\""),
        ("\"attempt\"", "\"token\":1,\"attempt\""),
        ("\"attempt\":1", "\"attempt\":1e99"),
        ("}", "} {}"),
    ] {
        let bad = good.replace(from, to);
        let error = parse_event(&bad).expect_err(&bad);
        assert_eq!(error.kind(), crate::ErrorKind::Corrupt);
        assert!(error.to_string().contains("no event in JSON: "), "{error}");
    }
    let deep = format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
    assert!(parse_event(&deep).is_err());
}
