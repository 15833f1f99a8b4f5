//! Which try of its key a retry is, for the keys that were tried again last.
//!
//! A table of a fixed size. It is no part of what is merged or written down: a retry whose earlier
//! tries are not in the table counts as a first one.

const PLACES: usize = 1 << 15;

/// What is remembered of a key.
#[derive(Debug, Clone, Copy, Default)]
struct Tried {
    key_hash: u64,
    at_ms: u64,
    gap_ms: u64,
    number: u8,
}

/// A retry among those of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retry {
    /// From 1.
    pub(super) number: u8,
    pub(super) gap_ms: u64,
    pub(super) gap_before_ms: Option<u64>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Tries {
    places: Vec<Tried>,
}

impl Tries {
    /// One more retry of a key; `gap_ms` is what its event says.
    pub(super) fn retry(
        &mut self,
        key_hash: u64,
        at_ms: u64,
        gap_ms: Option<u64>,
    ) -> Option<Retry> {
        if self.places.is_empty() {
            self.places = vec![Tried::default(); PLACES];
        }
        let mixed = key_hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let there = self.places.get_mut(mixed as usize % PLACES)?;
        let known = there.key_hash == key_hash && there.number > 0;
        let gap_ms = match gap_ms {
            Some(gap_ms) => gap_ms,
            None if known => at_ms.saturating_sub(there.at_ms),
            None => return None,
        };
        let retry = Retry {
            number: if known { there.number.saturating_add(1) } else { 1 },
            gap_ms,
            gap_before_ms: known.then_some(there.gap_ms),
        };
        *there = Tried { key_hash, at_ms, gap_ms, number: retry.number };
        Some(retry)
    }
}
