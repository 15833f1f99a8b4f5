//! A response's bytes as a frame has them: plain, or compressed where that saves enough.
//!
//! Compressed bytes are one LZ4 block. Invariants: they are fewer than the plain ones; to unpack
//! hostile bytes takes no more memory than a frame can speak of, and never panics.
//!
//! Left to others: from which length on it is worth the time.

use super::frame::FRAME_LIMIT;

/// What packing must save to be kept: one byte of so many.
const WORTH: usize = 8;
/// More than this an LZ4 block cannot make of one byte.
const MOST_PER_BYTE: usize = 256;

/// The bytes of a response, as they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    Plain(&'a [u8]),
    Packed { plain_len: u32, bytes: &'a [u8] },
}

impl<'a> Body<'a> {
    /// Packed bytes that a frame has, if there can be such.
    pub(super) fn packed(plain_len: u32, bytes: &'a [u8]) -> Option<Self> {
        let len = plain_len as usize;
        let most = bytes.len().saturating_mul(MOST_PER_BYTE).min(FRAME_LIMIT);
        (len > bytes.len() && len <= most).then_some(Self::Packed { plain_len, bytes })
    }

    /// The bytes that it takes in the log.
    pub(crate) fn stored(&self) -> &'a [u8] {
        match self {
            Self::Plain(bytes) | Self::Packed { bytes, .. } => bytes,
        }
    }

    /// The length of the response.
    pub(crate) fn plain_len(&self) -> usize {
        match self {
            Self::Plain(bytes) => bytes.len(),
            Self::Packed { plain_len, .. } => *plain_len as usize,
        }
    }

    /// The response; `None` if the packed bytes are not what packing writes.
    pub(crate) fn unpack(&self) -> Option<Vec<u8>> {
        match self {
            Self::Plain(bytes) => Some(bytes.to_vec()),
            Self::Packed { plain_len, bytes } => {
                let mut plain = vec![0; *plain_len as usize];
                let len = lz4_flex::block::decompress_into(bytes, &mut plain).ok()?;
                (len == plain.len()).then_some(plain)
            }
        }
    }
}

/// A response's bytes, compressed, if that saves enough.
pub(crate) fn pack(plain: &[u8]) -> Option<Vec<u8>> {
    if plain.len() >= FRAME_LIMIT {
        return None;
    }
    let packed = lz4_flex::block::compress(plain);
    (packed.len() < plain.len() - plain.len() / WORTH).then_some(packed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(plain: &[u8]) -> Option<Vec<u8>> {
        let bytes = pack(plain)?;
        assert!(bytes.len() < plain.len());
        let body = Body::packed(plain.len() as u32, &bytes).expect("such bytes can be");
        assert_eq!(body.plain_len(), plain.len());
        Some(body.unpack().expect("what was packed is unpacked"))
    }

    #[test]
    fn p3_what_repeats_itself_is_packed_and_comes_back() {
        for len in [64, 1000, 5000, 1 << 20] {
            let plain = vec![b'x'; len];
            assert_eq!(packed(&plain), Some(plain));
        }
    }

    #[test]
    fn what_packing_saves_too_little_of_stays_plain() {
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(5000)
        .collect();
        assert_eq!(pack(&noise), None);
        assert_eq!(pack(b""), None);
        assert_eq!(pack(b"short"), None);
    }

    proptest! {
        #[test]
        fn p3_whatever_is_packed_comes_back(
            part in proptest::collection::vec(any::<u8>(), 1..60),
            times in 1_usize..200,
            end in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let plain = [part.repeat(times), end].concat();
            if let Some(back) = packed(&plain) {
                prop_assert_eq!(back, plain);
            }
        }

        #[test]
        fn hostile_bytes_neither_panic_nor_ask_for_much(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            plain_len in 0_u32..100_000,
        ) {
            if let Some(body) = Body::packed(plain_len, &bytes)
                && let Some(plain) = body.unpack()
            {
                prop_assert_eq!(plain.len(), plain_len as usize);
            }
        }
    }
}
