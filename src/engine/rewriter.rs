//! Writes surviving records into a fresh segment: what compaction and recovery make.
//!
//! Frames keep their tokens; their place, and so their checksums, are new. Nothing is reachable
//! before the caller names the segment in the manifest, so nothing need be synced before the end.

use std::sync::Arc;

use super::segment::{NewEntry, Segment};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{StoreTime, Token};
use crate::log::{
    BATCH_HEADER, BatchFields, FLAG_CLEAN, Footer, Frame, SEGMENT_HEADER, pad, seal_batch,
};

/// Bytes gathered before they are written.
const CHUNK_BYTES: usize = 256 << 10;

#[derive(Debug)]
pub(crate) struct Rewriter {
    segment: Arc<Segment>,
    bytes: Vec<u8>,
    tail: u32,
    previous: u32,
    sequence: u64,
    time: StoreTime,
    /// Bytes written since they were last synced.
    unsynced: u64,
}

impl Rewriter {
    pub(crate) fn new(segment: Arc<Segment>, time: StoreTime) -> Self {
        Self {
            segment,
            bytes: vec![0; BATCH_HEADER],
            tail: SEGMENT_HEADER as u32,
            previous: 0,
            sequence: 0,
            time,
            unsynced: 0,
        }
    }

    /// Whether a frame of `len` bytes still fits.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        let entries = self.segment.contents().entries.len() + 1;
        // The last batch may need a header of its own.
        let taken = self.tail as usize + self.bytes.len() + BATCH_HEADER + Footer::space(entries);
        taken + pad(len) <= self.segment.size as usize
    }

    /// Adds a frame; returns the offset it will have.
    pub(crate) fn add(&mut self, frame: &Frame<'_>, mut entry: NewEntry) -> Result<u32> {
        if self.bytes.len() >= CHUNK_BYTES {
            self.write(0)?;
        }
        entry.offset = self.tail + self.bytes.len() as u32;
        frame
            .encode(self.segment.base, &mut self.bytes)
            .map_err(|_| Error::new(ErrorKind::Corrupt, "a frame would be 16 MiB or more"))?;
        let mut contents = self.segment.contents();
        self.segment.note_entry(&mut contents, entry);
        Ok(entry.offset)
    }

    /// Syncs what was written since the last time, if anything was: then no sync ever has much to
    /// write. Returns how many bytes that were.
    pub(crate) fn sync_piece(&mut self) -> Result<u64> {
        if self.unsynced > 0 {
            let name = self.segment.slot.file_name();
            let synced = self.segment.file.sync();
            synced.map_err(|error| Error::io(format_args!("syncing {name}"), error))?;
        }
        Ok(std::mem::take(&mut self.unsynced))
    }

    /// Writes what is left and the footer, and syncs.
    pub(crate) fn finish(mut self) -> Result<Arc<Segment>> {
        self.write(FLAG_CLEAN)?;
        self.segment.seal()?;
        Ok(self.segment)
    }

    fn write(&mut self, flags: u32) -> Result<()> {
        self.sequence += 1;
        let fields = BatchFields {
            sequence: Token(self.sequence),
            synced: Token(0),
            store_time: self.time,
            previous: self.previous,
            flags,
        };
        let offset = self.tail;
        self.previous = seal_batch(&mut self.bytes, self.segment.place(offset), fields)
            .ok_or_else(|| Error::new(ErrorKind::Io, "a batch was built wrong"))?;
        let name = self.segment.slot.file_name();
        self.segment
            .file
            .write_at(&self.bytes, u64::from(offset))
            .map_err(|error| Error::io(format_args!("writing {name} at {offset}"), error))?;
        self.tail += self.bytes.len() as u32;
        self.unsynced += self.bytes.len() as u64;
        let mut contents = self.segment.contents();
        contents.data_end = self.tail;
        contents.highest = Token(self.sequence);
        contents.store_time = self.time;
        drop(contents);
        self.bytes.clear();
        self.bytes.resize(BATCH_HEADER, 0);
        Ok(())
    }
}
