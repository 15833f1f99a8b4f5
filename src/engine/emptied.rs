//! Segments of which the index lists nothing that has expired, and that are kept until a run says
//! which keys those were.
//!
//! The segments say that already, and an opening reads it there: so what a large prune remembers
//! has to be on disk at no particular time, and is written as a run at the compaction thread's
//! pace. Nobody's sync waits for it in one piece. Where little expires, or room counts more, what
//! is remembered goes to the journal instead, and no segment is kept for it.
//!
//! A segment is noted here once its entries have left the index: a run that was begun later has
//! them all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use super::Engine;
use crate::ids::SegmentId;

/// Which they are.
#[derive(Debug, Default)]
pub(super) struct Emptied {
    /// Those that must stay for now.
    staying: Staying,
    /// Those whose keys are on disk elsewhere, or are as far as the disk will have it.
    done: BTreeSet<SegmentId>,
}

/// Segments that must stay.
pub(super) type Staying = BTreeMap<SegmentId, Left>;

/// What the index still lists of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    /// What had not expired.
    Unexpired,
}

impl Emptied {
    pub(super) fn must_stay(&self, segment: SegmentId) -> bool {
        self.staying.contains_key(&segment)
    }

    pub(super) fn is_done(&self, segment: SegmentId) -> bool {
        self.done.contains(&segment)
    }

    /// One of which what has expired has left the index a moment ago.
    pub(super) fn keep(&mut self, segment: SegmentId, left: Left) {
        self.staying.insert(segment, left);
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.staying.is_empty()
    }

    /// Those that stay now: whatever is pending from now on says all that they do.
    pub(super) fn staying(&self) -> Staying {
        self.staying.clone()
    }

    /// Those that only wait to be dropped.
    pub(super) fn empty(&self) -> u64 {
        self.staying.values().filter(|left| **left == Left::Nothing).count() as u64
    }

    /// These need not stay any longer.
    pub(super) fn finish(&mut self, segments: &Staying) {
        for segment in segments.keys() {
            if self.staying.remove(segment) == Some(Left::Nothing) {
                self.done.insert(*segment);
            }
        }
    }

    /// One is gone.
    pub(super) fn remove(&mut self, segment: SegmentId) {
        self.done.remove(&segment);
    }
}

impl Engine {
    /// Whether a segment of which so many records expire is to be kept until a run is made: one is
    /// due then, and somebody is there to make it.
    pub(super) fn is_worth_keeping(&self, expired: u64) -> bool {
        let is_early = self.time.monotonic_ms() < self.late.retry_at_ms.load(Ordering::Relaxed);
        self.late.is_on
            && !is_early
            && !self.is_room_wanted()
            && self.late.pending() + expired >= self.much_pending()
    }

    /// Whether room is not to wait for a run: nobody makes one, or the disk is short.
    fn is_room_wanted(&self) -> bool {
        self.is_paused() || self.is_short()
    }

    /// Lets go of what is kept, if room is not to wait for a run.
    pub(super) fn want_room(&self) {
        if self.is_room_wanted() {
            let staying = self.emptied.lock().staying();
            self.keep_no_longer(&staying);
        }
    }

    /// Lets go of what stayed for a run: the journal says instead what it would have said. What the
    /// disk refuses of that is never waited for.
    pub(super) fn keep_no_longer(&self, staying: &Staying) {
        if staying.is_empty() {
            return;
        }
        let mut journal = self.late.journal.lock();
        let noted = self.rewrite_journal(&mut journal);
        drop(journal);
        self.counters.late_failures.add(u64::from(noted.is_err()));
        self.emptied.lock().finish(staying);
    }
}
