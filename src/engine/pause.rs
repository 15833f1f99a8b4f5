//! Pauses of the store's own pruning and compaction, and the hurry of whoever asks for either.

use std::sync::Arc;

use super::{Engine, Upkeep};
use crate::sync::atomic::{AtomicUsize, Ordering};

/// Keeps a store from pruning and compacting by itself until it is dropped. What
/// [`Store::pause_compaction`](crate::Store::pause_compaction) returns.
///
/// It does not keep the store open.
#[derive(Debug)]
#[must_use = "the pause ends when this is dropped"]
pub struct CompactionPause {
    engine: Arc<Engine>,
}

impl Drop for CompactionPause {
    fn drop(&mut self) {
        self.engine.upkeep.pauses.fetch_sub(1, Ordering::AcqRel);
        // There may be much to do.
        self.engine.ask_upkeep(true);
    }
}

/// While it lives the store's own work does not rest, so that whoever waits for it waits less.
#[derive(Debug)]
pub(super) struct Hurry<'a>(&'a AtomicUsize);

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Upkeep {
    pub(super) fn hurry(&self) -> Hurry<'_> {
        self.hurrying.fetch_add(1, Ordering::Relaxed);
        // One that rests now is woken.
        self.wake.notify_all();
        Hurry(&self.hurrying)
    }

    /// Whether somebody waits.
    pub(super) fn is_hurried(&self) -> bool {
        self.hurrying.load(Ordering::Relaxed) > 0
    }
}

impl Engine {
    /// Pauses the store's own pruning and compaction; returns once neither runs.
    pub(crate) fn pause_compaction(self: &Arc<Self>) -> CompactionPause {
        self.upkeep.pauses.fetch_add(1, Ordering::AcqRel);
        let hurry = self.upkeep.hurry();
        drop(self.rewriting.lock());
        self.wait_for_run();
        drop(hurry);
        CompactionPause { engine: self.clone() }
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.upkeep.pauses.load(Ordering::Acquire) > 0
    }
}
