//! The names of a simulated disk's files.
//!
//! Invariants: changes of a directory survive in the order they were made, as they do on a
//! journalled filesystem; a rename is one change, so that after a crash the file has its old name
//! or its new one, never both or neither.

use std::collections::BTreeMap;

/// A number that stands for a file, whatever it is named.
pub(super) type InodeId = u64;

#[derive(Debug, Clone)]
enum Change {
    Link { name: String, inode: InodeId },
    Unlink { name: String },
    Rename { from: String, to: String, inode: InodeId },
}

type Entries = BTreeMap<String, InodeId>;

#[derive(Debug, Clone, Default)]
pub(super) struct Directory {
    seen: Entries,
    durable: Entries,
    unsynced: Vec<Change>,
}

impl Directory {
    /// A directory that is durable as it stands.
    pub(super) fn settled(entries: Entries) -> Self {
        Self { seen: entries.clone(), durable: entries, unsynced: Vec::new() }
    }

    pub(super) fn seen(&self) -> &Entries {
        &self.seen
    }

    pub(super) fn unsynced_len(&self) -> usize {
        self.unsynced.len()
    }

    /// The entries a power cut leaves if the first `count` unsynced changes survive it.
    pub(super) fn after_crash(&self, count: usize) -> Entries {
        let mut entries = self.durable.clone();
        for change in self.unsynced.iter().take(count) {
            apply(&mut entries, change.clone());
        }
        entries
    }

    /// Whether a file can still be reached by a name, now or after a crash.
    pub(super) fn reaches(&self, inode: InodeId) -> bool {
        let named = |entries: &Entries| entries.values().any(|id| *id == inode);
        named(&self.seen)
            || named(&self.durable)
            || self.unsynced.iter().any(|change| match change {
                Change::Link { inode: id, .. } | Change::Rename { inode: id, .. } => *id == inode,
                Change::Unlink { .. } => false,
            })
    }

    pub(super) fn link(&mut self, name: &str, inode: InodeId) {
        self.change(Change::Link { name: name.to_owned(), inode });
    }

    /// Removes a name; `false` if there is none.
    pub(super) fn unlink(&mut self, name: &str) -> bool {
        let known = self.seen.contains_key(name);
        if known {
            self.change(Change::Unlink { name: name.to_owned() });
        }
        known
    }

    /// Renames; `false` if there is no such name.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> bool {
        let Some(inode) = self.seen.get(from).copied() else { return false };
        if from != to {
            self.change(Change::Rename { from: from.to_owned(), to: to.to_owned(), inode });
        }
        true
    }

    pub(super) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            apply(&mut self.durable, change);
        }
    }

    /// A sync that failed: what was done is seen, and no later sync makes it durable.
    pub(super) fn fail_sync(&mut self) {
        self.unsynced.clear();
    }

    /// Names a file at rest: seen and durable, as are all changes before.
    pub(super) fn put(&mut self, name: &str, inode: InodeId) {
        self.seen.insert(name.to_owned(), inode);
        self.sync();
        self.durable.insert(name.to_owned(), inode);
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.seen, change.clone());
        self.unsynced.push(change);
    }
}

fn apply(entries: &mut Entries, change: Change) {
    match change {
        Change::Link { name, inode } => {
            entries.insert(name, inode);
        }
        Change::Unlink { name } => {
            entries.remove(&name);
        }
        Change::Rename { from, to, inode } => {
            entries.remove(&from);
            entries.insert(to, inode);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_file_has_one_name_after_any_crash() {
        let mut dir = Directory::default();
        dir.link("old", 1);
        dir.sync();
        assert!(dir.rename("old", "new"));
        assert!(dir.rename("new", "new"));
        assert!(!dir.rename("old", "x"));
        let names = |count| dir.after_crash(count).into_keys().collect::<Vec<_>>();
        assert_eq!(dir.unsynced_len(), 1);
        assert_eq!(names(0), ["old"]);
        assert_eq!(names(1), ["new"]);
    }

    #[test]
    fn a_file_is_reached_until_its_removal_is_durable() {
        let mut dir = Directory::default();
        dir.link("a", 1);
        assert!(dir.unlink("a"));
        assert!(!dir.unlink("a"));
        assert!(dir.reaches(1), "its name may survive a crash");
        dir.sync();
        assert!(!dir.reaches(1));
    }

    #[test]
    fn a_failed_sync_is_not_made_up_for() {
        let mut dir = Directory::default();
        dir.link("a", 1);
        dir.fail_sync();
        dir.link("b", 2);
        dir.sync();
        assert_eq!(dir.seen().len(), 2);
        assert_eq!(dir.after_crash(9).into_keys().collect::<Vec<_>>(), ["b"]);
    }
}
