//! A batch: what one write and one sync make durable. A header, then frames.
//!
//! The header says how the batch hangs on the one before it and how far the log was known to be on
//! stable storage; the verdict on a bad place (`tail.rs`) rests on both. A header is good or bad
//! without its payload, which has a checksum of its own.
//!
//! Left to others: that sequences rise and chains hold (`scan.rs`), and what flags ask for.

use std::fmt;

use super::frame::{Frame, FrameFault, frame_len, seal_frame};
use super::place::Place;
use super::varint::Reader;
use super::{BATCH_HEADER, GRANULE, pad};
use crate::ids::{Nonce, StoreTime, Token};
use crate::sabotage::{self, Bug};

/// What a batch starts with.
pub(super) const BATCH_MAGIC: [u8; 4] = *b"OKB1";
/// Magic and checksum are not part of what the checksum covers.
const CHECKED_FROM: usize = 8;
const BODY: usize = BATCH_HEADER - CHECKED_FROM;

/// The first batch of a log segment: states again what was pending.
pub(crate) const FLAG_RESTATEMENT: u32 = 1;
/// The last batch of a store that was closed cleanly.
pub(crate) const FLAG_CLEAN: u32 = 2;

/// A batch's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) nonce: Nonce,
    pub(crate) sequence: Token,
    /// The highest batch of the log known to be on stable storage, with all before it, when this
    /// was written; 0 for none.
    pub(crate) synced: Token,
    pub(crate) store_time: StoreTime,
    /// The `checksum` of the batch before it in the segment, 0 for the first.
    pub(crate) previous: u32,
    pub(crate) payload_len: u32,
    pub(crate) payload_checksum: u32,
    pub(crate) frames: u32,
    pub(crate) flags: u32,
    /// The header's own.
    pub(crate) checksum: u32,
}

/// What a writer decides about a batch; the rest follows from its frames and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchFields {
    pub(crate) sequence: Token,
    pub(crate) synced: Token,
    pub(crate) store_time: StoreTime,
    pub(crate) previous: u32,
    pub(crate) flags: u32,
}

/// Why bytes are not a batch's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// It does not start like one.
    NoMagic,
    /// It starts like one, of another nonce.
    OtherLife,
    /// It is of this nonce, and not what was written here.
    Checksum,
    /// There are fewer bytes than a header has.
    Short,
}

impl HeaderFault {
    /// In words.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::NoMagic => "no batch",
            Self::OtherLife => "batch of an earlier life",
            Self::Checksum => "batch header checksum",
            Self::Short => "no room for a batch",
        }
    }
}

impl fmt::Display for HeaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl BatchHeader {
    /// Decodes the header at the start of `bytes`, which may be longer.
    pub(crate) fn decode(bytes: &[u8], place: Place) -> Result<Self, HeaderFault> {
        let bytes = bytes.first_chunk::<BATCH_HEADER>().ok_or(HeaderFault::Short)?;
        let (magic, body) = bytes.split_first_chunk().ok_or(HeaderFault::Short)?;
        let header = Self::decode_fields(body).ok_or(HeaderFault::Short)?;
        if *magic != BATCH_MAGIC || header.nonce != place.nonce {
            let renamed = Self { nonce: place.nonce, ..header };
            return Err(match *magic == BATCH_MAGIC {
                // Its checksum says whose it was before a bit of its magic or nonce flipped.
                _ if header.checksum == place.checksum(&renamed.body()) => HeaderFault::Checksum,
                true => HeaderFault::OtherLife,
                false => HeaderFault::NoMagic,
            });
        }
        // A right checksum over a length that no writer makes counts as a wrong one.
        let checked = bytes.get(CHECKED_FROM..).unwrap_or_default();
        let aligned = (header.payload_len as usize).is_multiple_of(GRANULE);
        if header.checksum != place.checksum(checked) || !aligned {
            return Err(HeaderFault::Checksum);
        }
        Ok(header)
    }

    /// Where the batch at `offset` ends, unless that is beyond what an offset can say.
    pub(crate) fn end(&self, offset: u32) -> Option<u32> {
        offset.checked_add(BATCH_HEADER as u32)?.checked_add(self.payload_len)
    }

    /// The payload in `batch`, which starts with this header at `place` and may be longer, if it is
    /// whole and its checksum is right.
    pub(crate) fn payload<'a>(&self, batch: &'a [u8], place: Place) -> Option<&'a [u8]> {
        let payload = batch.get(BATCH_HEADER..)?.get(..self.payload_len as usize)?;
        let checksum = place.plus(BATCH_HEADER).checksum(payload);
        (checksum == self.payload_checksum).then_some(payload)
    }

    /// The life that the header at the start of `bytes` says it is of, unchecked.
    pub(crate) fn life(bytes: &[u8]) -> Option<Nonce> {
        Self::decode_fields(bytes.strip_prefix(&BATCH_MAGIC)?).map(|header| header.nonce)
    }

    fn decode_fields(body: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(body);
        let checksum = fields.u32()?;
        Some(Self {
            checksum,
            nonce: Nonce(fields.u64()?),
            sequence: Token(fields.u64()?),
            synced: Token(fields.u64()?),
            store_time: StoreTime(fields.u64()?),
            previous: fields.u32()?,
            payload_len: fields.u32()?,
            payload_checksum: fields.u32()?,
            frames: fields.u32()?,
            flags: fields.u32()?,
        })
    }

    /// What the checksum covers.
    fn body(&self) -> [u8; BODY] {
        let fields: [&[u8]; 9] = [
            &self.nonce.0.to_le_bytes(),
            &self.sequence.0.to_le_bytes(),
            &self.synced.0.to_le_bytes(),
            &self.store_time.0.to_le_bytes(),
            &self.previous.to_le_bytes(),
            &self.payload_len.to_le_bytes(),
            &self.payload_checksum.to_le_bytes(),
            &self.frames.to_le_bytes(),
            &self.flags.to_le_bytes(),
        ];
        let mut body = [0; BODY];
        for (slot, byte) in body.iter_mut().zip(fields.into_iter().flatten()) {
            *slot = *byte;
        }
        body
    }
}

/// Makes a batch of `buf`: 64 bytes for the header, then encoded frames. Seals every frame, writes
/// the header, and returns its checksum, which is the next batch's `previous`.
///
/// `None` if `buf` is not that, to its last byte: it would be unreadable and must not be written.
#[must_use]
pub(crate) fn seal_batch(buf: &mut [u8], place: Place, fields: BatchFields) -> Option<u32> {
    let (head, payload) = buf.split_first_chunk_mut::<BATCH_HEADER>()?;
    let payload_place = place.plus(BATCH_HEADER);
    let payload_len = u32::try_from(payload.len()).ok()?;
    payload_place.offset.checked_add(payload_len)?;
    let frames = seal_frames(payload, payload_place)?;
    let header = BatchHeader {
        nonce: place.nonce,
        sequence: fields.sequence,
        synced: fields.synced,
        store_time: fields.store_time,
        previous: fields.previous,
        payload_len,
        payload_checksum: payload_place.checksum(payload),
        frames,
        flags: fields.flags,
        checksum: 0,
    };
    let body = header.body();
    let checksum = place.checksum(&body);
    let bytes = BATCH_MAGIC.into_iter().chain(checksum.to_le_bytes()).chain(body);
    for (slot, byte) in head.iter_mut().zip(bytes) {
        *slot = byte;
    }
    Some(checksum)
}

/// Seals the frames of a payload and counts them; `None` if it is not made of whole frames.
fn seal_frames(payload: &mut [u8], mut place: Place) -> Option<u32> {
    let mut rest = payload;
    let mut frames = 0_u32;
    while !rest.is_empty() {
        let padded = pad(frame_len(rest)?);
        let (frame, after) = rest.split_at_mut_checked(padded)?;
        if !seal_frame(frame, place) {
            return None;
        }
        rest = after;
        place = place.plus(padded);
        frames = frames.checked_add(1)?;
    }
    Some(frames)
}

/// The frames of a payload that starts at `place`. The first fault is the last item: what follows a
/// frame of unknown length cannot be found.
pub(crate) fn frames(payload: &[u8], place: Place, base: StoreTime) -> Frames<'_> {
    Frames { rest: payload, place, base }
}

/// See [`frames`]. Items have the frame's offset in the segment and its length without padding.
#[derive(Debug, Clone)]
pub(crate) struct Frames<'a> {
    rest: &'a [u8],
    place: Place,
    base: StoreTime,
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<(u32, usize, Frame<'a>), (u32, FrameFault)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.place.offset;
        let decoded = match sabotage::is_on(Bug::TornTail) {
            false => Frame::decode(self.rest, self.place, self.base),
            true => Frame::decode_unchecked(self.rest, self.base),
        };
        match decoded {
            Ok((frame, len)) => {
                self.rest = self.rest.get(pad(len)..).unwrap_or_default();
                self.place = self.place.plus(pad(len));
                Some(Ok((offset, len, frame)))
            }
            Err(fault) => {
                self.rest = &[];
                Some(Err((offset, fault)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
