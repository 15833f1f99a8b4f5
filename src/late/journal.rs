//! The journal: the entries that are in no run yet, in the order they came.
//!
//! Numbered files of records of entries, each record with a checksum bound to the store, the file
//! and its offset. Entries are added to the newest file. When a run is about to be made of all that
//! is pending, a new file begins, and the older ones go once the run is there: whoever adds never
//! waits for a run. What a crash leaves of them says nothing that a run does not say.
//!
//! After a failure the newest file is not believed any more: whoever adds next writes all that is
//! pending into a new one. Files of an earlier process are not believed either, since what can be
//! read of them may not be on disk.
//!
//! Left to others: what must be in it ([`crate::engine`]).

use std::io;
use std::sync::Arc;

use crc32fast::Hasher;

use super::entry::{ENTRY, LateEntry};
use crate::disk::{self, Disk, DiskFile};
use crate::ids::{FURTHEST, StoreId};
use crate::reached;

/// What comes before a record's entries: checksum and count.
const RECORD_HEAD: usize = 8;
/// Far more than is ever in one; no larger file is read into memory.
const FILE_LIMIT: u64 = 256 << 20;
/// Files beside the newest.
const MANY_FILES: usize = 8;
/// Entries of one record: more are written in pieces.
const ENTRIES_A_RECORD: usize = 1 << 16;

/// The number of a journal's file: later ones have higher ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct JournalName(pub(super) u64);

impl JournalName {
    pub(crate) fn file_name(self) -> String {
        format!("late-journal-{:010}", self.0)
    }

    pub(crate) fn from_file_name(name: &str) -> Option<Self> {
        let number = Self(name.strip_prefix("late-journal-")?.parse().ok()?);
        (number.0 < FURTHEST && number.file_name() == name).then_some(number)
    }
}

/// Where a journal's file ends before its bytes do: its last record is not what was written, or not
/// all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JournalFault {
    pub(crate) name: JournalName,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// The file that takes what is added.
#[derive(Debug)]
struct Open {
    name: JournalName,
    file: Arc<dyn DiskFile>,
    end: u64,
    /// Whether the directory names it for good.
    is_named: bool,
    /// Whether all of it is on stable storage.
    is_synced: bool,
}

/// The journal of an open store.
#[derive(Debug)]
pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    store: StoreId,
    /// `None` before the first record, and after a failure.
    open: Option<Open>,
    next: JournalName,
    /// Files that are written no more, and their bytes, oldest first.
    old: Vec<(JournalName, u64)>,
    /// Files of no use that could not be removed.
    left: Vec<JournalName>,
    is_in_doubt: bool,
}

impl Journal {
    /// Takes over what an earlier process left: the names of its files, and the faults in them.
    pub(super) fn take_over(
        disk: Arc<dyn Disk>,
        store: StoreId,
        names: &[String],
    ) -> (Self, Vec<LateEntry>, Vec<JournalFault>) {
        let mut found: Vec<_> =
            names.iter().filter_map(|name| JournalName::from_file_name(name)).collect();
        found.sort_unstable();
        let next = JournalName(found.last().map_or(1, |last| last.0.saturating_add(1)));
        let (mut entries, mut faults, mut old) = (Vec::new(), Vec::new(), Vec::new());
        for name in found {
            match Self::read(&*disk, store, name) {
                Ok((mut read, bytes, fault)) => {
                    entries.append(&mut read);
                    faults.extend(fault);
                    old.push((name, bytes));
                }
                Err(_) => {
                    faults.push(JournalFault { name, offset: 0, bytes: 0 });
                    old.push((name, 0));
                }
            }
        }
        let is_in_doubt = !old.is_empty();
        let left = Vec::new();
        (Self { disk, store, open: None, next, old, left, is_in_doubt }, entries, faults)
    }

    /// Whether what is pending must be written anew before more is added.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// Bytes of its files.
    pub(crate) fn bytes(&self) -> u64 {
        let old: u64 = self.old.iter().map(|(_, bytes)| bytes).sum();
        old + self.open.as_ref().map_or(0, |open| open.end)
    }

    /// Adds entries, without a sync. If that fails the journal is in doubt.
    pub(crate) fn write(&mut self, entries: &[LateEntry]) -> io::Result<()> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin()?,
        };
        open.is_synced = false;
        let written = entries.chunks(ENTRIES_A_RECORD).try_for_each(|some| {
            let record = encode(self.store, (open.name, open.end), some);
            open.file.write_at(&record, open.end)?;
            open.end += record.len() as u64;
            Ok(())
        });
        self.keep(open, written)
    }

    /// Puts all that was added on stable storage. If that fails the journal is in doubt.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        let mut synced = if open.is_synced { Ok(()) } else { open.file.sync() };
        if synced.is_ok() && !open.is_named {
            synced = self.disk.sync_dir();
        }
        (open.is_synced, open.is_named) = (true, true);
        self.keep(open, synced)
    }

    fn begin(&mut self) -> io::Result<Open> {
        let name = self.next;
        let file = self.disk.create(&name.file_name()).inspect_err(|_| self.is_in_doubt = true)?;
        self.next = JournalName(name.0.saturating_add(1));
        Ok(Open { name, file, end: 0, is_named: false, is_synced: true })
    }

    fn keep(&mut self, open: Open, result: io::Result<()>) -> io::Result<()> {
        if result.is_err() {
            self.is_in_doubt = true;
            self.old.push((open.name, open.end));
        } else {
            self.open = Some(open);
        }
        result
    }

    /// Whoever adds from now on adds to a new file. Returns the last of those before it, which are
    /// on disk, or the journal is in doubt. Where many are left of runs that came to nothing, no
    /// more are made.
    pub(crate) fn turn(&mut self) -> JournalName {
        match self.old.last() {
            Some((last, _)) if self.old.len() >= MANY_FILES => *last,
            _ => self.end_file(),
        }
    }

    fn end_file(&mut self) -> JournalName {
        // What cannot be synced is in doubt then, which is all there is to say.
        let _ = self.sync();
        if let Some(open) = self.open.take() {
            self.old.push((open.name, open.end));
        }
        JournalName(self.next.0.saturating_sub(1))
    }

    /// Removes the files up to this one: all that they say is said elsewhere, on disk.
    pub(crate) fn release(&mut self, last: JournalName) {
        let gone = self.old.extract_if(.., |(name, _)| *name <= last).map(|(name, _)| name);
        self.left.extend(gone);
        // One that stays is removed the next time, or by the next open.
        self.left.retain(|name| self.disk.remove(&name.file_name()).is_err());
    }

    /// Writes all that is pending into a new file, which stands for all before it.
    pub(crate) fn rewrite(&mut self, pending: &[LateEntry]) -> io::Result<()> {
        let last = self.end_file();
        if !pending.is_empty() {
            let written = self.write(pending).and_then(|()| self.sync());
            if let Err(error) = written {
                // What was made of it would only keep others from the room.
                let name = self.next.0 - 1;
                let made = self.old.pop_if(|(made, _)| made.0 == name && *made > last);
                self.left.extend(made.map(|(made, _)| made));
                self.left.retain(|name| self.disk.remove(&name.file_name()).is_err());
                return Err(error);
            }
        }
        reached::note("late retries: the journal is written anew");
        self.is_in_doubt = false;
        self.release(last);
        Ok(())
    }

    /// What a file holds, how long it is, and where it is bad.
    pub(crate) fn read(
        disk: &dyn Disk,
        store: StoreId,
        name: JournalName,
    ) -> io::Result<(Vec<LateEntry>, u64, Option<JournalFault>)> {
        let file = disk.open_read_only(&name.file_name())?;
        let len = file.len()?;
        let mut bytes = vec![0; usize::try_from(len.min(FILE_LIMIT)).unwrap_or_default()];
        let read = disk::read(&*file, &mut bytes, 0)?;
        bytes.truncate(read);
        let (entries, fault) = decode(store, name, &bytes);
        Ok((entries, len, fault))
    }
}

pub(super) fn checksum(store: StoreId, (name, offset): (JournalName, u64), record: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&store.0);
    hasher.update(&name.0.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(record);
    hasher.finalize()
}

pub(super) fn encode(store: StoreId, place: (JournalName, u64), entries: &[LateEntry]) -> Vec<u8> {
    let mut record = Vec::with_capacity(RECORD_HEAD + entries.len() * ENTRY);
    record.extend([0; 4]);
    record.extend(u32::try_from(entries.len()).unwrap_or(u32::MAX).to_le_bytes());
    entries.iter().for_each(|entry| entry.encode(&mut record));
    if let Some((head, body)) = record.split_first_chunk_mut::<4>() {
        *head = checksum(store, place, body).to_le_bytes();
    }
    record
}

fn decode(
    store: StoreId,
    name: JournalName,
    bytes: &[u8],
) -> (Vec<LateEntry>, Option<JournalFault>) {
    let (mut entries, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let offset = (bytes.len() - rest.len()) as u64;
        let Some((mut found, next)) = decode_record(store, (name, offset), rest) else {
            return (entries, Some(JournalFault { name, offset, bytes: rest.len() as u64 }));
        };
        entries.append(&mut found);
        rest = next;
    }
    (entries, None)
}

fn decode_record(
    store: StoreId,
    place: (JournalName, u64),
    bytes: &[u8],
) -> Option<(Vec<LateEntry>, &[u8])> {
    let (found, body) = bytes.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*body.first_chunk::<4>()?)).ok()?;
    let len = count.checked_mul(ENTRY)?.checked_add(4)?;
    let (record, rest) = body.split_at_checked(len)?;
    let good = u32::from_le_bytes(*found) == checksum(store, place, record);
    let entries = record.get(4..).filter(|_| good)?;
    Some((LateEntry::decode_all(entries).collect(), rest))
}

#[cfg(test)]
mod tests;
