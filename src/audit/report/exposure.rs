//! How many completed records were in a trail's sight at an age: what makes retries of different
//! ages comparable.
//!
//! A trail sees a retry of age `a` if it came between the trail's first and last event, so only of
//! records that were completed between `a` before its first event and `a` before its last one; and
//! none of records from before there were any. Dividing the retries of an age by the records in
//! sight at that age gives the rate at which records are asked for again: the estimator of a mean
//! cumulative function with censored histories (Nelson, 1988; Lawless and Nadeau, 1995).
//!
//! What is assumed: before the trail's first event requests came as often as later on average; and
//! when a record is asked for again does not depend on when it was completed.

/// When records were completed, and from when to when a trail looks.
#[derive(Debug, Clone)]
pub(super) struct Exposure {
    from_ms: f64,
    to_ms: f64,
    /// Since when there are records.
    since_ms: f64,
    /// Ends of buckets, and how many were completed up to there since the first event.
    sums: Vec<(f64, f64)>,
    per_ms: f64,
}

impl Exposure {
    /// From counts of completions in buckets that follow each other.
    pub(super) fn new(
        (from_ms, to_ms): (u64, u64),
        since_ms: u64,
        buckets: impl Iterator<Item = (u64, u64)>,
        bucket_ms: u64,
    ) -> Self {
        let (from, to) = (from_ms as f64, (to_ms as f64).max(from_ms as f64 + 1.0));
        let mut sum = 0.0;
        let mut sums = vec![(from, 0.0)];
        for (start_ms, count) in buckets {
            sum += count as f64;
            let end = (start_ms as f64 + bucket_ms as f64).min(to);
            if sums.last().is_none_or(|(last, _)| end > *last) {
                sums.push((end, sum));
            } else if let Some(last) = sums.last_mut() {
                last.1 = sum;
            }
        }
        Self {
            from_ms: from,
            to_ms: to,
            since_ms: (since_ms as f64).min(from),
            sums,
            per_ms: sum / (to - from),
        }
    }

    /// How many records were completed up to a moment, counted from the first event.
    fn completed_by(&self, at_ms: f64) -> f64 {
        if at_ms <= self.from_ms {
            return (at_ms.max(self.since_ms) - self.from_ms) * self.per_ms;
        }
        let next = self.sums.partition_point(|(end, _)| *end < at_ms);
        let after = self.sums.get(next);
        let before = next.checked_sub(1).and_then(|before| self.sums.get(before));
        match (before, after) {
            (Some((start, low)), Some((end, high))) if end > start => {
                low + (high - low) * (at_ms - start) / (end - start)
            }
            (_, Some((_, sum))) | (Some((_, sum)), None) => *sum,
            (None, None) => 0.0,
        }
    }

    /// How many records were in sight at an age.
    pub(super) fn at(&self, age_ms: u64) -> f64 {
        let age_ms = age_ms as f64;
        self.completed_by(self.to_ms - age_ms) - self.completed_by(self.from_ms - age_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_into_sight_and_leave_it() {
        // A hundred a second for a hundred seconds, from the store's first day.
        let buckets = || (0..100).map(|second| (1_000_000 + second * 1000, 100));
        let window = (1_000_000, 1_100_000);
        let young = Exposure::new(window, window.0, buckets(), 1000);
        let near = |left: f64, right: f64| assert!((left - right).abs() < 1.0, "{left} {right}");
        near(young.at(0), 10_000.0);
        near(young.at(25_000), 7500.0);
        near(young.at(100_000), 0.0);
        // A store that had been there for long: those from before the trail are in sight, too.
        let old = Exposure::new(window, 0, buckets(), 1000);
        near(old.at(25_000), 10_000.0);
        near(old.at(500_000), 10_000.0);
    }
}
