//! The recent past of keys, in a fixed amount of memory.
//!
//! Groups of eight slots; a key has one group. A key that is new to a full group takes the place of
//! the one that was seen longest ago. Nothing else moves, so no key's past depends on another's
//! until it has made room.
//!
//! Left to others: what the past means ([`super::classifier`]).

use super::Verdict;
use super::gaps::UNKNOWN_MS;
use super::party::Party;
use super::reason::Reasons;
use crate::audit::EventId;

const WAYS: usize = 8;
const MIN_KEYS: usize = 64;
const MAX_KEYS: usize = 1 << 24;

/// What is remembered of a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Past {
    /// The event that made the last claim, if it was seen.
    pub(super) made_by: Option<EventId>,
    pub(super) token: u64,
    pub(super) claimed_at_ms: u64,
    /// The last event of any kind.
    pub(super) seen_at_ms: u64,
    /// The last try, whoever made it.
    pub(super) tried_at_ms: u64,
    /// The last try of the holder or of one that was taken for it.
    pub(super) honest_at_ms: u64,
    /// Between the last two of those.
    pub(super) honest_gap_ms: u32,
    pub(super) holder: Party,
    pub(super) last: Party,
    /// Between the last two tries.
    pub(super) gap_ms: u32,
    /// The leaky bucket of tries, in thousandths.
    pub(super) heat: u32,
    pub(super) tries: u32,
    /// How many met the claim that is in flight.
    pub(super) met: u32,
    /// Whether a replay was given to a party that is not believed.
    pub(super) answered_other: bool,
    /// Whether the claim took longer than clients wait.
    pub(super) was_slow: bool,
    /// Whether the holder let go of the claim, and its lease runs on.
    pub(super) let_go: bool,
    /// The verdict on the last try.
    pub(super) judged: Option<(Verdict, Reasons, u8)>,
}

// Documented as at most 136 bytes, with the hash.
const _: () = assert!(size_of::<Past>() <= 128);

impl Past {
    /// Of a key of which nothing is known but that it was seen now.
    pub(super) const fn new(now_ms: u64) -> Self {
        Self {
            made_by: None,
            token: 0,
            claimed_at_ms: now_ms,
            seen_at_ms: now_ms,
            tried_at_ms: now_ms,
            honest_at_ms: now_ms,
            honest_gap_ms: UNKNOWN_MS,
            holder: Party::NONE,
            last: Party::NONE,
            gap_ms: UNKNOWN_MS,
            heat: 0,
            tries: 0,
            met: 0,
            answered_other: false,
            was_slow: false,
            let_go: false,
            judged: None,
        }
    }
}

/// The table; its memory is taken when it is made.
#[derive(Debug)]
pub(super) struct Table {
    /// The keys' hashes; zero is an empty slot.
    keys: Vec<[u64; WAYS]>,
    pasts: Vec<[Past; WAYS]>,
}

impl Table {
    pub(super) fn new(keys: usize) -> Self {
        let groups = keys.clamp(MIN_KEYS, MAX_KEYS).next_power_of_two() / WAYS;
        Self { keys: vec![[0; WAYS]; groups], pasts: vec![[Past::new(0); WAYS]; groups] }
    }

    /// How many keys fit.
    pub(super) fn capacity(&self) -> usize {
        self.keys.len() * WAYS
    }

    /// How many keys are remembered.
    pub(super) fn len(&self) -> usize {
        self.keys.iter().flatten().filter(|key| **key != 0).count()
    }

    /// The upper bits of a product (Fibonacci hashing), so that hashes that were not drawn well
    /// spread, too.
    fn group(&self, key: u64) -> usize {
        let mixed = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        mixed as usize & (self.keys.len() - 1)
    }

    pub(super) fn get(&self, key: u64) -> Option<&Past> {
        let group = self.group(key);
        let way = self.keys.get(group)?.iter().position(|there| *there == key)?;
        self.pasts.get(group)?.get(way)
    }

    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut Past> {
        let group = self.group(key);
        let way = self.keys.get(group)?.iter().position(|there| *there == key)?;
        self.pasts.get_mut(group)?.get_mut(way)
    }

    /// Remembers a key, in the place of another if need be.
    pub(super) fn put(&mut self, key: u64, past: Past) {
        let group = self.group(key);
        let (Some(keys), Some(pasts)) = (self.keys.get_mut(group), self.pasts.get_mut(group))
        else {
            return;
        };
        let slots = keys.iter_mut().zip(pasts);
        // The key's own slot before an empty one, an empty one before the oldest.
        let place = slots.min_by_key(|(there, past)| match **there {
            there if there == key => (0, 0),
            0 => (1, 0),
            _ => (2, past.seen_at_ms),
        });
        if let Some((there, old)) = place {
            *there = key;
            *old = past;
        }
    }

    pub(super) fn remove(&mut self, key: u64) {
        let group = self.group(key);
        let keys = self.keys.get_mut(group).into_iter().flatten();
        keys.filter(|there| **there == key).for_each(|there| *there = 0);
    }
}
