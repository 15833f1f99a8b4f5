//! A place in one life of a segment, and checksums that hold only there.
//!
//! Bytes that a disk put in the wrong place, or that an earlier life of the file left behind, have
//! a right checksum of their own; beginning it from the place makes it wrong anywhere else.

use crc32fast::Hasher;

use crate::ids::Nonce;

/// What goes before what is checked: nonce and offset.
const PLACE_BYTES: usize = size_of::<u64>() + size_of::<u32>();

/// Where in a segment file a structure starts, and in which life of that file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) nonce: Nonce,
    pub(crate) offset: u32,
}

impl Place {
    /// The checksum of `bytes` at this place.
    pub(crate) fn checksum(self, bytes: &[u8]) -> u32 {
        // In one piece, since this is done for every frame.
        let place = (u128::from(self.offset) << u64::BITS) | u128::from(self.nonce.0);
        let mut hasher = Hasher::new();
        hasher.update(place.to_le_bytes().get(..PLACE_BYTES).unwrap_or_default());
        hasher.update(bytes);
        hasher.finalize()
    }

    /// The place `len` bytes further on; at the end of offsets, which no segment reaches, it stays.
    pub(crate) fn plus(self, len: usize) -> Self {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        Self { offset: self.offset.saturating_add(len), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continues_from_nonce_and_offset() {
        let place = Place { nonce: Nonce(0x0807_0605_0403_0201), offset: 0x0c0b_0a09 };
        let prefix = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        let whole = [&prefix[..], b"abc"].concat();
        assert_eq!(place.checksum(b"abc"), crc32fast::hash(&whole));
        let initial = crc32fast::hash(&prefix);
        let mut continued = Hasher::new_with_initial(initial);
        continued.update(b"abc");
        assert_eq!(place.checksum(b"abc"), continued.finalize());
    }

    #[test]
    fn differs_elsewhere_and_in_another_life() {
        let place = Place { nonce: Nonce(7), offset: 4096 };
        for other in [place.plus(16), Place { nonce: Nonce(8), ..place }] {
            assert_ne!(place.checksum(b"same"), other.checksum(b"same"));
            assert_ne!(place.checksum(b""), other.checksum(b""));
        }
    }

    #[test]
    fn stays_at_the_end_of_offsets() {
        let place = Place { nonce: Nonce(7), offset: u32::MAX - 1 };
        assert_eq!(place.plus(16).offset, u32::MAX);
        assert_eq!(place.plus(usize::MAX).offset, u32::MAX);
    }
}
