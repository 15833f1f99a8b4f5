//! One shard of the index: a table of 64-bit entries.
//!
//! An entry is 28 hash bits and a packed location; with the 12 bits of the shard's number, 40 bits
//! of the hash are known. An entry's place in the table follows from the entry itself, so growing
//! reads no keys. Every change names the location it expects (compare-and-swap): two writers never
//! undo one another.

use hashbrown::HashTable;

use super::SHARD_BITS;
use super::location::{Geometry, LOCATION_BITS, Location};
use crate::ids::{KeyHash, Slot};

const TAG_BITS: u32 = 64 - LOCATION_BITS;
const LOCATION_MASK: u64 = (1 << LOCATION_BITS) - 1;

#[derive(Debug, Default)]
pub(crate) struct IndexShard {
    entries: HashTable<u64>,
}

/// The locations that may hold a key's record: none or one as a rule, more where hash bits are
/// shared.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Candidates {
    first: Option<Location>,
    more: Vec<Location>,
}

impl Candidates {
    pub(crate) fn iter(&self) -> impl Iterator<Item = Location> + '_ {
        self.first.into_iter().chain(self.more.iter().copied())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    fn push(&mut self, location: Location) {
        if self.first.is_none() {
            self.first = Some(location);
        } else {
            self.more.push(location);
        }
    }
}

impl IndexShard {
    /// Where a record of this hash may be.
    pub(crate) fn candidates(&self, geometry: Geometry, hash: KeyHash) -> Candidates {
        let mut found = Candidates::default();
        let tag = tag(hash);
        for entry in self.entries.iter_hash(spread(tag)) {
            if entry >> LOCATION_BITS == tag {
                found.push(geometry.unpack(entry & LOCATION_MASK));
            }
        }
        found
    }

    /// Adds a location; the caller knows that it is not there yet.
    pub(crate) fn insert(&mut self, geometry: Geometry, hash: KeyHash, location: Location) {
        let entry = entry(geometry, hash, location);
        self.entries
            .insert_unique(spread(tag(hash)), entry, |entry| spread(entry >> LOCATION_BITS));
    }

    /// Moves a record, if it is still where the caller believes it to be.
    pub(crate) fn replace(
        &mut self,
        geometry: Geometry,
        hash: KeyHash,
        old: Location,
        new: Location,
    ) -> bool {
        let (old, new) = (entry(geometry, hash, old), entry(geometry, hash, new));
        match self.entries.find_mut(spread(tag(hash)), |entry| *entry == old) {
            Some(found) => {
                *found = new;
                true
            }
            None => false,
        }
    }

    /// Removes a record, if it is still where the caller believes it to be.
    pub(crate) fn remove(&mut self, geometry: Geometry, hash: KeyHash, location: Location) -> bool {
        let wanted = entry(geometry, hash, location);
        match self.entries.find_entry(spread(tag(hash)), |entry| *entry == wanted) {
            Ok(found) => {
                found.remove();
                true
            }
            Err(_) => false,
        }
    }

    /// Whether a record is where the caller believes it to be.
    pub(crate) fn holds(&self, geometry: Geometry, hash: KeyHash, location: Location) -> bool {
        let wanted = entry(geometry, hash, location);
        self.entries.find(spread(tag(hash)), |entry| *entry == wanted).is_some()
    }

    /// Removes every record in a segment file; returns how many there were.
    pub(crate) fn remove_slot(&mut self, geometry: Geometry, slot: Slot) -> usize {
        let before = self.entries.len();
        self.entries.retain(|entry| geometry.unpack(*entry & LOCATION_MASK).slot != slot);
        before - self.entries.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The locations of all records, for walks over everything.
    pub(crate) fn locations(&self, geometry: Geometry) -> Vec<Location> {
        self.entries.iter().map(|entry| geometry.unpack(entry & LOCATION_MASK)).collect()
    }

    /// Bytes of memory the table takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.entries.allocation_size()
    }
}

const fn tag(hash: KeyHash) -> u64 {
    (hash.0 << SHARD_BITS) >> (64 - TAG_BITS)
}

const fn entry(geometry: Geometry, hash: KeyHash, location: Location) -> u64 {
    (tag(hash) << LOCATION_BITS) | geometry.pack(location)
}

/// The table takes its control byte from the highest bits and its place from the lowest.
const fn spread(tag: u64) -> u64 {
    tag.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: Geometry = Geometry::new(1 << 20);

    fn at(slot: u32, offset: u32) -> Location {
        Location { slot: Slot(slot), offset }
    }

    #[test]
    fn equal_hash_bits_are_kept_apart() {
        let mut shard = IndexShard::default();
        let (one, other) = (KeyHash(0xabc0_0000_0123_4567), KeyHash(0xabc0_0000_0176_5432));
        assert_eq!(tag(one), tag(other));
        shard.insert(GEOMETRY, one, at(1, 4096));
        shard.insert(GEOMETRY, other, at(2, 4096));
        assert_eq!(shard.candidates(GEOMETRY, one).iter().count(), 2);
        assert!(shard.remove(GEOMETRY, one, at(1, 4096)));
        assert_eq!(shard.candidates(GEOMETRY, one).iter().collect::<Vec<_>>(), [at(2, 4096)]);
    }

    #[test]
    fn a_change_needs_the_location_it_expects() {
        let mut shard = IndexShard::default();
        let hash = KeyHash(77);
        shard.insert(GEOMETRY, hash, at(1, 4096));
        assert!(!shard.replace(GEOMETRY, hash, at(1, 8192), at(2, 4096)));
        assert!(shard.replace(GEOMETRY, hash, at(1, 4096), at(2, 4096)));
        assert!(!shard.remove(GEOMETRY, hash, at(1, 4096)));
        assert!(shard.holds(GEOMETRY, hash, at(2, 4096)));
    }

    #[test]
    fn growth_loses_nothing() {
        let mut shard = IndexShard::default();
        let hash = |i: u64| KeyHash(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        for i in 0..10_000 {
            shard.insert(GEOMETRY, hash(i), at(i as u32, 4096));
        }
        for i in 0..10_000 {
            assert!(shard.holds(GEOMETRY, hash(i), at(i as u32, 4096)));
        }
    }
}
