//! How many bytes of a sealed segment are expired at a given time, roughly.
//!
//! Compaction asks this of every segment and must not read any to know. Buckets hold about as many
//! bytes each, and none reaches over a long time in which nothing expires: a few that last a week
//! do not blur when those that last a day are over. A bucket counts as expired once its latest
//! record is, so the answer is never too high.

use crate::ids::StoreTime;

/// What a bucket holds before the next one begins, as a share of all bytes.
const SHARE: u64 = 24;
/// A time without expiries this long, as a share of the time since the first one, begins a bucket,
/// too.
const GAP: u32 = 3;
/// The time since the first expiry is told apart to so many bits.
const PRECISION_BITS: u32 = 10;
const MS_PER_S: u64 = 1000;

/// Bytes of records by expiry. About two hundred bytes of memory.
#[derive(Debug, Clone)]
pub(crate) struct ExpiryHistogram {
    first: StoreTime,
    buckets: Box<[Bucket]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// When the last of its records expires, in seconds since the first of all.
    latest_s: u32,
    /// Bytes of its records and of all buckets before.
    sum: u32,
}

impl ExpiryHistogram {
    /// A histogram of (expiry, bytes) pairs.
    pub(crate) fn new(records: impl Iterator<Item = (StoreTime, u64)> + Clone) -> Self {
        let (first, last) = records.clone().fold((u64::MAX, 0), |(low, high), (expiry, _)| {
            (low.min(expiry.0), high.max(expiry.0))
        });
        let first = StoreTime(first.min(last));
        let since_first = |expiry: StoreTime| {
            u32::try_from(expiry.ms_since(first).div_ceil(MS_PER_S)).unwrap_or(u32::MAX)
        };
        let mut pieces = vec![Bucket::default(); piece(since_first(StoreTime(last))) + 1];
        let mut total: u64 = 0;
        for (expiry, bytes) in records {
            let expires_s = since_first(expiry);
            if let Some(piece) = pieces.get_mut(piece(expires_s)) {
                piece.latest_s = piece.latest_s.max(expires_s);
                piece.sum = piece.sum.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
            }
            total += bytes;
        }
        let share = u32::try_from(total / SHARE).unwrap_or(u32::MAX);
        Self { first, buckets: join(&pieces, share) }
    }

    /// When the first of the records expires.
    pub(crate) fn first(&self) -> StoreTime {
        self.first
    }

    /// The bytes of the buckets that had wholly expired at `now`.
    pub(crate) fn expired_bytes(&self, now: StoreTime) -> u64 {
        let expired = self.buckets.partition_point(|bucket| self.end(bucket) <= now);
        let last = expired.checked_sub(1).and_then(|last| self.buckets.get(last));
        last.map_or(0, |bucket| u64::from(bucket.sum))
    }

    /// When half of what is alive at `now` has expired; the end of time if nothing is.
    pub(crate) fn halves_at(&self, now: StoreTime) -> StoreTime {
        let expired = self.expired_bytes(now);
        let all = self.buckets.last().map_or(0, |bucket| u64::from(bucket.sum));
        match all - expired {
            0 => StoreTime(u64::MAX),
            alive => self.reached_at(expired + alive.div_ceil(2)),
        }
    }

    /// When so many bytes have expired.
    pub(crate) fn reached_at(&self, bytes: u64) -> StoreTime {
        let at = self.buckets.partition_point(|bucket| u64::from(bucket.sum) < bytes);
        self.buckets.get(at).map_or(StoreTime(u64::MAX), |bucket| self.end(bucket))
    }

    fn end(&self, bucket: &Bucket) -> StoreTime {
        match bucket.latest_s {
            u32::MAX => StoreTime(u64::MAX),
            seconds => self.first.plus_ms(u64::from(seconds) * MS_PER_S),
        }
    }
}

/// The piece of time that a moment belongs to: finer the nearer it is to the first expiry, so that
/// one record that lasts for years does not blur those of a day.
fn piece(seconds: u32) -> usize {
    let coarse = (u32::BITS - seconds.leading_zeros()).saturating_sub(PRECISION_BITS);
    ((coarse << (PRECISION_BITS - 1)) + (seconds >> coarse)) as usize
}

/// Joins pieces to buckets of at least `share` bytes, but over no long time in which nothing
/// expires.
fn join(pieces: &[Bucket], share: u32) -> Box<[Bucket]> {
    let mut buckets: Vec<Bucket> = Vec::new();
    let (mut sum, mut begun_at) = (0_u32, 0);
    for piece in pieces.iter().filter(|piece| piece.sum > 0) {
        let with = Bucket { latest_s: piece.latest_s, sum: sum.saturating_add(piece.sum) };
        match buckets.last_mut() {
            Some(last)
                if sum - begun_at < share
                    && piece.latest_s - last.latest_s <= piece.latest_s / GAP =>
            {
                *last = with;
            }
            _ => {
                begun_at = sum;
                buckets.push(with);
            }
        }
        sum = with.sum;
    }
    buckets.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3_600_000;

    fn exact(records: &[(StoreTime, u64)], now: StoreTime) -> u64 {
        records.iter().filter(|(expiry, _)| *expiry <= now).map(|(_, bytes)| bytes).sum()
    }

    #[test]
    fn expired_bytes_are_never_overstated_and_at_most_a_twelfth_late() {
        let records: Vec<_> = (0..1000u64).map(|i| (StoreTime(5_000 + i * 7000), i % 13)).collect();
        let histogram = ExpiryHistogram::new(records.iter().copied());
        let all = exact(&records, StoreTime(u64::MAX));
        for now in (0..13_000_000).step_by(11_003).map(StoreTime) {
            let (told, exact) = (histogram.expired_bytes(now), exact(&records, now));
            assert!(told <= exact, "at {now:?}");
            assert!(exact - told <= all / 12, "{told} of {exact} at {now:?}");
        }
        assert_eq!(histogram.expired_bytes(StoreTime(1 << 40)), all);
    }

    #[test]
    fn a_few_that_last_do_not_blur_when_the_others_are_over() {
        for years in [0, 100] {
            let ttl = |i: u64| match i % 100 {
                0 => 60_000,
                1 if i < 100 => DAY * 365 * years + 60 * DAY,
                1..=10 => 60 * DAY,
                _ => DAY,
            };
            let records: Vec<_> = (0..50_000).map(|i| (StoreTime(i * 20 + ttl(i)), 100)).collect();
            let histogram = ExpiryHistogram::new(records.iter().copied());
            // A day after the last was made, give or take five minutes.
            let now = StoreTime(50_000 * 20 + DAY + 300_000);
            assert_eq!(histogram.expired_bytes(now), exact(&records, now));
            assert!(histogram.halves_at(now).0 >= 60 * DAY);
            assert!(histogram.reached_at(1).0 <= DAY / 2, "those of a minute");
            let bytes = size_of_val(&*histogram.buckets);
            assert!(bytes <= 280, "{bytes} bytes");
        }
    }

    #[test]
    fn the_pieces_of_time_are_in_order_and_none_is_left_out() {
        assert_eq!([0, 1, 1023, 1024, 1025, 1026].map(piece), [0, 1, 1023, 1024, 1024, 1025]);
        for bits in 10..32 {
            let power = 1_u32 << bits;
            assert_eq!(piece(power), piece(power - 1) + 1);
        }
        assert!(piece(u32::MAX) < 13_000);
    }

    #[test]
    fn records_of_one_moment_expire_at_that_moment() {
        let histogram = ExpiryHistogram::new([(StoreTime(500), 10)].into_iter());
        assert_eq!(histogram.expired_bytes(StoreTime(499)), 0);
        assert_eq!(histogram.expired_bytes(StoreTime(500)), 10);
        assert_eq!(histogram.halves_at(StoreTime(499)), StoreTime(500));
        assert_eq!(histogram.halves_at(StoreTime(500)), StoreTime(u64::MAX), "nothing is left");
    }

    #[test]
    fn no_records_expire_nothing() {
        let histogram = ExpiryHistogram::new(std::iter::empty());
        assert_eq!(histogram.expired_bytes(StoreTime(u64::MAX)), 0);
        assert_eq!(histogram.halves_at(StoreTime(0)), StoreTime(u64::MAX));
    }
}
