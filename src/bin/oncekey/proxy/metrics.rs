//! What the proxy counts, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oncekey::{Stats, Store};

/// The upper bounds of the histogram's buckets, in microseconds.
const BOUNDS_US: [u64; 15] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// How long something took.
#[derive(Debug, Default)]
struct Histogram {
    counts: [AtomicU64; BOUNDS_US.len()],
    all: AtomicU64,
    sum_us: AtomicU64,
}

impl Histogram {
    fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS_US.partition_point(|bound| *bound < us);
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.all.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    fn write(&self, text: &mut String, name: &str, help: &str) {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} histogram");
        let mut below = 0;
        for (bound, count) in BOUNDS_US.iter().zip(&self.counts) {
            below += count.load(Ordering::Relaxed);
            let bound = seconds(*bound);
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        let all = self.all.load(Ordering::Relaxed).max(below);
        let sum = seconds(self.sum_us.load(Ordering::Relaxed));
        let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {all}");
        let _ = writeln!(text, "{name}_sum {sum}\n{name}_count {all}");
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// What the proxy counts.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    outcomes: Mutex<BTreeMap<&'static str, u64>>,
    requests: Histogram,
    upstream: Histogram,
    pub(crate) in_flight: Gauge,
    pub(crate) connections: Gauge,
    pub(crate) lost_lines: AtomicU64,
}

impl Metrics {
    /// A request was answered.
    pub(crate) fn answered(
        &self,
        outcome: &'static str,
        took: Duration,
        upstream: Option<Duration>,
    ) {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *outcomes.entry(outcome).or_default() += 1;
        drop(outcomes);
        self.requests.observe(took);
        if let Some(upstream) = upstream {
            self.upstream.observe(upstream);
        }
    }

    /// Everything, with what the store says.
    pub(crate) fn text(&self, store: &Store) -> String {
        let mut text = String::new();
        let name = "oncekey_proxy_requests_total";
        let _ = writeln!(text, "# HELP {name} Requests by their outcome.\n# TYPE {name} counter");
        let outcomes =
            self.outcomes.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        for (outcome, count) in outcomes {
            let _ = writeln!(text, "{name}{{outcome=\"{outcome}\"}} {count}");
        }
        let (name, help) = ("oncekey_proxy_request_seconds", "Time to the head of the answer.");
        self.requests.write(&mut text, name, help);
        let (name, help) = ("oncekey_proxy_upstream_seconds", "The upstream's part of it.");
        self.upstream.write(&mut text, name, help);
        let mut one = |kind: &str, name: &str, help: &str, value: u64| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        };
        let lost = self.lost_lines.load(Ordering::Relaxed);
        one("gauge", "oncekey_proxy_in_flight", "Requests being answered.", self.in_flight.get());
        one("gauge", "oncekey_proxy_connections", "Clients connected.", self.connections.get());
        one("counter", "oncekey_proxy_lost_log_lines_total", "Lines nobody read in time.", lost);
        of_store(&store.stats(), oldest_unresolved_s(store), one);
        text
    }
}

fn oldest_unresolved_s(store: &Store) -> u64 {
    let now = store.stats().store_time.as_millis();
    let oldest = store.unresolved().first().map(|unresolved| unresolved.since().as_millis());
    oldest.map_or(0, |since| now.saturating_sub(since) / 1000)
}

fn of_store(stats: &Stats, oldest_s: u64, mut one: impl FnMut(&str, &str, &str, u64)) {
    let mut gauge = |name: &str, help: &str, value| one("gauge", name, help, value);
    gauge("oncekey_records", "Completed records in the index.", stats.records);
    gauge("oncekey_claims_in_flight", "Claims, unresolved ones included.", stats.in_flight);
    gauge(
        "oncekey_unresolved",
        "Attempts that wait for somebody to resolve them.",
        stats.unresolved,
    );
    gauge("oncekey_oldest_unresolved_seconds", "How long the oldest has waited.", oldest_s);
    gauge("oncekey_disk_bytes", "Bytes of all segment files.", stats.disk_bytes);
    gauge("oncekey_debt_bytes", "Bytes that compaction could give back.", stats.debt_bytes);
    gauge("oncekey_segments", "Segments that may hold records.", stats.segments);
    gauge("oncekey_index_bytes", "Memory of the index.", stats.index_bytes);
    gauge("oncekey_poisoned", "1 after a write that failed.", u64::from(stats.poisoned));
    let mut counter = |name: &str, help: &str, value| one("counter", name, help, value);
    counter("oncekey_claims_total", "Keys claimed.", stats.claims);
    counter("oncekey_takeovers_total", "Claims that took over.", stats.takeovers);
    counter("oncekey_completions_total", "Completions.", stats.completions);
    counter("oncekey_batches_total", "Batches written to the log.", stats.batches);
    counter("oncekey_syncs_total", "Syncs of the log.", stats.syncs);
    counter("oncekey_log_bytes_total", "Bytes written to the log.", stats.log_bytes);
    counter("oncekey_pruned_total", "Expired records removed.", stats.pruned);
    counter("oncekey_compactions_total", "Compactions.", stats.compactions);
}

/// A client's connection, counted until it is dropped.
pub(crate) struct Connected(Arc<Metrics>);

impl Connected {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        metrics.connections.0.fetch_add(1, Ordering::Relaxed);
        Self(metrics)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A number of things that are there now.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Gauge {
    pub(crate) fn enter(&self) -> Entered<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Entered(self)
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One of them, until it is dropped.
pub(crate) struct Entered<'a>(&'a Gauge);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_count_what_is_not_above_them() {
        let histogram = Histogram::default();
        for us in [1, 250, 251, 20_000_000] {
            histogram.observe(Duration::from_micros(us));
        }
        let mut text = String::new();
        histogram.write(&mut text, "x", "help");
        assert!(text.contains("x_bucket{le=\"0.00025\"} 2\n"), "{text}");
        assert!(text.contains("x_bucket{le=\"0.0005\"} 3\n"), "{text}");
        assert!(text.contains("x_bucket{le=\"10\"} 3\n"), "{text}");
        assert!(text.contains("x_bucket{le=\"+Inf\"} 4\n"), "{text}");
        assert!(text.contains("x_count 4\n"), "{text}");
    }
}
