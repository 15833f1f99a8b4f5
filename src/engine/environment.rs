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
    /// A directory of the machine, made if it is missing, under a clock that is driven by hand.
    ///
    /// # Errors
    /// What the system says.
    #[cfg(any(test, feature = "simulation"))]
    pub fn in_directory(
        path: &std::path::Path,
        clock: Arc<dyn Clock>,
        threads: bool,
    ) -> std::io::Result<Self> {
        let disk = Arc::new(crate::disk::RealDisk::create(path)?);
        Ok(Self { disk, clock, random: Arc::new(RealRandom), threads })
    }

    /// The real world.
    pub(crate) fn real(disk: Arc<dyn Disk>) -> Self {
        Self { disk, clock: Arc::new(RealClock), random: Arc::new(RealRandom), threads: true }
    }
}
