//! The first bytes of a trail segment: whose it is, of which opening of the store, and with which
//! secret its hashes were made.
//!
//! Left to others: what follows it ([`super::block`]).

use crate::audit::EventId;
use crate::ids::{FURTHEST, Nonce, StoreId, StoreTime};
use crate::log::{Place, Reader};

const MAGIC: [u8; 8] = *b"ONCETRL1";
const VERSION: u32 = 1;
/// Where the checksummed bytes start.
const CHECKED_FROM: usize = 12;
/// Bytes of the header, and so the offset of the first block.
pub(crate) const TRAIL_HEADER: usize = 80;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TrailHeader {
    pub(crate) store_id: StoreId,
    /// Which opening of the store.
    pub(crate) boot: u64,
    /// The segment's number, which its file is named by.
    pub(crate) number: u64,
    pub(crate) nonce: Nonce,
    /// When it was begun; times of its blocks count from here.
    pub(crate) base: StoreTime,
    /// Which secret its hashes were made with.
    pub(crate) key_id: u64,
    pub(crate) privacy: u32,
}

/// Why bytes are not a trail segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TrailFault {
    /// There are fewer bytes than a header has.
    Short,
    NotATrail,
    TooNew(u32),
    Damaged,
}

impl TrailHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(TRAIL_HEADER);
        body.extend(VERSION.to_le_bytes());
        body.extend(self.store_id.0);
        body.extend(self.boot.to_le_bytes());
        body.extend(self.number.to_le_bytes());
        body.extend(self.nonce.0.to_le_bytes());
        body.extend(self.base.0.to_le_bytes());
        body.extend(self.key_id.to_le_bytes());
        body.extend(self.privacy.to_le_bytes());
        body.resize(TRAIL_HEADER - CHECKED_FROM, 0);
        let checksum = crc32fast::hash(&body).to_le_bytes();
        [&MAGIC[..], &checksum, &body].concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, TrailFault> {
        let bytes = bytes.get(..TRAIL_HEADER).ok_or(TrailFault::Short)?;
        let mut fields = Reader::new(bytes.strip_prefix(&MAGIC).ok_or(TrailFault::NotATrail)?);
        let checksum = fields.u32().ok_or(TrailFault::Short)?;
        let body = bytes.get(CHECKED_FROM..).unwrap_or_default();
        if checksum != crc32fast::hash(body) {
            return Err(TrailFault::Damaged);
        }
        let version = fields.u32().ok_or(TrailFault::Short)?;
        if version != VERSION {
            return Err(TrailFault::TooNew(version));
        }
        Self::decode_fields(&mut fields).ok_or(TrailFault::Damaged)
    }

    fn decode_fields(fields: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            store_id: StoreId(*fields.array()?),
            boot: fields.u64()?,
            number: fields.u64()?,
            nonce: Nonce(fields.u64()?),
            base: StoreTime(fields.u64()?),
            key_id: fields.u64()?,
            privacy: fields.u32()?,
        })
    }

    /// Where something lies in this segment.
    pub(crate) fn place(&self, offset: u32) -> Place {
        Place { nonce: self.nonce, offset }
    }

    pub(crate) fn event_id(&self, sequence: u64) -> EventId {
        EventId::new(self.boot, sequence)
    }
}

const PREFIX: &str = "trail-";
const DIGITS: usize = 10;

/// The name of a segment's file.
pub(crate) fn file_name(number: u64) -> String {
    format!("{PREFIX}{number:0DIGITS$}")
}

/// The number of a segment's file, if it is one.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?;
    let named = digits.len() >= DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = named.then(|| digits.parse().ok()).flatten()?;
    (number < FURTHEST && file_name(number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> TrailHeader {
        TrailHeader {
            store_id: StoreId(*b"store-id-16bytes"),
            boot: 3,
            number: 12,
            nonce: Nonce(0x1122_3344_5566_7788),
            base: StoreTime(1_790_000_000_000),
            key_id: 0x99aa,
            privacy: 1,
        }
    }

    #[test]
    fn golden_bytes() {
        let hex: String = header().encode().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex.len(), 2 * TRAIL_HEADER);
        assert!(hex.starts_with("4f4e434554524c31"), "{hex}");
        let fields = "0100000073746f72652d69642d3136627974657303000000000000000c00000000000000\
                      8877665544332211006c50c4a0010000aa9900000000000001000000";
        assert_eq!(&hex[24..24 + fields.len()], fields);
        assert_eq!(TrailHeader::decode(&header().encode()), Ok(header()));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let bytes = header().encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(TrailHeader::decode(&flipped).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(TrailHeader::decode(&bytes[..len]), Err(TrailFault::Short));
        }
    }

    #[test]
    fn names_are_numbers() {
        assert_eq!(file_name(7), "trail-0000000007");
        assert_eq!(number_of(&file_name(7)), Some(7));
        assert_eq!(number_of(&file_name(FURTHEST - 1)), Some(FURTHEST - 1));
        assert_eq!(number_of(&file_name(FURTHEST)), None, "the next ones could not be counted");
        for other in ["trail-7", "trail-00000000007", "trail-000000000x", "segment-00001", ""] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }
}
