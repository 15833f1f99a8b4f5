//! A binary fuse filter (Graf and Lemire, 2022) over 64-bit hashes: a set that is asked "may this
//! be in you", and answers yes for all that are and for one in 1,024 of what is not.
//!
//! Fingerprints have 10 bits and lie packed: 1.41 bytes a key for half a million keys. Three
//! places, one in each of three neighbouring segments, are read for an answer.
//!
//! Left to others: that the hashes are spread evenly and none occurs twice.

const FINGERPRINT_BITS: usize = 10;
const FINGERPRINT_MASK: u32 = (1 << FINGERPRINT_BITS) - 1;
/// A fingerprint begins in the first of so many bytes.
const WORD: usize = 4;
/// Each try works out for nearly every set.
const TRIES: u64 = 200;
const MAX_SEGMENT_LENGTH: u32 = 1 << 18;
/// Far more than the filters have that are made here.
const MAX_PLACES: u64 = 1 << 28;

/// How a filter is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) seed: u64,
    /// A power of two.
    pub(super) segment_length: u32,
    /// Segments in which the first place may be: two fewer than there are.
    pub(super) segment_count: u32,
}

#[derive(Debug)]
pub(super) struct Fuse {
    shape: Shape,
    packed: Vec<u8>,
}

impl Shape {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small and positive"
    )]
    fn new(keys: usize) -> Self {
        let ln = (keys.max(2) as f64).ln();
        let segment_length =
            (1_u32 << ((ln / 3.33_f64.ln() + 2.25) as u32)).min(MAX_SEGMENT_LENGTH);
        let factor = (0.875 + 0.25 * 1_000_000_f64.ln() / ln).max(1.125);
        let capacity = (keys as f64 * factor).round() as u32;
        let segment_count = capacity.div_ceil(segment_length).saturating_sub(2).max(1);
        Self { seed: 0, segment_length, segment_count }
    }

    /// How many fingerprints there are.
    fn len(self) -> usize {
        (self.segment_count as usize + 2) * self.segment_length as usize
    }

    /// The bytes of so many fingerprints, and of a word's reach beyond the last.
    pub(super) fn bytes(self) -> usize {
        (self.len() * FINGERPRINT_BITS).div_ceil(8) + WORD
    }

    /// Whether this can be the shape of a filter.
    pub(super) fn holds(self) -> bool {
        let places = (u64::from(self.segment_count) + 2) * u64::from(self.segment_length);
        self.segment_length.is_power_of_two() && self.segment_count > 0 && places <= MAX_PLACES
    }

    /// The hash mixed with the seed (the finaliser of MurmurHash3).
    fn mix(self, hash: u64) -> u64 {
        let mut mixed = hash.wrapping_add(self.seed);
        for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53_u64] {
            mixed = (mixed ^ (mixed >> 33)).wrapping_mul(factor);
        }
        mixed ^ (mixed >> 33)
    }

    /// Where the fingerprints of a mixed hash are.
    #[allow(clippy::cast_possible_truncation, reason = "the high half of a product fits")]
    fn places(self, mixed: u64) -> [usize; 3] {
        let range = u128::from(self.segment_count) * u128::from(self.segment_length);
        let first = ((u128::from(mixed) * range) >> 64) as u32;
        let mask = self.segment_length - 1;
        let second = (first + self.segment_length) ^ ((mixed >> 18) as u32 & mask);
        let third = (first + 2 * self.segment_length) ^ (mixed as u32 & mask);
        [first as usize, second as usize, third as usize]
    }
}

#[allow(clippy::cast_possible_truncation, reason = "a few bits are wanted")]
fn fingerprint(mixed: u64) -> u32 {
    (mixed ^ (mixed >> 32)) as u32 & FINGERPRINT_MASK
}

impl Fuse {
    /// A filter of hashes, none of which occurs twice; `None` if none could be made.
    pub(super) fn build(hashes: &[u64]) -> Option<Self> {
        let mut shape = Shape::new(hashes.len());
        let mut builder = Builder::new(shape.len(), hashes.len());
        for attempt in 1..=TRIES {
            shape.seed = attempt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            if builder.peel(shape, hashes) {
                return Some(Self { shape, packed: builder.assign(shape) });
            }
        }
        None
    }

    /// The filter of some bytes that a checksum vouched for; `None` if they are none all the same.
    pub(super) fn of_bytes(shape: Shape, packed: Vec<u8>) -> Option<Self> {
        (shape.holds() && packed.len() == shape.bytes()).then_some(Self { shape, packed })
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) fn packed(&self) -> &[u8] {
        &self.packed
    }

    /// Whether the hash may be in the set.
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        let mixed = self.shape.mix(hash);
        let found = self.shape.places(mixed).map(|place| read(&self.packed, place));
        found.into_iter().fold(fingerprint(mixed), |all, one| all ^ one) == 0
    }
}

/// The packed fingerprint at a place.
fn read(packed: &[u8], place: usize) -> u32 {
    let bit = place * FINGERPRINT_BITS;
    let word = packed.get(bit / 8..).and_then(|bytes| bytes.first_chunk::<WORD>());
    (u32::from_le_bytes(*word.unwrap_or(&[0; WORD])) >> (bit % 8)) & FINGERPRINT_MASK
}

/// Sets the fingerprint at a place that is zero.
fn write(packed: &mut [u8], place: usize, value: u32) {
    let bit = place * FINGERPRINT_BITS;
    if let Some(word) = packed.get_mut(bit / 8..).and_then(|bytes| bytes.first_chunk_mut::<WORD>())
    {
        *word = (u32::from_le_bytes(*word) | (value << (bit % 8))).to_le_bytes();
    }
}

/// The memory that a filter is made in, used again by the next try.
struct Builder {
    /// For each place how many hashes want it, and their numbers (0 to 2 of a hash's places) and
    /// mixed hashes added up by exclusive or: where there is one, these are its own.
    counts: Vec<u32>,
    sums: Vec<u64>,
    alone: Vec<u32>,
    /// Mixed hashes in the order they were peeled, each with the number of the place that was its
    /// alone.
    order: Vec<(u64, u8)>,
}

#[allow(clippy::indexing_slicing, reason = "every place is below the length of both lists")]
impl Builder {
    fn new(places: usize, keys: usize) -> Self {
        Self {
            counts: vec![0; places],
            sums: vec![0; places],
            alone: Vec::new(),
            order: Vec::with_capacity(keys),
        }
    }

    /// Finds an order in which each hash has a place that no later one wants.
    #[allow(clippy::cast_possible_truncation, reason = "a place has 32 bits, a number two")]
    fn peel(&mut self, shape: Shape, hashes: &[u64]) -> bool {
        self.counts.fill(0);
        self.sums.fill(0);
        self.order.clear();
        self.alone.clear();
        for hash in hashes {
            let mixed = shape.mix(*hash);
            for (number, place) in (0..).zip(shape.places(mixed)) {
                self.counts[place] = (self.counts[place] + 4) ^ number;
                self.sums[place] ^= mixed;
            }
        }
        let ones = self.counts.iter().enumerate().filter(|(_, count)| **count >> 2 == 1);
        self.alone.extend(ones.map(|(place, _)| place as u32));
        while let Some(place) = self.alone.pop() {
            let place = place as usize;
            if self.counts[place] >> 2 != 1 {
                continue;
            }
            let (mixed, own) = (self.sums[place], self.counts[place] & 3);
            self.order.push((mixed, own as u8));
            for (number, place) in (0..).zip(shape.places(mixed)) {
                self.counts[place] = (self.counts[place] ^ number) - 4;
                self.sums[place] ^= mixed;
                if number != own && self.counts[place] >> 2 == 1 {
                    self.alone.push(place as u32);
                }
            }
        }
        self.order.len() == hashes.len()
    }

    /// Gives each place its fingerprint, the last that was peeled first.
    fn assign(&self, shape: Shape) -> Vec<u8> {
        let mut packed = vec![0; shape.bytes()];
        for (mixed, own) in self.order.iter().rev() {
            let places = shape.places(*mixed);
            let others = places.map(|place| read(&packed, place));
            let value = others.into_iter().fold(fingerprint(*mixed), |all, one| all ^ one);
            write(&mut packed, places[*own as usize], value);
        }
        packed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn spread(i: u64) -> u64 {
        let mixed = (i ^ (i >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    proptest! {
        #[test]
        fn holds_all_that_it_was_made_of(
            hashes in proptest::collection::btree_set(any::<u64>(), 0..2000),
            low in proptest::collection::btree_set(0..5000_u64, 0..2000),
        ) {
            for hashes in [hashes, low] {
                let all: Vec<u64> = hashes.iter().copied().collect();
                let fuse = Fuse::build(&all).expect("a filter");
                prop_assert!(all.iter().all(|hash| fuse.may_hold(*hash)));
                let again = Fuse::of_bytes(fuse.shape(), fuse.packed().to_vec()).expect("the same");
                prop_assert!(all.iter().all(|hash| again.may_hold(*hash)));
            }
        }

        #[test]
        fn no_shape_and_no_bytes_make_it_panic(
            seed in any::<u64>(), length in any::<u32>(), count in any::<u32>(),
            bytes in proptest::collection::vec(any::<u8>(), 0..200), hash in any::<u64>(),
        ) {
            let shape = Shape { seed, segment_length: length, segment_count: count };
            if shape.holds() {
                let _ = Fuse::of_bytes(shape, bytes).map(|fuse| fuse.may_hold(hash));
            }
        }
    }

    #[test]
    fn one_in_a_thousand_others_is_taken_for_one_of_its_own() {
        for keys in [1_000, 100_000] {
            let all: Vec<u64> = (0..keys).map(spread).collect();
            let fuse = Fuse::build(&all).expect("a filter");
            let others = (keys..keys + 400_000).filter(|i| fuse.may_hold(spread(*i))).count();
            assert!((300..500).contains(&others), "{keys} keys: {others} of 400,000");
        }
    }

    #[test]
    fn large_ones_take_less_than_a_byte_and_a_half_a_key() {
        for keys in [1 << 18, 400_000, 1 << 19] {
            let all: BTreeSet<u64> = (0..keys as u64).map(spread).collect();
            let fuse = Fuse::build(&all.into_iter().collect::<Vec<_>>()).expect("a filter");
            let bytes = fuse.packed().len() as f64 / f64::from(keys);
            assert!(bytes < 1.47, "{keys} keys: {bytes} bytes each");
        }
    }
}
