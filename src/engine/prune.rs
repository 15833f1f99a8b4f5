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
use crate::index::{Location, by_shard};
use crate::log::{Footer, FooterEntry};
use crate::sabotage::{self, Bug};

/// Segments that one change of the manifest drops.
const AT_A_TIME: usize = 16;
/// Records that are removed from a shard under one hold of its lock: some microseconds.
const AT_ONCE: usize = 128;

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
        self.unlist_entries(segment, entries, pace);
    }

    /// Removes records from the index, shard by shard: each shard's lock is taken once for all of
    /// them, or once for as many as may go under it.
    fn unlist_entries(&self, segment: &Segment, mut entries: Vec<FooterEntry>, pace: &mut Pace) {
        entries.retain(|entry| !entry.forget);
        let begins = by_shard(&mut entries, 0..self.shards.len(), |entry| entry.hash);
        let mut rest = entries.as_mut_slice();
        let mut doomed = Vec::with_capacity(AT_ONCE);
        for (shard, ends) in self.shards.iter().zip(begins.windows(2)) {
            let [begin, end] = ends else { continue };
            let Some((own, others)) = rest.split_at_mut_checked(end - begin) else { break };
            rest = others;
            own.sort_unstable_by_key(|entry| entry.hash);
            for some in own.chunks(AT_ONCE) {
                doomed.clear();
                doomed.extend(some.iter().map(|entry| {
                    (entry.hash, Location { slot: segment.slot, offset: entry.offset })
                }));
                let mut removed = 0;
                shard.lock().index.remove_all(self.geometry, &doomed, |_| removed += 1);
                self.counters.pruned.add(removed);
                pace.breathe(doomed.len());
            }
        }
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
        let mut entries = match segment.is_sealed() {
            true if segment.first_expiry() > now => return,
            true => segment.read_footer().map(|footer| footer.entries).unwrap_or_default(),
            false => segment.contents().entries.clone(),
        };
        entries.retain(|entry| entry.expires_at(segment.base) <= now);
        self.unlist_entries(segment, entries, pace);
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
