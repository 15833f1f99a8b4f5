//! How fast segments are rewritten: as fast as may be, or so that the foreground hardly notices.
//!
//! At the store's own pace what is written goes to disk in small pieces with rests in between, so
//! that no sync of the log waits for a large one, and the bytes a second stay below
//! [`Options::compaction_bytes_per_s`](crate::Options::compaction_bytes_per_s). Whoever asks for a
//! rewrite, and tests, do not rest.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Engine;
use super::rewriter::Rewriter;
use crate::error::Result;

/// Index entries that are removed between two breaths.
const REMOVED_A_BREATH: usize = 256;

/// The share of the rate that a growing file has: to sync a piece of it takes the disk longer than
/// to sync one of a segment, whose length stays.
const GROWING_SHARE: u64 = 4;

/// How fast, and since when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    kind: Kind,
    rested_at_ms: u64,
    /// Index entries removed since the last breath.
    removed: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The store's own work, within its rate.
    Background,
    /// The same, with more to do than the rate allows.
    Pressed,
    /// Somebody waits for it.
    Hurried,
}

impl Pace {
    pub(crate) fn background(engine: &Engine) -> Self {
        // Without threads there is nobody that a rest would leave room to.
        let kind = if engine.has_threads { Kind::Background } else { Kind::Pressed };
        Self { kind, rested_at_ms: engine.time.monotonic_ms(), removed: 0 }
    }

    pub(crate) const fn hurried() -> Self {
        Self { kind: Kind::Hurried, rested_at_ms: 0, removed: 0 }
    }

    /// The same, but for the rests.
    pub(crate) const fn pressed(self) -> Self {
        match self.kind {
            Kind::Background => Self { kind: Kind::Pressed, ..self },
            _ => self,
        }
    }

    pub(crate) fn is_hurried(&self) -> bool {
        self.kind == Kind::Hurried
    }

    /// Whether the store's own work must end at once, since the store does.
    pub(crate) fn is_over(&self, engine: &Engine) -> bool {
        self.kind != Kind::Hurried && engine.upkeep.stopping.load(Ordering::Relaxed)
    }

    /// After something was written: syncs it, and rests for as long as it ought to have taken.
    pub(crate) fn rest(&mut self, engine: &Engine, rewriter: &mut Rewriter) -> Result<()> {
        if self.kind != Kind::Background {
            return Ok(());
        }
        let bytes = rewriter.sync_piece()?;
        if bytes > 0 {
            self.rest_for(engine, bytes);
        }
        Ok(())
    }

    /// After bytes of a growing file were written that `sync` syncs: the same, and slower. An error
    /// of the kind `Interrupted` says that the store is about to end.
    pub(crate) fn rest_after(
        &mut self,
        engine: &Engine,
        bytes: u64,
        sync: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        if self.is_over(engine) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.kind == Kind::Background {
            sync()?;
            self.rest_for(engine, bytes.saturating_mul(GROWING_SHARE));
        }
        Ok(())
    }

    /// After index entries were removed, with no lock held: lets others have the core now and then,
    /// also while somebody waits, since it costs next to nothing where nobody wants the core.
    pub(crate) fn breathe(&mut self, removed: usize) {
        self.removed += removed;
        if self.removed >= REMOVED_A_BREATH {
            self.removed = 0;
            crate::sync::thread::yield_now();
        }
    }

    fn rest_for(&mut self, engine: &Engine, bytes: u64) {
        let rate = engine.options.compaction_bytes_per_s.max(1);
        let due_ms = bytes.saturating_mul(1000) / rate;
        let taken_ms = engine.time.monotonic_ms().saturating_sub(self.rested_at_ms);
        let hurry = engine.upkeep.is_hurried();
        if due_ms > taken_ms && !hurry && !self.is_over(engine) {
            let mut wanted = engine.upkeep.wanted.lock();
            // Woken early it has rested less: the next rest makes up for nothing.
            if !wanted.stop {
                let rest = Duration::from_millis(due_ms - taken_ms);
                engine.upkeep.wake.wait_for(&mut wanted, rest);
            }
        }
        self.rested_at_ms = engine.time.monotonic_ms();
    }
}

/// How many of a thousand bytes that look alive have to be moved: claims and batch headers between
/// the records look alive, too. Learnt from every compaction.
#[derive(Debug)]
pub(crate) struct Density(AtomicU64);

impl Default for Density {
    fn default() -> Self {
        Self(AtomicU64::new(1000))
    }
}

impl Density {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Forgets what was learnt; false if there was nothing.
    pub(crate) fn forget(&self) -> bool {
        self.0.swap(1000, Ordering::Relaxed) < 1000
    }

    pub(crate) fn learn(&self, moved: u64, reckoned: u64) {
        let Some(seen) = moved.saturating_mul(1000).checked_div(reckoned) else { return };
        let mean = (self.get() + seen.clamp(200, 1000)).div_ceil(2);
        self.0.store(mean, Ordering::Relaxed);
    }
}
