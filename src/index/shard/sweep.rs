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
        let (mut next, mut read, mut write) = (0, 0, 0);
        loop {
            if write == read {
                let Some((hash, _)) = doomed.get(next) else { return };
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
                self.taken -= 1;
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
    }
}
