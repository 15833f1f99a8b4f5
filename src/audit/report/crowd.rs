//! Figures for each of many, of whom the busiest are kept.
//!
//! At most twice as many entries as are to be kept are held. When there would be more, the least
//! busy half goes into the rest, so that sums are always exact, and whoever has more than its share
//! stays. From then on a newcomer counts with the rest until it was seen a few times: most of many
//! are seen once, and an entry of its own for each would take longer than all else. What an entry
//! had before it was last put into the rest is in the rest, which says so: `folded` counts how many
//! entries went there. While nothing was folded, crowds add up exactly.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use serde::{Deserialize, Serialize};

/// Figures that add up.
pub trait Figures: Default + Clone {
    /// How busy this is.
    fn weight(&self) -> u64;

    /// Adds another's figures.
    fn merge(&mut self, other: &Self);
}

/// Keys are hashes already (labels); they need to be mixed, not hashed.
#[derive(Debug, Default, Clone, Copy)]
pub struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ mixed >> 32;
    }
}

/// A map of labels.
pub(super) type LabelMap<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

/// Figures for each of at most `2 * KEPT` keys, and for the rest together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound(
    serialize = "K: Serialize + Ord + Copy + Hash, V: Serialize + Figures",
    deserialize = "K: Deserialize<'de> + Eq + Ord + Copy + Hash, V: Deserialize<'de> + Figures"
))]
#[serde(from = "Stored<K, V>", into = "Stored<K, V>")]
pub struct Crowd<K: Eq + Hash, V, const KEPT: usize> {
    entries: LabelMap<K, V>,
    rest: V,
    folded: u64,
    /// How often newcomers were seen since the last fold, by their hash; no part of the result.
    door: Door,
}

/// Newcomers are seen this often before they have an entry of their own, once there is no room.
const SEEN: u8 = 32;
const DOORS: usize = 1 << 12;

#[derive(Debug, Clone, Default)]
struct Door(Vec<u8>);

impl PartialEq for Door {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Door {
    /// Sees a newcomer; whether it was seen often enough.
    fn opens(&mut self, key: &impl Hash) -> bool {
        if self.0.is_empty() {
            self.0 = vec![0; DOORS];
        }
        let mut hash = Mix::default();
        key.hash(&mut hash);
        let Some(seen) = self.0.get_mut(hash.finish() as usize % DOORS) else { return true };
        *seen += 1;
        if *seen < SEEN {
            return false;
        }
        *seen = 0;
        true
    }
}

impl<K: Eq + Hash, V: Figures, const KEPT: usize> Default for Crowd<K, V, KEPT> {
    fn default() -> Self {
        let (entries, rest) = (LabelMap::default(), V::default());
        Self { entries, rest, folded: 0, door: Door::default() }
    }
}

impl<K: Eq + Hash + Ord + Copy, V: Figures, const KEPT: usize> Crowd<K, V, KEPT> {
    /// The figures that one counts with: its own, which begin now if it has none, or the rest.
    pub fn entry(&mut self, key: K) -> &mut V {
        if self.entries.len() >= KEPT && !self.entries.contains_key(&key) {
            if self.folded > 0 && !self.door.opens(&key) {
                return &mut self.rest;
            }
            if self.entries.len() >= 2 * KEPT {
                self.fold();
            }
        }
        self.entries.entry(key).or_default()
    }

    /// What is not kept by itself.
    #[must_use]
    pub fn rest(&self) -> &V {
        &self.rest
    }

    /// How often figures of one went into the rest.
    #[must_use]
    pub fn folded(&self) -> u64 {
        self.folded
    }

    /// The busiest, as many as are to be kept, in the order of their weight.
    #[must_use]
    pub fn busiest(&self) -> Vec<(K, &V)> {
        let mut all: Vec<_> = self.entries.iter().map(|(key, value)| (*key, value)).collect();
        all.sort_unstable_by_key(|(key, value)| (Reverse(value.weight()), *key));
        all
    }

    /// Adds another's figures.
    pub fn merge(&mut self, other: &Self) {
        self.rest.merge(&other.rest);
        self.folded = self.folded.saturating_add(other.folded);
        for (key, value) in &other.entries {
            self.entries.entry(*key).or_default().merge(value);
        }
        if self.entries.len() > 2 * KEPT {
            self.fold();
        }
    }

    fn fold(&mut self) {
        let order: Vec<K> = self.busiest().into_iter().map(|(key, _)| key).collect();
        for key in order.into_iter().skip(KEPT) {
            if let Some(value) = self.entries.remove(&key) {
                self.rest.merge(&value);
                self.folded = self.folded.saturating_add(1);
            }
        }
    }
}

/// As it is written down.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored<K, V> {
    entries: Vec<(K, V)>,
    rest: V,
    folded: u64,
}

impl<K: Eq + Hash + Ord + Copy, V: Figures, const KEPT: usize> From<Crowd<K, V, KEPT>>
    for Stored<K, V>
{
    fn from(crowd: Crowd<K, V, KEPT>) -> Self {
        let Crowd { entries, rest, folded, .. } = crowd;
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        Self { entries, rest, folded }
    }
}

impl<K: Eq + Hash + Ord + Copy, V: Figures, const KEPT: usize> From<Stored<K, V>>
    for Crowd<K, V, KEPT>
{
    fn from(stored: Stored<K, V>) -> Self {
        let mut crowd = Self { rest: stored.rest, folded: stored.folded, ..Self::default() };
        for (key, value) in stored.entries.into_iter().take(2 * KEPT) {
            crowd.entries.entry(key).or_default().merge(&value);
        }
        crowd
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
    struct Count(u64);

    impl Figures for Count {
        fn weight(&self) -> u64 {
            self.0
        }

        fn merge(&mut self, other: &Self) {
            self.0 += other.0;
        }
    }

    #[test]
    fn the_busy_stay_and_nothing_is_lost_among_many() {
        let mut crowd = Crowd::<u64, Count, 16>::default();
        for number in 0..100_000_u64 {
            crowd.entry(1_000_000 + number).0 += 1;
            crowd.entry(number % 4).0 += 1;
        }
        assert!(crowd.entries.len() <= 32);
        let busiest: Vec<_> = crowd.busiest().into_iter().take(4).map(|(key, _)| key).collect();
        assert_eq!(busiest, [0, 1, 2, 3]);
        assert_eq!(crowd.entries.get(&0), Some(&Count(25_000)));
        let sum: u64 = crowd.entries.values().map(|count| count.0).sum();
        assert_eq!(sum + crowd.rest().0, 200_000);
        assert!(crowd.folded() > 0);

        let text = serde_json::to_string(&crowd).expect("JSON");
        let read: Crowd<u64, Count, 16> = serde_json::from_str(&text).expect("a crowd");
        assert_eq!(read, crowd);
    }
}
