//! How many bytes of a sealed segment are expired at a given time, roughly.
//!
//! Compaction asks this of every segment and must not read any to know. The answer is never too
//! high: a bucket counts as expired once its latest record is.

use crate::ids::StoreTime;

const BUCKETS: usize = 32;

/// Bytes of records by expiry, in buckets of equal width.
#[derive(Debug, Clone)]
pub(crate) struct ExpiryHistogram {
    start_ms: u64,
    width_ms: u64,
    bytes: [u64; BUCKETS],
}

impl ExpiryHistogram {
    /// A histogram of (expiry, bytes) pairs.
    pub(crate) fn new(records: impl Iterator<Item = (StoreTime, u64)> + Clone) -> Self {
        let bounds = records.clone().fold((u64::MAX, 0), |(low, high), (expiry, _)| {
            (low.min(expiry.0), high.max(expiry.0))
        });
        let start_ms = bounds.0.min(bounds.1);
        let width_ms = (bounds.1 - start_ms) / BUCKETS as u64 + 1;
        let mut bytes = [0; BUCKETS];
        for (expiry, size) in records {
            let bucket = (expiry.0 - start_ms) / width_ms;
            if let Some(sum) = usize::try_from(bucket).ok().and_then(|at| bytes.get_mut(at)) {
                *sum += size;
            }
        }
        Self { start_ms, width_ms, bytes }
    }

    /// The bytes of the buckets that had wholly expired at `now`: all that expired but for one
    /// bucket at most.
    pub(crate) fn expired_bytes(&self, now: StoreTime) -> u64 {
        let Some(past_ms) = now.0.checked_sub(self.start_ms) else { return 0 };
        let whole = past_ms.saturating_add(1) / self.width_ms;
        let whole = usize::try_from(whole).unwrap_or(BUCKETS).min(BUCKETS);
        self.bytes.iter().take(whole).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expired_bytes_are_never_overstated() {
        let records: Vec<_> = (0..1000u64).map(|i| (StoreTime(5_000 + i * 7), i % 13)).collect();
        let histogram = ExpiryHistogram::new(records.iter().copied());
        for now in (0..13_000).step_by(11).map(StoreTime) {
            let exact: u64 =
                records.iter().filter(|(expiry, _)| *expiry <= now).map(|(_, bytes)| bytes).sum();
            assert!(histogram.expired_bytes(now) <= exact, "at {now:?}");
        }
        let all: u64 = records.iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(histogram.expired_bytes(StoreTime(1 << 40)), all);
    }

    #[test]
    fn records_of_one_moment_expire_at_that_moment() {
        let histogram = ExpiryHistogram::new([(StoreTime(500), 10)].into_iter());
        assert_eq!(histogram.expired_bytes(StoreTime(499)), 0);
        assert_eq!(histogram.expired_bytes(StoreTime(500)), 10);
    }

    #[test]
    fn no_records_expire_nothing() {
        let histogram = ExpiryHistogram::new(std::iter::empty());
        assert_eq!(histogram.expired_bytes(StoreTime(u64::MAX)), 0);
    }
}
