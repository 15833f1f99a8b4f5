//! Reads a segment batch by batch, and tells its end from a torn tail and from damage.
//!
//! Whether a bad place had been synced is told by what comes later: a batch carries the highest
//! batch of the log that was on stable storage when it was written. If that is higher than the last
//! good batch before the place, a batch between the two was durable, and it is not there. Batches
//! later in the segment whose word is not enough were in flight along with the bad one, and are cut
//! with it.
//!
//! Left to others: frames (a batch is good if its checksums are), and every decision about damage.

use super::batch::{BATCH_MAGIC, BatchHeader, HeaderFault};
use super::place::Place;
use super::tail::{Found, Verdict, verdict};
use super::{BATCH_HEADER, GRANULE, SEGMENT_HEADER};
use crate::ids::{Nonce, Token};
use crate::sabotage::{self, Bug};

/// What is known of a segment before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScanOptions {
    /// The highest batch of this segment, or of one before it, that later segments prove to have
    /// been synced; 0 if they prove nothing. A batch of a later segment must not be given: it would
    /// make the end of this one a lost batch.
    pub(crate) synced: Token,
    /// The last batch before this segment; 0 if that is not known. What is given lower than it is
    /// may make a torn first batch damage, never the reverse.
    pub(crate) follows: Token,
    /// Sealed or cleanly closed: everything before this offset must be good, and nothing is read
    /// from it on.
    pub(crate) whole_until: Option<u32>,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self { synced: Token(0), follows: Token(0), whole_until: None }
    }
}

/// What is in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scan {
    /// The good batches.
    pub(crate) batches: Vec<ScannedBatch>,
    /// Where the next batch would go. After damage that nothing follows, the end of what was read.
    pub(crate) end: u32,
    pub(crate) torn: Option<TornTail>,
    pub(crate) damage: Vec<Damage>,
}

/// A good batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScannedBatch {
    pub(crate) offset: u32,
    pub(crate) header: BatchHeader,
}

/// What a crash cut short: never durable, so never acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TornTail {
    pub(crate) offset: u32,
    /// As far as is known: all of a batch whose header is good, else the header; and all batches
    /// that were in flight after it.
    pub(crate) bytes: u32,
    pub(crate) reason: &'static str,
}

/// What was durable and is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) offset: u32,
    /// Up to the next good batch, or to the end of what was read.
    pub(crate) bytes: u32,
    pub(crate) reason: &'static str,
}

/// Scans a whole segment file in its life `nonce`.
pub(crate) fn scan(segment: &[u8], nonce: Nonce, options: ScanOptions) -> Scan {
    scan_start(segment, segment.len(), nonce, options)
}

/// How far a scan looks into a segment, going by the batch headers that begin in `bytes`, which
/// lie at `offset`: what is beyond this, and holds no header, has no say.
pub(crate) fn reach(bytes: &[u8], offset: u32, nonce: Nonce) -> u32 {
    let granules = (offset..).step_by(GRANULE).zip((0..bytes.len()).step_by(GRANULE));
    let ends = granules.filter_map(|(offset, at)| {
        let bytes = bytes.get(at..).filter(|bytes| bytes.starts_with(&BATCH_MAGIC))?;
        BatchHeader::decode(bytes, Place { nonce, offset }).ok()?.end(offset)
    });
    // What is looked at last is the place of a next batch, whether there is one or not.
    ends.fold(SEGMENT_HEADER as u32, u32::max).saturating_add(BATCH_HEADER as u32)
}

/// Scans a segment file of `len` bytes in its life `nonce`, of which only the start is there, as
/// far as its batches reach ([`reach`]).
pub(crate) fn scan_start(segment: &[u8], len: usize, nonce: Nonce, options: ScanOptions) -> Scan {
    let file_end = u32::try_from(len).unwrap_or(u32::MAX);
    let whole = options.whole_until.is_some();
    let limit = options.whole_until.unwrap_or(file_end);
    let segment = segment.get(..limit as usize).unwrap_or(segment);
    let mut scan =
        Scan { batches: Vec::new(), end: SEGMENT_HEADER as u32, torn: None, damage: Vec::new() };
    let mut scanner = Scanner { segment, nonce, limit, options, witness: None };
    let mut chain = Chain { sequence: options.follows, checksum: Some(0) };
    while scan.end < limit {
        let at = scan.end;
        let place = scanner.look(at, chain);
        let (found, later) = match &place {
            Ok(_) => (Found::Good, Later::default()),
            // Where everything must be whole, no proof is needed.
            Err(bad) if whole => (bad.found, Later::default()),
            Err(bad) => {
                let later = scanner.later(at, chain.sequence);
                let is_missing = bad.found == Found::Nothing && later.end > 0;
                (if is_missing { Found::Missing } else { bad.found }, later)
            }
        };
        match (verdict(found, later.says_synced, whole), place) {
            (Verdict::NextBatch, Ok((header, end))) => {
                scan.batches.push(ScannedBatch { offset: at, header });
                chain = Chain { sequence: header.sequence, checksum: Some(header.checksum) };
                scan.end = end;
            }
            (Verdict::TornTail, Err(bad)) => {
                if sabotage::is_on(Bug::TornTail) && bad.found == Found::PayloadBad {
                    scan.batches.extend(scanner.header(at));
                    return scan;
                }
                let bytes = bad.bytes.max(later.end.saturating_sub(at));
                let reason =
                    if found == Found::Missing { "a batch is missing" } else { bad.reason };
                scan.torn = Some(TornTail { offset: at, bytes, reason });
                return scan;
            }
            (Verdict::Damage, Err(bad)) => {
                let next = scanner.next_good(after(at), chain.sequence);
                scan.end = next.map_or(limit, |(offset, ..)| offset);
                let bytes = scan.end.saturating_sub(at);
                scan.damage.push(Damage { offset: at, bytes, reason: bad.reason });
                chain.checksum = None;
            }
            // The end; the table pairs no other verdict with what was found.
            _ => return scan,
        }
    }
    scan
}

/// What the next batch must continue.
#[derive(Clone, Copy)]
struct Chain {
    sequence: Token,
    /// `None` after damage: what it hung on is not known.
    checksum: Option<u32>,
}

/// What is at a place that has no next batch.
struct Bad {
    found: Found,
    reason: &'static str,
    bytes: u32,
}

/// What the rest of the log says of a bad place.
#[derive(Default)]
struct Later {
    says_synced: bool,
    /// Where the last good batch after it ends, if none says that the place was synced.
    end: u32,
}

struct Scanner<'a> {
    /// What may be read, up to `limit` or the end of the file.
    segment: &'a [u8],
    nonce: Nonce,
    limit: u32,
    options: ScanOptions,
    /// The last batch whose word proved damage, and its `synced`. No batch before it knew more than
    /// the good batches by then, so the search for the next proof starts from it: reading a badly
    /// damaged segment takes time in proportion to its size.
    witness: Option<(u32, Token)>,
}

impl Scanner<'_> {
    /// The next batch and its end, if it is at `offset`.
    fn look(&self, offset: u32, chain: Chain) -> Result<(BatchHeader, u32), Bad> {
        let (header, end) = self.intact(offset)?;
        let follows = chain.checksum.is_none_or(|checksum| checksum == header.previous);
        let reason = if !follows {
            "batch does not follow the one before it"
        } else if header.sequence <= chain.sequence {
            "batch sequence does not rise"
        } else {
            return Ok((header, end));
        };
        Err(Bad { found: Found::DoesNotFollow, reason, bytes: end.saturating_sub(offset) })
    }

    /// The batch at `offset` and its end, if its checksums are right.
    fn intact(&self, offset: u32) -> Result<(BatchHeader, u32), Bad> {
        let bytes = self.segment.get(offset as usize..).unwrap_or_default();
        let place = Place { nonce: self.nonce, offset };
        let header = BatchHeader::decode(bytes, place).map_err(|fault| {
            let found = match fault {
                HeaderFault::Checksum => Found::HeaderBad,
                HeaderFault::NoMagic | HeaderFault::OtherLife | HeaderFault::Short => {
                    Found::Nothing
                }
            };
            Bad { found, reason: fault.reason(), bytes: BATCH_HEADER as u32 }
        })?;
        let end = header.end(offset).filter(|end| *end <= self.limit);
        match end.filter(|_| header.payload(bytes, place).is_some()) {
            Some(end) => Ok((header, end)),
            None => {
                let bytes = end.unwrap_or(self.limit).saturating_sub(offset);
                Err(Bad { found: Found::PayloadBad, reason: "batch payload checksum", bytes })
            }
        }
    }

    /// A good header at `offset`, whatever its payload is.
    fn header(&self, offset: u32) -> Option<ScannedBatch> {
        let bytes = self.segment.get(offset as usize..)?;
        let header = BatchHeader::decode(bytes, Place { nonce: self.nonce, offset }).ok()?;
        Some(ScannedBatch { offset, header })
    }

    /// The first good batch from `from` on with a higher sequence than `last`, and its end. A lower
    /// one was cut in an earlier recovery and means nothing.
    fn next_good(&self, from: u32, last: Token) -> Option<(u32, BatchHeader, u32)> {
        let rest = self.segment.get(from as usize..)?;
        let granules = rest.chunks(GRANULE).zip((from..).step_by(GRANULE));
        granules.filter(|(granule, _)| granule.starts_with(&BATCH_MAGIC)).find_map(|(_, offset)| {
            let (header, end) = self.intact(offset).ok()?;
            (header.sequence > last).then_some((offset, header, end))
        })
    }

    /// What comes after the bad place `at`, which follows the batch `last`.
    fn later(&mut self, at: u32, last: Token) -> Later {
        let mut later = Later { says_synced: self.options.synced > last, end: 0 };
        let mut from = after(at);
        if let Some((offset, synced)) = self.witness.filter(|(offset, _)| *offset >= from) {
            later.says_synced |= synced > last;
            from = offset;
        }
        while !later.says_synced {
            let Some((offset, header, end)) = self.next_good(from, last) else { break };
            if header.synced > last {
                later.says_synced = true;
                self.witness = Some((offset, header.synced));
            }
            later.end = end;
            from = end;
        }
        later
    }
}

fn after(offset: u32) -> u32 {
    offset.saturating_add(GRANULE as u32)
}

#[cfg(test)]
mod tests;
