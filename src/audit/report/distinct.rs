//! How many different things there were, of which none is kept: HyperLogLog.
//!
//! The estimate depends on what was seen alone, not on its order, on how often, or on how it was
//! split up and merged.

use std::fmt::Write as _;

use datasketches::hll::{HllSketch, HllType, HllUnion};
use serde::{Deserialize, Serialize};

/// A sketch of 2^`BITS` registers; its error is about 1.04 / 2^(`BITS` / 2).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Distinct<const BITS: u8>(Option<Box<HllSketch>>);

impl<const BITS: u8> Distinct<BITS> {
    /// Sees a thing.
    pub fn insert(&mut self, hash: u64) {
        if self.0.is_none() {
            self.0 = HllSketch::new(BITS, HllType::Hll8).ok().map(Box::new);
        }
        if let Some(sketch) = &mut self.0 {
            sketch.update(hash);
        }
    }

    /// Sees what another has seen.
    pub fn merge(&mut self, other: &Self) {
        let Some(theirs) = &other.0 else { return };
        let Some(mine) = &mut self.0 else {
            *self = other.clone();
            return;
        };
        if let Ok(mut union) = HllUnion::new(BITS) {
            union.update(mine);
            union.update(theirs);
            **mine = union.to_sketch(HllType::Hll8);
        }
    }

    /// About how many different things there were.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        self.0.as_ref().map_or(0, |sketch| sketch.composite_estimate().round() as u64)
    }
}

impl<const BITS: u8> PartialEq for Distinct<BITS> {
    fn eq(&self, other: &Self) -> bool {
        self.estimate() == other.estimate()
    }
}

impl<const BITS: u8> From<Distinct<BITS>> for String {
    fn from(distinct: Distinct<BITS>) -> Self {
        let bytes = distinct.0.map(|sketch| sketch.serialize()).unwrap_or_default();
        bytes.iter().fold(Self::with_capacity(bytes.len() * 2), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

impl<const BITS: u8> TryFrom<String> for Distinct<BITS> {
    type Error = &'static str;

    fn try_from(hex: String) -> Result<Self, Self::Error> {
        const WRONG: &str = "a sketch that makes no sense";
        if hex.is_empty() {
            return Ok(Self(None));
        }
        let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|digit| digit as u8);
        let pairs = hex.as_bytes().chunks(2);
        let bytes: Option<Vec<u8>> = pairs
            .map(|pair| match pair {
                [high, low] => Some(digit(high)? << 4 | digit(low)?),
                _ => None,
            })
            .collect();
        let sketch = HllSketch::deserialize(&bytes.ok_or(WRONG)?).map_err(|_| WRONG)?;
        if sketch.lg_config_k() == BITS { Ok(Self(Some(Box::new(sketch)))) } else { Err(WRONG) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(range: std::ops::Range<u64>) -> Distinct<12> {
        let mut distinct = Distinct::default();
        range.for_each(|number| distinct.insert(number));
        distinct
    }

    #[test]
    fn estimates_are_close_and_the_same_however_they_were_split() {
        for count in [0, 1, 7, 100, 3000, 100_000] {
            let whole = of(0..count);
            let estimate = whole.estimate();
            assert!(estimate.abs_diff(count) as f64 <= count as f64 * 0.05, "{estimate}/{count}");
            for cut in [0, count / 3, count / 2, count] {
                let (left, right) = (of(0..cut), of(cut / 2..count));
                let (mut one, mut two) = (left.clone(), right.clone());
                one.merge(&right);
                two.merge(&left);
                let text = String::from(one.clone());
                let read = Distinct::<12>::try_from(text).expect("a sketch");
                assert_eq!((&one, &two, &read), (&whole, &whole, &whole), "{count} at {cut}");
            }
        }
        for bad in ["0", "zz", "00", "ffffffffffffffffffff"] {
            assert!(Distinct::<12>::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
