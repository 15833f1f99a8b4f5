//! Many records of one shard removed at once: one walk over the runs of slots that they are in.
//!
//! What is behind a removed slot moves back as it would after each removal alone, but only once.

use super::{EMPTY, IndexShard, slot, tag, tag_of};
use crate::ids::KeyHash;
use crate::index::location::{Geometry, Location};

impl IndexShard {
    /// Removes records, each if it is still where the caller believes it to be, and calls `gone`
    /// with the number of each that is removed. They are in the order of their hashes.
    pub(crate) fn remove_all(
        &mut self,
        geometry: Geometry,
        doomed: &[(KeyHash, Location)],
        mut gone: impl FnMut(usize),
    ) {
        debug_assert!(doomed.is_sorted_by_key(|(hash, _)| tag(*hash)), "not in order");
        // All slots from `write` to before `read` are empty by now; all doomed before `next` were
        // met, or are not there.
        let (mut next, mut read, mut write, mut removed) = (0, 0, 0, 0);
        loop {
            if write == read {
                let Some((hash, _)) = doomed.get(next) else { break };
                read = self.home(tag(*hash)).max(read);
                write = read;
            }
            let rest = doomed.get(next..).unwrap_or_default();
            let found = self.slots.get(read);
            if found == EMPTY {
                let absent = |(hash, _): &&(KeyHash, Location)| self.home(tag(*hash)) <= read;
                next += rest.iter().take_while(absent).count();
                read += 1;
                write = read;
                continue;
            }
            let passed = rest.iter().take_while(|(hash, _)| tag(*hash) < tag_of(found)).count();
            next += passed;
            let mut equal =
                rest.iter().skip(passed).take_while(|(hash, _)| tag(*hash) == tag_of(found));
            if let Some(at) = equal.position(|(hash, place)| slot(geometry, *hash, *place) == found)
            {
                self.slots.replace(read, EMPTY);
                removed += 1;
                gone(next + at);
            } else {
                let place = self.home(tag_of(found)).max(write);
                if place < read {
                    self.slots.replace(read, EMPTY);
                    self.slots.replace(place, found);
                }
                write = place + 1;
            }
            read += 1;
        }
        self.note_removed(removed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use proptest::prelude::*;

    use super::*;
    use crate::index::shard::tests::{GEOMETRY, any_tag, at, check, hash};

    /// Tags and places.
    type Records = Vec<(u64, u32)>;

    /// A shard, and which of its records are to go, with some that are not there.
    fn sweep() -> impl Strategy<Value = (Records, Vec<bool>, Records)> {
        let record = (any_tag(), 0..400_u32);
        let absent = proptest::collection::vec((any_tag(), 400..500_u32), 0..40);
        (0..600_usize).prop_flat_map(move |count| {
            let records = proptest::collection::vec(record.clone(), count);
            let share = prop_oneof![Just(0.02), Just(0.5), Just(0.98), Just(1.0)];
            let goes = share.prop_flat_map(move |p| {
                proptest::collection::vec(proptest::bool::weighted(p), count)
            });
            (records, goes, absent.clone())
        })
    }

    proptest! {
        /// A sweep is so many removals, whatever they are of the table and however it was made.
        #[test]
        fn a_sweep_is_as_if_removed_one_by_one(
            (records, goes, absent) in sweep(),
            made in any::<bool>(),
        ) {
            let of = |(tag, place): (u64, u32)| (hash(tag), at(place % 3, 4096 + 16 * place));
            let all: BTreeMap<_, _> =
                records.into_iter().map(of).zip(goes).collect();
            let sorted: Vec<_> = all.keys().copied().collect();
            let filled = || {
                if made {
                    return IndexShard::made_of(&sorted, GEOMETRY);
                }
                let mut shard = IndexShard::default();
                for (hash, location) in sorted.iter().rev() {
                    shard.insert(GEOMETRY, *hash, *location);
                }
                shard
            };
            let (mut swept, mut model) = (filled(), filled());
            let going = all.iter().filter(|(_, goes)| **goes);
            let mut doomed: Vec<_> = going.map(|(record, _)| *record).collect();
            doomed.extend(absent.into_iter().map(of));
            doomed.sort_unstable();
            let mut gone = HashSet::new();
            swept.remove_all(GEOMETRY, &doomed, |number| assert!(gone.insert(number)));
            check(&swept);
            for (number, (hash, location)) in doomed.iter().enumerate() {
                let removed = model.remove(GEOMETRY, *hash, *location);
                prop_assert_eq!(removed, gone.contains(&number));
            }
            prop_assert_eq!(swept.len(), model.len());
            prop_assert!(swept.slots.iter().eq(model.slots.iter()), "slot by slot");
        }
    }
}
