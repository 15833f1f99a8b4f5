//! Every event is told once, where it happens, and names nothing secret.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Metadata, Subscriber};

use super::{SECRET, troubles};

/// Keeps every event and span as text.
#[derive(Clone, Default)]
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    spans: Arc<AtomicU64>,
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.0.insert_str(0, &format!("{value:?}:")),
            name => self.0.push_str(&format!(" {name}={value:?}")),
        }
    }
}

impl Log {
    fn keep(&self, write: impl FnOnce(&mut Line)) {
        let mut line = Line(String::new());
        write(&mut line);
        self.lines.lock().push(line.0);
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "oncekey"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.keep(|line| {
            span.record(line);
            line.0.insert_str(0, &format!("span {}:", span.metadata().name()));
        });
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        self.keep(|line| event.record(line));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Has another subscriber beside that of the test. While there is one alone, `tracing-core` asks
/// nobody but the default of whichever thread comes to an event first: a test that runs meanwhile
/// and has none would turn the event off for all.
fn with_default(subscriber: impl Subscriber + Send + Sync + 'static, run: impl FnOnce()) {
    static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Log::default()));
    LazyLock::force(&ANOTHER);
    tracing::subscriber::with_default(subscriber, run);
}

fn logged(run: impl FnOnce()) -> Vec<String> {
    let log = Log::default();
    with_default(log.clone(), run);
    let lines = log.lines.lock().clone();
    for line in &lines {
        assert!(!line.contains(SECRET), "{line}");
    }
    lines
}

#[test]
fn every_event_is_told_once_and_names_nothing_secret() {
    let lines = logged(troubles);
    let mut told: BTreeMap<&str, u32> = BTreeMap::new();
    for line in &lines {
        *told.entry(line.split(':').next().expect("a message")).or_default() += 1;
        assert!(line.contains("store="), "{line}");
    }
    let expected = [
        ("attempt left unresolved", 1),
        ("disk full", 1),
        ("disk has room again", 1),
        ("late retry", 1),
        ("late retry refused", 1),
        ("mismatch", 1),
        ("opened", 2),
        ("poisoned", 1),
        ("takeover", 1),
        ("unresolved", 1),
    ];
    told.remove("torn write cut");
    assert_eq!(told, BTreeMap::from(expected), "{lines:#?}");
    let mismatch = lines.iter().find(|line| line.starts_with("mismatch:")).expect("a mismatch");
    assert!(mismatch.contains("differs_in=payload"), "{mismatch}");
    let hash = mismatch.split("key_hash=").nth(1).and_then(|rest| rest.get(..16)).expect("a hash");
    assert!(hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{mismatch}");
}

#[test]
fn a_real_store_is_opened_in_a_span() {
    let dir = tempfile::tempdir().expect("a directory");
    let lines = logged(|| drop(crate::Store::create(dir.path()).expect("a store")));
    assert!(lines[0].starts_with("span open: path="), "{lines:?}");
    assert!(lines[1].starts_with("opened:"), "{lines:?}");
}

/// A subscriber is a stranger's code: its panic is its own affair.
#[test]
fn a_subscriber_that_panics_disturbs_nobody() {
    struct Panics;
    impl Subscriber for Panics {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == "oncekey"
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            panic!("a span");
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &Event<'_>) {
            panic!("an event");
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }
    with_default(Panics, troubles);
}
