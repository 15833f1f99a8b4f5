//! A long row of 64-bit slots that grows and shrinks in blocks.
//!
//! All full blocks of all rows have one size, so what one row gives back fits whichever grows next,
//! and growing moves nothing that is there: thousands of tables that each want a slightly larger
//! piece of memory would leave as many holes that no other fits into.
//!
//! A slot beyond the end reads as empty.

/// What an empty slot is.
pub(crate) const EMPTY: u64 = 0;

/// 16 KiB: few enough blocks that their addresses stay in the processor's caches.
const BLOCK_SLOTS: usize = 2048;

/// All blocks are of full size but the last, which is as long as it must be.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Slots {
    /// Kept in place, so that a look into a row of one block, or at the beginning of a longer one,
    /// is led to it at once.
    first: Box<[u64]>,
    more: Vec<Box<[u64]>>,
}

impl Slots {
    pub(crate) fn len(&self) -> usize {
        let full = self.more.len() * BLOCK_SLOTS;
        self.more.last().map_or(self.first.len(), |last| full + last.len())
    }

    #[inline]
    pub(crate) fn get(&self, at: usize) -> u64 {
        self.block(at / BLOCK_SLOTS).get(at % BLOCK_SLOTS).copied().unwrap_or(EMPTY)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut u64> {
        let block = match (at / BLOCK_SLOTS).checked_sub(1) {
            None => &mut self.first,
            Some(number) => self.more.get_mut(number)?,
        };
        block.get_mut(at % BLOCK_SLOTS)
    }

    /// The slots from `at` on, a slice at a time.
    #[inline]
    pub(crate) fn runs(&self, at: usize) -> impl Iterator<Item = &[u64]> {
        let number = at / BLOCK_SLOTS;
        let first = self.block(number).get(at % BLOCK_SLOTS..).unwrap_or_default();
        let more = self.more.get(number..).unwrap_or_default();
        std::iter::once(first).chain(more.iter().map(|block| &**block))
    }

    #[inline]
    fn block(&self, number: usize) -> &[u64] {
        match number.checked_sub(1) {
            None => &self.first,
            Some(number) => self.more.get(number).map_or(&[], |block| block),
        }
    }

    /// Puts a value into a slot and returns what was there; nothing happens beyond the end.
    #[inline]
    pub(crate) fn replace(&mut self, at: usize, value: u64) -> u64 {
        self.get_mut(at).map_or(EMPTY, |slot| std::mem::replace(slot, value))
    }

    /// Makes the row this long: what is new is empty, what is beyond is gone.
    pub(crate) fn resize(&mut self, len: usize) {
        let slots = |number: usize| len.saturating_sub(number * BLOCK_SLOTS).min(BLOCK_SLOTS);
        if self.first.len() != slots(0) {
            self.first = resized(&self.first, slots(0));
        }
        let count = len.div_ceil(BLOCK_SLOTS).saturating_sub(1);
        self.more.truncate(count);
        self.more.reserve_exact(count - self.more.len());
        // What was the last may be too short now, or too long.
        for number in self.more.len().saturating_sub(1)..count {
            let slots = slots(number + 1);
            match self.more.get_mut(number) {
                Some(last) if last.len() != slots => *last = resized(last, slots),
                Some(_) => {}
                None => self.more.push(vec![EMPTY; slots].into_boxed_slice()),
            }
        }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = u64> + '_ {
        self.first.iter().copied().chain(self.more.iter().flat_map(|block| block.iter().copied()))
    }

    /// Bytes of memory that the row takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.len() * size_of::<u64>() + self.more.capacity() * size_of::<Box<[u64]>>()
    }
}

/// A copy of a block with another length.
fn resized(block: &[u64], slots: usize) -> Box<[u64]> {
    let mut copy = Vec::with_capacity(slots);
    copy.extend(block.iter().take(slots));
    copy.resize(slots, EMPTY);
    copy.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_a_vector(lengths in proptest::collection::vec(0..3 * BLOCK_SLOTS + 2, 1..12)) {
            let (mut slots, mut model) = (Slots::default(), Vec::new());
            for (number, len) in lengths.into_iter().enumerate() {
                slots.resize(len);
                model.resize(len, EMPTY);
                prop_assert_eq!(slots.iter().collect::<Vec<_>>(), model.clone());
                for at in (0..len).step_by(97).chain(len.checked_sub(1)) {
                    let value = (number * 100_000 + at + 1) as u64;
                    prop_assert_eq!(slots.replace(at, value), model[at]);
                    model[at] = value;
                    prop_assert_eq!(slots.get(at), value);
                }
                prop_assert_eq!(slots.get(len), EMPTY);
                prop_assert_eq!(slots.len(), len);
                let least = len * size_of::<u64>();
                prop_assert!((least..=least + 16 * 4).contains(&slots.memory_bytes()));
            }
        }
    }
}
