//! Where each completed record is, in a few bytes a key.
//!
//! The index holds hash bits and locations, never keys. Two keys may share all the bits it keeps: a
//! match is a candidate, and only the record on disk says whose it is. It knows nothing of expiry,
//! claims or files.

mod hasher;
mod location;
mod partition;
mod shard;
mod sieve;
mod slots;

pub(crate) use hasher::KeyHasher;
#[cfg(any(test, feature = "simulation"))]
pub(crate) use hasher::with_masked_hashes;
pub(crate) use location::{Geometry, Location};
pub(crate) use partition::by_shard;
pub(crate) use shard::{Candidates, IndexShard};

/// The number of shards; a shard's number is the hash's highest bits.
pub(crate) const SHARDS: usize = 1 << SHARD_BITS;
/// Few where schedules are counted, and where a fuzzer opens small stores hundreds of times a
/// second: walks over empty shards would be all that they do.
pub(crate) const SHARD_BITS: u32 = if cfg!(oncekey_shuttle) {
    2
} else if cfg!(fuzzing) {
    6
} else {
    12
};
