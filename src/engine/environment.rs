//! The seams a store is built on: a disk, a clock, and randomness.

use std::sync::Arc;

use crate::clock::{Clock, RealClock};
use crate::disk::Disk;
use crate::random::{Random, RealRandom};

/// What a store reaches the outside through, and whether it may have threads.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The store's directory.
    pub disk: Arc<dyn Disk>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Whether the store runs its own threads. Without them nothing happens in the background:
    /// waiting callers commit for themselves, and the owner calls the other steps.
    pub threads: bool,
}

impl Environment {
    /// The real world.
    pub(crate) fn real(disk: Arc<dyn Disk>) -> Self {
        Self { disk, clock: Arc::new(RealClock), random: Arc::new(RealRandom), threads: true }
    }
}
