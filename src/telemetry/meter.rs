//! The meter: measures calls, batches and syncs, and hands everything to the recorder that the
//! `metrics` facade has.
//!
//! Keys are made once, with their hashes; which recorder there is, is asked each time. So a
//! recorder that comes later, or forgets what was idle, gets all that happens from then on.

use metrics::{Key, KeyName, Label, Level, Metadata, Recorder, SharedString, with_recorder};

use super::metric::{self, Kind, Metric};
use super::published::{Published, levels};
use super::{Call, Came, guarded};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::expiry::StoreClock;
use crate::ids::StoreId;

static METADATA: Metadata<'static> = Metadata::new("oncekey", Level::INFO, Some("oncekey"));

/// When something began. One that was never started measures nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stopwatch {
    started_ns: Option<u64>,
}

impl Stopwatch {
    pub(crate) fn start(time: &StoreClock) -> Self {
        Self { started_ns: Some(time.monotonic_ns()) }
    }

    fn seconds(self, time: &StoreClock) -> Option<f64> {
        let started_ns = self.started_ns?;
        Some(seconds(time.monotonic_ns().saturating_sub(started_ns)))
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// How long syncs took, until somebody who holds no lock tells the recorder.
#[derive(Debug, Default)]
pub(crate) struct SyncTimes {
    ns: Vec<u64>,
}

impl SyncTimes {
    pub(crate) fn time<T>(&mut self, time: &StoreClock, sync: impl FnOnce() -> T) -> T {
        let started_ns = time.monotonic_ns();
        let result = sync();
        self.ns.push(time.monotonic_ns().saturating_sub(started_ns));
        result
    }

    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

#[derive(Debug)]
pub(crate) struct Meter {
    store: SharedString,
    claims: [Key; CAME.len()],
    claim_seconds: [Key; CAME.len()],
    waits: [Key; CAME.len()],
    wait_seconds: Key,
    complete_seconds: Key,
    batch_frames: Key,
    batch_bytes: Key,
    sync_seconds: Key,
    counts: Vec<Key>,
    levels: Vec<Key>,
    published: Published,
}

const CAME: [Came; 8] = [
    Came::Claimed,
    Came::Takeover,
    Came::Replay,
    Came::InFlight,
    Came::Mismatch,
    Came::Unresolved,
    Came::Expired,
    Came::Error,
];

impl Meter {
    pub(crate) fn new(store: StoreId) -> Self {
        guarded(describe);
        let store = SharedString::from(store.to_string());
        let plain = |metric: &Metric| key(metric, &store, &[]);
        let by_outcome = |metric: &Metric| CAME.map(|came| key(metric, &store, &[name_of(came)]));
        Self {
            claims: by_outcome(metric::CLAIMS),
            claim_seconds: by_outcome(metric::CLAIM_SECONDS),
            waits: by_outcome(metric::WAITS),
            wait_seconds: plain(metric::WAIT_SECONDS),
            complete_seconds: plain(metric::COMPLETE_SECONDS),
            batch_frames: plain(metric::BATCH_FRAMES),
            batch_bytes: plain(metric::BATCH_BYTES),
            sync_seconds: plain(metric::SYNC_SECONDS),
            counts: metric::COUNTS.iter().map(plain).collect(),
            levels: metric::LEVELS.iter().map(plain).collect(),
            published: Published::default(),
            store: store.clone(),
        }
    }

    /// A claim, or a wait for another's, was answered.
    pub(crate) fn told(&self, call: Call, came: Came, watch: Stopwatch, time: &StoreClock) {
        let at = CAME.iter().position(|known| *known == came).unwrap_or_default();
        let (counts, seconds) = match call {
            Call::Claim => (&self.claims, self.claim_seconds.get(at)),
            Call::Wait => (&self.waits, Some(&self.wait_seconds)),
            Call::Complete => return,
        };
        let took = watch.seconds(time);
        recording(|recorder| {
            if let Some(key) = counts.get(at) {
                recorder.register_counter(key, &METADATA).increment(1);
            }
            if let (Some(key), Some(took)) = (seconds, took) {
                recorder.register_histogram(key, &METADATA).record(took);
            }
        });
    }

    /// A call failed.
    pub(crate) fn failed(&self, call: Call, error: &Error, watch: Stopwatch, time: &StoreClock) {
        self.told(call, Came::Error, watch, time);
        let call = match call {
            Call::Claim => "claim",
            Call::Wait => "wait",
            Call::Complete => "complete",
        };
        let key = key(metric::ERRORS, &self.store, &[call, kind_of(error.kind())]);
        recording(|recorder| recorder.register_counter(&key, &METADATA).increment(1));
    }

    /// A completion was answered. Other decisions have no watch that runs.
    pub(crate) fn completed(&self, error: Option<&Error>, watch: Stopwatch, time: &StoreClock) {
        let Some(took) = watch.seconds(time) else { return };
        let key = &self.complete_seconds;
        recording(|recorder| recorder.register_histogram(key, &METADATA).record(took));
        if let Some(error) = error {
            self.failed(Call::Complete, error, watch, time);
        }
    }

    /// A batch is on its way into the index. Called once its waiters are told.
    pub(crate) fn batch(&self, frames: u32, bytes: usize) {
        recording(|recorder| {
            let frames = f64::from(frames);
            recorder.register_histogram(&self.batch_frames, &METADATA).record(frames);
            recorder.register_histogram(&self.batch_bytes, &METADATA).record(bytes as f64);
        });
    }

    /// Syncs were made.
    pub(crate) fn synced(&self, times: SyncTimes) {
        if times.ns.is_empty() {
            return;
        }
        recording(|recorder| {
            let histogram = recorder.register_histogram(&self.sync_seconds, &METADATA);
            times.ns.iter().for_each(|ns| histogram.record(seconds(*ns)));
        });
    }

    /// Publishes the statistics, once a second however often it is called.
    pub(crate) fn publish_if_due(&self, engine: &Engine) {
        if self.published.is_due(engine.time.monotonic_ms()) {
            self.publish(engine);
        }
    }

    /// Publishes the statistics.
    pub(crate) fn publish(&self, engine: &Engine) {
        let stats = engine.stats();
        let (rises, levels) = (self.published.rises(&stats), levels(&stats));
        recording(|recorder| {
            for (key, rise) in self.counts.iter().zip(rises) {
                recorder.register_counter(key, &METADATA).increment(rise);
            }
            for (key, level) in self.levels.iter().zip(levels) {
                recorder.register_gauge(key, &METADATA).set(level);
            }
        });
    }
}

/// A metric of a store, its own labels with these values.
fn key(metric: &Metric, store: &SharedString, values: &[&'static str]) -> Key {
    let own = metric.labels.iter().zip(values);
    let own = own.map(|(label, value)| Label::from_static_parts(label, value));
    let labels = own.chain([Label::new("store", store.clone())]);
    Key::from_parts(KeyName::from_const_str(metric.name), labels.collect::<Vec<_>>())
}

fn recording(record: impl FnOnce(&dyn Recorder)) {
    guarded(|| with_recorder(record));
}

/// Tells the recorder what the metrics mean.
fn describe() {
    with_recorder(|recorder| {
        for Metric { name, kind, unit, help, .. } in metric::all() {
            let (name, unit, help) = (KeyName::from_const_str(name), Some(*unit), (*help).into());
            match kind {
                Kind::Counter => recorder.describe_counter(name, unit, help),
                Kind::Gauge => recorder.describe_gauge(name, unit, help),
                Kind::Histogram => recorder.describe_histogram(name, unit, help),
            }
        }
    });
}

fn name_of(came: Came) -> &'static str {
    match came {
        Came::Claimed => "claimed",
        Came::Takeover => "takeover",
        Came::Replay => "replay",
        Came::InFlight => "in_flight",
        Came::Mismatch => "mismatch",
        Came::Unresolved => "unresolved",
        Came::Expired => "expired",
        Came::Error => "error",
    }
}

fn kind_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidInput => "invalid_input",
        ErrorKind::LimitExceeded => "limit_exceeded",
        ErrorKind::LeaseLost => "lease_lost",
        ErrorKind::NotFound => "not_found",
        ErrorKind::InFlight => "in_flight",
        ErrorKind::DiskFull => "disk_full",
        ErrorKind::OutcomeUnknown => "outcome_unknown",
        ErrorKind::Poisoned => "poisoned",
        ErrorKind::Closed => "closed",
        ErrorKind::Refused => "refused",
        ErrorKind::Locked => "locked",
        ErrorKind::WrongStore => "wrong_store",
        ErrorKind::VersionTooNew => "version_too_new",
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::Io => "io",
        ErrorKind::Unavailable => "unavailable",
    }
}
