//! A batch in memory: frames on their way to disk, and what each will mean once it is there.
//!
//! Left to others: who adds to it and who writes it ([`super::queue`]), and its place on disk
//! ([`super::writer`]).

use crate::ids::{KeyHash, StoreTime, Token};
use crate::log::BATCH_HEADER;

/// The number of the batch that makes a change durable. Zero is durable already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(crate) u64);

impl Ticket {
    pub(crate) const DONE: Self = Self(0);
}

/// What must happen in memory once a frame is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// A completion goes into the index and its flight ends.
    Publish { hash: KeyHash, token: Token, expires_at: StoreTime },
    /// A forget only needs a place in the footer: the index was changed when it was decided.
    Forget { hash: KeyHash, expires_at: StoreTime },
}

/// Frames on their way to disk.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) number: u64,
    /// Drawn when the batch is taken, so that it is higher than that of every batch before.
    pub(crate) sequence: Token,
    pub(crate) frames: u32,
    /// Room for a batch header, then the frames.
    pub(crate) bytes: Vec<u8>,
    /// Effects and where in `bytes` their frames begin.
    pub(crate) effects: Vec<(u32, Effect)>,
}

impl Default for Batch {
    fn default() -> Self {
        Self { number: 0, sequence: Token(0), frames: 0, bytes: Vec::new(), effects: Vec::new() }
    }
}

impl Batch {
    /// Empties it, for the frames of another number.
    pub(crate) fn reset(&mut self, number: u64) {
        self.number = number;
        self.frames = 0;
        self.bytes.clear();
        self.bytes.resize(BATCH_HEADER, 0);
        self.effects.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() <= BATCH_HEADER
    }
}
