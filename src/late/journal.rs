//! The journal: the entries that are in no run yet, in the order they came.
//!
//! Records of entries, each with a checksum bound to the store and its offset. A record is synced
//! before the caller lets go of what proves its entries. After a failure the file is not believed
//! any more: the next record is preceded by writing all of it anew under another name.
//!
//! Left to others: what must be in it ([`super::memory`]).

use std::io;
use std::sync::Arc;

use crc32fast::Hasher;

use super::entry::{ENTRY, LateEntry};
use crate::disk::{self, Disk, DiskFile};
use crate::ids::StoreId;

/// The journal's file, and one in the making.
pub(crate) const JOURNAL: &str = "late-journal";
pub(super) const JOURNAL_TMP: &str = "late-journal.tmp";
/// What comes before a record's entries: checksum and count.
const RECORD_HEAD: usize = 8;
/// Far more than is ever in it; no larger file is read into memory.
const FILE_LIMIT: u64 = 256 << 20;

/// Where a journal ends before its file does: its last record is not what was written, or not all
/// of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JournalFault {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// The journal of an open store.
#[derive(Debug)]
pub(crate) struct Journal {
    store: StoreId,
    /// `None` before the first record, and after a failure.
    file: Option<Arc<dyn DiskFile>>,
    end: u64,
}

impl Journal {
    pub(super) const fn new(store: StoreId) -> Self {
        Self { store, file: None, end: 0 }
    }

    /// Whether the file holds all that was added.
    pub(super) fn is_good(&self) -> bool {
        self.file.is_some()
    }

    pub(super) fn len(&self) -> u64 {
        self.end
    }

    /// What comes next is preceded by writing the file anew.
    pub(super) fn doubt(&mut self) {
        self.file = None;
    }

    /// Adds entries, and syncs. The journal is good.
    pub(super) fn append(&mut self, entries: &[LateEntry]) -> io::Result<()> {
        let Some(file) = self.file.take() else {
            return Err(io::Error::other("the journal is not open"));
        };
        let record = encode(self.store, self.end, entries);
        file.write_at(&record, self.end)?;
        file.sync()?;
        self.end += record.len() as u64;
        self.file = Some(file);
        Ok(())
    }

    /// Makes a journal of all these entries the one on disk.
    pub(super) fn rewrite(&mut self, disk: &dyn Disk, entries: &[LateEntry]) -> io::Result<()> {
        self.file = None;
        let record = encode(self.store, 0, entries);
        let file = disk.create(JOURNAL_TMP)?;
        let written = file.write_at(&record, 0).and_then(|()| file.sync());
        if let Err(error) = written {
            // What was made of it would only keep others from the room.
            let _ = disk.remove(JOURNAL_TMP);
            return Err(error);
        }
        disk.rename(JOURNAL_TMP, JOURNAL)?;
        disk.sync_dir()?;
        self.end = record.len() as u64;
        self.file = Some(file);
        Ok(())
    }

    /// What the file holds, and where it is bad. A store without one has nothing pending.
    pub(crate) fn read(
        disk: &dyn Disk,
        store: StoreId,
    ) -> io::Result<(Vec<LateEntry>, Option<JournalFault>)> {
        let file = match disk.open_read_only(JOURNAL) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
            Err(error) => return Err(error),
        };
        let len = file.len()?.min(FILE_LIMIT);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        let read = disk::read(&*file, &mut bytes, 0)?;
        bytes.truncate(read);
        Ok(decode(store, &bytes))
    }
}

fn checksum(store: StoreId, offset: u64, record: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&store.0);
    hasher.update(&offset.to_le_bytes());
    hasher.update(record);
    hasher.finalize()
}

fn encode(store: StoreId, offset: u64, entries: &[LateEntry]) -> Vec<u8> {
    let mut body = Vec::with_capacity(RECORD_HEAD + entries.len() * ENTRY);
    body.extend(u32::try_from(entries.len()).unwrap_or(u32::MAX).to_le_bytes());
    entries.iter().for_each(|entry| entry.encode(&mut body));
    [&checksum(store, offset, &body).to_le_bytes()[..], &body].concat()
}

fn decode(store: StoreId, bytes: &[u8]) -> (Vec<LateEntry>, Option<JournalFault>) {
    let (mut entries, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let offset = (bytes.len() - rest.len()) as u64;
        let Some((mut found, next)) = decode_record(store, offset, rest) else {
            return (entries, Some(JournalFault { offset, bytes: rest.len() as u64 }));
        };
        entries.append(&mut found);
        rest = next;
    }
    (entries, None)
}

fn decode_record(store: StoreId, offset: u64, bytes: &[u8]) -> Option<(Vec<LateEntry>, &[u8])> {
    let (found, body) = bytes.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*body.first_chunk::<4>()?)).ok()?;
    let len = count.checked_mul(ENTRY)?.checked_add(4)?;
    let (record, rest) = body.split_at_checked(len)?;
    let good = u32::from_le_bytes(*found) == checksum(store, offset, record);
    let entries = record.get(4..).filter(|_| good)?;
    Some((LateEntry::decode_all(entries).collect(), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::KeyHash;
    use crate::simulation::SimDisk;

    const STORE: StoreId = StoreId([7; 16]);

    fn entries(hashes: &[u64]) -> Vec<LateEntry> {
        hashes.iter().map(|hash| LateEntry::mark(KeyHash(*hash), 5)).collect()
    }

    proptest! {
        #[test]
        fn what_was_added_reads_back(
            first in proptest::collection::vec(any::<u64>(), 0..20),
            more in proptest::collection::vec(proptest::collection::vec(any::<u64>(), 0..20), 0..5),
        ) {
            let disk = SimDisk::new();
            let mut journal = Journal::new(STORE);
            journal.rewrite(&*disk, &entries(&first)).expect("written");
            let mut all = entries(&first);
            for piece in more {
                journal.append(&entries(&piece)).expect("written");
                all.extend(entries(&piece));
            }
            let (found, fault) = Journal::read(&*disk, STORE).expect("read");
            prop_assert_eq!((found, fault), (all, None));
            let (none, fault) = Journal::read(&*disk, StoreId([8; 16])).expect("read");
            prop_assert!(none.is_empty() && fault.is_some(), "it is of another store");
        }
    }

    #[test]
    fn p7_every_flipped_bit_and_every_cut_is_found() {
        let (one, two) = (entries(&[1, 2]), entries(&[3]));
        let bytes = encode(STORE, 0, &one);
        let bytes = [&bytes[..], &encode(STORE, bytes.len() as u64, &two)].concat();
        let whole: Vec<_> = [one.clone(), two].concat();
        assert_eq!(decode(STORE, &bytes), (whole.clone(), None));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let (found, fault) = decode(STORE, &flipped);
            assert!(fault.is_some() && whole.starts_with(&found), "bit {bit}");
        }
        let ends = [0, bytes.len() - 20, bytes.len()];
        for len in 0..=bytes.len() {
            let (found, fault) = decode(STORE, &bytes[..len]);
            assert!(whole.starts_with(&found));
            assert_eq!(fault.is_none(), ends.contains(&len), "{len} bytes");
        }
    }
}
