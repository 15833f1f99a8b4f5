//! One shard of the index: a sorted table of 64-bit slots.
//!
//! A slot is 28 hash bits (the tag) and a packed location; with the 12 bits of the shard's number,
//! 40 bits of the hash are known. A tag's *home* is its place in proportion, and slots are kept in
//! the order of their tags (linear probing that preserves order), so a lookup reads one run of
//! memory, ends early where there is nothing, and growing spreads the slots in order, in place, and
//! reads no keys.
//!
//! Invariants: tags never fall from one slot to the next; between a tag's home and its slot no slot
//! is empty. A slot is never zero when it is taken, since no record lies in a segment's header. The
//! sieve lets every tag pass that is there.
//!
//! Every change names the location it expects (compare-and-swap): two writers never undo one
//! another.

mod sweep;

use super::SHARD_BITS;
use super::location::{Geometry, LOCATION_BITS, Location};
use super::sieve::Sieve;
use super::slots::{EMPTY, Slots};
use crate::ids::{KeyHash, Slot};
use crate::reached;
use crate::sabotage::{self, Bug};

const TAG_BITS: u32 = 64 - LOCATION_BITS;
const LOCATION_MASK: u64 = (1 << LOCATION_BITS) - 1;

/// The table grows when more than this share of its homes is taken, in percent.
const FULL_PERCENT: usize = 90;
/// What a table begins with.
const FIRST_HOMES: usize = 8;
/// The share of its homes that is taken in a table made at once, in percent: the middle of what it
/// is in one that grew.
const MADE_PERCENT: usize = 85;

#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct IndexShard {
    /// Thirty-two bits are enough: all shards together have 2^36 places to point to.
    homes: u32,
    taken: u32,
    sieve: Sieve,
    /// The homes, and after them whatever the last of them ran over.
    slots: Slots,
    /// Tags that were removed since the sieve was made.
    removed: u32,
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
    /// Of these bytes at its beginning a look at what is not there has need.
    pub(crate) const LEAD_BYTES: usize = 8 + size_of::<Sieve>();

    /// Where a record of this hash may be.
    pub(crate) fn candidates(&self, geometry: Geometry, hash: KeyHash) -> Candidates {
        let mut found = Candidates::default();
        let tag = tag(hash);
        let home = self.home(tag);
        if !self.sieve.may_pass(home, tag) {
            return found;
        }
        let least = tag << LOCATION_BITS;
        for run in self.slots.runs(home) {
            for slot in run {
                if *slot == EMPTY {
                    return found;
                }
                if *slot < least {
                    continue;
                }
                if tag_of(*slot) != tag {
                    return found;
                }
                found.push(geometry.unpack(slot & LOCATION_MASK));
            }
        }
        found
    }

    /// Adds a location; the caller knows that it is not there yet.
    pub(crate) fn insert(&mut self, geometry: Geometry, hash: KeyHash, location: Location) {
        if (self.len() + 1) * 100 > self.homes() * FULL_PERCENT {
            self.grow();
        }
        self.taken += 1;
        let slot = slot(geometry, hash, location);
        let mut at = self.home(tag(hash));
        self.sieve.mark(at, tag(hash));
        while self.slots.get(at) != EMPTY && tag_of(self.slots.get(at)) <= tag(hash) {
            at += 1;
        }
        // Everything from here to the next empty slot moves on by one.
        let mut carried = slot;
        while carried != EMPTY {
            if at == self.slots.len() {
                self.slots.resize(at + room(self.homes()));
            }
            carried = self.slots.replace(at, carried);
            at += 1;
        }
    }

    /// A shard of these records, made at once: what inserting them one by one would hold. They are
    /// in the order of their hashes.
    pub(crate) fn made_of(records: &[(KeyHash, Location)], geometry: Geometry) -> Self {
        debug_assert!(records.is_sorted_by_key(|(hash, _)| tag(*hash)), "not in order");
        if records.is_empty() {
            return Self::default();
        }
        let homes = (records.len() * 100).div_ceil(MADE_PERCENT).max(FIRST_HOMES);
        let mut shard = Self { homes: homes as u32, ..Self::default() };
        let tags = records.iter().map(|(hash, _)| tag(*hash));
        shard.slots.resize(shard.needed(tags));
        shard.lay_out(records.iter().map(|(hash, location)| slot(geometry, *hash, *location)));
        shard
    }

    /// Moves a record, if it is still where the caller believes it to be.
    pub(crate) fn replace(
        &mut self,
        geometry: Geometry,
        hash: KeyHash,
        old: Location,
        new: Location,
    ) -> bool {
        let new = slot(geometry, hash, new);
        let found = self.find(geometry, hash, old);
        match found.and_then(|at| self.slots.get_mut(at)) {
            Some(place) => {
                *place = new;
                true
            }
            None => false,
        }
    }

    /// Removes a record, if it is still where the caller believes it to be.
    pub(crate) fn remove(&mut self, geometry: Geometry, hash: KeyHash, location: Location) -> bool {
        let Some(mut at) = self.find(geometry, hash, location) else { return false };
        // What follows moves back by one, up to a slot that is empty or at home.
        loop {
            let next = self.slots.get(at + 1);
            let stays = next == EMPTY || self.home(tag_of(next)) > at;
            self.slots.replace(at, if stays { EMPTY } else { next });
            if stays {
                break;
            }
            at += 1;
        }
        self.note_removed(1);
        true
    }

    /// Counts tags that were removed; with many of them the sieve is made anew.
    fn note_removed(&mut self, count: u32) {
        self.taken -= count;
        self.removed += count;
        if self.removed as usize * 2 > self.homes() {
            self.make_sieve();
        }
    }

    /// Whether a record is where the caller believes it to be.
    pub(crate) fn holds(&self, geometry: Geometry, hash: KeyHash, location: Location) -> bool {
        self.find(geometry, hash, location).is_some()
    }

    /// Removes every record in a segment file; returns how many there were.
    pub(crate) fn remove_slot(&mut self, geometry: Geometry, slot: Slot) -> usize {
        let kept: Vec<u64> = self
            .taken_slots()
            .filter(|entry| geometry.unpack(entry & LOCATION_MASK).slot != slot)
            .collect();
        let removed = self.len() - kept.len();
        let len = self.slots.len();
        self.slots.resize(0);
        self.slots.resize(len);
        self.lay_out(kept.into_iter());
        removed
    }

    pub(crate) fn len(&self) -> usize {
        self.taken as usize
    }

    /// The locations of all records, for walks over everything.
    pub(crate) fn locations(&self, geometry: Geometry) -> Vec<Location> {
        self.taken_slots().map(|slot| geometry.unpack(slot & LOCATION_MASK)).collect()
    }

    /// Bytes of memory the table takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.slots.memory_bytes() + self.sieve.memory_bytes()
    }

    /// A tag's place in proportion.
    fn home(&self, tag: u64) -> usize {
        home(tag, self.homes)
    }

    fn homes(&self) -> usize {
        self.homes as usize
    }

    fn taken_slots(&self) -> impl Iterator<Item = u64> + '_ {
        self.slots.iter().filter(|slot| *slot != EMPTY)
    }

    /// The slots with this tag, and where they are.
    fn equal(&self, tag: u64) -> impl Iterator<Item = (usize, u64)> + '_ {
        (self.home(tag)..)
            .map(|at| (at, self.slots.get(at)))
            .take_while(move |(_, slot)| *slot != EMPTY && tag_of(*slot) <= tag)
            .filter(move |(_, slot)| tag_of(*slot) == tag)
    }

    fn find(&self, geometry: Geometry, hash: KeyHash, location: Location) -> Option<usize> {
        let wanted = slot(geometry, hash, location);
        self.equal(tag(hash)).find(|(_, slot)| *slot == wanted).map(|(at, _)| at)
    }

    /// Makes the table an eighth larger: on average about 85 percent is taken. In place: the slots
    /// move to the end, and from there to where they belong, which is never behind the next.
    fn grow(&mut self) {
        if self.taken > 0 {
            reached::note("the index: a shard grows");
        }
        self.homes += (self.homes / 8).max(FIRST_HOMES as u32);
        let old_len = self.slots.len();
        let len = self.needed(self.taken_slots().map(tag_of));
        self.slots.resize(len);
        let mut first = len;
        for at in (0..old_len).rev() {
            let slot = self.slots.replace(at, EMPTY);
            if slot != EMPTY {
                first -= 1;
                self.slots.replace(first, slot);
            }
        }
        self.sieve.clear(self.homes());
        self.removed = 0;
        let mut next = 0;
        for at in first..len {
            let slot = self.slots.replace(at, EMPTY);
            if at + 1 == len && at > first && sabotage::is_on(Bug::LostInGrowth) {
                self.taken -= 1;
                break;
            }
            let home = self.home(tag_of(slot));
            self.sieve.mark(home, tag_of(slot));
            let place = home.max(next);
            self.slots.replace(place, slot);
            next = place + 1;
        }
    }

    /// Makes the sieve of what is there now.
    fn make_sieve(&mut self) {
        self.sieve.clear(self.homes());
        self.removed = 0;
        let Self { sieve, slots, homes, .. } = self;
        for slot in slots.iter().filter(|slot| *slot != EMPTY) {
            sieve.mark(home(tag_of(slot), *homes), tag_of(slot));
        }
    }

    /// How long the table must be for slots of these tags, which are in order, with a little room
    /// for the last homes to run over.
    fn needed(&self, tags: impl Iterator<Item = u64>) -> usize {
        let end = tags.fold(0, |next, tag| self.home(tag).max(next) + 1);
        end.max(self.homes()) + room(self.homes())
    }

    /// Lays slots, which are in order, out over an empty table that is long enough.
    fn lay_out(&mut self, slots: impl Iterator<Item = u64>) {
        self.taken = 0;
        let mut next = 0;
        for slot in slots {
            let place = self.home(tag_of(slot)).max(next);
            self.slots.replace(place, slot);
            next = place + 1;
            self.taken += 1;
        }
        self.make_sieve();
    }
}

/// A tag's place in proportion, of so many.
const fn home(tag: u64, homes: u32) -> usize {
    ((tag * homes as u64) >> TAG_BITS) as usize
}

/// By how much a table whose last homes run over gets longer.
const fn room(homes: usize) -> usize {
    homes / 128 + 4
}

const fn tag(hash: KeyHash) -> u64 {
    (hash.0 << SHARD_BITS) >> (64 - TAG_BITS)
}

const fn tag_of(slot: u64) -> u64 {
    slot >> LOCATION_BITS
}

const fn slot(geometry: Geometry, hash: KeyHash, location: Location) -> u64 {
    (tag(hash) << LOCATION_BITS) | geometry.pack(location)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    pub(super) const GEOMETRY: Geometry = Geometry::new(1 << 20);

    pub(super) fn at(slot: u32, offset: u32) -> Location {
        Location { slot: Slot(slot), offset }
    }

    /// A hash of this tag.
    pub(super) fn hash(tag: u64) -> KeyHash {
        KeyHash(tag << (64 - SHARD_BITS - TAG_BITS))
    }

    /// Checks the invariants of the module's header.
    pub(super) fn check(shard: &IndexShard) {
        let taken: Vec<u64> = shard.taken_slots().collect();
        assert_eq!(taken.len(), shard.len());
        assert!(taken.is_sorted_by_key(|slot| tag_of(*slot)));
        for (place, slot) in shard.slots.iter().enumerate().filter(|(_, slot)| *slot != EMPTY) {
            let home = shard.home(tag_of(slot));
            assert!(home <= place);
            assert!((home..place).all(|at| shard.slots.get(at) != EMPTY));
            assert!(shard.sieve.may_pass(home, tag_of(slot)));
        }
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
    fn growth_loses_nothing_and_memory_follows_the_keys() {
        let mut shard = IndexShard::default();
        let spread = |i: u64| hash(i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - TAG_BITS));
        for i in 0..100_000 {
            shard.insert(GEOMETRY, spread(i), at(i as u32 % 1000, 4096 + 16 * (i as u32 / 1000)));
        }
        check(&shard);
        for i in 0..100_000 {
            let location = at(i as u32 % 1000, 4096 + 16 * (i as u32 / 1000));
            assert!(shard.holds(GEOMETRY, spread(i), location));
        }
    }

    #[test]
    fn p10_a_large_table_never_takes_more_than_eleven_bytes_a_key() {
        let mut shard = IndexShard::default();
        for i in 0..40_000_u64 {
            let tag = i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - TAG_BITS);
            shard.insert(GEOMETRY, hash(tag), at(i as u32 % 1000, 4096 + 16 * (i as u32 / 1000)));
            let limit = 11 * shard.len();
            assert!(i < 10_000 || shard.memory_bytes() <= limit, "{i}: {}", shard.memory_bytes());
        }
    }

    /// How many of a hundred absent tags the sieve lets pass.
    fn percent_passed(shard: &IndexShard) -> usize {
        let absent = (0..20_000_u64).map(|i| i.wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 36);
        let passed = absent.filter(|tag| shard.sieve.may_pass(shard.home(*tag), *tag)).count();
        passed / 200
    }

    #[test]
    fn most_absent_keys_are_known_from_the_sieve_alone_also_where_keys_come_and_go() {
        let mut shard = IndexShard::default();
        let record = |i: u64| {
            let tag = i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - TAG_BITS);
            (hash(tag), at(i as u32 % 1000, 4096 + 16 * (i as u32 / 1000)))
        };
        for i in 0..60_000_u64 {
            let (hash, location) = record(i);
            shard.insert(GEOMETRY, hash, location);
            if let Some(old) = i.checked_sub(5000) {
                let (hash, location) = record(old);
                assert!(shard.remove(GEOMETRY, hash, location));
            }
            if i % 1000 == 999 {
                assert!(percent_passed(&shard) <= 30, "{i}: {}", percent_passed(&shard));
            }
        }
        check(&shard);
    }

    proptest! {
        #[test]
        fn made_at_once_it_is_as_if_inserted(
            records in proptest::collection::vec((any_tag(), 0..10_000_u32), 0..3000),
            more in proptest::collection::vec((any_tag(), 10_000..10_100_u32), 0..50),
        ) {
            let of = |(tag, place): (u64, u32)| (hash(tag), at(place % 3, 4096 + 16 * place));
            let unique: HashSet<_> = records.into_iter().map(of).collect();
            let mut records: Vec<_> = unique.into_iter().collect();
            records.sort_unstable();
            let (mut made, mut grown) =
                (IndexShard::made_of(&records, GEOMETRY), IndexShard::default());
            for (hash, location) in &records {
                grown.insert(GEOMETRY, *hash, *location);
            }
            // It goes on as any other: with insertions, and with removals.
            let more: HashSet<_> = more.into_iter().map(of).collect();
            for (hash, location) in &more {
                check(&made);
                made.insert(GEOMETRY, *hash, *location);
                grown.insert(GEOMETRY, *hash, *location);
            }
            for (hash, location) in records.iter().step_by(3) {
                prop_assert!(made.remove(GEOMETRY, *hash, *location));
                prop_assert!(grown.remove(GEOMETRY, *hash, *location));
            }
            check(&made);
            check(&grown);
            let sorted = |shard: &IndexShard| {
                let mut all: Vec<u64> = shard.taken_slots().collect();
                all.sort_unstable();
                all
            };
            prop_assert_eq!(sorted(&made), sorted(&grown));
            prop_assert_eq!(made.len(), grown.len());
        }
    }

    /// Tags from everywhere, and many of few.
    pub(super) fn any_tag() -> impl Strategy<Value = u64> + Clone {
        prop_oneof![0..1_u64 << TAG_BITS, 0..4_u64, (1_u64 << 28) - 4..(1 << 28)]
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u64, u32),
        Remove(u64, u32),
        Move(u64, u32, u32),
        Sweep(Vec<(u64, u32)>),
        DropSegment(u32),
    }

    /// Few tags, at both ends and in the middle, so that they collide and run over the end.
    fn step() -> impl Strategy<Value = Step> {
        let tag = prop_oneof![0..4_u64, (1_u64 << 27)..(1 << 27) + 4, (1_u64 << 28) - 4..(1 << 28)];
        let place = 0..12_u32;
        prop_oneof![
            4 => (tag.clone(), place.clone()).prop_map(|(tag, place)| Step::Insert(tag, place)),
            3 => (tag.clone(), place.clone()).prop_map(|(tag, place)| Step::Remove(tag, place)),
            1 => proptest::collection::vec((tag.clone(), place.clone()), 0..8)
                .prop_map(Step::Sweep),
            1 => (tag, place.clone(), place).prop_map(|(tag, from, to)| Step::Move(tag, from, to)),
            1 => (0..3u32).prop_map(Step::DropSegment),
        ]
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(steps in proptest::collection::vec(step(), 0..200)) {
            let mut shard = IndexShard::default();
            let mut model: HashSet<(u64, u32)> = HashSet::new();
            let location = |place: u32| at(place % 3, 4096 + 16 * place);
            for step in steps {
                match step {
                    Step::Insert(tag, place) => if model.insert((tag, place)) {
                        shard.insert(GEOMETRY, hash(tag), location(place));
                    },
                    Step::Remove(tag, place) => prop_assert_eq!(
                        shard.remove(GEOMETRY, hash(tag), location(place)),
                        model.remove(&(tag, place))
                    ),
                    Step::Move(tag, from, to) => if !model.contains(&(tag, to)) {
                        let (old, new) = (location(from), location(to));
                        let moved = shard.replace(GEOMETRY, hash(tag), old, new);
                        prop_assert_eq!(moved, model.remove(&(tag, from)));
                        if moved { model.insert((tag, to)); }
                    },
                    Step::Sweep(mut places) => {
                        places.sort_unstable();
                        let doomed: Vec<_> = places
                            .iter()
                            .map(|(tag, place)| (hash(*tag), location(*place)))
                            .collect();
                        let mut gone = Vec::new();
                        shard.remove_all(GEOMETRY, &doomed, |number| gone.push(places[number]));
                        for one in gone {
                            prop_assert!(model.remove(&one), "it was there, once");
                        }
                        prop_assert!(places.iter().all(|one| !model.contains(one)));
                    }
                    Step::DropSegment(slot) => {
                        let before = model.len();
                        model.retain(|(_, place)| place % 3 != slot);
                        let removed = shard.remove_slot(GEOMETRY, Slot(slot));
                        prop_assert_eq!(removed, before - model.len());
                    }
                }
                check(&shard);
                prop_assert_eq!(shard.len(), model.len());
                for (tag, place) in &model {
                    prop_assert!(shard.holds(GEOMETRY, hash(*tag), location(*place)));
                }
            }
        }
    }
}
