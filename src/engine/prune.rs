//! Pruning: segments whose last record has expired are dropped whole.
//!
//! Their index entries go first, then the manifest lets go of them, then their files are recycled.
//! No record is read: the footers say what there is. Whoever asks for it has the expired records of
//! other segments removed from the index, too; their bytes stay until compaction.

use std::sync::Arc;

use super::Engine;
use super::pace::Pace;
use super::segment::Segment;
use crate::error::Result;
use crate::ids::StoreTime;
use crate::index::Location;
use crate::log::{Footer, FooterEntry};
use crate::sabotage::{self, Bug};

/// Segments that one change of the manifest drops.
const AT_A_TIME: usize = 16;

/// What [`Store::prune`](crate::Store::prune) did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// Expired records that were removed.
    pub records: u64,
    /// Segments that were dropped whole.
    pub segments: u64,
    /// Bytes of their files, which are ready for use again.
    pub bytes: u64,
}

impl Engine {
    /// Whether a segment could be dropped whole.
    pub(crate) fn has_expired_segment(&self) -> bool {
        !self.expired_segments().is_empty()
    }

    fn expired_segments(&self) -> Vec<Arc<Segment>> {
        let early_ms = u64::from(sabotage::is_on(Bug::EarlyPrune));
        let now = self.time.now().plus_ms(early_ms);
        let mut expired = self.table.all();
        expired.retain(|segment| segment.is_sealed() && segment.contents().latest_expiry <= now);
        expired.truncate(AT_A_TIME);
        expired
    }

    /// Step: drops segments whose records have all expired. Returns how many there were.
    pub(crate) fn step_prune(&self, pace: &mut Pace) -> u64 {
        let alone = self.rewriting.lock();
        if self.is_poisoned() || self.check_open().is_err() {
            return 0;
        }
        let segments = self.expired_segments();
        if segments.is_empty() {
            return 0;
        }
        match self.drop_segments(&segments, pace) {
            Ok(()) => {
                self.counters.dropped_segments.add(segments.len() as u64);
                segments.len() as u64
            }
            Err(error) => {
                drop(alone);
                if !error.is_shortage() {
                    self.fail(error);
                }
                0
            }
        }
    }

    /// Drops all that has expired by now.
    pub(crate) fn prune(&self) -> Result<Pruned> {
        let hurry = self.upkeep.hurry();
        self.check_writable()?;
        let mut pace = Pace::hurried();
        let before = self.counters.pruned.get();
        let mut segments = 0;
        loop {
            match self.step_prune(&mut pace) {
                0 => break,
                dropped => segments += dropped,
            }
        }
        self.check_writable()?;
        let alone = self.rewriting.lock();
        let now = self.time.now();
        for segment in self.table.all() {
            self.unlist_expired(&segment, now, &mut pace);
        }
        drop((alone, hurry));
        let records = self.counters.pruned.get() - before;
        Ok(Pruned { records, segments, bytes: segments * u64::from(self.segment_size) })
    }

    fn drop_segments(&self, segments: &[Arc<Segment>], pace: &mut Pace) -> Result<()> {
        for segment in segments {
            self.unlist(segment, pace);
            self.upkeep.left_alone.lock().remove(&segment.id);
        }
        self.release_segments(segments, &[])
    }

    /// Removes a segment's records from the index: all of them, or a look at one left behind would
    /// lead nowhere.
    pub(crate) fn unlist(&self, segment: &Segment, pace: &mut Pace) {
        // What the footer would have said can be had from the index, at the price of walking all of
        // it.
        let Ok(Footer { entries, .. }) = segment.read_footer() else {
            return self.unlist_slow(segment);
        };
        self.unlist_entries(segment, entries.iter(), pace);
    }

    fn unlist_entries<'a>(
        &self,
        segment: &Segment,
        entries: impl Iterator<Item = &'a FooterEntry>,
        pace: &mut Pace,
    ) {
        let mut removed = 0;
        for (count, entry) in entries.filter(|entry| !entry.forget).enumerate() {
            let location = Location { slot: segment.slot, offset: entry.offset };
            let mut shard = self.shard(entry.hash).lock();
            removed += u64::from(shard.index.remove(self.geometry, entry.hash, location));
            drop(shard);
            pace.breathe(count);
        }
        self.counters.pruned.add(removed);
    }

    fn unlist_slow(&self, segment: &Segment) {
        for shard in &self.shards {
            let removed = shard.lock().index.remove_slot(self.geometry, segment.slot);
            self.counters.pruned.add(removed as u64);
        }
    }

    /// Removes what has expired of a segment from the index. Records whose place cannot be read are
    /// left to be met by a reader.
    fn unlist_expired(&self, segment: &Segment, now: StoreTime, pace: &mut Pace) {
        let entries = match segment.is_sealed() {
            true if segment.first_expiry() > now => return,
            true => segment.read_footer().map(|footer| footer.entries).unwrap_or_default(),
            false => segment.contents().entries.clone(),
        };
        let expired = |entry: &&FooterEntry| entry.expires_at(segment.base) <= now;
        self.unlist_entries(segment, entries.iter().filter(expired), pace);
    }

    /// Gives back what memory is still taken by the records of segments that are gone.
    pub(crate) fn uncache(&self, gone: &[Arc<Segment>]) {
        let lives: Vec<_> = gone.iter().map(|segment| segment.id).collect();
        self.cache.drop_segments(&lives);
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
        drop(catalog);
        self.uncache(old);
        Ok(())
    }
}
