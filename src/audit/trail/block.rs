//! A block: the events that are written together, in a row of sequences without a gap.
//!
//! ```text
//! 0   4  checksum of bytes 4..16, bound to the block's place
//! 4   4  length of the payload
//! 8   4  checksum of the payload, bound to the payload's place
//! 12  3  magic "OKT"
//! 15  1  flags: 1 = the store was closed: there are no events after these
//! 16     varints: first sequence, number of events, time before the first event in ms since the
//!        segment's base, labels before this block; then the events
//! ```

use super::code::{Before, EventNames, put_event};
use super::dictionary::Dictionary;
use super::header::TrailHeader;
use crate::audit::Event;
use crate::ids::StoreTime;
use crate::log::{Place, Reader, put};

pub(crate) const BLOCK_HEADER: usize = 16;
/// A block that has so many bytes of events takes no more.
const FULL_BYTES: usize = 16 << 10;
/// More than a block can have: the last event that it takes has less than the difference.
pub(crate) const MAX_PAYLOAD: usize = 64 << 10;

const MAGIC: [u8; 3] = *b"OKT";
pub(crate) const FLAG_END: u8 = 1;

/// A block that is being filled.
#[derive(Debug)]
pub(crate) struct Filling {
    first: u64,
    count: u64,
    base: StoreTime,
    labels: usize,
    before: Before,
    events: Vec<u8>,
}

impl Filling {
    pub(crate) fn new() -> Self {
        let at = StoreTime(0);
        Self {
            first: 0,
            count: 0,
            base: at,
            labels: 0,
            before: Before { at, token: 0 },
            events: Vec::with_capacity(FULL_BYTES),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether the event of this sequence may be its next.
    pub(crate) fn takes(&self, sequence: u64) -> bool {
        self.is_empty()
            || (self.events.len() < FULL_BYTES && sequence == self.first.wrapping_add(self.count))
    }

    /// The bytes that it will have, roughly, and not understated.
    pub(crate) fn space(&self) -> usize {
        BLOCK_HEADER + 4 * 10 + self.events.len()
    }

    pub(crate) fn push(
        &mut self,
        event: &Event,
        dictionary: &mut Dictionary,
        names: EventNames<'_>,
    ) {
        if self.is_empty() {
            self.first = event.id.sequence;
            self.base = event.at;
            self.labels = dictionary.len();
            self.before = Before { at: event.at, token: 0 };
        }
        put_event(&mut self.events, event, &mut self.before, dictionary, names);
        self.count += 1;
    }

    /// Appends the block as it is to lie at `at` of its segment, and begins another.
    pub(crate) fn seal(&mut self, header: &TrailHeader, at: Place, out: &mut Vec<u8>) {
        let Self { first, count, base, labels, .. } = *self;
        seal(out, at, 0, |out| {
            put(out, first);
            put(out, count);
            put(out, base.0.wrapping_sub(header.base.0));
            put(out, labels as u64);
            out.extend_from_slice(&self.events);
        });
        self.clear();
    }

    /// Lets go of what is in it.
    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.events.clear();
    }
}

/// Appends the block that says that a store was closed, after so many events.
pub(crate) fn seal_end(sequence: u64, labels: usize, at: Place, out: &mut Vec<u8>) {
    seal(out, at, FLAG_END, |out| {
        put(out, sequence);
        put(out, 0);
        put(out, 0);
        put(out, labels as u64);
    });
}

pub(super) fn seal(out: &mut Vec<u8>, at: Place, flags: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; BLOCK_HEADER]);
    fill(out);
    let Some((head, payload)) =
        out.get_mut(start..).and_then(<[u8]>::split_first_chunk_mut::<BLOCK_HEADER>)
    else {
        return;
    };
    let [m0, m1, m2] = MAGIC;
    let [l0, l1, l2, l3] = (payload.len() as u32).to_le_bytes();
    let [p0, p1, p2, p3] = at.plus(BLOCK_HEADER).checksum(payload).to_le_bytes();
    let body = [l0, l1, l2, l3, p0, p1, p2, p3, m0, m1, m2, flags];
    let checksum = at.checksum(&body).to_le_bytes();
    for (slot, byte) in head.iter_mut().zip(checksum.into_iter().chain(body)) {
        *slot = byte;
    }
}

/// What a block's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockHead {
    pub(crate) payload_len: usize,
    payload_checksum: u32,
    pub(crate) flags: u8,
}

impl BlockHead {
    /// The header at the start of `bytes`, if its checksum is right for this place.
    pub(crate) fn decode(bytes: &[u8], at: Place) -> Option<Self> {
        let bytes = bytes.first_chunk::<BLOCK_HEADER>()?;
        let mut fields = Reader::new(bytes);
        let checksum = fields.u32()?;
        let payload_len = fields.u32()? as usize;
        let payload_checksum = fields.u32()?;
        let &[m0, m1, m2, flags] = fields.array()?;
        // Cheap things first: it is tried at every byte after damage.
        let fits = [m0, m1, m2] == MAGIC && payload_len <= MAX_PAYLOAD;
        let checked = bytes.get(4..).unwrap_or_default();
        let is_right = fits && at.checksum(checked) == checksum;
        is_right.then_some(Self { payload_len, payload_checksum, flags })
    }

    /// All of the block.
    pub(crate) fn len(&self) -> usize {
        BLOCK_HEADER + self.payload_len
    }

    /// The payload of the block that starts `bytes`, if it is whole and its checksum is right.
    pub(crate) fn payload<'a>(&self, bytes: &'a [u8], at: Place) -> Option<&'a [u8]> {
        let payload = bytes.get(BLOCK_HEADER..self.len())?;
        (at.plus(BLOCK_HEADER).checksum(payload) == self.payload_checksum).then_some(payload)
    }
}

/// What a payload begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockFacts {
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) before: Before,
    pub(crate) labels: usize,
}

impl BlockFacts {
    pub(crate) fn read(body: &mut Reader<'_>, header: &TrailHeader) -> Option<Self> {
        let (first, count) = (body.varint()?, body.varint()?);
        let at = StoreTime(header.base.0.wrapping_add(body.varint()?));
        first.checked_add(count)?;
        Some(Self { first, count, before: Before { at, token: 0 }, labels: body.varint_len()? })
    }
}
