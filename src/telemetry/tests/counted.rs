//! Every metric is emitted, counts what it says, and names nothing secret.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use super::{SECRET, busy_store, complete, outcome, request, troubles};
use crate::telemetry::metric::{self, Kind};
use crate::tests::world::{HALF_HOUR, World};
use crate::{Options, Outcome};

/// Values by a metric's name and its labels.
type Recorded = BTreeMap<(String, Labels), DebugValue>;
type Labels = Vec<(String, String)>;

/// Runs something under a recorder of its own; what that has got, by name and own labels.
fn recorded(run: impl FnOnce()) -> Recorded {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, run);
    let all = snapshotter.snapshot().into_vec().into_iter();
    all.map(|(key, unit, help, value)| {
        let key = key.key();
        let labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned()));
        let name = key.name().to_owned();
        assert!(unit.is_some() && help.is_some(), "{name} is not described");
        assert!(!format!("{key} {help:?}").contains(SECRET), "{key}");
        ((name, labels.collect()), value)
    })
    .collect()
}

/// A counter's value over all stores, of the series with these values of its own labels.
fn count(recorded: &Recorded, name: &str, values: &[&str]) -> u64 {
    let has = |labels: &[(String, String)]| {
        values.iter().all(|value| labels.iter().any(|(_, known)| known == value))
    };
    let series = recorded.iter().filter(|((known, labels), _)| known == name && has(labels));
    series
        .map(|(_, value)| match value {
            DebugValue::Counter(count) => *count,
            DebugValue::Histogram(values) => values.len() as u64,
            DebugValue::Gauge(level) => level.into_inner() as u64,
        })
        .sum()
}

#[test]
fn every_metric_is_emitted_with_its_kind_and_labels() {
    let recorded = recorded(troubles);
    let mut seen = BTreeSet::new();
    for ((name, labels), value) in &recorded {
        let metric = metric::all().find(|metric| metric.name == name).expect("a metric");
        let kind = match value {
            DebugValue::Counter(_) => Kind::Counter,
            DebugValue::Gauge(_) => Kind::Gauge,
            DebugValue::Histogram(_) => Kind::Histogram,
        };
        assert_eq!(kind, metric.kind, "{name}");
        let expected: BTreeSet<_> = metric.labels.iter().copied().chain(["store"]).collect();
        assert_eq!(labels.iter().map(|label| label.0.as_str()).collect::<BTreeSet<_>>(), expected);
        seen.insert(name.as_str());
    }
    let all: BTreeSet<_> = metric::all().map(|metric| metric.name).collect();
    assert_eq!(seen, all);
    assert_eq!(count(&recorded, "oncekey_poisoned", &[]), 1);
    for outcome in
        ["claimed", "takeover", "replay", "in_flight", "mismatch", "unresolved", "expired", "error"]
    {
        assert!(count(&recorded, "oncekey_claims_total", &[outcome]) > 0, "{outcome}");
    }
}

#[test]
fn calls_are_counted_once_by_how_they_came_out() {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    let recorded = recorded(|| {
        let store = busy_store(&mut world);
        let stats = store.stats();
        assert_eq!((stats.unresolved, stats.late_retries), (1, 1));
        store.publish_metrics();
        store.publish_metrics();
    });
    let claims = |outcome| count(&recorded, "oncekey_claims_total", &[outcome]);
    let all = ["claimed", "takeover", "replay", "in_flight", "mismatch", "unresolved", "error"];
    assert_eq!(all.map(claims), [5, 1, 1, 2, 1, 1, 1]);
    for outcome in all {
        let timed = count(&recorded, "oncekey_claim_seconds", &[outcome]);
        assert_eq!(timed, claims(outcome), "{outcome}");
    }
    assert_eq!(count(&recorded, "oncekey_waits_total", &["in_flight"]), 1);
    assert_eq!(count(&recorded, "oncekey_waits_total", &["replay"]), 1);
    assert_eq!(count(&recorded, "oncekey_errors_total", &["claim", "invalid_input"]), 1);
    assert_eq!(count(&recorded, "oncekey_errors_total", &["complete", "limit_exceeded"]), 1);
    assert_eq!(count(&recorded, "oncekey_complete_seconds", &[]), 4);
    assert_eq!(count(&recorded, "oncekey_completions_total", &[]), 3);
    assert_eq!(count(&recorded, "oncekey_releases_total", &[]), 1);
    assert_eq!(count(&recorded, "oncekey_late_retries_total", &[]), 1);
    assert_eq!(count(&recorded, "oncekey_unresolved", &[]), 1);
    assert_eq!(count(&recorded, "oncekey_unresolved_oldest_seconds", &[]), 1801);
}

/// What was counted before the store is opened anew is not counted once more, nor lost at a close.
#[test]
fn counters_go_on_over_lives_of_a_store() {
    let mut world = World::new();
    let recorded = recorded(|| {
        for name in ["a", "b", "c"] {
            let store = world.open();
            complete(&store, name);
            store.step_upkeep();
            world.advance(Duration::from_millis(1000));
            store.step_upkeep();
            assert!(matches!(outcome(&store, request(name)), Outcome::Replay(_)));
            store.close(Duration::ZERO).wait().expect("closed");
        }
    });
    assert_eq!(count(&recorded, "oncekey_completions_total", &[]), 3);
    assert_eq!(count(&recorded, "oncekey_live_keys", &[]), 3);
    assert!(recorded.keys().all(|(_, labels)| labels.iter().any(|label| label.0 == "store")));
}

/// Promise 9's kin: whoever watches may fail, and nobody else notices.
#[test]
fn a_recorder_that_panics_disturbs_nobody() {
    struct Panics;
    impl metrics::Recorder for Panics {
        fn describe_counter(
            &self,
            _: metrics::KeyName,
            _: Option<metrics::Unit>,
            _: metrics::SharedString,
        ) {
            panic!("described");
        }
        fn describe_gauge(
            &self,
            _: metrics::KeyName,
            _: Option<metrics::Unit>,
            _: metrics::SharedString,
        ) {
        }
        fn describe_histogram(
            &self,
            _: metrics::KeyName,
            _: Option<metrics::Unit>,
            _: metrics::SharedString,
        ) {
        }
        fn register_counter(
            &self,
            _: &metrics::Key,
            _: &metrics::Metadata<'_>,
        ) -> metrics::Counter {
            panic!("counted");
        }
        fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
            panic!("gauged");
        }
        fn register_histogram(
            &self,
            _: &metrics::Key,
            _: &metrics::Metadata<'_>,
        ) -> metrics::Histogram {
            panic!("measured");
        }
    }
    metrics::with_local_recorder(&Panics, || {
        let mut world = World::with(Options::new().ttl(HALF_HOUR));
        let store = busy_store(&mut world);
        assert!(!store.stats().poisoned);
        store.close(Duration::ZERO).wait().expect("closed");
    });
}
