//! The writer: the active segment and its end. Whoever leads a commit holds it.
//!
//! A batch goes to the active segment with one write. When it does not fit, the writer moves on to
//! the next segment, whose first batch states every claim in flight again. Nothing is synced here
//! in `Interval` mode but what must be before a move.

use std::sync::Arc;

use super::batch::{Batch, Effect};
use super::segment::{NewEntry, Segment};
use crate::error::{Error, ErrorKind, Result};
use crate::expiry::StoreClock;
use crate::ids::{KeyHash, StoreTime, Token};
use crate::index::Location;
use crate::log::{
    BATCH_HEADER, BatchFields, FLAG_RESTATEMENT, Footer, SEGMENT_HEADER, frame_len, pad, seal_batch,
};
use crate::sabotage::{self, Bug};
use crate::telemetry::SyncTimes;

/// A completion that is on disk and waits for its place in the index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed {
    pub(crate) hash: KeyHash,
    pub(crate) token: Token,
    pub(crate) location: Location,
}

/// What the writer needs of the engine around it.
pub(crate) trait Surroundings {
    /// The clock.
    fn time(&self) -> &StoreClock;
    /// Store time, for batch headers.
    fn now(&self) -> StoreTime;
    /// Draws a batch's sequence.
    fn draw_sequence(&self) -> Token;
    /// The segment that comes after the active one, named by the manifest.
    fn next_segment(&self) -> Result<Arc<Segment>>;
    /// Appends a claim frame for every claim in flight, but for those whose completion was just
    /// placed on disk.
    fn restate(&self, placed: &[Placed], out: &mut Vec<u8>) -> Result<()>;
}

#[derive(Debug)]
pub(crate) struct Writer {
    active: Arc<Segment>,
    tail: u32,
    /// Records in the active segment.
    entries: usize,
    /// The last batch's time.
    time: StoreTime,
    /// The checksum of the last batch's header, which the next one repeats.
    previous: u32,
    /// The last batch's sequence, and the last one known to be on stable storage.
    written: Token,
    synced: Token,
    /// Whether batches are synced as they are written.
    sync_each: bool,
    /// Whether the last batch holds frames that no later batch vouches for.
    open_window: bool,
    /// Batches at the last look for idleness.
    seen_batches: u64,
    scratch: Vec<u8>,
    /// Segments that the log has left, to be sealed once all that was written to them is published.
    pub(crate) left: Vec<Arc<Segment>>,
    pub(crate) counters: WriterCounters,
    /// How long syncs took that nobody was told of yet.
    pub(crate) sync_times: SyncTimes,
}

/// What the writer has done.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct WriterCounters {
    pub(crate) batches: u64,
    pub(crate) bytes: u64,
    pub(crate) syncs: u64,
}

impl Writer {
    /// A writer at the head of a fresh segment.
    pub(crate) fn new(active: Arc<Segment>, sync_each: bool) -> Self {
        Self {
            active,
            tail: SEGMENT_HEADER as u32,
            entries: 0,
            time: StoreTime(0),
            previous: 0,
            written: Token(0),
            synced: Token(0),
            sync_each,
            open_window: false,
            seen_batches: 0,
            scratch: Vec::new(),
            left: Vec::new(),
            counters: WriterCounters::default(),
            sync_times: SyncTimes::default(),
        }
    }

    /// Bytes left in the active segment, its footer and a last empty batch taken off.
    pub(crate) fn room(&self) -> u64 {
        let taken = self.tail as usize + BATCH_HEADER + Footer::space(self.entries);
        u64::from(self.active.size).saturating_sub(taken as u64)
    }

    /// Whether nothing was written since the last call, and an empty batch would vouch for what
    /// was.
    pub(crate) fn take_idle_window(&mut self) -> bool {
        let idle = self.counters.batches == self.seen_batches;
        self.seen_batches = self.counters.batches;
        idle && self.open_window && self.sync_each
    }

    /// What was written and not synced yet: the active segment and its last batch.
    pub(crate) fn unsynced(&self) -> Option<(Arc<Segment>, Token)> {
        (self.written != self.synced).then(|| (self.active.clone(), self.written))
    }

    /// Notes a sync that was made without the writer.
    pub(crate) fn note_synced(&mut self, written: Token) {
        self.counters.syncs += 1;
        self.synced = self.synced.max(written);
    }

    /// Writes a batch, and in `Sync` mode syncs it. On an error the disk's state is unknown.
    pub(crate) fn write(
        &mut self,
        batch: &mut Batch,
        around: &impl Surroundings,
        placed: &mut Vec<Placed>,
    ) -> Result<()> {
        let mut from = BATCH_HEADER;
        let mut effects = 0;
        while from < batch.bytes.len() {
            let until = self.fitting(&batch.bytes, from, batch.effects.len() - effects);
            if until == from {
                self.roll_with(0, placed, around)?;
                if self.fitting(&batch.bytes, from, batch.effects.len() - effects) == from {
                    return Err(Error::new(
                        ErrorKind::LimitExceeded,
                        "a frame does not fit into an empty segment beside the claims in flight",
                    ));
                }
                continue;
            }
            let at = self.write_part(batch, from..until, around)?;
            effects = self.note(batch, effects, from..until, at, placed);
            from = until;
        }
        if self.sync_each && sabotage::is_on(Bug::SkippedSync) {
            self.synced = self.written;
        }
        if self.sync_each { self.sync(around) } else { Ok(()) }
    }

    /// How far the frames from `from` on fit into the active segment.
    fn fitting(&self, bytes: &[u8], from: usize, effects: usize) -> usize {
        let entries = self.entries + effects;
        let end = (self.active.size as usize).saturating_sub(Footer::space(entries));
        // The empty batch that vouches for this one must fit as well.
        let room = end.saturating_sub(self.tail as usize + 2 * BATCH_HEADER);
        if bytes.len() - from <= room {
            return bytes.len();
        }
        let mut until = from;
        while let Some(len) = bytes.get(until..).and_then(frame_len) {
            let next = until + pad(len);
            if next - from > room || next > bytes.len() {
                break;
            }
            until = next;
        }
        until
    }

    /// Writes frames as one batch; returns the offset of the first of them.
    fn write_part(
        &mut self,
        batch: &mut Batch,
        range: std::ops::Range<usize>,
        around: &impl Surroundings,
    ) -> Result<u32> {
        if range == (BATCH_HEADER..batch.bytes.len()) {
            // A segment that was begun since the batch was taken has drawn a higher one.
            let taken = Some(batch.sequence).filter(|sequence| *sequence > self.written);
            let sequence = taken.unwrap_or_else(|| around.draw_sequence());
            return self.append(&mut batch.bytes, 0, sequence, around);
        }
        let mut part = std::mem::take(&mut self.scratch);
        part.clear();
        part.resize(BATCH_HEADER, 0);
        part.extend_from_slice(batch.bytes.get(range).unwrap_or_default());
        let at = self.append(&mut part, 0, around.draw_sequence(), around);
        self.scratch = part;
        at
    }

    /// Seals and writes a batch at the tail.
    fn append(
        &mut self,
        bytes: &mut [u8],
        flags: u32,
        sequence: Token,
        around: &impl Surroundings,
    ) -> Result<u32> {
        let fields = BatchFields {
            sequence,
            synced: self.synced,
            store_time: around.now(),
            previous: self.previous,
            flags,
        };
        let offset = self.tail;
        let sealed = seal_batch(bytes, self.active.place(offset), fields);
        let checksum =
            sealed.ok_or_else(|| Error::new(ErrorKind::Io, "a batch was built wrong"))?;
        self.active.file.write_at(bytes, u64::from(offset)).map_err(|error| {
            let name = self.active.slot.file_name();
            Error::io(format_args!("writing {} bytes at {offset} of {name}", bytes.len()), error)
        })?;
        self.counters.batches += 1;
        self.counters.bytes += bytes.len() as u64;
        self.previous = checksum;
        self.tail += bytes.len() as u32;
        self.written = sequence;
        self.open_window = bytes.len() > BATCH_HEADER;
        self.time = fields.store_time;
        Ok(offset + BATCH_HEADER as u32)
    }

    /// Notes the records of a part that was written at `at`; returns how many effects are done.
    fn note(
        &mut self,
        batch: &Batch,
        mut done: usize,
        range: std::ops::Range<usize>,
        at: u32,
        placed: &mut Vec<Placed>,
    ) -> usize {
        if done == batch.effects.len() {
            return done;
        }
        let mut contents = self.active.contents();
        while let Some((frame, effect)) = batch.effects.get(done) {
            let frame = *frame as usize;
            if frame >= range.end {
                break;
            }
            let offset = at + (frame - range.start) as u32;
            let (hash, expires_at, forget) = match *effect {
                Effect::Publish { hash, expires_at, .. } => (hash, expires_at, false),
                Effect::Forget { hash, expires_at } => (hash, expires_at, true),
            };
            self.active.note_entry(&mut contents, NewEntry { hash, offset, forget, expires_at });
            if let Effect::Publish { hash, token, .. } = *effect {
                let location = Location { slot: self.active.slot, offset };
                placed.push(Placed { hash, token, location });
            }
            done += 1;
        }
        self.entries = contents.entries.len();
        done
    }

    /// Puts all that was written on stable storage.
    pub(crate) fn sync(&mut self, around: &impl Surroundings) -> Result<()> {
        if self.written == self.synced {
            return Ok(());
        }
        let file = &self.active.file;
        self.sync_times.time(around.time(), || file.sync()).map_err(|error| {
            Error::io(format_args!("syncing {}", self.active.slot.file_name()), error)
        })?;
        self.counters.syncs += 1;
        self.synced = self.written;
        Ok(())
    }

    /// Writes an empty batch, which vouches for the one before it and says the time.
    pub(crate) fn close_window(&mut self, around: &impl Surroundings) -> Result<()> {
        self.append(&mut [0; BATCH_HEADER], 0, around.draw_sequence(), around)?;
        if self.sync_each { self.sync(around) } else { Ok(()) }
    }

    /// Whether an empty batch fits that was not reckoned with.
    pub(crate) fn has_room_for_empty(&self) -> bool {
        // What `room` leaves out is for the one that vouches.
        self.room() >= BATCH_HEADER as u64
    }

    /// Moves on to the next segment and states the claims in flight at its head, on disk. A claim
    /// whose completion was placed before is not in flight, though nobody was told yet: stated
    /// again, it would outlive its completion.
    pub(crate) fn roll_with(
        &mut self,
        flags: u32,
        placed: &[Placed],
        around: &impl Surroundings,
    ) -> Result<()> {
        self.sync(around)?;
        let next = around.next_segment()?;
        let left = std::mem::replace(&mut self.active, next);
        self.describe(&left);
        self.entries = 0;
        self.tail = SEGMENT_HEADER as u32;
        self.previous = 0;
        self.start(flags, placed, around)?;
        self.left.push(left);
        Ok(())
    }

    /// Notes in a segment what its footer must say besides its entries.
    fn describe(&self, segment: &Segment) {
        let mut contents = segment.contents();
        contents.data_end = self.tail;
        contents.highest = self.written;
        contents.store_time = self.time;
    }

    /// The active segment, described as its footer must be: nothing will be written to it any more.
    pub(crate) fn last_segment(&self) -> Arc<Segment> {
        self.describe(&self.active);
        self.active.clone()
    }

    /// Writes the head of a fresh segment: the restatement.
    pub(crate) fn start(
        &mut self,
        flags: u32,
        placed: &[Placed],
        around: &impl Surroundings,
    ) -> Result<()> {
        let mut head = vec![0; BATCH_HEADER];
        around.restate(placed, &mut head)?;
        self.append(&mut head, FLAG_RESTATEMENT | flags, around.draw_sequence(), around)?;
        self.sync(around)
    }
}
