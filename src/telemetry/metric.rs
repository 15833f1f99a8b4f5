//! The metrics there are: names, kinds, units, labels. `docs/metrics.md` repeats them, and a test
//! compares.

use metrics::Unit;

/// What a metric is to its recorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A metric. Beside its own labels each has `store`, the store's id.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) unit: Unit,
    /// Labels beside `store`.
    pub(crate) labels: &'static [&'static str],
    pub(crate) help: &'static str,
}

const fn counter(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, unit, labels: &[], help }
}

const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, unit, labels: &[], help }
}

const fn histogram(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, unit, labels: &[], help }
}

impl Metric {
    const fn by(self, labels: &'static [&'static str]) -> Self {
        Self { labels, ..self }
    }
}

/// Which metric of [`EVENTS`] is which.
pub(crate) const CLAIMS: &Metric = &EVENTS[0];
pub(crate) const CLAIM_SECONDS: &Metric = &EVENTS[1];
pub(crate) const WAITS: &Metric = &EVENTS[2];
pub(crate) const WAIT_SECONDS: &Metric = &EVENTS[3];
pub(crate) const COMPLETE_SECONDS: &Metric = &EVENTS[4];
pub(crate) const ERRORS: &Metric = &EVENTS[5];
pub(crate) const BATCH_FRAMES: &Metric = &EVENTS[6];
pub(crate) const BATCH_BYTES: &Metric = &EVENTS[7];
pub(crate) const SYNC_SECONDS: &Metric = &EVENTS[8];

/// Told as it happens.
pub(crate) static EVENTS: [Metric; 9] = [
    counter("oncekey_claims_total", Unit::Count, "Claims, by what they were answered.")
        .by(&["outcome"]),
    histogram("oncekey_claim_seconds", Unit::Seconds, "From a claim's call to its answer.")
        .by(&["outcome"]),
    counter("oncekey_waits_total", Unit::Count, "Waits for another's claim, by how they ended.")
        .by(&["outcome"]),
    histogram("oncekey_wait_seconds", Unit::Seconds, "How long another's claim was waited for."),
    histogram("oncekey_complete_seconds", Unit::Seconds, "From a completion's call to its answer."),
    counter("oncekey_errors_total", Unit::Count, "Calls that failed, by the error's kind.")
        .by(&["call", "kind"]),
    histogram("oncekey_batch_frames", Unit::Count, "Frames in a batch of the log."),
    histogram("oncekey_batch_bytes", Unit::Bytes, "Bytes of a batch of the log."),
    histogram("oncekey_sync_seconds", Unit::Seconds, "How long a sync of the log took."),
];

/// Published from the store's own counters, in the order of
/// [`counts`](super::published::counts).
pub(crate) static COUNTS: [Metric; 17] = [
    counter("oncekey_completions_total", Unit::Count, "Completions."),
    counter("oncekey_releases_total", Unit::Count, "Releases."),
    counter("oncekey_forgets_total", Unit::Count, "Records forgotten on request."),
    counter("oncekey_late_retries_total", Unit::Count, "Claims of a key that had expired."),
    counter("oncekey_late_lost_total", Unit::Count, "Expired keys that are not remembered."),
    counter(
        "oncekey_late_failures_total",
        Unit::Count,
        "Failed writes of the expired keys' memory.",
    ),
    counter("oncekey_pruned_records_total", Unit::Count, "Expired records removed."),
    counter("oncekey_dropped_segments_total", Unit::Count, "Segments dropped whole."),
    counter("oncekey_compactions_total", Unit::Count, "Compactions."),
    counter("oncekey_compacted_bytes_total", Unit::Bytes, "Bytes that compactions wrote."),
    counter("oncekey_log_bytes_total", Unit::Bytes, "Bytes written to the log."),
    counter("oncekey_zero_filled_bytes_total", Unit::Bytes, "Bytes of zeros in fresh files."),
    counter("oncekey_record_cache_hits_total", Unit::Count, "Records answered from memory."),
    counter("oncekey_record_cache_misses_total", Unit::Count, "Records read from their files."),
    counter("oncekey_audit_events_total", Unit::Count, "Events that the audit trail took."),
    counter("oncekey_audit_dropped_total", Unit::Count, "Events that the audit trail has lost."),
    counter("oncekey_audit_failures_total", Unit::Count, "Failed writes of the audit trail."),
];

/// Published from the store's statistics, in the order of
/// [`levels`](super::published::levels).
pub(crate) static LEVELS: [Metric; 19] = [
    gauge("oncekey_live_keys", Unit::Count, "Completed records in the index."),
    gauge("oncekey_claims_in_flight", Unit::Count, "Claims in flight, unresolved ones included."),
    gauge("oncekey_unresolved", Unit::Count, "Attempts that wait for somebody to resolve them."),
    gauge("oncekey_unresolved_oldest_seconds", Unit::Seconds, "How long the oldest has waited."),
    gauge("oncekey_disk_bytes", Unit::Bytes, "Bytes of all segment files."),
    gauge("oncekey_segments", Unit::Count, "Segments that may hold records."),
    gauge("oncekey_spare_segments", Unit::Count, "Segment files kept ready."),
    gauge("oncekey_prune_debt_segments", Unit::Count, "Segments that have expired and are there."),
    gauge("oncekey_compaction_debt_bytes", Unit::Bytes, "Dead bytes that were not given back."),
    gauge("oncekey_index_bytes", Unit::Bytes, "Memory of the index."),
    gauge("oncekey_record_cache_bytes", Unit::Bytes, "Memory of the cache of records."),
    gauge("oncekey_late_keys", Unit::Count, "Keys that are remembered as expired."),
    gauge("oncekey_late_bytes", Unit::Bytes, "Memory of the keys remembered as expired."),
    gauge("oncekey_late_disk_bytes", Unit::Bytes, "Files of the keys remembered as expired."),
    gauge("oncekey_audit_bytes", Unit::Bytes, "Files of the audit trail."),
    gauge("oncekey_held_back_seconds", Unit::Seconds, "A leap of the clock that is not believed."),
    gauge("oncekey_compaction_paused", Unit::Count, "1 while pruning and compaction are paused."),
    gauge("oncekey_disk_full", Unit::Count, "1 while there is no room for a further segment."),
    gauge("oncekey_poisoned", Unit::Count, "1 once a failed write has ended all changes."),
];

/// Every metric.
pub(crate) fn all() -> impl Iterator<Item = &'static Metric> {
    EVENTS.iter().chain(&COUNTS).chain(&LEVELS)
}
