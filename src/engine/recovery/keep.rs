//! Segments that were in use, sealed where they lie.
//!
//! After a kill the page cache shows batches that the disk may lack, and a sync alone says nothing
//! of them: an earlier one may have failed, and the kernel has forgotten what it could not write. A
//! batch that a later one calls synced was on stable storage. All after it are written once more,
//! the same bytes to the same place, so that the sync of the footer is about them too. Cut short,
//! that leaves of each sector what it was or what it was to be, which is the same.
//!
//! The manifest calls the segment sealed only with the step that ends recovery; before it, the next
//! opening reads the segment's data as this one did.
//!
//! Left to others: segments with a batch that was cut short, or with damage. Without its footer
//! such a segment could not be told from one that rotted, so what is good in it is rewritten
//! elsewhere.

use super::census::{Counted, Data, each_frame, record_of};
use crate::engine::segment::{Contents, NewEntry, Segment};
use crate::error::{Error, Result};
use crate::ids::{StoreTime, Token};
use crate::index::KeyHasher;
use crate::log::{Footer, FooterHead, SegmentKind};

/// Seals the segments that were in use, are whole, and have anything alive in them.
pub(super) fn seal_whole(
    counted: &mut [Counted],
    hasher: &KeyHasher,
    now: StoreTime,
) -> Result<()> {
    let synced = synced_in(counted);
    for counted in counted.iter_mut().filter(|counted| counted.footer.is_none()) {
        if let Some(data) = &counted.data {
            counted.footer = seal(&counted.segment, data, synced, hasher, now)?;
        }
    }
    Ok(())
}

/// The last batch that the log itself says was on stable storage.
fn synced_in(counted: &[Counted]) -> Token {
    let log = counted.iter().filter(|counted| counted.segment.kind == SegmentKind::Log);
    let batches = log.flat_map(|counted| counted.data.iter().flat_map(|data| &data.scan.batches));
    batches.map(|batch| batch.header.synced).fold(Token(0), Token::max)
}

/// Seals a segment, if it can stay as it is.
fn seal(
    segment: &Segment,
    data: &Data,
    synced: Token,
    hasher: &KeyHasher,
    now: StoreTime,
) -> Result<Option<FooterHead>> {
    let scan = &data.scan;
    let Some(last) = scan.batches.last().filter(|_| segment.kind == SegmentKind::Log) else {
        return Ok(None);
    };
    let ends_there = last.header.end(last.offset) == Some(scan.end);
    if scan.torn.is_some() || !scan.damage.is_empty() || !ends_there {
        return Ok(None);
    }
    let mut contents = Contents {
        data_end: scan.end,
        highest: last.header.sequence,
        store_time: last.header.store_time,
        ..Contents::empty()
    };
    each_frame(segment, data, |offset, frame| {
        if let Some((scope, key, forget, expires_at)) = record_of(&frame) {
            let entry = NewEntry { hash: hasher.hash(scope, key), offset, forget, expires_at };
            segment.note_entry(&mut contents, entry);
        }
        Ok(())
    })?;
    let end = scan.end as usize + Footer::space(contents.entries.len());
    if end > segment.size as usize || !contents.is_alive(segment.base, now) {
        return Ok(None);
    }
    let unsure = scan.batches.partition_point(|batch| batch.header.sequence <= synced);
    if let Some(first) = scan.batches.get(unsure) {
        let bytes = data.bytes.get(first.offset as usize..scan.end as usize).unwrap_or_default();
        segment.file.write_at(bytes, u64::from(first.offset)).map_err(|error| {
            Error::io(format_args!("writing {} again", segment.slot.file_name()), error)
        })?;
    }
    *segment.contents() = contents;
    let head = segment.footer().head();
    segment.seal()?;
    Ok(Some(head))
}
