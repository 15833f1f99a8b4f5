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
        let from = self.entries.partition_point(|entry| entry.hash < hash);
        let here = self.entries.get(from).is_some_and(|entry| entry.hash == hash);
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
        if self.entries.len() == self.entries.capacity() {
            // Many shards double at about the same time: less slack is less memory.
            self.entries.reserve_exact(self.entries.len() / 4 + 8);
        }
        self.entries.insert(at, entry);
        self.version += 1;
        true
    }

    pub(crate) fn entries(&self) -> &[LateEntry] {
        &self.entries
    }

    /// The runs that there are from now on, and which entries are in them: they leave the list.
    pub(crate) fn publish(&mut self, runs: Arc<Runs>, written: &[LateEntry]) {
        self.runs = Some(runs);
        self.version += 1;
        self.entries.retain(|entry| written.binary_search(entry).is_err());
    }

    /// Lets go of all expiries, and keeps the marks: what was forgotten is not told again.
    pub(crate) fn keep_marks(&mut self) {
        self.entries.retain(|entry| entry.is_mark());
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
