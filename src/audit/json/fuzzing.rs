//! What a fuzzer asks of lines of JSON: any text is an item or an error, what is read is written so
//! that it reads the same, and a line is ASCII without anything that a terminal would obey.

#![allow(clippy::expect_used, reason = "a property that does not hold is a panic")]

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{ParsedItem, item_json, parse_event, parse_item};
use crate::audit::merge::{
    Merge, MergeOptions, Merged, Snapshot, Snapshots, SourceId, ToldLine, parse_told, told_json,
};
use crate::audit::{Label, TrailItem};
use crate::ids::StoreTime;

/// A line of an export.
pub(crate) fn item(data: &[u8]) {
    let Ok(line) = std::str::from_utf8(data) else { return };
    let Ok(parsed) = parse_item(line) else {
        assert!(parse_event(line).is_err());
        return;
    };
    let (origin, item, judgement, names) = match &parsed {
        ParsedItem::Event(event) => {
            (event.origin, TrailItem::Event(event.event), event.judgement, &event.names[..])
        }
        ParsedItem::Gap { origin, gap } => (*origin, TrailItem::Gap(*gap), None, &[][..]),
        ParsedItem::Damage { origin, damage } => {
            (*origin, TrailItem::Damage(damage.clone()), None, &[][..])
        }
    };
    let line = item_json(origin, &item, judgement.as_ref(), &|label| name(names, label));
    assert!(line.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{line}");
    let again = parse_item(&line).expect("it was written so");
    assert_eq!(nameless(again), nameless(parsed));
}

/// A label may have had several names in one line; it is written with one.
fn nameless(item: ParsedItem) -> ParsedItem {
    match item {
        ParsedItem::Event(mut event) => {
            event.names.clear();
            ParsedItem::Event(event)
        }
        other => other,
    }
}

fn name<'a>(names: &'a [(Label, String)], label: Label) -> Option<Cow<'a, str>> {
    names.iter().find(|(known, _)| *known == label).map(|(_, name)| name.as_str().into())
}

/// Lines that sources tell of stores, as a stream or a file has them, and what a merge makes of
/// them.
pub(crate) fn told(data: &[u8]) {
    let mut merge = Merge::new(MergeOptions::default());
    let sources = [merge.source("one"), merge.source("two")];
    for (number, line) in data.split(|byte| *byte == b'\n').enumerate() {
        let line = std::str::from_utf8(line).ok().and_then(|line| parse_told(line).ok());
        if let Some(line) = line {
            tell(&mut merge, sources[number % 2], line);
        }
    }
    let mut handed_on = BTreeSet::new();
    let mut drain = |merge: &mut Merge| {
        for Merged { producer, event, .. } in merge.by_ref() {
            assert!(handed_on.insert((producer, event.id)), "{:?} twice", event.id);
        }
    };
    drain(&mut merge);
    merge.advance(StoreTime(u64::MAX));
    drain(&mut merge);
    merge.finish();
    drain(&mut merge);
    while merge.next_finding().is_some() {}
    assert_eq!(merge.waiting(), 0);
}

fn tell(merge: &mut Merge, source: SourceId, line: ToldLine) {
    let (Some(origin), Some(told)) = (line.origin, line.told) else { return };
    let json = told_json(origin, &told, &|_| None);
    let again = parse_told(&json).expect("it was written so");
    assert_eq!((again.origin, again.told.as_ref()), (Some(origin), Some(&told)), "{json}");
    merge.tell(source, origin, told);
}

/// A snapshot of a summary: what is read can be added up, reported, and written so that it reads
/// the same.
pub(crate) fn snapshot(data: &[u8]) {
    let Ok(line) = std::str::from_utf8(data) else { return };
    let Ok(snapshot) = Snapshot::parse(line) else { return };
    let json = snapshot.to_json().expect("JSON");
    let again = Snapshot::parse(&json).expect("it was written so");
    let report = snapshot.summary.report(&Default::default());
    assert_eq!(again.summary.report(&Default::default()), report);
    let mut snapshots = Snapshots::default();
    assert!(snapshots.take(snapshot.clone()));
    assert!(!snapshots.take(snapshot));
    let mut merged = snapshots.merged();
    merged.merge(&again.summary);
    let _ = merged.report(&Default::default());
}
