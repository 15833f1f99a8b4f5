//! The first page of a segment file: whose it is, and which life of the file this is.
//!
//! Its checksum is not bound to a place, because it is what the nonce is learned from. The page is
//! written once in a life, before the manifest names the segment.
//!
//! Left to others: whether store, slot and size are the ones expected.

use std::fmt;

use super::varint::Reader;
use super::{FORMAT_VERSION, SEGMENT_HEADER};
use crate::ids::{Nonce, SegmentId, Slot, StoreId, StoreTime};

const MAGIC: [u8; 8] = *b"ONCESEG1";
/// Where the checksummed bytes start.
const CHECKED_FROM: usize = 12;
/// The part of the page that has fields, and that the checksum covers.
const USED: usize = 128;
const BODY: usize = USED - CHECKED_FROM;

/// What a segment was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SegmentKind {
    /// Takes what happens as it happens.
    Log,
    /// Holds what was still wanted of other segments.
    Compacted,
}

impl SegmentKind {
    pub(super) fn code(self) -> u32 {
        match self {
            Self::Log => 0,
            Self::Compacted => 1,
        }
    }

    pub(super) fn from_code(code: u32) -> Option<Self> {
        match code {
            0 => Some(Self::Log),
            1 => Some(Self::Compacted),
            _ => None,
        }
    }
}

/// The fields of a segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) store_id: StoreId,
    pub(crate) id: SegmentId,
    pub(crate) nonce: Nonce,
    /// What frame times count from.
    pub(crate) base: StoreTime,
    pub(crate) slot: Slot,
    pub(crate) kind: SegmentKind,
    /// Bytes of the segment file.
    pub(crate) size: u32,
}

/// Why bytes are not a segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderProblem {
    /// It does not start like one.
    NotASegment,
    /// It is of this later version.
    TooNew(u32),
    /// It starts like one, and the rest is not what was written.
    Damaged(&'static str),
}

impl fmt::Display for HeaderProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotASegment => f.write_str("this is not a segment file"),
            Self::TooNew(version) => write!(f, "the segment is of the later format {version}"),
            Self::Damaged(what) => write!(f, "the segment's header is damaged ({what})"),
        }
    }
}

impl SegmentHeader {
    /// The whole page.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(BODY);
        body.extend(FORMAT_VERSION.to_le_bytes());
        body.extend(self.store_id.0);
        body.extend(self.id.0.to_le_bytes());
        body.extend(self.nonce.0.to_le_bytes());
        body.extend(self.base.0.to_le_bytes());
        body.extend(self.slot.0.to_le_bytes());
        body.extend(self.kind.code().to_le_bytes());
        body.extend(self.size.to_le_bytes());
        body.resize(BODY, 0);
        let checksum = crc32fast::hash(&body).to_le_bytes();
        let mut page = [&MAGIC[..], &checksum, &body].concat();
        page.resize(SEGMENT_HEADER, 0);
        page
    }

    /// Decodes the header at the start of `bytes`, which may be longer or without the page's rest.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderProblem> {
        let fields = bytes.strip_prefix(&MAGIC).ok_or(HeaderProblem::NotASegment)?;
        let short = HeaderProblem::Damaged("header is cut short");
        let mut fields = Reader::new(fields);
        let checksum = fields.u32().ok_or(short)?;
        let mut rest = fields.clone();
        let version = rest.u32().ok_or(short)?;
        if version > FORMAT_VERSION {
            return Err(HeaderProblem::TooNew(version));
        }
        let body = fields.bytes(BODY).ok_or(short)?;
        if checksum != crc32fast::hash(body) {
            return Err(HeaderProblem::Damaged("header checksum"));
        }
        if version != FORMAT_VERSION {
            return Err(HeaderProblem::Damaged("format version"));
        }
        Self::decode_fields(&mut rest).ok_or(HeaderProblem::Damaged("segment kind"))
    }

    fn decode_fields(fields: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            store_id: StoreId(*fields.array()?),
            id: SegmentId(fields.u64()?),
            nonce: Nonce(fields.u64()?),
            base: StoreTime(fields.u64()?),
            slot: Slot(fields.u32()?),
            kind: SegmentKind::from_code(fields.u32()?)?,
            size: fields.u32()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples::{assert_golden, flips};
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            store_id: StoreId(*b"store-id-16bytes"),
            id: SegmentId(77),
            nonce: Nonce(0x1122_3344_5566_7788),
            base: StoreTime(1_700_000_000_000),
            slot: Slot(3),
            kind: SegmentKind::Compacted,
            size: 64 << 20,
        }
    }

    #[test]
    fn golden_bytes() {
        let page = header().encode();
        assert_golden(&page[..USED], GOLDEN);
        assert_eq!(page.len(), SEGMENT_HEADER);
        assert!(page[USED..].iter().all(|byte| *byte == 0));
    }

    const GOLDEN: &str = "
        4f4e434553454731864c65410100000073746f72652d69642d31366279746573
        4d0000000000000088776655443322110068e5cf8b0100000300000001000000
        0000000400000000000000000000000000000000000000000000000000000000
        0000000000000000000000000000000000000000000000000000000000000000
    ";

    #[test]
    fn every_flipped_bit_is_found() {
        for (bit, flipped) in flips(&header().encode()[..USED]) {
            assert!(SegmentHeader::decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_later_version_is_told_before_anything_else() {
        let mut page = header().encode();
        page[12] = 2;
        page[40..].fill(0xff);
        assert_eq!(SegmentHeader::decode(&page), Err(HeaderProblem::TooNew(2)));
    }

    #[test]
    fn what_is_no_header_is_told_apart() {
        let page = header().encode();
        assert_eq!(SegmentHeader::decode(&[0; 4096]), Err(HeaderProblem::NotASegment));
        assert_eq!(SegmentHeader::decode(&page[..7]), Err(HeaderProblem::NotASegment));
        let short = Err(HeaderProblem::Damaged("header is cut short"));
        assert_eq!(SegmentHeader::decode(&page[..USED - 1]), short);
        assert_eq!(SegmentHeader::decode(&page[..USED]), Ok(header()));
    }

    #[test]
    fn fields_no_writer_makes_are_refused() {
        for (at, value, reason) in [(12, 0, "format version"), (60, 2, "segment kind")] {
            let mut page = header().encode();
            page[at] = value;
            let checksum = crc32fast::hash(&page[CHECKED_FROM..USED]);
            page[8..12].copy_from_slice(&checksum.to_le_bytes());
            assert_eq!(SegmentHeader::decode(&page), Err(HeaderProblem::Damaged(reason)));
        }
    }

    proptest! {
        #[test]
        fn round_trip(
            store_id: [u8; 16],
            numbers: [u64; 3],
            small: [u32; 2],
            compacted: bool,
        ) {
            let header = SegmentHeader {
                store_id: StoreId(store_id),
                id: SegmentId(numbers[0]),
                nonce: Nonce(numbers[1]),
                base: StoreTime(numbers[2]),
                slot: Slot(small[0]),
                kind: if compacted { SegmentKind::Compacted } else { SegmentKind::Log },
                size: small[1],
            };
            prop_assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
        }

        #[test]
        fn random_bytes_never_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
            magic: bool,
        ) {
            if magic {
                bytes.splice(0..0, MAGIC);
            }
            prop_assert!(SegmentHeader::decode(&bytes).is_err());
        }
    }
}
