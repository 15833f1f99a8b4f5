//! Pruning: segments whose last record has expired are dropped whole.
//!
//! Their index entries go first, then the manifest lets go of them, then their files are recycled.
//! No record is read: the footers say what there is. Whoever asks for it has the expired records of
//! other segments removed from the index, too; their bytes stay until compaction.

use std::sync::Arc;

use super::Engine;
use super::emptied::Left;
use super::late::Entered;
use super::pace::Pace;
use super::segment::Segment;
use super::shard::{LockedShard, Shard};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{SegmentId, StoreTime};
use crate::index::{Location, by_shard};
use crate::log::{Footer, FooterEntry};
use crate::reached;
use crate::sabotage::{self, Bug};

/// Segments that one change of the manifest drops.
const AT_A_TIME: usize = 16;
/// Records that are removed from a shard under one hold of its lock: some microseconds.
const AT_ONCE: usize = 128;

/// How long, in store time, a footer that the disk does not read keeps its segment.
const UNREAD_MS: u64 = 3_600_000;

/// What [`Store::prune`](crate::Store::prune) did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// Expired records that were removed.
    pub records: u64,
    /// Segments that were dropped whole, or are within seconds: as soon as the memory of late
    /// retries is on disk.
    pub segments: u64,
    /// Bytes of their files, which are ready for use again then.
    pub bytes: u64,
}

/// Why entries leave the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    /// They have expired; their segment stays, with the forgets in it.
    Alone,
    /// They have expired, and their segment goes.
    WithSegment,
    /// They are there no more, for whatever reason.
    Unremembered,
}

impl Engine {
    /// Whether a segment could be dropped whole.
    pub(crate) fn has_expired_segment(&self) -> bool {
        !self.expired_segments().is_empty()
    }

    /// Segments whose records have all expired, oldest first.
    fn expired_segments(&self) -> Vec<Arc<Segment>> {
        let early_ms = u64::from(sabotage::is_on(Bug::EarlyPrune));
        let now = self.time.now().plus_ms(early_ms);
        let mut expired = self.table.all();
        let emptied = self.emptied.lock();
        expired.retain(|segment| segment.has_expired(now) && !emptied.must_stay(segment.id));
        expired
    }

    /// Step: drops segments whose records have all expired. Returns how many there were.
    pub(crate) fn step_prune(&self, pace: &mut Pace) -> u64 {
        let alone = self.rewriting.lock();
        if self.is_poisoned() || self.check_open().is_err() {
            return 0;
        }
        self.want_room();
        let segments = self.expired_segments();
        if segments.is_empty() {
            return 0;
        }
        match self.drop_segments(segments, pace) {
            Ok(dropped) => {
                self.counters.dropped_segments.add(dropped);
                dropped
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
        let mut entered = Entered::default();
        for segment in self.table.all() {
            if self.emptied.lock().must_stay(segment.id) {
                continue;
            }
            if self.is_worth_keeping(0) {
                self.unlist_expired(&segment, now, (&mut Entered::kept(), &mut pace));
                self.emptied.lock().keep(segment.id, Left::Unexpired);
            } else {
                self.unlist_expired(&segment, now, (&mut entered, &mut pace));
            }
        }
        self.note_entered(&mut entered, &mut pace);
        drop((alone, hurry));
        segments += self.emptied.lock().empty();
        if self.emptied.lock().is_waiting() {
            self.ask_upkeep(true);
        }
        let records = self.counters.pruned.get() - before;
        Ok(Pruned { records, segments, bytes: segments * u64::from(self.segment_size) })
    }

    /// Drops segments, at most so many as one change of the manifest drops, or empties them and
    /// keeps them for a run. One whose footer cannot be read now is left for later. Returns how
    /// many are gone.
    fn drop_segments(&self, segments: Vec<Arc<Segment>>, pace: &mut Pace) -> Result<u64> {
        let (mut doomed, mut entered) = (Vec::new(), Entered::default());
        for segment in segments {
            let is_done = self.emptied.lock().is_done(segment.id);
            if !is_done && self.is_worth_keeping(segment.contents().records) {
                if self.unlist_expired_all(&segment, &mut Entered::kept(), pace) {
                    reached::note("late retries: a segment is kept for a run");
                    self.emptied.lock().keep(segment.id, Left::Nothing);
                }
            } else if doomed.len() < AT_A_TIME
                && (is_done || self.unlist_expired_all(&segment, &mut entered, pace))
            {
                doomed.push(segment);
            }
        }
        if doomed.is_empty() {
            return Ok(0);
        }
        self.note_entered(&mut entered, pace);
        let (mut left_alone, mut unread) =
            (self.upkeep.left_alone.lock(), self.upkeep.unread.lock());
        for segment in &doomed {
            left_alone.remove(&segment.id);
            unread.remove(&segment.id);
        }
        drop((left_alone, unread));
        self.release_segments(&doomed, &[])?;
        let mut emptied = self.emptied.lock();
        doomed.iter().for_each(|segment| emptied.remove(segment.id));
        Ok(doomed.len() as u64)
    }

    /// Removes the records of a segment that is about to go from the index, and takes their keys
    /// into the memory. False if what they are cannot be read now: the next reading may work.
    fn unlist_expired_all(
        &self,
        segment: &Segment,
        entered: &mut Entered,
        pace: &mut Pace,
    ) -> bool {
        match segment.read_footer() {
            Ok(Footer { entries, .. }) => {
                self.unlist_entries(segment, entries, Leaving::WithSegment, (entered, pace));
            }
            Err(error) if error.kind() == ErrorKind::Io && self.may_be_read_yet(segment) => {
                return false;
            }
            Err(_) => {
                let lost = self.unlist_slow(segment);
                self.lose_late(lost);
            }
        }
        true
    }

    /// Whether the disk has refused to read a segment's footer for so short a time that it may
    /// pass.
    fn may_be_read_yet(&self, segment: &Segment) -> bool {
        let now = self.time.now();
        let mut unread = self.upkeep.unread.lock();
        now.ms_since(*unread.entry(segment.id).or_insert(now)) < UNREAD_MS
    }

    /// Removes what is still listed of a segment whose records were moved.
    pub(crate) fn unlist_moved(&self, segment: &Segment, pace: &mut Pace) {
        let mut entered = Entered::default();
        match segment.read_footer() {
            Ok(Footer { entries, .. }) => {
                let leaving = Leaving::Unremembered;
                self.unlist_entries(segment, entries, leaving, (&mut entered, pace));
            }
            // What had expired is remembered by now, and nothing else is lost.
            Err(_) => drop(self.unlist_slow(segment)),
        }
    }

    /// Before segments go: removes what had expired by `now`, and was not moved, from the index,
    /// and remembers it, on disk. An error says of which segment that could not be read.
    pub(crate) fn unlist_left_out(
        &self,
        segments: &[Arc<Segment>],
        now: StoreTime,
        pace: &mut Pace,
    ) -> std::result::Result<(), (SegmentId, Error)> {
        let mut entered = Entered::default();
        let unlisted = segments.iter().try_for_each(|segment| {
            let mut entries = segment.read_footer().map_err(|error| (segment.id, error))?.entries;
            entries.retain(|entry| entry.expires_at(segment.base) <= now);
            self.unlist_entries(segment, entries, Leaving::WithSegment, (&mut entered, pace));
            Ok(())
        });
        self.note_entered(&mut entered, pace);
        unlisted
    }

    /// Removes records from the index, shard by shard: each shard's lock is taken once for all of
    /// them, or once for as many as may go under it. What enters the memory is not on disk yet.
    fn unlist_entries(
        &self,
        segment: &Segment,
        mut entries: Vec<FooterEntry>,
        leaving: Leaving,
        (entered, pace): (&mut Entered, &mut Pace),
    ) {
        entries.retain(|entry| !entry.forget || leaving == Leaving::WithSegment);
        let begins = by_shard(&mut entries, 0..self.shards.len(), |entry| entry.hash);
        let mut rest = entries.as_mut_slice();
        for (shard, ends) in self.shards.iter().zip(begins.windows(2)) {
            let [begin, end] = ends else { continue };
            let Some((own, others)) = rest.split_at_mut_checked(end - begin) else { break };
            rest = others;
            own.sort_unstable_by_key(|entry| (entry.forget, entry.hash));
            for some in own.chunk_by(|one, next| one.forget == next.forget) {
                for some in some.chunks(AT_ONCE) {
                    self.unlist_at_once(segment, shard, some, leaving, entered);
                    self.note_much(entered, pace);
                    pace.breathe(some.len());
                }
            }
        }
    }

    /// Under one hold of a shard's lock: records in the order of their hashes, or forgets.
    fn unlist_at_once(
        &self,
        segment: &Segment,
        shard: &LockedShard,
        some: &[FooterEntry],
        leaving: Leaving,
        entered: &mut Entered,
    ) {
        let now = self.time.now();
        let records = some.iter().filter(|entry| !entry.forget);
        let at = |entry: &FooterEntry| Location { slot: segment.slot, offset: entry.offset };
        let doomed: Vec<_> = records.map(|entry| (entry.hash, at(entry))).collect();
        let (mut removed, mut remembered) = (0, Vec::new());
        let mut guard = shard.lock();
        let Shard { index, late, .. } = &mut *guard;
        // A record that was not listed was replaced, forgotten or moved.
        index.remove_all(self.geometry, &doomed, |number| {
            removed += 1;
            let gone = some.get(number).filter(|_| leaving != Leaving::Unremembered);
            remembered.extend(gone.and_then(|entry| self.to_remember(entry, now)));
        });
        let forgets = some.iter().filter(|entry| entry.forget);
        remembered.extend(forgets.filter_map(|entry| self.to_remember(entry, now)));
        self.enter(late, remembered, now, entered);
        drop(guard);
        self.counters.pruned.add(removed);
    }

    /// What the footer would have said can be had from the index, at the price of walking all of
    /// it, but for when it expired. All must go, or a look at one left behind would lead nowhere.
    fn unlist_slow(&self, segment: &Segment) -> u64 {
        let mut all = 0;
        for shard in &self.shards {
            let removed = shard.lock().index.remove_slot(self.geometry, segment.slot);
            self.counters.pruned.add(removed as u64);
            all += removed as u64;
        }
        all
    }

    /// Removes what has expired of a segment from the index. Records whose place cannot be read are
    /// left to be met by a reader.
    fn unlist_expired(
        &self,
        segment: &Segment,
        now: StoreTime,
        (entered, pace): (&mut Entered, &mut Pace),
    ) {
        let mut entries = match segment.is_sealed() {
            true if segment.first_expiry() > now => return,
            true => segment.read_footer().map(|footer| footer.entries).unwrap_or_default(),
            false => segment.contents().entries.clone(),
        };
        entries.retain(|entry| entry.expires_at(segment.base) <= now);
        self.unlist_entries(segment, entries, Leaving::Alone, (entered, pace));
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
