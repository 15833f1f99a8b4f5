//! One shard of the keys: what is in flight and what is completed, under one lock.
//!
//! This lock is the key's lock: every decision about a key is taken under it. No I/O happens while
//! it is held.

use std::ops::{Deref, DerefMut};

use hashbrown::HashTable;

use super::flight::Flight;
use super::lookup::Spot;
use crate::ids::{KeyHash, Token};
use crate::index::IndexShard;
use crate::late::Pending;
use crate::sync::Mutex;
use crate::types::{Key, Scope};

/// In this order, a look at a key that is not there touches what is before the counts of a
/// [`LockedShard`], and nothing behind it.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Shard {
    /// Boxed: the memory of the last flight that ended is warm, that of the table is not.
    flights: HashTable<Box<Flight>>,
    pub(crate) index: IndexShard,
    pub(crate) late: Pending,
    pub(crate) counts: Counts,
}

/// A shard behind its lock, laid out so that the lock, the flights and what leads to the index's
/// slots share one line of the processor's cache: a lookup meets a shard that it has not seen for
/// long, and each line costs it as much as all its arithmetic.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct LockedShard(Mutex<Shard>);

// Three lines. The first has room for the lock (8), the flights (32) and the index's lead (24).
const IS_REAL: bool = !cfg!(oncekey_shuttle);
const _: () = assert!(!IS_REAL || size_of::<LockedShard>() == 192);
const LEAD_END: usize = std::mem::offset_of!(Shard, index) + IndexShard::LEAD_BYTES;
const _: () = assert!(LEAD_END == 64 - 8);

impl LockedShard {
    #[cfg(test)]
    pub(crate) fn addresses(&self) -> (usize, usize) {
        let locked = self.0.lock();
        (std::ptr::from_ref(self) as usize, std::ptr::from_ref(&*locked) as usize)
    }
}

impl Deref for LockedShard {
    type Target = Mutex<Shard>;

    fn deref(&self) -> &Mutex<Shard> {
        &self.0
    }
}

impl DerefMut for LockedShard {
    fn deref_mut(&mut self) -> &mut Mutex<Shard> {
        &mut self.0
    }
}

/// What happens to every key is counted here: the lock is held anyway, and no other processor wants
/// the counter.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) claims: u64,
    pub(crate) completions: u64,
}

impl Shard {
    /// The flight of a key.
    pub(crate) fn flight(
        &mut self,
        hash: KeyHash,
        scope: &Scope,
        key: &Key,
    ) -> Option<&mut Flight> {
        if self.flights.is_empty() {
            return None;
        }
        self.flights
            .find_mut(hash.0, |flight| flight.is_for(scope, key))
            .map(|flight| &mut **flight)
    }

    /// The flight that holds a token: the caller's claim, if it is still the newest of its key.
    pub(crate) fn flight_of(&mut self, hash: KeyHash, token: Token) -> Option<&mut Flight> {
        self.flights.find_mut(hash.0, |flight| flight.token == token).map(|flight| &mut **flight)
    }

    /// The flight whose completion will replace the record at a spot.
    pub(crate) fn flight_replacing(&mut self, hash: KeyHash, spot: Spot) -> Option<&mut Flight> {
        self.flights
            .find_mut(hash.0, |flight| flight.replaces == Some(spot))
            .map(|flight| &mut **flight)
    }

    pub(crate) fn add(&mut self, flight: Box<Flight>) {
        self.flights.insert_unique(flight.hash.0, flight, |flight| flight.hash.0);
    }

    pub(crate) fn remove(&mut self, hash: KeyHash, token: Token) -> Option<Box<Flight>> {
        match self.flights.find_entry(hash.0, |flight| flight.token == token) {
            Ok(entry) => Some(entry.remove().0),
            Err(_) => None,
        }
    }

    pub(crate) fn flights(&self) -> impl Iterator<Item = &Flight> {
        self.flights.iter().map(|flight| &**flight)
    }

    pub(crate) fn flights_mut(&mut self) -> impl Iterator<Item = &mut Flight> {
        self.flights.iter_mut().map(|flight| &mut **flight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_and_what_leads_to_the_slots_share_a_line() {
        let (line, shard) = LockedShard::default().addresses();
        assert_eq!(line % 64, 0);
        assert_eq!(shard - line, 8, "the lock is before the shard");
    }
}
