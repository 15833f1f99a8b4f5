//! Entries of footers, gathered by several threads and put in order pile by pile.
//!
//! A pile is what some neighbouring shards have. Each thread that gathers has piles of its own;
//! whoever fills those shards takes one pile of each thread. Hashes are spread evenly, so that
//! entries are sorted by dealing them to places by their next bits, a few to a place. Hashes that
//! are not, as in tests, only make it slower.

use std::ops::Range;

use crate::ids::KeyHash;
use crate::index::{Geometry, Location, SHARD_BITS};
use crate::late::LateEntry;
use crate::log::FooterEntry;

/// Into how many piles the entries are gathered at most: what is sorted at one time is then small
/// enough for the processor's caches.
const PILES: usize = 256;

/// One record or forget of a footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) hash: KeyHash,
    /// The packed location, or of what has expired the seconds of its expiry; and in the lowest
    /// bits whether it has, and whether it is a forget.
    place: u64,
}

impl Entry {
    const FORGET: u64 = 1;
    const EXPIRED: u64 = 2;
    const BITS: u32 = 2;
    const NONE: Self = Self { hash: KeyHash(0), place: 0 };

    pub(super) fn alive(entry: &FooterEntry, location: Location, geometry: Geometry) -> Self {
        let place = (geometry.pack(location) << Self::BITS) | u64::from(entry.forget);
        Self { hash: entry.hash, place }
    }

    pub(super) fn expired(hash: KeyHash, forget: bool, expires_s: u32) -> Self {
        let place = (u64::from(expires_s) << Self::BITS) | Self::EXPIRED | u64::from(forget);
        Self { hash, place }
    }

    pub(super) fn is_forget(self) -> bool {
        self.place & Self::FORGET != 0
    }

    pub(super) fn is_expired(self) -> bool {
        self.place & Self::EXPIRED != 0
    }

    pub(super) fn location(self, geometry: Geometry) -> Location {
        geometry.unpack(self.place >> Self::BITS)
    }

    /// As the memory says it. A forget hides what expired by its own expiry: that is the expiry of
    /// what was forgotten, and what it replaced had expired before.
    pub(super) fn remembered(self) -> Option<LateEntry> {
        let seconds = u32::try_from(self.place >> Self::BITS).ok()?;
        match self.is_forget() {
            true => Some(LateEntry::mark(self.hash, seconds)),
            false => LateEntry::expired(self.hash, seconds),
        }
    }
}

const _: () = assert!(size_of::<Entry>() == 16);

/// How some shards are shared out to piles.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    shards: Range<usize>,
    /// A pile's shards are two to the power of this.
    shift: u32,
}

impl Plan {
    pub(super) fn of(shards: Range<usize>) -> Self {
        let a_pile = shards.len().div_ceil(PILES).max(1).next_power_of_two();
        Self { shards, shift: a_pile.trailing_zeros() }
    }

    pub(super) fn piles(&self) -> usize {
        self.shards.len().div_ceil(self.pile_len())
    }

    fn pile_len(&self) -> usize {
        1 << self.shift
    }

    pub(super) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The shards of a pile.
    pub(super) fn part(&self, pile: usize) -> Range<usize> {
        let begin = |pile: usize| (self.shards.start + (pile << self.shift)).min(self.shards.end);
        begin(pile)..begin(pile + 1)
    }

    /// The number of a hash's pile, if its shard is one of these.
    #[inline]
    pub(super) fn pile_of(&self, hash: KeyHash) -> Option<usize> {
        let number = hash.shard().wrapping_sub(self.shards.start);
        (number < self.shards.len()).then_some(number >> self.shift)
    }
}

/// So many entries of a pile lie side by side.
const BLOCK: usize = 128;

/// What one thread gathered. All piles are in blocks of one allocation: as large as it is in a
/// large store it goes back to the system when it is dropped, where hundreds of smaller ones would
/// stay with the allocator, between the shards that were made meanwhile.
#[derive(Debug, Default)]
pub(super) struct Piles {
    entries: Vec<Entry>,
    piles: Vec<Pile>,
}

/// Where one pile's entries are.
#[derive(Debug, Clone, Default)]
struct Pile {
    /// Where its blocks begin.
    blocks: Vec<usize>,
    /// The last block's places that are free.
    free: Range<usize>,
}

impl Piles {
    /// Forgets all entries, and makes room for about so many.
    pub(super) fn begin(&mut self, piles: usize, entries: usize) {
        self.entries.clear();
        self.entries.reserve(entries + piles.min(entries) * BLOCK);
        self.piles.clear();
        self.piles.resize(piles, Pile::default());
    }

    /// A pile's entries, in several slices.
    pub(super) fn get(&self, pile: usize) -> impl Iterator<Item = &[Entry]> {
        self.piles.get(pile).into_iter().flat_map(move |pile| {
            let ends = |begin: usize| match begin + BLOCK == pile.free.end {
                true => pile.free.start,
                false => begin + BLOCK,
            };
            pile.blocks.iter().filter_map(move |begin| self.entries.get(*begin..ends(*begin)))
        })
    }

    #[inline]
    pub(super) fn add(&mut self, pile: usize, entry: Entry) {
        let Some(pile) = self.piles.get_mut(pile) else { return };
        if pile.free.is_empty() {
            let begin = self.entries.len();
            self.entries.resize(begin + BLOCK, Entry::NONE);
            pile.blocks.push(begin);
            pile.free = begin..begin + BLOCK;
        }
        if let Some(place) = pile.free.next().and_then(|at| self.entries.get_mut(at)) {
            *place = entry;
        }
    }
}

/// How many entries go to one place when they are dealt, about.
const ENTRIES_A_PLACE: usize = 3;

/// Puts entries in order, with memory that is used again.
#[derive(Debug, Default)]
pub(super) struct Sorter {
    /// Where the next entry of each place goes.
    next: Vec<u32>,
    sorted: Vec<Entry>,
}

impl Sorter {
    /// The entries of several slices, all of these shards, in order.
    pub(super) fn sort(&mut self, parts: &[&[Entry]], shards: Range<usize>) -> &[Entry] {
        let count: usize = parts.iter().map(|part| part.len()).sum();
        let bits = u64::BITS - SHARD_BITS;
        let first = (shards.start as u64).checked_shl(bits).unwrap_or(0);
        let last = ((shards.end as u64) << (bits - 1) << 1).wrapping_sub(1).wrapping_sub(first);
        let places = (count / ENTRIES_A_PLACE).max(1) as u64;
        // The fewest bits that leave no more places than are wanted.
        let shift = (u64::BITS - (last / places).leading_zeros()).min(u64::BITS - 1);
        let place_of = |entry: &Entry| ((entry.hash.0 - first) >> shift) as usize;
        let places = (last >> shift) as usize + 1;
        self.next.clear();
        self.next.resize(places + 1, 0);
        for entry in parts.iter().copied().flatten() {
            if let Some(count) = self.next.get_mut(place_of(entry) + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for next in &mut self.next {
            sum += *next;
            *next = sum;
        }
        self.sorted.clear();
        self.sorted.resize(count, Entry::NONE);
        for entry in parts.iter().copied().flatten() {
            let Some(next) = self.next.get_mut(place_of(entry)) else { continue };
            if let Some(place) = self.sorted.get_mut(*next as usize) {
                *place = *entry;
            }
            *next += 1;
        }
        // Each place ends now where the next one began.
        let mut rest = self.sorted.as_mut_slice();
        let mut begin = 0;
        for end in self.next.iter().take(places).map(|end| *end as usize) {
            let Some((own, others)) = rest.split_at_mut_checked(end - begin) else { break };
            own.sort_unstable();
            (rest, begin) = (others, end);
        }
        &self.sorted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::SHARDS;

    fn entry(hash: u64, seconds: u32) -> Entry {
        Entry::expired(KeyHash(hash), false, seconds)
    }

    proptest! {
        #[test]
        fn what_is_gathered_comes_out_in_order_and_whole(
            hashes in prop::collection::vec((any::<u64>(), 0..9_u32), 0..3000),
            // Few bits make shards with many entries, and shards with none.
            bits in 1..=64_u32,
            rounds in 1..9_usize,
            threads in 1..4_usize,
        ) {
            let mask = u64::MAX << (64 - bits);
            let all: Vec<Entry> = hashes.iter().map(|(hash, s)| entry(hash & mask, *s)).collect();
            let mut sorter = Sorter::default();
            let mut found = Vec::new();
            for round in 0..rounds {
                let plan = Plan::of(round * SHARDS / rounds..(round + 1) * SHARDS / rounds);
                let mut gathered: Vec<Piles> = (0..threads).map(|_| Piles::default()).collect();
                gathered.iter_mut().for_each(|own| own.begin(plan.piles(), 2));
                for (number, entry) in all.iter().enumerate() {
                    if let Some(pile) = plan.pile_of(entry.hash) {
                        gathered[number % threads].add(pile, *entry);
                    }
                }
                for pile in 0..plan.piles() {
                    let parts = gathered.iter().flat_map(|own| own.get(pile));
                    let parts: Vec<&[Entry]> = parts.collect();
                    let part = plan.part(pile);
                    let sorted = sorter.sort(&parts, part.clone());
                    prop_assert!(sorted.iter().all(|entry| part.contains(&entry.hash.shard())));
                    found.extend_from_slice(sorted);
                }
            }
            let mut expected = all;
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn piles_cover_every_shard_once() {
        for shards in [0..SHARDS, 0..1, 4095..4096, 1234..2345, 7..8 + PILES] {
            let plan = Plan::of(shards.clone());
            assert!(plan.piles() <= PILES);
            let all: Vec<usize> = (0..plan.piles()).flat_map(|pile| plan.part(pile)).collect();
            assert_eq!(all, shards.clone().collect::<Vec<_>>());
            for shard in 0..SHARDS {
                let hash = KeyHash((shard as u64) << (u64::BITS - SHARD_BITS));
                let pile = plan.pile_of(hash);
                assert_eq!(pile.is_some(), shards.contains(&shard));
                assert!(pile.is_none_or(|pile| plan.part(pile).contains(&shard)));
            }
        }
    }
}
