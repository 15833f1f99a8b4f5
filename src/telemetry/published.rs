//! What is published of the statistics: counters as the difference since the last time, gauges as
//! they are.

use parking_lot::Mutex;

use super::metric::{COUNTS, LEVELS};
use crate::engine::Stats;

const ROUND_MS: u64 = 1000;

/// What was published last.
#[derive(Debug, Default)]
pub(crate) struct Published {
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    at_ms: Option<u64>,
    counts: [u64; COUNTS.len()],
}

impl Published {
    /// Whether a round is over since the last time that this said so.
    pub(crate) fn is_due(&self, now_ms: u64) -> bool {
        let mut last = self.last.lock();
        let due = last.at_ms.is_none_or(|at_ms| now_ms.saturating_sub(at_ms) >= ROUND_MS);
        if due {
            last.at_ms = Some(now_ms);
        }
        due
    }

    /// How much each counter has risen since the last call. Of two calls at once none counts what
    /// the other did.
    pub(crate) fn rises(&self, stats: &Stats) -> [u64; COUNTS.len()] {
        let mut rises = counts(stats);
        let mut last = self.last.lock();
        for (rise, last) in rises.iter_mut().zip(&mut last.counts) {
            let before = std::mem::replace(last, (*rise).max(*last));
            *rise = rise.saturating_sub(before);
        }
        rises
    }
}

/// The counters, in the order of [`COUNTS`].
pub(crate) fn counts(stats: &Stats) -> [u64; COUNTS.len()] {
    [
        stats.completions,
        stats.releases,
        stats.forgets,
        stats.late_retries,
        stats.late_lost,
        stats.late_failures,
        stats.pruned,
        stats.dropped_segments,
        stats.compactions,
        stats.compacted_bytes,
        stats.log_bytes,
        stats.zero_filled_bytes,
        stats.record_cache_hits,
        stats.record_cache_misses,
        stats.audit_events,
        stats.audit_dropped,
        stats.audit_failures,
    ]
}

/// The gauges, in the order of [`LEVELS`].
pub(crate) fn levels(stats: &Stats) -> [f64; LEVELS.len()] {
    let whole = |count: u64| count as f64;
    let seconds = |ms: u64| ms as f64 / 1000.0;
    let oldest_ms = stats.oldest_unresolved.map_or(0, |since| stats.store_time.ms_since(since));
    [
        whole(stats.records),
        whole(stats.in_flight),
        whole(stats.unresolved),
        seconds(oldest_ms),
        whole(stats.disk_bytes),
        whole(stats.segments),
        whole(stats.spare_segments),
        whole(stats.expired_segments),
        whole(stats.debt_bytes),
        whole(stats.index_bytes),
        whole(stats.record_cache_bytes),
        whole(stats.late_keys),
        whole(stats.late_bytes),
        whole(stats.late_disk_bytes),
        whole(stats.audit_bytes),
        seconds(stats.held_back_ms),
        f64::from(u8::from(stats.compaction_paused)),
        f64::from(u8::from(stats.short_of_room)),
        f64::from(u8::from(stats.poisoned)),
    ]
}
