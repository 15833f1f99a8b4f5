//! Checksums made right over whatever the bytes are. A field that makes no sense ends it: what a
//! reader would not get to needs no checksum.

use super::super::batch::{BATCH_MAGIC, BatchHeader};
use super::super::frame::{frame_len, seal_frame};
use super::super::{BATCH_HEADER, FOOTER_ENTRY, FOOTER_TRAILER, Place, SEGMENT_HEADER, pad};
use crate::ids::Nonce;

/// The fields of a structure that has magic (8 bytes), checksum (4) and fields up to `end`.
fn seal_fields(bytes: &mut [u8], end: usize) {
    let checksum = bytes.get(12..end).map(crc32fast::hash);
    if let (Some(checksum), Some(place)) = (checksum, bytes.get_mut(8..12)) {
        place.copy_from_slice(&checksum.to_le_bytes());
    }
}

pub(super) fn number_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn put_at(bytes: &mut [u8], at: usize, new: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at.saturating_add(new.len())) {
        place.copy_from_slice(new);
    }
}

/// Both copies of a manifest.
pub(crate) fn seal_manifest(bytes: &mut [u8]) {
    let half = bytes.len() / 2;
    let (first, second) = bytes.split_at_mut(half);
    for copy in [first, second] {
        if let Some(len) = number_at(copy, 16) {
            seal_fields(copy, len as usize);
        }
    }
}

/// A segment's header.
pub(super) fn seal_segment_header(bytes: &mut [u8]) {
    seal_fields(bytes, 128);
}

/// A segment's header, its batches as far as they follow one another, and its footer.
pub(crate) fn seal_segment(bytes: &mut [u8], chain: bool) {
    seal_segment_header(bytes);
    let nonce = bytes.get(40..).and_then(|rest| rest.first_chunk()).copied();
    let Some(nonce) = nonce.map(u64::from_le_bytes).map(Nonce) else { return };
    let mut offset = SEGMENT_HEADER;
    let mut previous = 0;
    while let Some(batch) = bytes.get_mut(offset..) {
        if !batch.starts_with(&BATCH_MAGIC) {
            break;
        }
        if chain {
            put_at(batch, 40, &u32::to_le_bytes(previous));
        }
        let Some(len) = seal_batch_at(batch, Place { nonce, offset: offset as u32 }) else { break };
        previous = number_at(batch, 4).unwrap_or_default();
        offset += len;
    }
    seal_footer(bytes, nonce);
}

/// The checksums of the batch at the start of `batch`; returns its length.
fn seal_batch_at(batch: &mut [u8], place: Place) -> Option<usize> {
    let len = number_at(batch, 44)? as usize;
    let payload_place = place.plus(BATCH_HEADER);
    let payload = batch.get_mut(BATCH_HEADER..)?.get_mut(..len)?;
    let (mut rest, mut at) = (&mut *payload, payload_place);
    while let Some(padded) = frame_len(rest).map(pad).filter(|padded| *padded <= rest.len()) {
        let (frame, after) = rest.split_at_mut(padded);
        seal_frame(frame, at);
        rest = after;
        at = at.plus(padded);
    }
    let checksum = payload_place.checksum(payload);
    put_at(batch, 48, &checksum.to_le_bytes());
    let checksum = place.checksum(batch.get(8..BATCH_HEADER)?);
    put_at(batch, 4, &checksum.to_le_bytes());
    // Checked here as a reader would: were it wrong, the fuzzer would never get behind it.
    debug_assert!(
        place.nonce.0.to_le_bytes() != batch[8..16]
            || !len.is_multiple_of(16)
            || BatchHeader::decode(batch, place).is_ok()
    );
    Some(BATCH_HEADER + len)
}

/// The footer at the end of a segment.
pub(super) fn seal_footer(bytes: &mut [u8], nonce: Nonce) {
    let Some(at) = bytes.len().checked_sub(FOOTER_TRAILER) else { return };
    let (data, trailer) = bytes.split_at_mut(at);
    if !trailer.starts_with(b"OKF1") {
        return;
    }
    let count = number_at(trailer, 24).unwrap_or_default() as usize;
    let offset = number_at(trailer, 32).unwrap_or_default();
    let entries =
        count.checked_mul(FOOTER_ENTRY).and_then(|len| data.get(offset as usize..)?.get(..len));
    if let Some(entries) = entries {
        let checksum = Place { nonce, offset }.checksum(entries);
        put_at(trailer, 28, &checksum.to_le_bytes());
    }
    let checksum = Place { nonce, offset: at as u32 }.checksum(&trailer[8..]);
    put_at(trailer, 4, &checksum.to_le_bytes());
}
