//! Numbers in as few bytes as they need, and a reader that takes a structure apart front to back.
//!
//! Every number has exactly one encoding: [`Reader::varint`] refuses one that is longer than it has
//! to be, so that equal frames are equal bytes. A reader that answered `None` is to be given up: it
//! says no more than that the bytes do not hold what was asked for.

/// Seven bits a byte make ten bytes for 64 bits.
const LONGEST: usize = 10;

/// Appends `value`.
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes fields off the front of a byte slice.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The next varint, if it is whole, fits 64 bits and is no longer than it needs to be.
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        let mut rest = self.bytes;
        for index in 0..LONGEST {
            let (&byte, after) = rest.split_first()?;
            rest = after;
            let bits = u64::from(byte & 0x7f);
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                let longer_than_needed = index > 0 && byte == 0;
                let beyond_64_bits = index == LONGEST - 1 && byte > 1;
                self.bytes = rest;
                return (!longer_than_needed && !beyond_64_bits).then_some(value);
            }
        }
        None
    }

    /// The next varint, if it fits 32 bits.
    pub(crate) fn varint_u32(&mut self) -> Option<u32> {
        u32::try_from(self.varint()?).ok()
    }

    /// The next varint, if it can be a length.
    pub(crate) fn varint_len(&mut self) -> Option<usize> {
        usize::try_from(self.varint()?).ok()
    }

    /// The next `len` bytes.
    pub(crate) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        Some(bytes)
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (array, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(array)
    }

    /// The next four bytes as a number.
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// The next eight bytes as a number.
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// All that remains.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    /// `Some` if nothing remains.
    pub(crate) fn end(&self) -> Option<()> {
        self.bytes.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, value);
        out
    }

    #[test]
    fn known_bytes() {
        assert_eq!(encoded(0), [0]);
        assert_eq!(encoded(127), [0x7f]);
        assert_eq!(encoded(128), [0x80, 1]);
        assert_eq!(encoded(300), [0xac, 2]);
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(encoded(u64::MAX), most);
    }

    #[test]
    fn longer_than_needed_is_refused() {
        for bytes in [&[0x80, 0][..], &[0xff, 0x80, 0], &[0x80; 10], &[0xff; 11]] {
            assert_eq!(Reader::new(bytes).varint(), None, "{bytes:x?}");
        }
    }

    #[test]
    fn more_than_64_bits_is_refused() {
        let mut bytes = [0xff; 10];
        for last in [2, 3, 0x7f] {
            bytes[9] = last;
            assert_eq!(Reader::new(&bytes).varint(), None, "{last}");
        }
    }

    #[test]
    fn takes_what_is_there_and_no_more() {
        let mut reader = Reader::new(&[1, 0, 0, 0, 9, 8, 7, 6, 5]);
        assert_eq!(reader.u32(), Some(1));
        assert_eq!(reader.u64(), None);
        assert_eq!(reader.bytes(2), Some(&[9, 8][..]));
        assert_eq!(reader.bytes(4), None);
        assert_eq!(reader.array(), Some(&[7, 6]));
        assert_eq!(reader.end(), None);
        assert_eq!(reader.rest(), [5]);
        assert_eq!(reader.end(), Some(()));
    }

    proptest! {
        #[test]
        fn round_trip(value: u64, shift in 0_u32..64, after: [u8; 3]) {
            let value = value >> shift;
            let mut bytes = encoded(value);
            bytes.extend(after);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint(), Some(value));
            prop_assert_eq!(reader.rest(), after);
        }

        #[test]
        fn one_encoding_a_number(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut reader = Reader::new(&bytes);
            if let Some(value) = reader.varint() {
                let taken = bytes.len() - reader.rest().len();
                prop_assert_eq!(encoded(value), &bytes[..taken]);
            }
        }
    }
}
