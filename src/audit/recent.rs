//! When each key was asked for last, of as many keys as fit.
//!
//! A table of a fixed size, in which a later key takes the place of an earlier one: it forgets, and
//! says so, rather than grow.

use crate::ids::StoreTime;

/// A quarter of a million keys, in four megabytes. It grows to that from small.
const MAX_PLACES: usize = 1 << 18;
const MIN_PLACES: usize = 1 << 12;

#[derive(Debug)]
pub(crate) struct Recent {
    /// The key's hash, and milliseconds since `base`; a time of zero is an empty place.
    places: Vec<(u64, u32)>,
    kept: usize,
    base: StoreTime,
}

impl Recent {
    pub(crate) fn new(base: StoreTime) -> Self {
        // Zero says "empty".
        let base = StoreTime(base.0.saturating_sub(1));
        Self { places: vec![(0, 0); MIN_PLACES], kept: 0, base }
    }

    /// Notes that a key is asked for; returns how long ago it was before, if that is known.
    pub(crate) fn note(&mut self, hash: u64, at: StoreTime) -> Option<u64> {
        // After 49 days times would not fit: it forgets all, and goes on.
        let now = u32::try_from(at.ms_since(self.base)).ok().filter(|now| *now < u32::MAX);
        let Some(now) = now else {
            *self = Self::new(at);
            return self.note(hash, at);
        };
        if self.kept > self.places.len() / 2 && self.places.len() < MAX_PLACES {
            self.grow();
        }
        let place = self.place_of(hash);
        let slot = self.places.get_mut(place)?;
        let (known, before) = std::mem::replace(slot, (hash, now.max(1)));
        self.kept += usize::from(before == 0);
        (before != 0 && known == hash).then(|| u64::from(now.saturating_sub(before)))
    }

    fn place_of(&self, hash: u64) -> usize {
        hash as usize & (self.places.len() - 1)
    }

    /// Twice the places. Each key goes to one of two.
    fn grow(&mut self) {
        let old = std::mem::take(&mut self.places);
        self.places = vec![(0, 0); old.len() * 2];
        for (hash, at) in old.into_iter().filter(|(_, at)| *at != 0) {
            let place = self.place_of(hash);
            if let Some(slot) = self.places.get_mut(place) {
                *slot = (hash, at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_long_ago_or_nothing() {
        let mut recent = Recent::new(StoreTime(1000));
        assert_eq!(recent.note(7, StoreTime(1000)), None);
        assert_eq!(recent.note(7 | 1 << 60, StoreTime(1001)), None, "another key of the place");
        assert_eq!(recent.note(7, StoreTime(1500)), None, "which took it");
        assert_eq!(recent.note(7, StoreTime(1600)), Some(100));
        assert_eq!(recent.note(7, StoreTime(1590)), Some(0), "a clock that went back");
        let later = StoreTime(1600 + u64::from(u32::MAX));
        assert_eq!(recent.note(7, later), None);
        assert_eq!(recent.note(7, later.plus_ms(5)), Some(5));
    }

    #[test]
    fn it_stays_bounded() {
        let mut recent = Recent::new(StoreTime(0));
        for hash in 0..2 * MAX_PLACES as u64 {
            recent.note(hash.wrapping_mul(0x9E37_79B9_7F4A_7C15), StoreTime(hash));
        }
        assert_eq!(recent.places.len(), MAX_PLACES);
    }
}
