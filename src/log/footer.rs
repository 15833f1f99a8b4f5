//! A sealed segment's footer: its table of contents, from which the index is built at open.
//!
//! Lies at the end of the file: entries, then a trailer that says where they start. Both have
//! checksums bound to their places and the nonce, so a footer of an earlier life is no footer.
//! Expiries in it are never earlier than the frames' own: rounded up, and the last number there is
//! stands for any later moment.
//!
//! Left to others: that the entries are those of the segment's frames.

use std::{fmt, io};

use super::place::Place;
use super::varint::Reader;
use super::{FOOTER_ENTRY, FOOTER_TRAILER, GRANULE, SEGMENT_HEADER};
use crate::disk::{self, DiskFile};
use crate::ids::{KeyHash, Nonce, SegmentId, StoreTime, Token};

const MAGIC: [u8; 4] = *b"OKF1";
/// Magic and checksum are not part of what the trailer's checksum covers.
const CHECKED_FROM: usize = 8;
const BODY: usize = FOOTER_TRAILER - CHECKED_FROM;
/// Offsets are kept in granules: 28 bits reach further than an offset does.
const OFFSET_MASK: u32 = (1 << 28) - 1;
const FORGET_BIT: u32 = 1 << 28;
const MS_PER_S: u64 = 1000;

const _: () = assert!((u32::MAX as usize) / GRANULE <= OFFSET_MASK as usize);

/// One completion or forget frame of the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FooterEntry {
    pub(crate) hash: KeyHash,
    /// Where the frame starts, a multiple of 16.
    pub(crate) offset: u32,
    pub(crate) forget: bool,
    /// Seconds since the base time; `u32::MAX` is that moment or any later one.
    pub(crate) expires_s: u32,
}

impl FooterEntry {
    /// The number for `expires_s` that is not before `expires_at`.
    pub(crate) fn seconds(expires_at: StoreTime, base: StoreTime) -> u32 {
        let seconds = expires_at.ms_since(base).div_ceil(MS_PER_S);
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }

    /// A moment not before the frame's expiry: up to a second later, or the end of time.
    pub(crate) fn expires_at(&self, base: StoreTime) -> StoreTime {
        Self::moment(self.expires_s, base)
    }

    /// What a footer would say of such an expiry. A forget lives until then, since what it hides
    /// may be known by a footer.
    pub(crate) fn rounded(expires_at: StoreTime, base: StoreTime) -> StoreTime {
        Self::moment(Self::seconds(expires_at, base), base)
    }

    /// The moment that a footer's number stands for.
    pub(crate) fn moment(expires_s: u32, base: StoreTime) -> StoreTime {
        match expires_s {
            u32::MAX => StoreTime(u64::MAX),
            seconds => base.plus_ms(u64::from(seconds) * MS_PER_S),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        debug_assert!((self.offset as usize).is_multiple_of(GRANULE), "{self:?}");
        let forget = if self.forget { FORGET_BIT } else { 0 };
        out.extend(self.hash.0.to_le_bytes());
        out.extend(((self.offset / GRANULE as u32) | forget).to_le_bytes());
        out.extend(self.expires_s.to_le_bytes());
    }

    fn decode(bytes: &[u8; FOOTER_ENTRY]) -> Option<Self> {
        // Opening decodes each entry of a store several times, so this is all loads and masks.
        let bits = u128::from_le_bytes(*bytes);
        let (hash, location, expires_s) = (bits as u64, (bits >> 64) as u32, (bits >> 96) as u32);
        if location & !(OFFSET_MASK | FORGET_BIT) != 0 {
            return None;
        }
        let offset = (location & OFFSET_MASK) * GRANULE as u32;
        let forget = location & FORGET_BIT != 0;
        Some(Self { hash: KeyHash(hash), offset, forget, expires_s })
    }
}

/// A footer, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) nonce: Nonce,
    pub(crate) id: SegmentId,
    /// In the order of their offsets.
    pub(crate) entries: Vec<FooterEntry>,
    /// Where the last batch ends.
    pub(crate) data_end: u32,
    /// The sequence of the last batch.
    pub(crate) highest: Token,
    /// Of the last batch.
    pub(crate) store_time: StoreTime,
    /// Of the entries; zero if there are none.
    pub(crate) latest_expiry: StoreTime,
}

/// What a footer says besides its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FooterHead {
    /// How many entries there are.
    pub(crate) count: u32,
    /// Where the last batch ends.
    pub(crate) data_end: u32,
    /// The sequence of the last batch.
    pub(crate) highest: Token,
    /// Of the last batch.
    pub(crate) store_time: StoreTime,
    /// Of the entries; zero if there are none.
    pub(crate) latest_expiry: StoreTime,
}

/// The entries of a footer, decoded from its bytes as they are asked for.
#[derive(Debug, Clone)]
pub(crate) struct FooterEntries<'a> {
    bytes: &'a [u8],
}

impl Iterator for FooterEntries<'_> {
    type Item = FooterEntry;

    fn next(&mut self) -> Option<FooterEntry> {
        let (entry, rest) = self.bytes.split_first_chunk::<FOOTER_ENTRY>()?;
        self.bytes = rest;
        FooterEntry::decode(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = self.bytes.len() / FOOTER_ENTRY;
        (count, Some(count))
    }
}

/// Why there is no footer.
#[derive(Debug)]
pub(crate) enum FooterFault {
    /// Nothing there is a footer of this life of the file.
    Absent,
    /// There is one, and it is not what was written.
    Damaged(&'static str),
    /// The file could not be read.
    Io(io::Error),
}

impl fmt::Display for FooterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("there is none"),
            Self::Damaged(what) => write!(f, "it is damaged ({what})"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

/// What a trailer says, of the entries too.
struct Trailer {
    nonce: Nonce,
    id: SegmentId,
    head: FooterHead,
    checksum: u32,
    entries_offset: u32,
}

impl Footer {
    /// The bytes that a footer of so many entries takes at the end of the file.
    pub(crate) fn space(entries: usize) -> usize {
        entries.saturating_mul(FOOTER_ENTRY).saturating_add(FOOTER_TRAILER)
    }

    /// The footer's bytes, from the first entry through the end of the file, and the offset to
    /// write them at. `None` if they do not fit between the data and the end of the segment.
    pub(crate) fn encode(&self, segment_size: u32) -> Option<(u32, Vec<u8>)> {
        let space = Self::space(self.entries.len());
        let entries_offset = segment_size.checked_sub(u32::try_from(space).ok()?)?;
        if entries_offset < self.data_end || !(entries_offset as usize).is_multiple_of(GRANULE) {
            return None;
        }
        let mut out = Vec::with_capacity(space);
        self.entries.iter().for_each(|entry| entry.encode(&mut out));
        let place = Place { nonce: self.nonce, offset: entries_offset };
        let trailer_place = place.plus(out.len());
        let mut body = Vec::with_capacity(BODY);
        body.extend(self.nonce.0.to_le_bytes());
        body.extend(self.id.0.to_le_bytes());
        body.extend(u32::try_from(self.entries.len()).ok()?.to_le_bytes());
        body.extend(place.checksum(&out).to_le_bytes());
        body.extend(entries_offset.to_le_bytes());
        body.extend(self.data_end.to_le_bytes());
        body.extend(self.highest.0.to_le_bytes());
        body.extend(self.store_time.0.to_le_bytes());
        body.extend(self.latest_expiry.0.to_le_bytes());
        body.resize(BODY, 0);
        out.extend(MAGIC);
        out.extend(trailer_place.checksum(&body).to_le_bytes());
        out.extend(body);
        Some((entries_offset, out))
    }

    /// What it says besides its entries.
    pub(crate) fn head(&self) -> FooterHead {
        FooterHead {
            count: u32::try_from(self.entries.len()).unwrap_or(u32::MAX),
            data_end: self.data_end,
            highest: self.highest,
            store_time: self.store_time,
            latest_expiry: self.latest_expiry,
        }
    }

    /// Reads the footer of the segment `id` in its life `nonce`.
    pub(crate) fn read(
        file: &dyn DiskFile,
        segment_size: u32,
        nonce: Nonce,
        id: SegmentId,
    ) -> Result<Self, FooterFault> {
        let mut buffer = Vec::new();
        let (head, entries) = Self::read_into(&mut buffer, file, segment_size, nonce, id)?;
        let FooterHead { data_end, highest, store_time, latest_expiry, .. } = head;
        let entries = entries.collect();
        Ok(Self { nonce, id, entries, data_end, highest, store_time, latest_expiry })
    }

    /// Reads the footer of the segment `id` in its life `nonce` into memory that is used again.
    pub(crate) fn read_into<'a>(
        buffer: &'a mut Vec<u8>,
        file: &dyn DiskFile,
        segment_size: u32,
        nonce: Nonce,
        id: SegmentId,
    ) -> Result<(FooterHead, FooterEntries<'a>), FooterFault> {
        let offset = segment_size
            .checked_sub(FOOTER_TRAILER as u32)
            .ok_or(FooterFault::Damaged("segment smaller than a footer"))?;
        let place = Place { nonce, offset };
        let trailer = Trailer::decode(read_exact(buffer, file, offset, FOOTER_TRAILER)?, place)?;
        let Trailer { head, checksum, entries_offset, .. } = trailer;
        if trailer.id != id {
            return Err(FooterFault::Damaged("footer of another segment"));
        }
        // Bounds what is allocated, too: the entries lie within the segment.
        let data = SEGMENT_HEADER as u32..=entries_offset;
        let len = u64::from(head.count) * FOOTER_ENTRY as u64;
        if u64::from(entries_offset) + len != u64::from(offset) || !data.contains(&head.data_end) {
            return Err(FooterFault::Damaged("footer bounds"));
        }
        let bytes = read_exact(buffer, file, entries_offset, head.count as usize * FOOTER_ENTRY)?;
        if checksum != (Place { nonce, offset: entries_offset }).checksum(bytes) {
            return Err(FooterFault::Damaged("footer entries checksum"));
        }
        check_entries(bytes, head.data_end).ok_or(FooterFault::Damaged("footer entries"))?;
        Ok((head, FooterEntries { bytes }))
    }
}

impl Trailer {
    fn decode(bytes: &[u8], place: Place) -> Result<Self, FooterFault> {
        let fields = bytes.strip_prefix(&MAGIC).ok_or(FooterFault::Absent)?;
        let short = FooterFault::Damaged("footer is cut short");
        let Some((found, trailer)) = Self::decode_fields(fields) else { return Err(short) };
        if trailer.nonce != place.nonce {
            return Err(FooterFault::Absent);
        }
        if found != place.checksum(bytes.get(CHECKED_FROM..).unwrap_or_default()) {
            return Err(FooterFault::Damaged("footer checksum"));
        }
        Ok(trailer)
    }

    fn decode_fields(fields: &[u8]) -> Option<(u32, Self)> {
        let mut fields = Reader::new(fields);
        let own_checksum = fields.u32()?;
        let (nonce, id) = (Nonce(fields.u64()?), SegmentId(fields.u64()?));
        let (count, checksum, entries_offset) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let head = FooterHead {
            count,
            data_end: fields.u32()?,
            highest: Token(fields.u64()?),
            store_time: StoreTime(fields.u64()?),
            latest_expiry: StoreTime(fields.u64()?),
        };
        Some((own_checksum, Self { nonce, id, head, checksum, entries_offset }))
    }
}

/// `Some` if each entry is of a frame that can be, after the one before it.
fn check_entries(bytes: &[u8], data_end: u32) -> Option<()> {
    let mut lowest = SEGMENT_HEADER as u32;
    for chunk in bytes.chunks(FOOTER_ENTRY) {
        let entry = FooterEntry::decode(chunk.first_chunk()?)?;
        if entry.offset < lowest || entry.offset >= data_end {
            return None;
        }
        lowest = entry.offset.checked_add(GRANULE as u32)?;
    }
    Some(())
}

fn read_exact<'a>(
    buffer: &'a mut Vec<u8>,
    file: &dyn DiskFile,
    offset: u32,
    len: usize,
) -> Result<&'a [u8], FooterFault> {
    let cut_short = FooterFault::Damaged("segment file is cut short");
    buffer.resize(len.max(buffer.len()), 0);
    let Some(bytes) = buffer.get_mut(..len) else { return Err(cut_short) };
    let read = disk::read(file, bytes, u64::from(offset)).map_err(FooterFault::Io)?;
    if read == len { Ok(bytes) } else { Err(cut_short) }
}

#[cfg(test)]
mod tests;
