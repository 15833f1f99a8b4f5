//! Frames of records that were read more than once, kept in memory.
//!
//! A frame is kept by its spot: the life of its segment, and its place there. The bytes of a spot
//! never change, and no life's number is given twice: whatever is moved, dropped or recycled, a
//! spot that is asked for has either its own bytes here or none. Whether a spot is still a key's is
//! for the index to say, and whoever asks has just asked it.
//!
//! Invariants: frames, tables and what is remembered of spots that were read once take no more than
//! the bytes that the cache was made for. A frame comes in at the second reading of its spot, since
//! most records are never replayed and most others once. What was not asked for since the hand last
//! came by goes first (the clock algorithm).
//!
//! Left to others: the frame's checksum, which was right when it was read; expiry; whose it is.

use hashbrown::HashTable;

use super::lookup::Spot;
use crate::ids::SegmentId;
use crate::log::GRANULE;
use crate::sabotage::{self, Bug};
use crate::sync::Mutex;

/// Parts with a lock each are at most so many, and not smaller than this.
const MAX_PARTS: usize = 64;
const MIN_PART_BYTES: usize = 1 << 20;
/// A longer frame is read from its file each time: copying it takes longer than the call.
const LONGEST_FRAME_BYTES: usize = 16 << 10;
/// What a frame unpacks to may be so long: the part's lock is held while it does.
const LONGEST_RESPONSE_BYTES: usize = 64 << 10;
/// The share of a part that one frame may take.
const LARGEST_SHARE: usize = 8;
/// What an allocation takes beside its bytes.
const ALLOCATION_BYTES: usize = 16;
/// Of this many bytes of a part one remembers spots that were read once: two spots to each small
/// record that fits.
const MEMORY_SHARE: usize = 64;
/// How many frames the hand spares before it takes one that was asked for, so that no reader has to
/// go all the way round.
const SPARED_AT_MOST: usize = 64;

/// All parts; a spot's hash says which is its own.
#[derive(Debug)]
pub(crate) struct RecordCache {
    parts: Box<[Mutex<Part>]>,
}

/// What a cache holds and has answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CacheCounts {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

#[derive(Debug)]
struct Part {
    budget_bytes: usize,
    /// Places in `kept`, by the hash of their spots.
    places: HashTable<u32>,
    kept: Vec<Kept>,
    /// Bytes of the frames, and of their allocations.
    frame_bytes: usize,
    /// Where the hand is.
    hand: usize,
    once: ReadOnce,
    hits: u64,
    misses: u64,
}

#[derive(Debug)]
struct Kept {
    spot: Spot,
    frame: Box<[u8]>,
    /// Whether it was asked for since the hand last came by.
    asked: bool,
}

/// Spots that were read once of late, as 16 bits of their hashes. One that is taken for another
/// comes in a reading too early, which costs nothing but room.
#[derive(Debug, Default)]
struct ReadOnce {
    /// The newest of a set is its first. Made when it is first needed.
    sets: Vec<[u16; 8]>,
}

impl RecordCache {
    /// A cache of at most so many bytes; of none, one that keeps nothing.
    pub(crate) fn new(budget_bytes: usize) -> Self {
        let count = (budget_bytes / MIN_PART_BYTES).clamp(1, MAX_PARTS);
        let count = if budget_bytes == 0 { 0 } else { count };
        let part = |_| Mutex::new(Part::new(budget_bytes / count));
        Self { parts: (0..count).map(part).collect() }
    }

    /// Hands the frame of a spot to `take`, if it is here. The part's lock is held meanwhile.
    pub(crate) fn get<T>(&self, spot: Spot, take: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let spot = of_its_life(spot);
        let hash = hash(spot);
        self.part(hash)?.lock().get(hash, spot).map(take)
    }

    /// A frame was read whose spot was not here: it comes in if that was not the first time.
    pub(crate) fn offer(&self, spot: Spot, frame: &[u8], response_bytes: usize) {
        if response_bytes > LONGEST_RESPONSE_BYTES {
            return;
        }
        let spot = of_its_life(spot);
        let hash = hash(spot);
        if let Some(part) = self.part(hash) {
            part.lock().offer(hash, spot, frame);
        }
    }

    /// Gives back the memory of segments that nobody will ask for any more. A reader that still
    /// holds one may bring a frame in again, which the hand takes in its turn.
    pub(crate) fn drop_segments(&self, segments: &[SegmentId]) {
        for part in &self.parts {
            part.lock().drop_segments(segments);
        }
    }

    pub(crate) fn counts(&self) -> CacheCounts {
        let mut counts = CacheCounts::default();
        for part in &self.parts {
            let part = part.lock();
            counts.hits += part.hits;
            counts.misses += part.misses;
            counts.records += part.kept.len() as u64;
            counts.bytes += part.bytes() as u64;
        }
        counts
    }

    fn part(&self, hash: u64) -> Option<&Mutex<Part>> {
        // In proportion to bits that neither the table nor the sets go by.
        let bits = (hash >> 24) & 0xffff;
        self.parts.get((bits as usize * self.parts.len()) >> 16)
    }
}

/// The spot itself, but for the deliberate bug that takes one life of a file for another.
fn of_its_life(spot: Spot) -> Spot {
    let confused = sabotage::is_on(Bug::OldSegment);
    if confused { Spot { segment: SegmentId(0), ..spot } } else { spot }
}

/// As good as random: a life's number and the granule in it, mixed.
const fn hash(spot: Spot) -> u64 {
    let granule = spot.location.offset as u64 / GRANULE as u64;
    let mut mixed = (spot.segment.0 << 28) ^ granule ^ ((spot.location.slot.0 as u64) << 48);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// What a kept frame takes beside the tables.
const fn cost(frame: &[u8]) -> usize {
    frame.len() + ALLOCATION_BYTES
}

impl Part {
    fn new(budget_bytes: usize) -> Self {
        Self {
            budget_bytes,
            places: HashTable::new(),
            kept: Vec::new(),
            frame_bytes: 0,
            hand: 0,
            once: ReadOnce::default(),
            hits: 0,
            misses: 0,
        }
    }

    /// All memory that the part takes.
    fn bytes(&self) -> usize {
        self.frame_bytes
            + self.kept.capacity() * size_of::<Kept>()
            + self.places.allocation_size()
            + self.once.bytes()
    }

    fn get(&mut self, hash: u64, spot: Spot) -> Option<&[u8]> {
        let Self { places, kept, .. } = self;
        let is_it = |at: &u32| kept.get(*at as usize).is_some_and(|kept| kept.spot == spot);
        let Some(at) = places.find(hash, is_it).copied() else {
            self.misses += 1;
            return None;
        };
        self.hits += 1;
        let found = kept.get_mut(at as usize)?;
        // Without this the line would be written to at every hit.
        if !found.asked {
            found.asked = true;
        }
        Some(&found.frame)
    }

    fn offer(&mut self, hash: u64, spot: Spot, frame: &[u8]) {
        let longest = LONGEST_FRAME_BYTES.min(self.budget_bytes / LARGEST_SHARE);
        if frame.len() > longest || !self.once.is_second(hash, self.budget_bytes / MEMORY_SHARE) {
            return;
        }
        let is_it = |at: &u32| self.kept.get(*at as usize).is_some_and(|kept| kept.spot == spot);
        // Two readers may have missed it at one time.
        if self.places.find(hash, is_it).is_some() || !self.make_room(cost(frame)) {
            return;
        }
        let at = self.kept.len() as u32;
        self.kept.push(Kept { spot, frame: frame.into(), asked: true });
        let Self { places, kept, .. } = self;
        places.insert_unique(hash, at, |at| hash_at(kept, *at));
        self.frame_bytes += cost(frame);
        debug_assert!(self.bytes() <= self.budget_bytes, "more than the cache may take");
    }

    /// Makes room for a frame and its entries in the tables, which may have to grow for it.
    fn make_room(&mut self, frame_bytes: usize) -> bool {
        let mut spared = 0;
        loop {
            let need = frame_bytes + self.growth_bytes();
            if self.bytes() + need <= self.budget_bytes {
                break;
            }
            if self.kept.is_empty() {
                return false;
            }
            self.advance(&mut spared);
        }
        if self.kept.len() == self.kept.capacity() {
            self.kept.reserve_exact(more_entries(self.kept.len()));
        }
        true
    }

    /// What the tables take more if one more frame comes in.
    fn growth_bytes(&self) -> usize {
        let len = self.kept.len();
        let grows = len == self.kept.capacity();
        let entries = if grows { more_entries(len) * size_of::<Kept>() } else { 0 };
        // It doubles where it is full of frames, and not only of what frames have left behind.
        let is_full = self.places.len() == self.places.capacity();
        let doubles = is_full && len + 1 > self.places.num_buckets() * 7 / 16;
        let places = if doubles { self.places.allocation_size().max(64) + 64 } else { 0 };
        entries + places
    }

    /// Moves the hand by one frame, which it takes or spares.
    fn advance(&mut self, spared: &mut usize) {
        if self.hand >= self.kept.len() {
            self.hand = 0;
        }
        let Some(kept) = self.kept.get_mut(self.hand) else { return };
        if kept.asked && *spared < SPARED_AT_MOST {
            kept.asked = false;
            *spared += 1;
        } else {
            self.remove(self.hand);
        }
        self.hand += 1;
    }

    /// Removes the frame at a place, which the last one takes.
    fn remove(&mut self, at: usize) {
        if at >= self.kept.len() {
            return;
        }
        let last = self.kept.len() - 1;
        self.unlist(at);
        if at != last {
            let moved = hash_at(&self.kept, last as u32);
            if let Some(place) = self.places.find_mut(moved, |place| *place as usize == last) {
                *place = at as u32;
            }
        }
        let gone = self.kept.swap_remove(at);
        self.frame_bytes -= cost(&gone.frame);
    }

    fn unlist(&mut self, at: usize) {
        let hash = hash_at(&self.kept, at as u32);
        if let Ok(entry) = self.places.find_entry(hash, |place| *place as usize == at) {
            entry.remove();
        }
    }

    fn drop_segments(&mut self, segments: &[SegmentId]) {
        let mut at = 0;
        while let Some(kept) = self.kept.get(at) {
            if segments.contains(&kept.spot.segment) {
                self.remove(at);
            } else {
                at += 1;
            }
        }
    }
}

/// The hash of the frame at a place.
fn hash_at(kept: &[Kept], at: u32) -> u64 {
    kept.get(at as usize).map_or(0, |kept| hash(kept.spot))
}

/// How many entries a full row of them grows by.
const fn more_entries(len: usize) -> usize {
    len / 4 + 4
}

impl ReadOnce {
    /// Whether a spot was read before, of late; if not, it is remembered from now on. `bytes` are
    /// what the memory may take.
    fn is_second(&mut self, hash: u64, bytes: usize) -> bool {
        if self.sets.is_empty() {
            self.sets = vec![[0; 8]; bytes / size_of::<[u16; 8]>()];
        }
        let number = ((hash & 0xff_ffff) as usize * self.sets.len()) >> 24;
        let Some(set) = self.sets.get_mut(number) else { return false };
        // Zero is what nothing is remembered as.
        let tag = (hash >> 48) as u16 | 1;
        if let Some(found) = set.iter_mut().find(|known| **known == tag) {
            *found = 0;
            return true;
        }
        set.rotate_right(1);
        if let Some(newest) = set.first_mut() {
            *newest = tag;
        }
        false
    }

    fn bytes(&self) -> usize {
        self.sets.capacity() * size_of::<[u16; 8]>()
    }
}

#[cfg(test)]
mod tests;
