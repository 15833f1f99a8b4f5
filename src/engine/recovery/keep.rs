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

use super::census::{Counted, Data, record_of};
use crate::engine::segment::{Contents, NewEntry, Segment};
use crate::error::{Error, Result};
use crate::ids::{KeyHash, StoreTime, Token};
use crate::log::{Footer, FooterHead, Frame, SegmentKind};

/// The beginning of what a segment's footer would say, if it was in use and can stay as it is.
pub(super) fn listing(counted: &Counted, data: &Data) -> Option<Contents> {
    let scan = &data.scan;
    let is_open = counted.footer.is_none() && counted.segment.kind == SegmentKind::Log;
    let last = scan.batches.last().filter(|_| is_open)?;
    let ends_there = last.header.end(last.offset) == Some(scan.end);
    let stays = ends_there && scan.torn.is_none() && scan.damage.is_empty();
    stays.then(|| Contents {
        data_end: scan.end,
        highest: last.header.sequence,
        store_time: last.header.store_time,
        ..Contents::empty()
    })
}

/// Lists a frame, if it is of a record.
pub(super) fn list(
    segment: &Segment,
    listing: &mut Contents,
    (offset, frame): (u32, &Frame<'_>),
    hash: KeyHash,
) {
    if let Some((_, _, forget, expires_at)) = record_of(frame) {
        segment.note_entry(listing, NewEntry { hash, offset, forget, expires_at });
    }
}

/// Lists what another list has, behind what is listed.
pub(super) fn append(listing: &mut Contents, mut more: Contents) {
    listing.entries.append(&mut more.entries);
    listing.records += more.records;
    listing.latest_expiry = listing.latest_expiry.max(more.latest_expiry);
}

/// Seals the segments that were in use, are whole, and have anything alive in them.
pub(super) fn seal_whole(counted: &mut [Counted], now: StoreTime) -> Result<()> {
    let synced = synced_in(counted);
    for counted in counted.iter_mut() {
        if let (Some(data), Some(listed)) = (&counted.data, counted.listed.take()) {
            counted.footer = seal(&counted.segment, data, listed, synced, now)?;
        }
    }
    Ok(())
}

/// Puts what is good of a segment's batches on stable storage, whatever earlier syncs came to.
pub(super) fn make_durable(segment: &Segment, data: &Data, synced: Token) -> Result<()> {
    write_again(segment, data, synced)?;
    let name = segment.slot.file_name();
    segment.file.sync().map_err(|error| Error::io(format_args!("syncing {name}"), error))
}

/// Writes the batches that may not be on stable storage once more, without a sync.
fn write_again(segment: &Segment, data: &Data, synced: Token) -> Result<()> {
    let scan = &data.scan;
    let unsure = scan.batches.partition_point(|batch| batch.header.sequence <= synced);
    let Some(first) = scan.batches.get(unsure) else { return Ok(()) };
    let bytes = data.bytes.get(first.offset as usize..scan.end as usize).unwrap_or_default();
    let name = segment.slot.file_name();
    let written = segment.file.write_at(bytes, u64::from(first.offset));
    written.map_err(|error| Error::io(format_args!("writing {name} again"), error))
}

/// The last batch that the log itself says was on stable storage.
pub(super) fn synced_in(counted: &[Counted]) -> Token {
    let log = counted.iter().filter(|counted| counted.segment.kind == SegmentKind::Log);
    let batches = log.flat_map(|counted| counted.data.iter().flat_map(|data| &data.scan.batches));
    batches.map(|batch| batch.header.synced).fold(Token(0), Token::max)
}

/// Seals a segment, if its footer has room and says that anything lives.
fn seal(
    segment: &Segment,
    data: &Data,
    contents: Contents,
    synced: Token,
    now: StoreTime,
) -> Result<Option<FooterHead>> {
    let scan = &data.scan;
    let end = scan.end as usize + Footer::space(contents.entries.len());
    if end > segment.size as usize || !contents.is_alive(segment.base, now) {
        return Ok(None);
    }
    write_again(segment, data, synced)?;
    *segment.contents() = contents;
    let head = segment.footer().head();
    segment.seal()?;
    Ok(Some(head))
}
