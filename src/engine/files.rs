//! Segment files that no segment is in: which there are, and how there come to be more or fewer.
//!
//! Invariants: a free file has its full size, all of it written, and no manifest names it. A slot
//! below `next_slot` is in use, free, or a *hole*: a number whose file was given up, and that is
//! the first to get a file again. Two free files are kept open, so that a segment can begin also
//! while the process has no file descriptor left.
//!
//! Left to others: which segments there are ([`super::catalog`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::catalog::SPARES;
use crate::disk::{Disk, DiskFile};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Slot;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// Free files beyond the spare ones that are kept for what is to come: at least this many, and a
/// sixteenth of the segments in use, which is more than one compaction gives back.
const KEPT_FREE: usize = 4;

#[derive(Debug)]
pub(crate) struct Files {
    disk: Arc<dyn Disk>,
    segment_size: u32,
    /// With its handle, where it is kept open.
    free: BTreeMap<Slot, Option<Arc<dyn DiskFile>>>,
    /// Files of segments that the manifest on disk names and that nothing was ever written to: at
    /// open they may be begun anew before that manifest is replaced, but never removed.
    vacant: BTreeSet<Slot>,
    holes: BTreeSet<Slot>,
    next_slot: u32,
    max_files: u32,
    /// Bytes of zeros written, for the statistics.
    zero_filled_bytes: u64,
    /// How many are free, to be read without the catalog's lock.
    free_files: Arc<AtomicUsize>,
}

impl Files {
    /// What `open` found: the free files; all others below `next_slot` are `used` or holes.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        segment_size: u32,
        found: FoundFiles,
        max_files: u32,
    ) -> Self {
        let FoundFiles { free, used, vacant } = found;
        let next_slot = free.iter().chain(&used).map(|slot| slot.0 + 1).max().unwrap_or(0);
        let all = (0..next_slot).map(Slot);
        let holes = all.filter(|slot| !free.contains(slot) && !used.contains(slot)).collect();
        let free: BTreeMap<_, _> = free.into_iter().map(|slot| (slot, None)).collect();
        Self {
            disk,
            segment_size,
            free_files: Arc::new(AtomicUsize::new(free.len())),
            free,
            vacant,
            holes,
            next_slot,
            max_files,
            zero_filled_bytes: 0,
        }
    }

    pub(crate) fn free_count(&self) -> usize {
        self.free.len()
    }

    /// The same, for whoever does not hold the catalog.
    pub(crate) fn free_files(&self) -> Arc<AtomicUsize> {
        self.free_files.clone()
    }

    fn note_free(&self) {
        self.free_files.store(self.free.len(), Ordering::Relaxed);
    }

    pub(crate) fn zero_filled_bytes(&self) -> u64 {
        self.zero_filled_bytes
    }

    /// How many files there are, free or in use.
    fn count(&self) -> u32 {
        self.next_slot - self.holes.len() as u32
    }

    pub(crate) fn allocated_bytes(&self) -> u64 {
        u64::from(self.count()) * u64::from(self.segment_size)
    }

    /// Whether nothing can be taken that leaves as many files for others.
    pub(crate) fn lacks(&self, leaves: usize) -> bool {
        self.free.len() <= leaves && (leaves > 0 || self.vacant.is_empty())
    }

    /// A free file, open if it was kept so; whoever leaves none for others is the most entitled.
    pub(crate) fn take(&mut self, leaves: usize) -> Result<(Slot, Option<Arc<dyn DiskFile>>)> {
        if leaves == 0
            && self.free.len() <= 1
            && let Some(slot) = self.vacant.pop_first()
        {
            return Ok((slot, None));
        }
        // The open ones are for the most entitled.
        let wants_open = leaves == 0;
        let fits = |file: &Option<_>| file.is_some() == wants_open;
        let best = self.free.iter().find(|(_, file)| fits(file)).or(self.free.iter().next());
        let Some(slot) = best.map(|(slot, _)| *slot) else {
            return Err(Error::new(ErrorKind::DiskFull, "no segment file is free"));
        };
        let file = self.free.remove(&slot).flatten();
        self.note_free();
        Ok((slot, file))
    }

    /// Gives a file back that no manifest names any more.
    pub(crate) fn give_back(&mut self, slot: Slot, file: Option<Arc<dyn DiskFile>>) {
        self.vacant.remove(&slot);
        let file = file.filter(|_| self.open_count() < SPARES);
        self.free.insert(slot, file);
        self.note_free();
    }

    /// Says that a slot's file is missing, or not fit for use.
    pub(crate) fn write_off(&mut self, slot: Slot) {
        self.vacant.remove(&slot);
        self.holes.insert(slot);
    }

    /// From now on every file that the manifest names is in use.
    pub(crate) fn end_recovery(&mut self) {
        self.vacant.clear();
    }

    /// Keeps the spare files open. What cannot be had now is tried again in the next round.
    pub(crate) fn open_spares(&mut self) {
        let mut missing = SPARES.saturating_sub(self.open_count());
        for (slot, file) in self.free.iter_mut().filter(|(_, file)| file.is_none()) {
            if missing == 0 {
                return;
            }
            *file = self.disk.open(&slot.file_name()).ok();
            missing -= 1;
        }
    }

    fn open_count(&self) -> usize {
        self.free.values().flatten().count()
    }

    /// Adds a zero-filled file to the free ones.
    pub(crate) fn add(&mut self) -> Result<()> {
        let count = self.count();
        if count >= self.max_files {
            return Err(Error::new(
                ErrorKind::DiskFull,
                format!(
                    "the store has {count} segment files, as many as it may \
                     (Options::max_disk_bytes)"
                ),
            ));
        }
        let slot = self.holes.first().copied().unwrap_or(Slot(self.next_slot));
        let (name, size) = (slot.file_name(), u64::from(self.segment_size));
        let doing = |error| Error::io(format_args!("allocating {name} ({size} bytes)"), error);
        let file = self.disk.create(&name).map_err(doing)?;
        if let Err(error) = file.zero_fill(size).and_then(|()| self.disk.sync_dir()) {
            // What was made of it would only keep others from the room.
            let _ = self.disk.remove(&name);
            return Err(doing(error));
        }
        self.zero_filled_bytes += size;
        if !self.holes.remove(&slot) {
            self.next_slot += 1;
        }
        let file = Some(file).filter(|_| self.open_count() < SPARES);
        self.free.insert(slot, file);
        self.note_free();
        Ok(())
    }

    /// Gives up a free file's room, for something that cannot do without; false if there is none.
    pub(crate) fn give_up(&mut self) -> Result<bool> {
        if !self.remove_last() {
            return Ok(false);
        }
        // Some filesystems give room back only when the removal is on disk.
        self.disk.sync_dir().map_err(|error| Error::io("syncing the directory", error))?;
        Ok(true)
    }

    /// Closes a free file, for something that cannot do without a descriptor; false if none is
    /// open.
    pub(crate) fn close_one(&mut self) -> bool {
        self.free.values_mut().rev().any(|file| file.take().is_some())
    }

    /// Removes one file if more are free than `in_use` segments are likely to need; returns whether
    /// it did.
    pub(crate) fn remove_surplus(&mut self, in_use: usize) -> bool {
        self.free.len() > SPARES + KEPT_FREE.max(in_use / 16) && self.remove_last()
    }

    /// Removes the free file of the highest slot. Were it there again after a crash it would be
    /// free again.
    fn remove_last(&mut self) -> bool {
        let Some((slot, _)) = self.free.pop_last() else { return false };
        self.note_free();
        // If that fails it is made anew before it is used again.
        let _ = self.disk.remove(&slot.file_name());
        self.holes.insert(slot);
        while self.next_slot > 0 && self.holes.remove(&Slot(self.next_slot - 1)) {
            self.next_slot -= 1;
        }
        true
    }
}

/// The segment files in a directory.
#[derive(Debug, Default)]
pub(crate) struct FoundFiles {
    pub(crate) free: BTreeSet<Slot>,
    pub(crate) used: BTreeSet<Slot>,
    pub(crate) vacant: BTreeSet<Slot>,
}
