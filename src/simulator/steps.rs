//! Numbers of steps, as a schedule that was cut down names those that are left: `2,5-9,32`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::error::Error;

/// Steps of a schedule: it is played without the others.
///
/// ```
/// # use oncekey::simulation::Steps;
/// let steps: Steps = "2,5-9,32".parse()?;
/// assert_eq!(steps.len(), 7);
/// assert!(steps.contains(6) && !steps.contains(10));
/// assert_eq!(Steps::from_iter([32, 2, 7, 6, 5, 8, 9]).to_string(), "2,5-9,32");
/// # Ok::<(), oncekey::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steps {
    /// In order; they neither overlap nor touch.
    ranges: Vec<RangeInclusive<u64>>,
}

impl Steps {
    /// Whether a step is among them.
    #[must_use]
    pub fn contains(&self, step: u64) -> bool {
        let after = self.ranges.partition_point(|range| *range.end() < step);
        self.ranges.get(after).is_some_and(|range| range.contains(&step))
    }

    /// The last of them.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.ranges.last().map(|range| *range.end())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|range| range.end() - range.start() + 1).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Each of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.ranges.iter().cloned().flatten()
    }

    fn of_ranges(mut ranges: Vec<RangeInclusive<u64>>) -> Self {
        ranges.sort_by_key(|range| *range.start());
        let mut joined: Vec<RangeInclusive<u64>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match joined.last_mut() {
                Some(last) if *range.start() <= last.end().saturating_add(1) => {
                    *last = *last.start()..=*range.end().max(last.end());
                }
                _ => joined.push(range),
            }
        }
        Self { ranges: joined }
    }
}

impl FromIterator<u64> for Steps {
    fn from_iter<I: IntoIterator<Item = u64>>(steps: I) -> Self {
        Self::of_ranges(steps.into_iter().map(|step| step..=step).collect())
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.ranges.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match (range.start(), range.end()) {
                (from, to) if from == to => write!(f, "{comma}{from}")?,
                (from, to) => write!(f, "{comma}{from}-{to}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Steps {
    type Err = Error;

    /// Numbers from 1 and ranges of them, with commas between them; an empty text is no step.
    fn from_str(text: &str) -> Result<Self, Error> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let ranges = parts.map(|part| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            match (from.trim().parse(), to.trim().parse()) {
                (Ok(from), Ok(to)) if 1 <= from && from <= to && to < u64::MAX => Ok(from..=to),
                _ => Err(Error::invalid(format!("no steps: {part}; they are like 2,5-9,32"))),
            }
        });
        ranges.collect::<Result<_, _>>().map(Self::of_ranges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_back_as_they_are_written() {
        for (text, written) in
            [("", ""), ("3", "3"), ("9,1-2, 3 ,7-8", "1-3,7-9"), ("1-5,2-3", "1-5")]
        {
            let steps: Steps = text.parse().expect("steps");
            assert_eq!(steps.to_string(), written);
            assert_eq!(Steps::from_iter(steps.iter()), steps);
            assert_eq!(steps.iter().count() as u64, steps.len());
        }
        for wrong in ["0", "x", "5-2", "1--2", "-1", "2-"] {
            assert!(wrong.parse::<Steps>().is_err(), "{wrong}");
        }
    }
}
