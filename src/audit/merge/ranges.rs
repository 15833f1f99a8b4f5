//! A set of sequences, as ranges: what was told of a producer, and so what was not.
//!
//! Invariants: ranges do not touch each other; a set that grows in order is one range.

use std::collections::BTreeMap;

/// A set of numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    /// The first of a range, and the last of it.
    ranges: BTreeMap<u64, u64>,
}

impl Ranges {
    pub(super) fn contains(&self, number: u64) -> bool {
        self.ranges.range(..=number).next_back().is_some_and(|(_, last)| *last >= number)
    }

    /// Adds a number; `false` if it was in it.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        let is_new = !self.contains(number);
        if is_new {
            self.insert_range(number, number);
        }
        is_new
    }

    /// Adds the numbers from `first` to `last`.
    pub(super) fn insert_range(&mut self, first: u64, last: u64) {
        let (mut first, mut last) = (first, last);
        let before = self.ranges.range(..=first).next_back().map(|(from, to)| (*from, *to));
        if let Some((from, to)) = before
            && to.saturating_add(1) >= first
        {
            first = from;
            last = last.max(to);
        }
        while let Some((from, to)) = self.ranges.range(first..).next().map(|(a, b)| (*a, *b)) {
            if from > last.saturating_add(1) {
                break;
            }
            last = last.max(to);
            self.ranges.remove(&from);
        }
        self.ranges.insert(first, last);
    }

    pub(super) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// The end of the range that has `number`, exclusive; `number` itself if none has it.
    pub(super) fn end_from(&self, number: u64) -> u64 {
        let range = self.ranges.range(..=number).next_back();
        range.filter(|(_, last)| **last >= number).map_or(number, |(_, last)| last + 1)
    }

    /// The number after the largest.
    pub(super) fn end(&self) -> u64 {
        self.ranges.last_key_value().map_or(0, |(_, last)| last + 1)
    }

    /// The ranges that are not in it below `end`: the first of each, and how many.
    pub(super) fn missing(&self, end: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let bounds = self.ranges.iter().map(|(first, last)| (*first, last + 1));
        let bounds = bounds.chain(std::iter::once((end, end)));
        bounds
            .scan(0, move |next, (first, after)| {
                let gap = (*next, first.min(end).saturating_sub(*next));
                *next = after.max(*next);
                Some(gap)
            })
            .filter(|(_, count)| *count > 0)
    }

    /// Fills the first gap; says where it began and how many were missing.
    pub(super) fn fill_first(&mut self) -> Option<(u64, u64)> {
        let gap = self.missing(self.end()).next()?;
        self.insert_range(gap.0, gap.0 + (gap.1 - 1));
        Some(gap)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_of_ranges_is_a_set(
            numbers in proptest::collection::vec((0_u64..60, 0_u64..4), 0..60),
            end in 0_u64..70,
        ) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for (first, more) in numbers {
                if more == 0 {
                    prop_assert_eq!(ranges.insert(first), set.insert(first));
                } else {
                    ranges.insert_range(first, first + more);
                    set.extend(first..=first + more);
                }
                prop_assert!((0..70).all(|at| ranges.contains(at) == set.contains(&at)));
                prop_assert_eq!(ranges.end(), set.last().map_or(0, |last| last + 1));
            }
            let missing: Vec<u64> =
                ranges.missing(end).flat_map(|(first, count)| first..first + count).collect();
            let truly: Vec<u64> = (0..end).filter(|number| !set.contains(number)).collect();
            prop_assert_eq!(missing, truly);
            while let Some((first, count)) = ranges.fill_first() {
                prop_assert!((first..first + count).all(|number| !set.contains(&number)));
            }
            prop_assert!(ranges.len() <= 1);
        }
    }
}
