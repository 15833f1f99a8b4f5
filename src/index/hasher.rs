//! The keyed hash of scope and key.
//!
//! SipHash-1-3 with a random key per store, so that nobody outside can choose keys that collide.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use super::SHARD_BITS;
use crate::ids::KeyHash;

#[derive(Clone)]
pub(crate) struct KeyHasher {
    keyed: SipHasher13,
    /// Bits that are kept, so that a test can make all keys collide.
    #[cfg(any(test, feature = "simulation"))]
    mask: u64,
}

#[cfg(any(test, feature = "simulation"))]
thread_local! {
    /// The mask of hashers that this thread makes.
    static MASK: std::cell::Cell<u64> = const { std::cell::Cell::new(u64::MAX) };
}

/// Runs something in which hashes keep only these bits. The mask before is back afterwards, also
/// after a panic.
#[cfg(any(test, feature = "simulation"))]
pub(crate) fn with_masked_hashes<T>(mask: u64, run: impl FnOnce() -> T) -> T {
    struct Restore(u64);
    impl Drop for Restore {
        fn drop(&mut self) {
            MASK.set(self.0);
        }
    }
    let _restore = Restore(MASK.replace(mask));
    run()
}

impl KeyHasher {
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        Self {
            keyed: SipHasher13::new_with_key(key),
            #[cfg(any(test, feature = "simulation"))]
            mask: MASK.get(),
        }
    }

    /// Whether hashes keep all of their bits, or nearly all: those that a test cut short tell no
    /// keys apart.
    #[cfg_attr(
        not(any(test, feature = "simulation")),
        allow(clippy::unused_self, reason = "they do")
    )]
    pub(crate) fn is_whole(&self) -> bool {
        #[cfg(any(test, feature = "simulation"))]
        let whole = self.mask.count_ones() >= 48;
        #[cfg(not(any(test, feature = "simulation")))]
        let whole = true;
        whole
    }

    /// The scope's length goes first, so that no two pairs run into the same bytes.
    pub(crate) fn hash(&self, scope: &[u8], key: &[u8]) -> KeyHash {
        // In one piece most pairs take two thirds of the time.
        let mut together = [0; 128];
        let hash = match joined(&mut together, scope, key) {
            Some(bytes) => self.keyed.hash(bytes),
            None => self.hash_in_pieces(scope, key),
        };
        #[cfg(any(test, feature = "simulation"))]
        let hash = hash & self.mask;
        KeyHash(hash)
    }

    fn hash_in_pieces(&self, scope: &[u8], key: &[u8]) -> u64 {
        let mut hasher = self.keyed;
        hasher.write_u64(scope.len() as u64);
        hasher.write(scope);
        hasher.write(key);
        hasher.finish()
    }
}

impl std::fmt::Debug for KeyHasher {
    /// Keeps the key out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyHasher")
    }
}

impl KeyHash {
    /// The shard of a key.
    pub(crate) const fn shard(self) -> usize {
        (self.0 >> (64 - SHARD_BITS)) as usize
    }
}

/// What is hashed of a pair, one after the other, if there is room for it.
#[inline]
fn joined<'a>(room: &'a mut [u8; 128], scope: &[u8], key: &[u8]) -> Option<&'a [u8]> {
    let (scope_end, end) = (8 + scope.len(), 8 + scope.len() + key.len());
    room.get_mut(scope_end..end)?.copy_from_slice(key);
    room.get_mut(8..scope_end)?.copy_from_slice(scope);
    room.first_chunk_mut()?.clone_from(&(scope.len() as u64).to_le_bytes());
    room.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_one_piece_or_in_several_a_pair_has_one_hash() {
        let hasher = KeyHasher::new(b"sixteen bytes ..");
        let text: Vec<u8> = (0..255).collect();
        for (scope, key) in [(1, 1), (11, 36), (46, 64), (60, 60), (60, 61), (255, 255), (1, 119)] {
            let (scope, key) = (&text[..scope], &text[..key]);
            let hash = hasher.hash(scope, key);
            assert_eq!(hash, KeyHash(hasher.hash_in_pieces(scope, key)));
        }
        // It is on disk, and may not change.
        assert_eq!(hasher.hash(b"acct", b"key").to_string(), "68e5528c1f0778d7");
    }
}
