//! Reads what a scan needs of a segment.
//!
//! All of it is looked at, since a batch far behind the others may prove that one between was lost.
//! But only what a batch reaches is kept: most of a segment in use is empty, and memory that is
//! touched for the first time costs more than reading into it. For the same reason what is kept is
//! read once more rather than gathered on the way, by several threads.
//!
//! Reading asks nothing of other segments, so that several can be read at one time.

use std::io;

use super::crew;
use crate::disk::{self, DiskFile};
use crate::engine::segment::Segment;
use crate::ids::{Nonce, Token};
use crate::log::{BATCH_HEADER, BatchHeader, SEGMENT_HEADER, Scan, ScanOptions, reach, scan_start};
use crate::sabotage::{self, Bug};
use crate::sync::Mutex;

/// What is looked at in one go: it stays in the processor's caches. A multiple of what batches are
/// aligned to.
const PIECE_BYTES: usize = 512 << 10;
/// What one thread reads in one go of what is kept: with less a second is not worth its start.
const PART_BYTES: usize = 1 << 20;

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
    /// Reads what a scan needs of a segment, on at most so many threads.
    pub(crate) fn read(
        segment: &Segment,
        whole_until: Option<u32>,
        workers: usize,
    ) -> io::Result<Self> {
        let file = &*segment.file;
        if let Some(until) = whole_until {
            let bytes = read_start(file, until as usize, workers)?;
            let nonce = life(&bytes, segment.nonce);
            return Ok(Self { len: bytes.len(), bytes, nonce });
        }
        let (len, kept, nonce) = look_through(file, segment.size as usize, segment.nonce)?;
        Ok(Self { bytes: read_start(file, kept, workers)?, len, nonce })
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

/// Looks at a file of at most `size` bytes: how many it has, how far a scan of it looks, and the
/// life that it is read in.
fn look_through(file: &dyn DiskFile, size: usize, own: Nonce) -> io::Result<(usize, usize, Nonce)> {
    // A header may begin in one piece and end in the next.
    let mut buffer = vec![0; PIECE_BYTES + BATCH_HEADER];
    let (mut needed, mut nonce) = (SEGMENT_HEADER + BATCH_HEADER, own);
    for from in (0..size).step_by(PIECE_BYTES) {
        let want = (size - from).min(buffer.len());
        let room = buffer.get_mut(..want).unwrap_or_default();
        let count = disk::read(file, room, from as u64)?;
        let piece = room.get(..count).unwrap_or_default();
        if from == 0 {
            nonce = life(piece, own);
        }
        needed = needed.max(reach(piece, from as u32, nonce) as usize);
        if count < want {
            let len = from + count;
            return Ok((len, needed.min(len), nonce));
        }
    }
    Ok((size, needed.min(size), nonce))
}

/// Reads the first `len` bytes of a file, or as many as it has.
fn read_start(file: &dyn DiskFile, len: usize, workers: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let parts: Vec<_> = bytes.chunks_mut(PART_BYTES).map(Mutex::new).collect();
    let read = |part: usize| match parts.get(part) {
        Some(room) => disk::read(file, &mut room.lock(), (part * PART_BYTES) as u64),
        None => Ok(0),
    };
    let (_, counts) = crew::share(workers, parts.len(), || (), |(), part| Ok(read(part)))
        .map_err(io::Error::other)?;
    let count = counts.into_iter().sum::<io::Result<usize>>()?;
    bytes.truncate(count);
    Ok(bytes)
}

#[cfg(test)]
mod tests;
