//! What one shard remembers: the keys that are in no run yet, and the runs that there are.
//!
//! It lies under the shard's lock, which is held anyway when a claim looks, so that a look touches
//! nothing that other processors write. The runs are the same for all shards, and are told to each
//! when they change.

use std::sync::Arc;

use super::entry::{LateEntry, Told};
use super::memory::Runs;
use super::run::told_of;
use crate::ids::KeyHash;

/// Under a shard's lock.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// None until there were any: thousands of shards of a small store need none.
    runs: Option<Arc<Runs>>,
    /// In order.
    entries: Vec<LateEntry>,
    /// Changes with every change here.
    version: u64,
}

/// What a shard knew of a hash at one moment; the rest is asked of the disk, without the lock.
#[derive(Debug)]
pub(crate) struct Ask {
    hash: KeyHash,
    pending: Told,
    runs: Option<Arc<Runs>>,
    version: u64,
}

impl Pending {
    /// What to ask of a hash; `None` if nothing can be known of it, which is all that a fresh key
    /// costs.
    pub(crate) fn ask(&self, hash: KeyHash) -> Option<Ask> {
        let from = self.entries.partition_point(|entry| entry.hash() < hash);
        let here = self.entries.get(from).is_some_and(|entry| entry.hash() == hash);
        if !here && !self.runs.as_ref().is_some_and(|runs| runs.may_know(hash)) {
            return None;
        }
        let pending = told_of(&self.entries, hash);
        Some(Ask { hash, pending, runs: self.runs.clone(), version: self.version })
    }

    /// Whether nothing has changed since something was asked.
    pub(crate) fn is_as_asked(&self, ask: &Ask) -> bool {
        self.version == ask.version
    }

    /// Takes an entry in; whether it is new here.
    pub(crate) fn add(&mut self, entry: LateEntry) -> bool {
        let Err(at) = self.entries.binary_search(&entry) else { return false };
        self.reserve(1);
        self.entries.insert(at, entry);
        self.version += 1;
        true
    }

    /// Takes entries in, which are in order. Those that are new here are added to `news`.
    pub(crate) fn add_all(&mut self, entries: &[LateEntry], news: &mut Vec<LateEntry>) {
        let before = news.len();
        let mut known = self.entries.iter().peekable();
        for (at, entry) in entries.iter().enumerate() {
            while known.next_if(|known| *known < entry).is_some() {}
            let again = at > 0 && entries.get(at - 1) == Some(entry);
            if !again && known.peek() != Some(&entry) {
                news.push(*entry);
            }
        }
        let added = news.get(before..).unwrap_or_default();
        if added.is_empty() {
            return;
        }
        self.reserve(added.len());
        self.merge(added);
        self.version += 1;
    }

    /// Takes entries in, which are in order and none of which is here, from the last one on: each
    /// entry moves once.
    fn merge(&mut self, mut added: &[LateEntry]) {
        let mut known = self.entries.len();
        self.entries.extend_from_slice(added);
        let mut end = self.entries.len();
        while let Some((last, before)) = added.split_last() {
            let later = known.checked_sub(1).and_then(|at| self.entries.get(at)).copied();
            let entry = match later.filter(|later| later > last) {
                Some(later) => {
                    known -= 1;
                    later
                }
                None => {
                    added = before;
                    *last
                }
            };
            end -= 1;
            if let Some(place) = self.entries.get_mut(end) {
                *place = entry;
            }
        }
    }

    /// Many shards grow at about the same time: less slack is less memory.
    fn reserve(&mut self, more: usize) {
        if self.entries.capacity() - self.entries.len() < more {
            self.entries.reserve_exact(more.max(self.entries.len() / 4));
        }
    }

    pub(crate) fn entries(&self) -> &[LateEntry] {
        &self.entries
    }

    /// The runs that there are from now on, and which entries, in order, are in them: they leave
    /// the list, and their memory is given back.
    pub(crate) fn publish(&mut self, runs: Arc<Runs>, written: &[LateEntry]) {
        self.runs = Some(runs);
        self.version += 1;
        let mut written = written.iter().peekable();
        self.entries.retain(|entry| {
            while written.next_if(|written| *written < entry).is_some() {}
            written.next_if_eq(&entry).is_none()
        });
        self.entries.shrink_to_fit();
    }

    /// Lets go of all expiries, and keeps the marks: what was forgotten is not told again.
    pub(crate) fn keep_marks(&mut self) {
        self.entries.retain(|entry| entry.is_mark());
        self.entries.shrink_to_fit();
        self.version += 1;
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<LateEntry>()
    }
}

impl Ask {
    /// Reads what runs may know, and says what is known of the hash. What cannot be read is told
    /// nothing of, and counted.
    pub(crate) fn confirm(&self) -> Told {
        self.look().0.and(self.pending)
    }

    /// Up to which expiry the key must be hidden, so that nothing is told of it: also where it is
    /// already by a mark that is not in a run, which may not be on disk yet. What cannot be read
    /// may be any expiry until now.
    pub(crate) fn to_hide(&self, now_s: u32) -> Option<u32> {
        let (told, is_whole) = self.look();
        let known = told.and(self.pending).expired_s(0).max(self.pending.hidden_s());
        if is_whole { known } else { known.max(Some(now_s)) }
    }

    /// What the runs say, and whether all that may know the hash could be read.
    fn look(&self) -> (Told, bool) {
        self.runs.as_ref().map_or((Told::default(), true), |runs| runs.look(self.hash))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn entries() -> impl Strategy<Value = Vec<LateEntry>> {
        let entry = (0..6_u64, 0..3_u32, any::<bool>()).prop_map(|(hash, seconds, mark)| {
            let hash = KeyHash(hash << 60);
            match mark {
                true => LateEntry::mark(hash, seconds),
                false => LateEntry::expired(hash, seconds).expect("small"),
            }
        });
        proptest::collection::vec(entry, 0..12)
    }

    proptest! {
        #[test]
        fn it_is_a_set_that_says_what_is_news(
            steps in proptest::collection::vec((entries(), any::<bool>()), 1..12)
        ) {
            let (mut pending, mut set) = (Pending::default(), BTreeSet::new());
            for (mut some, leave) in steps {
                some.sort_unstable();
                let version = pending.version;
                if leave {
                    pending.publish(Arc::default(), &some);
                    set.retain(|entry| !some.contains(entry));
                    let bytes = set.len() * size_of::<LateEntry>();
                    prop_assert_eq!(pending.memory_bytes(), bytes, "no slack is left");
                } else {
                    let mut news = Vec::new();
                    pending.add_all(&some, &mut news);
                    let mut expected: Vec<_> =
                        some.into_iter().filter(|entry| !set.contains(entry)).collect();
                    expected.dedup();
                    set.extend(&expected);
                    prop_assert_eq!(news, expected);
                }
                prop_assert!(pending.entries().iter().eq(&set));
                let changed = pending.version > version;
                prop_assert!(changed || !leave);
            }
        }
    }
}
