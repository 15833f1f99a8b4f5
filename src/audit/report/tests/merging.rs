//! Parts of a stream of events add up to the summary of the whole.

use proptest::prelude::*;

use crate::audit::report::{ReportOptions, Summary};
use crate::audit::synth::{Set, Synth};
use crate::audit::{Classifier, Damage, Event, EventId, Gap, Judgement, Rules};
use crate::ids::StoreId;

fn judged(seed: u64, count: usize) -> Vec<(Event, Option<Judgement>)> {
    let mut classifier = Classifier::new(Rules::new());
    let events = Synth::new(seed, Set::Tuning).take(count);
    events
        .map(|labelled| {
            let mut event = labelled.event;
            let judgement = classifier.observe(&mut event);
            (event, judgement)
        })
        .collect()
}

fn of(events: &[(Event, Option<Judgement>)], store: u8) -> Summary {
    let mut summary = Summary::new(Some(StoreId([store; 16])));
    summary.set_key_id(7);
    events.iter().for_each(|(event, judgement)| summary.observe(event, judgement.as_ref()));
    if let [(first, _), .., (last, _)] = events {
        let lost = Some(last.id.sequence % 5);
        summary.gap(&Gap { after: Some(first.id), before: Some(last.id), lost });
        summary.damage(&Damage {
            file: "a".into(),
            offset: last.id.sequence,
            bytes: 9,
            what: "bad".into(),
        });
    }
    summary
}

fn sum(parts: &[&Summary]) -> Summary {
    let mut sum = Summary::new(None);
    parts.iter().for_each(|part| sum.merge(part));
    sum
}

/// Everything but what the borders between parts hide: the tries of a key across a border (which
/// try it is, and the step from one key to the next), and the gaps that this test makes itself.
fn without_borders(summary: &Summary) -> serde_json::Value {
    let mut json = serde_json::to_value(summary).expect("JSON");
    json["trust"] = serde_json::Value::Null;
    json["keys"] = summary.keys.estimate().into();
    json["scopes"] = summary.scopes.estimate().into();
    for client in json["clients"]["entries"].as_array_mut().expect("clients") {
        client[1]["gaps"] = serde_json::Value::Null;
        client[1]["keys"]["steps"] = serde_json::Value::Null;
        client[1]["keys"]["beginnings"] = serde_json::Value::Null;
        client[1]["keys_seen"] = serde_json::Value::Null;
    }
    json
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// So few that all clients are kept: who goes into the rest depends on who is there.
    #[test]
    fn merging_is_commutative_and_associative(
        seed in 0_u64..1000,
        cuts in (0_usize..800, 0_usize..800),
    ) {
        let events = judged(seed, 800);
        let (low, high) = (cuts.0.min(cuts.1), cuts.0.max(cuts.1));
        let a = of(&events[..low], 1);
        let b = of(&events[low..high], 1);
        let c = of(&events[high..], 2);
        let left = sum(&[&sum(&[&a, &b]), &c]);
        let right = sum(&[&a, &sum(&[&b, &c])]);
        let turned = sum(&[&c, &b, &a]);
        prop_assert_eq!(left.clients.folded(), 0);
        prop_assert!(left == right);
        prop_assert!(left == turned);
        let options = ReportOptions::new();
        prop_assert!(left.report(&options) == turned.report(&options));

        let text = serde_json::to_string(&left).expect("JSON");
        let read: Summary = serde_json::from_str(&text).expect("a summary");
        prop_assert!(read == left);
        prop_assert!(read.report(&options) == left.report(&options));
    }

    #[test]
    fn parts_add_up_to_the_whole(seed in 0_u64..1000, cut in 0_usize..800) {
        // So few that all clients are kept.
        let events = judged(seed, 800);
        let parts = sum(&[&of(&events[cut..], 1), &of(&events[..cut], 1)]);
        let whole = of(&events, 1);
        let (parts, whole) = (without_borders(&parts), without_borders(&whole));
        // By field, so that a difference can be read.
        for (name, value) in whole.as_object().expect("fields") {
            prop_assert!(name == "claims" || &parts[name] == value, "{}", name);
        }
    }

    #[test]
    fn open_claims_of_parts_are_those_of_the_whole(seed in 0_u64..1000, cut in 0_usize..3000) {
        let events = judged(seed, 3000);
        let parts = sum(&[&of(&events[cut..], 1), &of(&events[..cut], 1)]);
        let whole = of(&events, 1);
        let (parts, whole) = (parts.claims.open(), whole.claims.open());
        let differ = whole.iter().zip(&parts).find(|(whole, part)| whole != part);
        prop_assert_eq!(differ, None);
        prop_assert_eq!(parts.len(), whole.len());
    }
}

#[test]
fn a_summary_of_anything_is_read_back_or_refused() {
    let text = serde_json::to_string(&of(&judged(3, 2000), 1)).expect("JSON");
    for cut in (0..text.len()).step_by(997) {
        assert!(serde_json::from_str::<Summary>(&text[..cut]).is_err());
    }
    // A byte that changed gives another summary or none, and never a panic.
    let mut bytes = text.clone().into_bytes();
    for at in (0..bytes.len()).step_by(313) {
        let before = bytes[at];
        for byte in *b"09f\"]" {
            bytes[at] = byte;
            if let Ok(read) = serde_json::from_slice::<Summary>(&bytes) {
                let mut sum = Summary::new(None);
                sum.merge(&read);
                drop(sum.report(&ReportOptions::new()));
            }
        }
        bytes[at] = before;
    }
}

/// Numbers as large as can be are counted as that, and nothing overflows.
#[test]
fn a_summary_of_the_largest_numbers_does_no_harm() {
    fn enlarge(value: &mut serde_json::Value, number: u64) {
        match value {
            serde_json::Value::Number(there) => *there = number.into(),
            serde_json::Value::Array(list) => list.iter_mut().for_each(|at| enlarge(at, number)),
            serde_json::Value::Object(map) => map.values_mut().for_each(|at| enlarge(at, number)),
            _ => {}
        }
    }
    let honest = serde_json::to_value(of(&judged(3, 2000), 1)).expect("JSON");
    let mut read_back = 0;
    for number in [u64::MAX, u64::MAX / 2, 1 << 53, 1, 0] {
        for field in honest.as_object().expect("fields").keys() {
            let mut hostile = honest.clone();
            enlarge(&mut hostile[field], number);
            let Ok(mut summary) = serde_json::from_value::<Summary>(hostile) else { continue };
            read_back += 1;
            // As it is: what is observed would put the times in order.
            drop(summary.report(&ReportOptions::new()));
            summary.merge(&summary.clone());
            for (event, judgement) in judged(4, 50) {
                summary.observe(&event, judgement.as_ref());
            }
            drop(summary.report(&ReportOptions::new()));
            drop(serde_json::to_string(&summary).expect("JSON"));
        }
    }
    assert!(read_back > 50, "{read_back}");
}

#[test]
fn hostile_events_neither_panic_nor_grow_it() {
    let mut dice = super::Dice(11);
    let mut summary = Summary::new(None);
    let template = judged(5, 2000);
    let mut largest = 0;
    for round in 0..200_000_u64 {
        let (mut event, judgement) = template[(dice.bits() % 2000) as usize];
        event.id = EventId::new(dice.bits(), dice.bits());
        event.key_hash = dice.bits();
        event.context.client = Some(crate::audit::Label::new(dice.bits()));
        event.operation = Some(crate::audit::Label::new(dice.bits()));
        let any = |dice: &mut super::Dice| {
            [0, 1, dice.bits(), u64::MAX, dice.bits() >> 20][(dice.bits() % 5) as usize]
        };
        event.at = crate::StoreTime::from_millis(any(&mut dice));
        event.age_ms = Some(any(&mut dice));
        event.duration_ms = Some(any(&mut dice));
        event.gap_ms = Some(any(&mut dice));
        summary.observe(&event, judgement.as_ref());
        if round % 50_000 == 49_999 {
            let size = serde_json::to_string(&summary).expect("JSON").len();
            largest = largest.max(size);
            drop(summary.report(&ReportOptions::new()));
        }
    }
    assert!(largest < 64 << 20, "{largest} bytes");
    let report = summary.report(&ReportOptions::new());
    assert!(report.other_clients.folded > 0 && report.open_claims.not_followed > 0);
    let listed: u64 = report.clients.iter().map(|client| client.requests).sum();
    assert_eq!(listed + report.other_clients.requests, report.totals.requests);
}
