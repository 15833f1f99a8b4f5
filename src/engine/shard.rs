//! One shard of the keys: what is in flight and what is completed, under one lock.
//!
//! This lock is the key's lock: every decision about a key is taken under it. No I/O happens while
//! it is held.

use hashbrown::HashTable;

use super::flight::Flight;
use super::lookup::Spot;
use crate::ids::{KeyHash, Token};
use crate::index::IndexShard;
use crate::late::Pending;
use crate::types::{Key, Scope};

#[derive(Debug, Default)]
pub(crate) struct Shard {
    pub(crate) index: IndexShard,
    pub(crate) counts: Counts,
    pub(crate) late: Pending,
    /// Boxed: the memory of the last flight that ended is warm, that of the table is not.
    flights: HashTable<Box<Flight>>,
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
