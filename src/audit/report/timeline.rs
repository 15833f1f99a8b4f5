//! Counts over time, in a bounded number of equal buckets.
//!
//! A bucket is 2^n milliseconds long, with the least n (from 10 on) for which the whole time fits.
//! That depends on the first and the last moment alone, so timelines add up exactly, in any order.

use serde::{Deserialize, Serialize};

const FINEST: u32 = 10;

/// `N` counts in each of at most `MAX` buckets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Timeline<const N: usize, const MAX: usize> {
    /// A bucket is two to this power long.
    power: u32,
    /// The number of the first bucket since the epoch.
    first: u64,
    counts: Vec<[u64; N]>,
}

impl<const N: usize, const MAX: usize> Default for Timeline<N, MAX> {
    fn default() -> Self {
        Self { power: FINEST, first: 0, counts: Vec::new() }
    }
}

impl<const N: usize, const MAX: usize> Timeline<N, MAX> {
    /// Counts one more of a series at a moment.
    pub fn count(&mut self, at_ms: u64, series: usize) {
        if let Some(count) = self.bucket(at_ms).and_then(|counts| counts.get_mut(series)) {
            *count = count.saturating_add(1);
        }
    }

    /// The counts of the bucket of a moment, which is made if need be.
    pub fn bucket(&mut self, at_ms: u64) -> Option<&mut [u64; N]> {
        self.reach(at_ms, self.power);
        let number = at_ms >> self.power;
        self.counts.get_mut((number - self.first) as usize)
    }

    /// Makes the buckets as long as need be for a moment, and at least two to this power, and takes
    /// the moment in.
    fn reach(&mut self, at_ms: u64, power: u32) {
        while self.power < power {
            self.coarsen();
        }
        if self.counts.is_empty() {
            self.first = at_ms >> self.power;
            self.counts.push([0; N]);
            return;
        }
        loop {
            let number = at_ms >> self.power;
            let last = self.first + self.counts.len() as u64 - 1;
            let (low, high) = (number.min(self.first), number.max(last));
            if high - low < MAX as u64 {
                let before = (self.first - low) as usize;
                if before > 0 {
                    self.counts.splice(0..0, std::iter::repeat_n([0; N], before));
                    self.first = low;
                }
                let len = (high - low + 1) as usize;
                if len > self.counts.len() {
                    self.counts.resize(len, [0; N]);
                }
                return;
            }
            self.coarsen();
        }
    }

    /// Twice as long buckets.
    fn coarsen(&mut self) {
        let odd = self.first % 2 == 1;
        let mut halves = Vec::with_capacity(self.counts.len() / 2 + 1);
        let mut rest = self.counts.as_slice();
        if let (true, Some((first, after))) = (odd, rest.split_first()) {
            halves.push(*first);
            rest = after;
        }
        for pair in rest.chunks(2) {
            let mut sum = [0; N];
            pair.iter().for_each(|counts| add(&mut sum, counts));
            halves.push(sum);
        }
        self.counts = halves;
        self.first /= 2;
        self.power += 1;
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        let Some(last) = (other.counts.len() as u64).checked_sub(1) else { return };
        let start = |number: u64| number << other.power;
        self.reach(start(other.first), other.power);
        self.reach(start(other.first + last), other.power);
        for (number, counts) in (other.first..).zip(&other.counts) {
            if let Some(mine) = self.bucket(start(number)) {
                add(mine, counts);
            }
        }
    }

    /// How long a bucket is.
    #[must_use]
    pub fn bucket_ms(&self) -> u64 {
        1 << self.power
    }

    /// The buckets: when each begins, and its counts.
    pub fn buckets(&self) -> impl DoubleEndedIterator<Item = (u64, &[u64; N])> + Clone {
        let (first, power) = (self.first, self.power);
        let number = move |(at, counts)| ((first + at as u64) << power, counts);
        self.counts.iter().enumerate().map(number)
    }
}

fn add<const N: usize>(to: &mut [u64; N], counts: &[u64; N]) {
    to.iter_mut().zip(counts).for_each(|(to, count)| *to = to.saturating_add(*count));
}

/// As it is written down.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    bucket_ms: u64,
    first_ms: u64,
    counts: Vec<Vec<u64>>,
}

impl<const N: usize, const MAX: usize> From<Timeline<N, MAX>> for Stored {
    fn from(timeline: Timeline<N, MAX>) -> Self {
        Self {
            bucket_ms: timeline.bucket_ms(),
            first_ms: timeline.first << timeline.power,
            counts: timeline.counts.iter().map(|counts| counts.to_vec()).collect(),
        }
    }
}

impl<const N: usize, const MAX: usize> TryFrom<Stored> for Timeline<N, MAX> {
    type Error = &'static str;

    fn try_from(stored: Stored) -> Result<Self, Self::Error> {
        let power = stored.bucket_ms.trailing_zeros();
        let len = stored.counts.len() as u64;
        let last = (stored.first_ms >> power).checked_add(len.saturating_sub(1));
        let is_sound = stored.bucket_ms.is_power_of_two()
            && power >= FINEST
            && len <= MAX as u64
            && stored.first_ms.is_multiple_of(stored.bucket_ms)
            && last.is_some_and(|last| last <= u64::MAX >> power);
        let counts: Option<Vec<[u64; N]>> =
            stored.counts.into_iter().map(|counts| counts.try_into().ok()).collect();
        match counts.filter(|_| is_sound) {
            Some(counts) => Ok(Self { power, first: stored.first_ms >> power, counts }),
            None => Err("a timeline that makes no sense"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Small = Timeline<2, 8>;

    fn of(times: &[u64]) -> Small {
        let mut timeline = Small::default();
        times.iter().for_each(|at| timeline.count(*at, (*at % 2) as usize));
        timeline
    }

    fn times() -> impl Strategy<Value = Vec<u64>> {
        let near = 1_700_000_000_000_u64..1_700_000_100_000;
        let any = prop_oneof![8 => near, 1 => any::<u64>(), 1 => Just(0), 1 => Just(u64::MAX)];
        prop::collection::vec(any, 0..40)
    }

    proptest! {
        #[test]
        fn parts_add_up_to_the_whole(a in times(), b in times(), c in times()) {
            let whole = of(&[a.as_slice(), &b, &c].concat());
            let (a, b, c) = (of(&a), of(&b), of(&c));
            let sum = |parts: [&Small; 3]| {
                let mut sum = Small::default();
                parts.into_iter().for_each(|part| sum.merge(part));
                sum
            };
            prop_assert_eq!(&sum([&a, &b, &c]), &whole);
            prop_assert_eq!(&sum([&c, &a, &b]), &whole);
            let mut right = b.clone();
            right.merge(&c);
            let mut nested = a.clone();
            nested.merge(&right);
            prop_assert_eq!(&nested, &whole);
            prop_assert!(whole.counts.len() <= 8);
            let text = serde_json::to_string(&whole).expect("JSON");
            prop_assert_eq!(&serde_json::from_str::<Small>(&text).expect("a timeline"), &whole);
        }
    }
}
