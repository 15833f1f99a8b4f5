//! The simulator's dice: numbers that depend on a seed alone.
//!
//! They roll through a shared reference, since everybody in a simulated world rolls the same ones.

use std::cell::{Cell, RefCell};

#[derive(Debug)]
pub(crate) struct Dice {
    state: Cell<u64>,
    /// What is rolled before the seed counts, if it was said, back to front.
    tape: RefCell<Option<Vec<u8>>>,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: Cell::new(seed), tape: RefCell::new(None) }
    }

    /// From now on bytes decide, few of them for a number of few values; the seed comes after them.
    /// Any number ([`roll`](Self::roll)) stays the seed's: what is random in a store begins with
    /// one, and bytes could make it the same twice (a segment's nonce, say).
    pub(crate) fn set_tape(&self, bytes: &[u8]) {
        self.tape.replace(Some(bytes.iter().rev().copied().collect()));
    }

    /// Whether bytes decided, and there are no more.
    pub(crate) fn is_tape_over(&self) -> bool {
        self.tape.borrow().as_ref().is_some_and(Vec::is_empty)
    }

    /// A number below `end` from the tape; `None` if there is nothing on it.
    fn taken(&self, end: u64) -> Option<u64> {
        let mut tape = self.tape.borrow_mut();
        let tape = tape.as_mut().filter(|tape| !tape.is_empty())?;
        let bytes = if end <= 0x100 {
            1
        } else if end <= 0x1_0000 {
            2
        } else {
            8
        };
        let next = |number: u64, byte: u8| (number << 8) | u64::from(byte);
        let number = (0..bytes).fold(0, |number, _| next(number, tape.pop().unwrap_or(0)));
        Some(number % end)
    }

    /// Begins anew from a seed.
    pub(crate) fn reseed(&self, seed: u64) {
        self.state.set(seed);
    }

    /// Any number.
    pub(crate) fn roll(&self) -> u64 {
        let state = self.state.get().wrapping_add(GAMMA);
        self.state.set(state);
        mix(state)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub(crate) fn below(&self, end: u64) -> u64 {
        if end > 1
            && let Some(number) = self.taken(end)
        {
            return number;
        }
        let wide = u128::from(self.roll()) * u128::from(end);
        (wide >> 64) as u64
    }

    /// An index into something of that length.
    pub(crate) fn index(&self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// A number from `low` to `high`, both possible.
    pub(crate) fn between(&self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True this many times in a hundred.
    pub(crate) fn percent(&self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// One of several.
    pub(crate) fn pick<T: Copy>(&self, from: &[T], otherwise: T) -> T {
        from.get(self.index(from.len())).copied().unwrap_or(otherwise)
    }
}

const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// A number that depends on two others: the seed of a part of a run.
pub(crate) fn derive(seed: u64, part: u64) -> u64 {
    mix(mix(seed.wrapping_add(GAMMA)) ^ part.wrapping_mul(GAMMA))
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
