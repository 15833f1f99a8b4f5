//! Where a record is: a segment file and an offset, packed into 36 bits.

use crate::ids::Slot;
use crate::log::GRANULE;

/// The bits of a packed location: 2^36 granules of 16 bytes are 1 TiB.
pub(crate) const LOCATION_BITS: u32 = 36;

/// The place of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Location {
    pub(crate) slot: Slot,
    pub(crate) offset: u32,
}

/// How a store's locations are packed; it follows from the size of its segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    granule_bits: u32,
}

impl Geometry {
    pub(crate) const fn new(segment_bytes: u32) -> Self {
        Self { granule_bits: (segment_bytes / GRANULE as u32).trailing_zeros() }
    }

    /// How many segment files can be told apart and have names.
    pub(crate) fn max_slots(self) -> u32 {
        (1 << (LOCATION_BITS - self.granule_bits).min(24)).min(Slot::COUNT)
    }

    pub(crate) const fn pack(self, location: Location) -> u64 {
        ((location.slot.0 as u64) << self.granule_bits) | (location.offset as u64 / GRANULE as u64)
    }

    pub(crate) const fn unpack(self, packed: u64) -> Location {
        let granule = packed & ((1 << self.granule_bits) - 1);
        Location {
            slot: Slot((packed >> self.granule_bits) as u32),
            offset: (granule * GRANULE as u64) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_survive_packing_at_every_segment_size() {
        for bits in 16..=30 {
            let geometry = Geometry::new(1 << bits);
            for slot in [0, 1, geometry.max_slots() - 1] {
                for offset in [0, 16, 4096, (1u32 << bits) - 16] {
                    let location = Location { slot: Slot(slot), offset };
                    let packed = geometry.pack(location);
                    assert!(packed < 1 << LOCATION_BITS);
                    assert_eq!(geometry.unpack(packed), location);
                }
            }
        }
    }
}
