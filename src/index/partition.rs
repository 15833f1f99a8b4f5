//! Entries sorted by their shards, in place: what fills an index at once.

use std::ops::Range;

use crate::ids::KeyHash;

/// Moves entries so that those of one shard are together, in the order of the shards; returns where
/// each begins, and the end. All are of `shards`; the order within a shard is any.
pub(crate) fn by_shard<T>(
    entries: &mut [T],
    shards: Range<usize>,
    hash: impl Fn(&T) -> KeyHash,
) -> Vec<usize> {
    let bucket = |entry: &T| hash(entry).shard() - shards.start;
    let mut begins = vec![0; shards.len() + 1];
    for entry in &*entries {
        begins[bucket(entry) + 1] += 1;
    }
    for at in 1..begins.len() {
        begins[at] += begins[at - 1];
    }
    // Where the next entry of each shard goes. An entry that is moved is where it belongs.
    let mut next = begins.clone();
    for own in 0..shards.len() {
        while next[own] < begins[own + 1] {
            let at = next[own];
            let home = bucket(&entries[at]);
            if home != own {
                entries.swap(at, next[home]);
            }
            next[home] += 1;
        }
    }
    begins
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::SHARDS;

    proptest! {
        #[test]
        fn keeps_all_and_puts_each_into_its_shard(
            hashes in proptest::collection::vec(any::<u64>(), 0..500),
            bits in 1..=12_u32,
        ) {
            // Few bits make shards with many entries, and shards with none.
            let mask = u64::MAX << (64 - bits) | 0xfff;
            let mut entries: Vec<u64> = hashes.iter().map(|hash| hash & mask).collect();
            let mut expected = entries.clone();
            let begins = by_shard(&mut entries, 0..SHARDS, |entry| KeyHash(*entry));
            prop_assert_eq!(begins.len(), SHARDS + 1);
            for (shard, ends) in begins.windows(2).enumerate() {
                let all = &entries[ends[0]..ends[1]];
                prop_assert!(all.iter().all(|entry| KeyHash(*entry).shard() == shard));
            }
            entries.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(entries, expected);
        }

        #[test]
        fn takes_some_of_the_shards(hashes in proptest::collection::vec(any::<u64>(), 0..500)) {
            let shards = 100..300;
            let of = |hash: &u64| {
                let shard = shards.start as u64 + hash % shards.len() as u64;
                (shard << 52) | (hash >> 12)
            };
            let mut entries: Vec<u64> = hashes.iter().map(of).collect();
            by_shard(&mut entries, shards.clone(), |entry| KeyHash(*entry));
            prop_assert!(entries.is_sorted_by_key(|entry| KeyHash(*entry).shard()));
        }
    }
}
