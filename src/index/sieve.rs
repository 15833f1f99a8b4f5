//! Which tags a table surely does not hold, in half a byte a place.
//!
//! Nearly every claim is of a fresh key. A look at one must not wait for a line of a table of many
//! megabytes: this is small enough to stay in the processor's caches, and answers most of them. It
//! is a Bloom filter whose words follow the table in proportion, so that a tag needs one word.
//!
//! Invariant: the bits of every tag that was marked are set. What is removed from the table leaves
//! its bits here; whoever owns the table makes the sieve anew before too much passes through.

/// Places of the table to a word. Where nine of ten are taken, two bits a tag let one in seven of
/// those pass that are not there.
const HOMES_PER_WORD: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Sieve {
    words: Box<[u64]>,
}

impl Sieve {
    /// Forgets all tags, for a table with so many homes.
    pub(crate) fn clear(&mut self, homes: usize) {
        let words = homes.div_ceil(HOMES_PER_WORD);
        if words == self.words.len() {
            self.words.fill(0);
        } else {
            self.words = vec![0; words].into_boxed_slice();
        }
    }

    /// Notes that the table holds a tag whose home this is.
    #[inline]
    pub(crate) fn mark(&mut self, home: usize, tag: u64) {
        if let Some(word) = self.words.get_mut(home / HOMES_PER_WORD) {
            *word |= pattern(tag);
        }
    }

    /// False if the table does not hold the tag whose home this is.
    #[inline]
    pub(crate) fn may_pass(&self, home: usize, tag: u64) -> bool {
        let pattern = pattern(tag);
        self.words.get(home / HOMES_PER_WORD).is_some_and(|word| word & pattern == pattern)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.words.len() * size_of::<u64>()
    }
}

/// Two bits, by the tag's lowest bits: its highest say where its home is.
const fn pattern(tag: u64) -> u64 {
    1 << (tag & 63) | 1 << ((tag >> 6) & 63)
}
