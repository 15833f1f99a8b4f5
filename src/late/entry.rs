//! One remembered expiry, or the mark that hides them: what the files and the lists are made of.

use std::cmp::Ordering;

use crate::ids::{KeyHash, StoreTime};
use crate::sabotage::{self, Bug};

/// Bytes of an entry on disk.
pub(super) const ENTRY: usize = 12;
/// Says that the entry is a mark.
const MARK: u32 = 1 << 31;
const MS_PER_S: u64 = 1000;

/// A key's hash, and when its record expired: seconds since the store's base time, rounded up. Or a
/// mark: of this hash nothing is told that expired by then.
///
/// The hash is in two halves: millions of these are in lists, and a quarter of each would be
/// padding otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LateEntry {
    high: u32,
    low: u32,
    word: u32,
}

const _: () = assert!(size_of::<LateEntry>() == ENTRY);

impl LateEntry {
    /// An expiry; `None` for one that is later than can be said, 68 years after the base time.
    pub(crate) fn expired(hash: KeyHash, expires_s: u32) -> Option<Self> {
        (expires_s < MARK).then(|| Self::new(hash, expires_s))
    }

    /// Hides what expired by `expires_s`.
    pub(crate) fn mark(hash: KeyHash, expires_s: u32) -> Self {
        Self::new(hash, expires_s | MARK)
    }

    #[allow(clippy::cast_possible_truncation, reason = "each half has 32 bits")]
    const fn new(hash: KeyHash, word: u32) -> Self {
        Self { high: (hash.0 >> 32) as u32, low: hash.0 as u32, word }
    }

    pub(crate) const fn hash(self) -> KeyHash {
        KeyHash(((self.high as u64) << 32) | self.low as u64)
    }

    pub(crate) const fn is_mark(self) -> bool {
        self.word & MARK != 0
    }

    /// Seconds since the base time.
    pub(crate) const fn seconds(self) -> u32 {
        self.word & !MARK
    }

    pub(super) fn encode(self, out: &mut Vec<u8>) {
        // In one piece: a million are written while somebody waits.
        let bits = (u128::from(self.word) << 64) | u128::from(self.hash().0);
        if let Some(bytes) = bits.to_le_bytes().first_chunk::<ENTRY>() {
            out.extend_from_slice(bytes);
        }
    }

    pub(super) fn decode(bytes: &[u8; ENTRY]) -> Option<Self> {
        let (hash, word) = bytes.split_first_chunk::<8>()?;
        let word = u32::from_le_bytes(*word.first_chunk()?);
        Some(Self::new(KeyHash(u64::from_le_bytes(*hash)), word))
    }

    /// The entries of some bytes; what is left over at their end is passed over.
    pub(super) fn decode_all(bytes: &[u8]) -> impl Iterator<Item = Self> + '_ {
        let chunks = bytes.chunks_exact(ENTRY);
        chunks.filter_map(|chunk| Self::decode(chunk.first_chunk()?))
    }
}

impl Ord for LateEntry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.hash(), self.word).cmp(&(other.hash(), other.word))
    }
}

impl PartialOrd for LateEntry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What is known of one hash: the latest expiry, and up to which one nothing is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Told {
    expired_s: Option<u32>,
    hidden_s: Option<u32>,
}

impl Told {
    pub(crate) fn take(&mut self, entry: LateEntry) {
        let known = if entry.is_mark() { &mut self.hidden_s } else { &mut self.expired_s };
        *known = (*known).max(Some(entry.seconds()));
    }

    /// Both of two looks.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            expired_s: self.expired_s.max(other.expired_s),
            hidden_s: self.hidden_s.max(other.hidden_s),
        }
    }

    /// Whether an entry adds nothing to it.
    pub(super) fn covers(self, entry: LateEntry) -> bool {
        let known = if entry.is_mark() { self.hidden_s } else { self.expired_s };
        known >= Some(entry.seconds())
    }

    /// The latest expiry that may be told: after `since_s`, and not hidden.
    pub(crate) fn expired_s(self, since_s: u32) -> Option<u32> {
        self.expired_s.filter(|at| *at > since_s && !self.hides(*at))
    }

    /// Up to which expiry nothing is told.
    pub(super) fn hidden_s(self) -> Option<u32> {
        self.hidden_s
    }

    /// Whether an expiry that is known otherwise must not be told.
    pub(crate) fn hides(self, expires_s: u32) -> bool {
        let is_hidden = self.hidden_s.is_some_and(|hidden_s| expires_s <= hidden_s);
        is_hidden && !sabotage::is_on(Bug::ForgottenIsLate)
    }

    /// What is worth keeping of it: at most an expiry and a mark, the expiry first.
    pub(crate) fn entries(self, hash: KeyHash, since_s: u32) -> [Option<LateEntry>; 2] {
        let expired = self.expired_s(since_s).and_then(|at| LateEntry::expired(hash, at));
        let hidden = self.hidden_s.filter(|at| *at > since_s);
        [expired, hidden.map(|at| LateEntry::mark(hash, at))]
    }
}

/// The moment of so many seconds after the base time.
pub(crate) fn moment(seconds: u32, base: StoreTime) -> StoreTime {
    base.plus_ms(u64::from(seconds) * MS_PER_S)
}

/// Seconds from the base time to a moment, rounded down.
pub(super) fn seconds_before(moment: StoreTime, base: StoreTime) -> u32 {
    u32::try_from(moment.ms_since(base) / MS_PER_S).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn entries_read_back_and_are_in_the_order_of_their_hashes(
            hash in any::<u64>(), seconds in 0..MARK, mark in any::<bool>()
        ) {
            let hash = KeyHash(hash);
            let entry = match mark {
                true => LateEntry::mark(hash, seconds),
                false => LateEntry::expired(hash, seconds).expect("before the end of time"),
            };
            let mut bytes = Vec::new();
            entry.encode(&mut bytes);
            prop_assert_eq!(LateEntry::decode_all(&bytes).collect::<Vec<_>>(), [entry]);
            prop_assert_eq!((entry.is_mark(), entry.seconds()), (mark, seconds));
        }

        /// What is kept of many entries says what all of them say.
        #[test]
        fn what_is_kept_tells_the_same(
            words in proptest::collection::vec((0..50_u32, any::<bool>()), 0..10),
            since_s in 0..50_u32,
            asked in 0..50_u32,
        ) {
            let hash = KeyHash(7);
            let (mut all, mut kept) = (Told::default(), Told::default());
            for (seconds, mark) in words {
                all.take(match mark {
                    true => LateEntry::mark(hash, seconds),
                    false => LateEntry::expired(hash, seconds).expect("small"),
                });
            }
            all.entries(hash, since_s).into_iter().flatten().for_each(|entry| kept.take(entry));
            prop_assert_eq!(all.expired_s(since_s), kept.expired_s(since_s));
            prop_assert!(asked <= since_s || all.hides(asked) == kept.hides(asked));
        }
    }
}
