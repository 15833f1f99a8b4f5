//! What a merge promises: the same result under any order, any duplication and any split; what is
//! missing is always said; nothing is lost for want of memory.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::audit::{Event, EventId, EventKind, Label, Origin};
use crate::ids::{StoreId, StoreTime, Token};

const KEY_ID: u64 = 7;

fn origin(store: u8) -> Origin {
    Origin::new(StoreId([store; 16]), KEY_ID)
}

/// One thing that is told, of which store.
type Said = (Origin, Told);

fn event(boot: u64, sequence: u64, at_ms: u64, kind: EventKind, key: u64, token: u64) -> Told {
    let mut event = Event::new(EventId::new(boot, sequence), StoreTime(at_ms), kind, key);
    event.token = Some(Token(token));
    event.operation = Some(Label::new(1));
    Told::Event(event)
}

/// Claims (after how long, of which key, how they end), and whether the store was closed then.
type Opening = (Vec<(u64, u64, u8)>, bool);

/// Stores with a few openings each. Times of a store go up, but for a step back now and then; a
/// key's claims end, or do not.
fn traffic() -> impl Strategy<Value = Vec<Said>> {
    let claim = (0_u64..200, 0_u64..6, 0_u8..6);
    let opening = (proptest::collection::vec(claim, 0..12), any::<bool>());
    let store = proptest::collection::vec(opening, 1..3);
    proptest::collection::vec(store, 1..4).prop_map(|stores| {
        let mut said = Vec::new();
        for (number, openings) in stores.into_iter().enumerate() {
            said.extend(one_store(number as u8 + 1, &openings));
        }
        said
    })
}

fn one_store(number: u8, openings: &[Opening]) -> Vec<Said> {
    let (mut said, mut at_ms, mut token) = (Vec::new(), 100_000_u64, 0);
    for (boot, (claims, is_closed)) in (1_u64..).zip(openings) {
        let mut sequence = 0;
        let mut tell = |said: &mut Vec<Said>, at_ms, kind, key, token| {
            said.push((origin(number), event(boot, sequence, at_ms, kind, key, token)));
            sequence += 1;
        };
        for (gap_ms, key, end) in claims {
            (at_ms, token) = (at_ms + gap_ms * 100, token + 1);
            tell(&mut said, at_ms, EventKind::Claimed, key + 1, token);
            let kind = match end {
                0 => continue,
                1 => EventKind::Released,
                2 => EventKind::Dropped,
                _ => EventKind::Completed,
            };
            // Threads that are overtaken make steps back of a few milliseconds.
            let step_ms = if *end == 3 { 0 } else { gap_ms * 37 };
            tell(&mut said, at_ms.saturating_add(step_ms) - 2, kind, key + 1, token);
            at_ms += step_ms;
        }
        let next = EventId::new(boot, sequence);
        said.push((origin(number), Told::End { next, is_closed: *is_closed }));
    }
    said
}

/// What came out.
#[derive(Debug, PartialEq)]
struct Result {
    events: Vec<(Producer, Event)>,
    findings: Vec<Finding>,
    gaps: Vec<MergeGap>,
}

impl Result {
    fn of(merge: &mut Merge, mut events: Vec<Merged>) -> Self {
        merge.finish();
        events.extend(merge.by_ref());
        assert_eq!(merge.waiting(), 0);
        Self {
            events: events.iter().map(|merged| (merged.producer, merged.event)).collect(),
            findings: merge.findings(),
            gaps: merge.gaps().collect(),
        }
    }

    fn sorted(mut self) -> Self {
        self.events.sort_by_key(|(producer, event)| (*producer, event.id));
        self
    }
}

fn in_order(said: &[Said]) -> Result {
    let mut merge = Merge::new(MergeOptions::new());
    let source = merge.source("one");
    said.iter().for_each(|(origin, told)| merge.tell(source, *origin, *told));
    Result::of(&mut merge, Vec::new())
}

/// The same things in another order, some of them more than once, from one of three sources.
fn shuffled(said: Vec<Said>) -> impl Strategy<Value = Vec<(Said, usize)>> {
    let again = proptest::collection::vec(any::<Index>(), 0..20);
    (Just(said), again).prop_flat_map(|(said, again)| {
        let mut all = said.clone();
        if !said.is_empty() {
            all.extend(again.iter().map(|index| said[index.index(said.len())]));
        }
        let len = all.len();
        let sources = proptest::collection::vec(0_usize..3, len);
        (Just(all).prop_shuffle(), sources).prop_map(|(all, of)| all.into_iter().zip(of).collect())
    })
}

proptest! {
    /// Any order, any duplication, any split: the same stream, findings and gaps.
    #[test]
    fn the_order_of_telling_does_not_matter(
        (said, told) in traffic().prop_flat_map(|said| (Just(said.clone()), shuffled(said)))
    ) {
        let mut merge = Merge::new(MergeOptions::new());
        let sources = [merge.source("a"), merge.source("b"), merge.source("c")];
        for ((origin, told), source) in told {
            merge.tell(sources[source], origin, told);
        }
        let result = Result::of(&mut merge, Vec::new());
        prop_assert_eq!(result, in_order(&said));
    }

    /// However little memory there is and whenever events are taken: each comes once, what is out
    /// of order is marked, and findings and gaps are the same.
    #[test]
    fn nothing_is_lost_for_want_of_memory(
        (said, told) in traffic().prop_flat_map(|said| (Just(said.clone()), shuffled(said))),
        max_events in 1_usize..20,
        take_every in 1_usize..5,
    ) {
        let mut merge = Merge::new(MergeOptions::new().max_events(max_events));
        let sources = [merge.source("a"), merge.source("b"), merge.source("c")];
        let mut merged = Vec::new();
        for (count, ((origin, told), source)) in told.into_iter().enumerate() {
            merge.tell(sources[source], origin, told);
            if count % take_every == 0 {
                merged.extend(merge.by_ref());
                prop_assert!(merge.waiting() <= max_events);
            }
        }
        let of_stores: u64 = merge.stores().iter().map(|store| store.events).sum();
        let result = Result::of(&mut merge, merged.clone()).sorted();
        prop_assert_eq!(result.events.len() as u64, of_stores);
        prop_assert_eq!(&result, &in_order(&said).sorted());
        let mut last = std::collections::HashMap::new();
        for merged in merged.iter().filter(|merged| !merged.is_late) {
            let before = last.insert(merged.producer, merged.event.id);
            prop_assert!(before.is_none_or(|before| before < merged.event.id));
        }
    }

    /// Trails that are read side by side, each in its order, make the same stream at any speed; and
    /// nothing is late.
    #[test]
    fn trails_side_by_side_make_one_stream(
        said in traffic(),
        turns in proptest::collection::vec(any::<Index>(), 0..200),
    ) {
        let mut merge = Merge::new(MergeOptions::new());
        let stores: std::collections::BTreeSet<_> =
            said.iter().map(|(origin, _)| origin.store_id.0).collect();
        let mut trails: Vec<_> = stores.into_iter().map(|store| {
            let of = said.iter().filter(|(origin, _)| origin.store_id.0 == store);
            let of: std::collections::VecDeque<Said> = of.copied().collect();
            (merge.source(format!("{store:?}")), of)
        }).collect();
        let mut merged = Vec::new();
        for turn in turns {
            trails.retain(|(source, trail)| {
                if trail.is_empty() {
                    merge.close(*source);
                }
                !trail.is_empty()
            });
            if trails.is_empty() {
                break;
            }
            let at = turn.index(trails.len());
            let (source, trail) = &mut trails[at];
            let (origin, told) = trail.pop_front().expect("it is not empty");
            merge.tell(*source, origin, told);
            merged.extend(merge.by_ref());
        }
        for (source, trail) in trails {
            trail.into_iter().for_each(|(origin, told)| merge.tell(source, origin, told));
        }
        let result = Result::of(&mut merge, merged);
        prop_assert_eq!(&result, &in_order(&said));
        prop_assert_eq!(merge.stores().iter().map(|store| store.late).sum::<u64>(), 0);
    }

    /// An event that was not told is in a gap, and closes it when it comes after all.
    #[test]
    fn what_is_missing_is_always_said(
        (said, told) in traffic().prop_flat_map(|said| (Just(said.clone()), shuffled(said))),
        picks in proptest::collection::vec(any::<Index>(), 0..10),
        max_events in 1_usize..20,
    ) {
        let all: Vec<(Origin, Event)> = said.iter().filter_map(event_of).collect();
        let missing: std::collections::BTreeSet<_> = picks.iter().filter(|_| !all.is_empty())
            .map(|pick| {
                let (origin, event) = all[pick.index(all.len())];
                (Producer::new(origin.store_id, event.id.boot), event.id.sequence)
            }).collect();
        let is_missing = |origin: &Origin, told: &Told| matches!(told, Told::Event(event)
            if missing.contains(&(Producer::new(origin.store_id, event.id.boot),
                event.id.sequence)));
        let mut merge = Merge::new(MergeOptions::new().max_events(max_events));
        let source = merge.source("a");
        let (held_back, told): (Vec<_>, Vec<_>) =
            told.into_iter().map(|(said, _)| said)
                .partition(|(origin, told)| is_missing(origin, told));
        let mut count = 0;
        for (origin, told) in told {
            merge.tell(source, origin, told);
            count += merge.by_ref().count();
        }
        let gaps: std::collections::BTreeSet<_> = merge.gaps()
            .filter_map(|gap| Some((gap, gap.count?)))
            .flat_map(|(gap, count)| {
                (gap.first..gap.first + count).map(move |sequence| (gap.producer, sequence))
            })
            .collect();
        prop_assert_eq!(&gaps, &missing);
        prop_assert_eq!(
            merge.stores().iter().map(|store| store.missing).sum::<u64>(),
            missing.len() as u64,
        );
        for (origin, told) in held_back {
            merge.tell(source, origin, told);
        }
        merge.finish();
        count += merge.by_ref().count();
        prop_assert_eq!(count, all.len());
        prop_assert_eq!(merge.gaps().filter(|gap| gap.count.is_some()).count(), 0);
        prop_assert_eq!(merge.findings(), in_order(&said).findings);
    }

    /// Whatever is told, sense or not, nothing panics, and the bounds hold.
    #[test]
    fn nonsense_is_borne(
        told in proptest::collection::vec((0_u8..3, nonsense()), 0..60),
        max in 1_usize..4,
    ) {
        let options = MergeOptions::new().max_events(max).max_gaps(max).max_keys(max)
            .max_producers(max).max_findings(max).max_wait_ms(10);
        let mut merge = Merge::new(options);
        let source = merge.source("a");
        for (count, (store, told)) in told.into_iter().enumerate() {
            merge.tell(source, origin(store), told);
            if count % 3 == 0 {
                merge.advance(StoreTime(count as u64 * 7));
            }
            merge.by_ref().count();
            prop_assert!(merge.waiting() <= max && merge.remembered_keys() <= max);
        }
        prop_assert!(merge.stores().len() <= max);
        prop_assert!(merge.findings().len() <= 2 * max);
        merge.gaps().take(1000).count();
    }

    #[test]
    fn lines_are_read_back(told in nonsense(), store in any::<u8>()) {
        let line = told_json(origin(store), &told, &|_| None);
        let read = parse_told(&line).expect("it was written so");
        prop_assert_eq!((read.origin, read.told), (Some(origin(store)), Some(told)));
        for end in 0..line.len() {
            prop_assert!(parse_told(&line[..end]).is_err(), "a torn line is no line");
        }
    }
}

/// What the options say of memory.
#[test]
fn events_and_keys_are_as_large_as_is_said() {
    assert!(size_of::<Event>() <= 330, "{}", size_of::<Event>());
    assert!(size_of::<keys::Known>() <= 180, "{}", size_of::<keys::Known>());
}

fn event_of((origin, told): &Said) -> Option<(Origin, Event)> {
    match told {
        Told::Event(event) => Some((*origin, *event)),
        _ => None,
    }
}

fn nonsense() -> impl Strategy<Value = Told> {
    let number = prop_oneof![0_u64..6, Just(u64::MAX), Just(u64::MAX - 1), any::<u64>()];
    let id = (0_u64..3, number.clone()).prop_map(|(boot, number)| EventId::new(boot, number));
    let kinds = proptest::sample::select(EventKind::ALL.to_vec());
    prop_oneof![
        (id.clone(), number.clone(), kinds, number.clone(), number.clone()).prop_map(
            |(id, at_ms, kind, token, age_ms)| {
                let mut event = Event::new(id, StoreTime(at_ms), kind, 1);
                event.token = Some(Token(token % 5));
                event.age_ms = Some(age_ms);
                Told::Event(event)
            }
        ),
        (id.clone(), number.clone()).prop_map(|(first, count)| Told::Lost { first, count }),
        (id.clone(), number).prop_map(|(next, at_ms)| Told::Mark { next, at: StoreTime(at_ms) }),
        (id, any::<bool>()).prop_map(|(next, is_closed)| Told::End { next, is_closed }),
    ]
}

fn merged(said: &[(u8, Told)]) -> Merge {
    let mut merge = Merge::new(MergeOptions::new().max_skew_ms(2_000));
    let source = merge.source("a");
    for (store, told) in said {
        merge.tell(source, origin(*store), *told);
    }
    merge.finish();
    merge.by_ref().count();
    merge
}

fn found(said: &[(u8, Told)]) -> Vec<(FindingKind, Timing)> {
    let findings = merged(said).findings();
    findings.iter().map(|finding| (finding.kind, finding.timing)).collect()
}

#[test]
fn a_key_that_two_stores_executed_is_found() {
    use EventKind::{Claimed, Completed, Dropped, Released, Replayed};
    let claim = |at_ms| event(1, 0, at_ms, Claimed, 9, 1);
    let end = |at_ms, kind| event(1, 1, at_ms, kind, 9, 1);
    let a = [(1, claim(10_000)), (1, end(20_000, Completed))];
    let with = |b: &[(u8, Told)]| found(&[&a[..], b].concat());
    let twice = FindingKind::ExecutedTwice;

    assert_eq!(
        with(&[(2, claim(19_000)), (2, end(30_000, Completed))]),
        [(twice, Timing::Unclear)]
    );
    assert_eq!(
        with(&[(2, claim(15_000)), (2, end(19_000, Completed))]),
        [(twice, Timing::Overlapping)]
    );
    assert_eq!(
        with(&[(2, claim(22_001)), (2, end(22_002, Completed))]),
        [(twice, Timing::OneAfterOther)]
    );
    assert_eq!(
        with(&[(2, claim(22_000)), (2, end(22_002, Completed))]),
        [(twice, Timing::Unclear)]
    );
    let maybe = FindingKind::MaybeExecutedTwice;
    assert_eq!(with(&[(2, claim(30_000))]), [(maybe, Timing::OneAfterOther)]);
    assert_eq!(
        with(&[(2, claim(30_000)), (2, end(31_000, Dropped))]),
        [(maybe, Timing::OneAfterOther)]
    );
    assert_eq!(with(&[(2, claim(30_000)), (2, end(31_000, Released))]), []);
    assert_eq!(with(&[(1, event(2, 0, 90_000, Claimed, 9, 5))]), [], "one store knows its own");

    // A record that is known from its replay alone was executed, too.
    let Told::Event(mut replay) = event(1, 0, 60_000, Replayed, 9, 8) else { unreachable!() };
    replay.age_ms = Some(30_000);
    assert_eq!(with(&[(2, Told::Event(replay))]), [(twice, Timing::Unclear)]);

    let Told::Event(mut other) = claim(30_000) else { unreachable!() };
    other.operation = Some(Label::new(2));
    let reuse = [(2, Told::Event(other)), (2, end(31_000, Completed))];
    let reuse = reuse.map(|(store, told)| match told {
        Told::Event(mut event) => {
            event.operation = Some(Label::new(2));
            (store, Told::Event(event))
        }
        told => (store, told),
    });
    assert_eq!(with(&reuse), [(FindingKind::KeyReuse, Timing::OneAfterOther)]);
}

#[test]
fn hashes_of_other_secrets_are_not_compared() {
    let mut merge = Merge::new(MergeOptions::new());
    let source = merge.source("a");
    for (store, key_id) in [(1, 5), (2, 6)] {
        let of = Origin::new(StoreId([store; 16]), key_id);
        merge.tell(source, of, event(1, 0, 10_000, EventKind::Claimed, 9, 1));
        merge.tell(source, of, event(1, 1, 10_100, EventKind::Completed, 9, 1));
    }
    merge.finish();
    assert_eq!(merge.by_ref().count(), 4);
    assert_eq!(merge.findings(), []);
    let secrets: Vec<_> = merge.stores().into_iter().map(|store| store.key_ids).collect();
    assert_eq!(secrets, [[5], [6]]);
}

#[test]
fn a_copy_that_runs_beside_its_original_is_found() {
    use EventKind::{Claimed, Completed, Replayed};
    let mut said = vec![
        (1, event(1, 0, 10_000, Claimed, 9, 1)),
        (1, event(1, 1, 11_000, Completed, 9, 1)),
        (1, event(1, 2, 90_000, Claimed, 10, 2)),
        (1, event(7, 0, 50_000, Replayed, 9, 1)),
        (1, event(7, 1, 95_000, Claimed, 11, 8)),
    ];
    let merge = merged(&said);
    assert!(merge.stores()[0].was_copied);
    assert_eq!(found(&said), [(FindingKind::ReplayedCopy, Timing::OneAfterOther)]);
    // The original had stopped before: the same store was opened again.
    said.remove(2);
    assert!(!merged(&said).stores()[0].was_copied);
    assert_eq!(found(&said), []);
}

#[test]
fn a_store_that_lags_holds_the_stream_up_until_it_is_waited_for_no_longer() {
    let mut merge = Merge::new(MergeOptions::new().max_wait_ms(30_000));
    let (a, b) = (merge.source("a"), merge.source("b"));
    merge.advance(StoreTime(100_000));
    let claim = |sequence, at_ms| event(1, sequence, at_ms, EventKind::Claimed, sequence + 1, 1);
    merge.tell(a, origin(1), claim(0, 90_000));
    merge.tell(a, origin(1), claim(1, 99_000));
    assert_eq!(merge.next(), None, "the other is silent");
    merge.tell(b, origin(2), claim(0, 60_000));
    assert_eq!(merge.by_ref().count(), 0, "the other is behind");
    let lags: Vec<_> = merge.stores().iter().map(|store| store.lag_ms).collect();
    assert_eq!(lags, [Some(1_000), Some(40_000)]);

    // It is idle, and says so.
    let mark = |at_ms| Told::Mark { next: EventId::new(1, 1), at: StoreTime(at_ms) };
    merge.tell(b, origin(2), mark(95_000));
    let times: Vec<_> = merge.by_ref().map(|merged| merged.event.at.0).collect();
    assert_eq!(times, [60_000, 90_000]);

    merge.advance(StoreTime(125_000));
    merge.tell(a, origin(1), claim(2, 120_000));
    assert_eq!(merge.by_ref().count(), 0);
    merge.advance(StoreTime(131_000));
    assert_eq!(merge.by_ref().count(), 1, "it said nothing for over 30 s");
    assert_eq!(merge.stores().iter().filter(|store| store.is_waited_for).count(), 1);

    merge.tell(b, origin(2), claim(1, 98_000));
    let late: Vec<_> = merge.by_ref().map(|merged| merged.is_late).collect();
    assert_eq!(late, [true]);
}

#[test]
fn a_gap_holds_its_producer_up_until_it_is_waited_for_no_longer() {
    let mut merge = Merge::new(MergeOptions::new().max_wait_ms(30_000));
    let source = merge.source("a");
    let claim = |sequence, at_ms| event(1, sequence, at_ms, EventKind::Claimed, sequence + 1, 1);
    merge.advance(StoreTime(100_000));
    merge.tell(source, origin(1), claim(0, 90_000));
    merge.tell(source, origin(1), claim(2, 92_000));
    merge.tell(source, origin(1), Told::Mark { next: EventId::new(1, 3), at: StoreTime(99_000) });
    assert_eq!(merge.by_ref().count(), 0, "its own first is the least that is known");
    assert_eq!(merge.stores()[0].complete_to, Some(StoreTime(90_000)));
    merge.advance(StoreTime(131_000));
    assert_eq!(merge.by_ref().count(), 2);
    let gap = MergeGap {
        producer: Producer::new(StoreId([1; 16]), 1),
        first: 1,
        count: Some(1),
        is_lost: false,
    };
    assert_eq!(merge.gaps().collect::<Vec<_>>(), [gap]);
    // The trail itself does not have it: nobody waits for it.
    merge.tell(source, origin(1), Told::Lost { first: EventId::new(1, 1), count: 1 });
    assert_eq!(merge.gaps().collect::<Vec<_>>(), [MergeGap { is_lost: true, ..gap }]);
    merge.tell(source, origin(1), claim(1, 91_000));
    assert_eq!(merge.gaps().count(), 0);
    assert!(merge.next().is_some_and(|merged| merged.is_late));
}

#[test]
fn a_gap_that_is_given_up_is_counted() {
    let mut merge = Merge::new(MergeOptions::new().max_gaps(2));
    let source = merge.source("a");
    let claim = |sequence| event(1, sequence, 90_000, EventKind::Claimed, sequence + 1, 1);
    for sequence in [0, 2, 4, 6] {
        merge.tell(source, origin(1), claim(sequence));
    }
    assert_eq!(merge.stores()[0].missing, 3);
    merge.tell(source, origin(1), claim(1));
    merge.tell(source, origin(1), claim(6));
    merge.finish();
    assert_eq!(merge.by_ref().count(), 4);
    let view = &merge.stores()[0];
    assert_eq!((view.unsure, view.duplicates, view.missing), (1, 1, 3));
}

#[test]
fn findings_are_told_as_they_come() {
    use EventKind::{Claimed, Completed};
    let mut merge = Merge::new(MergeOptions::new().max_keys(1));
    let source = merge.source("a");
    for store in [1, 2] {
        merge.tell(source, origin(store), event(1, 0, 10_000, Claimed, 9, 1));
    }
    merge.tell(source, origin(1), event(1, 1, 11_000, Completed, 9, 1));
    merge.tell(source, origin(1), event(1, 2, 12_000, Claimed, 10, 2));
    merge.finish();
    merge.by_ref().count();
    let finding = merge.next_finding().expect("a finding");
    assert_eq!(finding.kind, FindingKind::MaybeExecutedTwice);
    assert_eq!(merge.next_finding(), None);
    // Another key took its place; its finding is kept, and goes on.
    merge.tell(source, origin(2), event(1, 1, 13_000, Completed, 9, 1));
    merge.by_ref().count();
    assert_eq!(merge.next_finding().map(|finding| finding.kind), Some(FindingKind::ExecutedTwice));
    assert_eq!(merge.findings().len(), 1);
}
