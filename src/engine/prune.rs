//! Pruning: a segment whose last record has expired is dropped whole.
//!
//! Its index entries go first, a few at a time, then the manifest lets go of it, then its file is
//! recycled. No record is read: the footer says what there is.

use std::sync::Arc;

use super::Engine;
use super::segment::Segment;
use crate::error::Result;
use crate::index::Location;
use crate::log::Footer;
use crate::sabotage::{self, Bug};

impl Engine {
    /// Whether a segment could be dropped whole.
    pub(crate) fn has_expired_segment(&self) -> bool {
        self.expired_segment().is_some()
    }

    fn expired_segment(&self) -> Option<Arc<Segment>> {
        let early_ms = u64::from(sabotage::is_on(Bug::EarlyPrune));
        let now = self.time.now().plus_ms(early_ms);
        self.table
            .all()
            .into_iter()
            .find(|segment| segment.is_sealed() && segment.contents().latest_expiry <= now)
    }

    /// Step: drops one segment whose records have all expired. Returns whether there was one.
    pub(crate) fn step_prune(&self) -> bool {
        let alone = self.rewriting.lock();
        if self.is_poisoned() || self.check_open().is_err() {
            return false;
        }
        let Some(segment) = self.expired_segment() else { return false };
        match self.drop_segment(&segment) {
            Ok(()) => {
                self.counters.dropped_segments.add(1);
                true
            }
            Err(error) => {
                drop(alone);
                if !error.is_shortage() {
                    self.fail(error);
                }
                false
            }
        }
    }

    fn drop_segment(&self, segment: &Arc<Segment>) -> Result<()> {
        self.unlist(segment);
        self.upkeep.left_alone.lock().remove(&segment.id);
        self.release_segments(std::slice::from_ref(segment), &[])
    }

    /// Removes a segment's records from the index: all of them, or a look at one left behind would
    /// lead nowhere.
    pub(crate) fn unlist(&self, segment: &Segment) {
        // What the footer would have said can be had from the index, at the price of walking all of
        // it.
        let Ok(Footer { entries, .. }) = segment.read_footer() else {
            return self.unlist_slow(segment);
        };
        let mut removed = 0;
        for entry in entries.iter().filter(|entry| !entry.forget) {
            let location = Location { slot: segment.slot, offset: entry.offset };
            let mut shard = self.shard(entry.hash).lock();
            removed += u64::from(shard.index.remove(self.geometry, entry.hash, location));
        }
        self.counters.pruned.add(removed);
    }

    fn unlist_slow(&self, segment: &Segment) {
        for shard in &self.shards {
            let removed = shard.lock().index.remove_slot(self.geometry, segment.slot);
            self.counters.pruned.add(removed as u64);
        }
    }

    /// Replaces segments in the manifest, and recycles the old ones' files.
    pub(crate) fn release_segments(
        &self,
        old: &[Arc<Segment>],
        new: &[Arc<Segment>],
    ) -> Result<()> {
        let mut catalog = self.catalog.lock();
        catalog.replace(old, new, self.time.now())?;
        let gone: Vec<_> = old.iter().filter_map(|segment| self.table.take(segment.slot)).collect();
        catalog.retire(gone);
        Ok(())
    }
}
