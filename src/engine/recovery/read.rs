//! Reads what a scan needs of a segment.
//!
//! All of it is looked at, since a batch far behind the others may prove that one between was lost.
//! But only what a batch reaches is kept: most of a segment in use is empty, and memory that is
//! touched for the first time costs more than reading into it.
//!
//! Reading asks nothing of other segments, so that several can be read at one time.

use std::io;

use crate::disk::{self, DiskFile};
use crate::engine::segment::Segment;
use crate::ids::{Nonce, Token};
use crate::log::{BATCH_HEADER, BatchHeader, SEGMENT_HEADER, Scan, ScanOptions, reach, scan_start};
use crate::sabotage::{self, Bug};

/// What is read at one time: it stays in the processor's caches. A multiple of what batches are
/// aligned to.
const PIECE_BYTES: usize = 512 << 10;

/// What a scan needs of a segment file.
#[derive(Debug)]
pub(crate) struct Start {
    /// Its start, as far as its batches reach.
    pub(crate) bytes: Vec<u8>,
    /// How long the file is.
    len: usize,
    nonce: Nonce,
}

impl Start {
    /// Reads what a scan needs of a segment.
    pub(crate) fn read(segment: &Segment, whole_until: Option<u32>) -> io::Result<Self> {
        let file = &*segment.file;
        if let Some(until) = whole_until {
            let mut bytes = vec![0; until as usize];
            let len = disk::read(file, &mut bytes, 0)?;
            bytes.truncate(len);
            let nonce = life(&bytes, segment.nonce);
            return Ok(Self { bytes, len, nonce });
        }
        let mut reading = Reading { file, bytes: Vec::new(), nonce: segment.nonce, kept: 0 };
        let len = reading.read(segment.size as usize)?;
        let Reading { mut bytes, nonce, kept, .. } = reading;
        bytes.truncate(kept);
        Ok(Self { bytes, len, nonce })
    }

    /// Scans it.
    pub(crate) fn scan(&self, options: ScanOptions) -> Scan {
        scan_start(&self.bytes, self.len, self.nonce, options)
    }

    /// What a scan with these options comes to, given one that was told of no synced batch: a
    /// place where all is well is the same whatever later segments say was synced before it.
    pub(crate) fn scan_again(&self, scan: Scan, options: ScanOptions) -> Scan {
        let last = scan.batches.last().map_or(Token(0), |batch| batch.header.sequence);
        let is_well = scan.torn.is_none() && scan.damage.is_empty();
        if is_well && options.synced <= last { scan } else { self.scan(options) }
    }
}

/// The life that a segment is read in: its own, but for a bug that is there on purpose.
fn life(start: &[u8], own: Nonce) -> Nonce {
    let said = start.get(SEGMENT_HEADER..).and_then(BatchHeader::life);
    said.filter(|_| sabotage::is_on(Bug::OldSegment)).unwrap_or(own)
}

/// The start of a segment file, while it is read.
struct Reading<'a> {
    file: &'a dyn DiskFile,
    /// What is kept, and behind it what was read last.
    bytes: Vec<u8>,
    nonce: Nonce,
    kept: usize,
}

impl Reading<'_> {
    /// Reads a file of at most `size` bytes; returns how many it has.
    fn read(&mut self, size: usize) -> io::Result<usize> {
        let mut needed = SEGMENT_HEADER + BATCH_HEADER;
        for from in (0..size).step_by(PIECE_BYTES) {
            // A header may begin in this piece and end in the next.
            let want = (size - from).min(PIECE_BYTES + BATCH_HEADER);
            let count = self.read_behind(want, from)?;
            if from == 0 {
                self.nonce = life(&self.bytes, self.nonce);
            }
            let piece = self.bytes.get(self.kept..self.kept + count).unwrap_or_default();
            needed = needed.max(reach(piece, from as u32, self.nonce) as usize);
            if needed > from {
                // What lies between was taken to be empty, and a later batch makes it matter.
                if self.kept < from {
                    self.read_behind(from + count - self.kept, self.kept)?;
                }
                self.kept = from + count.min(PIECE_BYTES);
            }
            if count < want {
                return Ok(from + count);
            }
        }
        Ok(size)
    }

    /// Reads bytes of the file behind those that are kept.
    fn read_behind(&mut self, want: usize, from: usize) -> io::Result<usize> {
        let end = self.kept + want;
        self.bytes.resize(end.max(self.bytes.len()), 0);
        let room = self.bytes.get_mut(self.kept..end).unwrap_or_default();
        disk::read(self.file, room, from as u64)
    }
}

#[cfg(test)]
mod tests;
