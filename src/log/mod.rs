//! The bytes of a store: what each structure on disk looks like, and what bytes mean that a crash
//! or a failing disk left behind. `docs/format.md` is the specification; this folder follows it to
//! the byte and knows of nothing above it.
//!
//! Invariants:
//! - No input makes anything here panic: all bytes are hostile until a checksum says otherwise.
//! - Within a segment every checksum is bound to its [`Place`]: right bytes in a wrong place fail.
//! - Whatever is encoded here decodes to an equal value; what would not is refused when encoding.
//!
//! Left to others: which segments there are and when they are sealed, recycled or rewritten, what
//! frames mean to the index, and all reading and writing but that of footers and manifests.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

pub(crate) mod batch;
pub(crate) mod body;
pub(crate) mod footer;
pub(crate) mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub(crate) mod manifest;
#[cfg(any(test, fuzzing))]
mod memory;
pub(crate) mod place;
#[cfg(test)]
mod samples;
pub(crate) mod scan;
pub(crate) mod segment_header;
pub(crate) mod tail;
pub(crate) mod varint;

pub(crate) use batch::{
    BatchFields, BatchHeader, FLAG_CLEAN, FLAG_RESTATEMENT, frames, seal_batch,
};
pub(crate) use body::{Body, pack};
pub(crate) use footer::{Footer, FooterEntries, FooterEntry, FooterFault, FooterHead};
pub(crate) use frame::{
    CALLER_BYTES, ClaimFrame, ClaimState, CompletionFrame, ForgetFrame, Frame, FrameFault,
    frame_len,
};
pub(crate) use manifest::{MANIFEST_FILE, MANIFEST_TMP, Manifest, ManifestFault, SegmentEntry};
pub(crate) use place::Place;
pub(crate) use scan::{Scan, ScanOptions, ScannedBatch, reach, scan, scan_start};
pub(crate) use segment_header::{HeaderProblem, SegmentHeader, SegmentKind};
pub(crate) use varint::{Reader, put};

/// What batches and frames are aligned to.
pub(crate) const GRANULE: usize = 16;
/// Bytes of a batch's header.
pub(crate) const BATCH_HEADER: usize = 64;
/// Bytes of a segment's header, and so the offset of its first batch.
pub(crate) const SEGMENT_HEADER: usize = 4096;
/// Bytes of one footer entry.
pub(crate) const FOOTER_ENTRY: usize = 16;
/// Bytes of a footer's trailer.
pub(crate) const FOOTER_TRAILER: usize = 128;
/// The version of the format that is written, and the only one that is read.
pub(crate) const FORMAT_VERSION: u32 = 1;

// A batch that starts on a granule has frames that do, and entries end where the trailer starts.
const _: () = assert!(BATCH_HEADER.is_multiple_of(GRANULE));
const _: () = assert!(SEGMENT_HEADER.is_multiple_of(GRANULE));
const _: () = assert!(FOOTER_ENTRY.is_multiple_of(GRANULE));
const _: () = assert!(FOOTER_TRAILER.is_multiple_of(GRANULE));

/// Rounds a length up to a multiple of [`GRANULE`]; at the end of numbers it stays there.
pub(crate) const fn pad(len: usize) -> usize {
    match len.checked_next_multiple_of(GRANULE) {
        Some(padded) => padded,
        None => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pad_rounds_up_to_a_granule() {
        let padded = [0, 1, 15, 16, 17, usize::MAX].map(pad);
        assert_eq!(padded, [0, 16, 16, 16, 32, usize::MAX]);
    }
}
