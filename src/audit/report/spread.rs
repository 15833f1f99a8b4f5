//! How values spread: their number at each size, to within half a percent.
//!
//! Values are whole numbers up to 2^40 (35 years of milliseconds); larger ones count as that. Two
//! spreads add up to the spread of all their values, exactly and in any order.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Three steps of a bucket's size differ by at most 1 in 128.
const DIGITS: u8 = 2;
const MAX: u64 = 1 << 40;

/// A histogram with buckets that grow with their values.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct Spread(Option<Box<Histogram<u64>>>);

impl Spread {
    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        self.record_many(value, 1);
    }

    pub(super) fn record_many(&mut self, value: u64, count: u64) {
        if self.0.is_none() {
            // It refuses only other numbers of digits.
            self.0 = Histogram::new(DIGITS).ok().map(Box::new);
        }
        if let Some(histogram) = &mut self.0 {
            // It grows by itself, and `MAX` is well below what it can hold.
            let _ = histogram.record_n(value.min(MAX), count);
        }
    }

    /// Adds another's values.
    pub fn merge(&mut self, other: &Self) {
        match (&mut self.0, &other.0) {
            // Both resize by themselves, so nothing is out of range.
            (Some(mine), Some(theirs)) => drop(mine.add(&**theirs)),
            (None, Some(_)) => *self = other.clone(),
            (_, None) => {}
        }
    }

    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, |histogram| histogram.len())
    }

    /// The value that this part of all values does not exceed; `None` if there are none.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<u64> {
        let histogram = self.0.as_ref().filter(|histogram| !histogram.is_empty())?;
        Some(histogram.median_equivalent(histogram.value_at_quantile(part)))
    }

    /// The largest value.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        self.quantile(1.0)
    }

    /// The values in their order, each with how often it was counted.
    pub fn steps(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().flat_map(|histogram| {
            let middle = |value| histogram.median_equivalent(value);
            let steps = histogram.iter_recorded();
            steps.map(move |step| (middle(step.value_iterated_to()), step.count_at_value()))
        })
    }

    /// How many values are larger than this one.
    #[must_use]
    pub fn count_above(&self, value: u64) -> u64 {
        self.steps().filter(|(step, _)| *step > value).map(|(_, count)| count).sum()
    }
}

impl PartialEq for Spread {
    fn eq(&self, other: &Self) -> bool {
        self.steps().eq(other.steps())
    }
}

impl From<Vec<(u64, u64)>> for Spread {
    fn from(steps: Vec<(u64, u64)>) -> Self {
        let mut spread = Self::default();
        for (value, count) in steps.into_iter().filter(|(_, count)| *count > 0) {
            spread.record_many(value, count);
        }
        spread
    }
}

impl From<Spread> for Vec<(u64, u64)> {
    fn from(spread: Spread) -> Self {
        spread.steps().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spread(values: &[u64]) -> Spread {
        let mut spread = Spread::default();
        values.iter().for_each(|value| spread.record(*value));
        spread
    }

    proptest! {
        #[test]
        fn parts_add_up_to_the_whole_and_are_read_back(
            values in prop::collection::vec(0_u64..1 << 50, 0..200),
            at in 0_usize..200,
        ) {
            let (left, right) = values.split_at(at.min(values.len()));
            let mut both = spread(left);
            both.merge(&spread(right));
            let mut other_way = spread(right);
            other_way.merge(&spread(left));
            let whole = spread(&values);
            prop_assert_eq!(&both, &whole);
            prop_assert_eq!(&other_way, &whole);
            let text = serde_json::to_string(&whole).expect("JSON");
            let read: Spread = serde_json::from_str(&text).expect("a spread");
            prop_assert_eq!(&read, &whole);
        }

        #[test]
        fn a_quantile_is_within_half_a_percent(value in 0_u64..MAX) {
            let told = spread(&[value]).quantile(0.5).expect("a value");
            prop_assert!(told.abs_diff(value) * 200 <= value, "{told} for {value}");
        }
    }
}
