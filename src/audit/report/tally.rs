//! Counts of each of a few named things.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use crate::audit::{EventKind, Reason, Verdict};

/// Things that have stable names.
pub trait Named: Copy + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// The place in [`ALL`](Self::ALL).
    fn place(self) -> usize;

    /// The stable name.
    fn name(self) -> &'static str;
}

macro_rules! named {
    ($($type:ty),*) => {$(
        impl Named for $type {
            const ALL: &'static [Self] = &<$type>::ALL;

            fn place(self) -> usize {
                self as usize
            }

            fn name(self) -> &'static str {
                self.name()
            }
        }
    )*};
}

named!(EventKind, Verdict, Reason);

/// How many there were of each. On disk it has names, so that kinds may be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, u64>", into = "BTreeMap<&'static str, u64>")]
pub struct Tally<T: Named> {
    counts: Vec<u64>,
    of: PhantomData<T>,
}

impl<T: Named> Default for Tally<T> {
    fn default() -> Self {
        Self { counts: Vec::new(), of: PhantomData }
    }
}

impl<T: Named> Tally<T> {
    /// Counts so many more of one.
    pub fn add(&mut self, thing: T, count: u64) {
        if self.counts.is_empty() {
            self.counts = vec![0; T::ALL.len()];
        }
        if let Some(there) = self.counts.get_mut(thing.place()) {
            *there = there.saturating_add(count);
        }
    }

    /// How many there were of one.
    #[must_use]
    pub fn of(&self, thing: T) -> u64 {
        self.counts.get(thing.place()).copied().unwrap_or(0)
    }

    /// How many there were of any.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(thing, count)| self.add(thing, count));
    }

    /// Those of which there were any.
    pub fn iter(&self) -> impl Iterator<Item = (T, u64)> + '_ {
        T::ALL.iter().map(|thing| (*thing, self.of(*thing))).filter(|(_, count)| *count > 0)
    }
}

impl<T: Named> From<BTreeMap<String, u64>> for Tally<T> {
    fn from(counts: BTreeMap<String, u64>) -> Self {
        let mut tally = Self::default();
        for thing in T::ALL {
            let count = counts.get(thing.name()).copied().unwrap_or(0);
            if count > 0 {
                tally.add(*thing, count);
            }
        }
        tally
    }
}

impl<T: Named> From<Tally<T>> for BTreeMap<&'static str, u64> {
    fn from(tally: Tally<T>) -> Self {
        tally.iter().map(|(thing, count)| (thing.name(), count)).collect()
    }
}
