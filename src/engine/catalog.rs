//! The catalog: which segment files there are, which are in use, and the manifest that says so.
//!
//! Invariants: a segment is named by a synced manifest before its first batch is written; a file is
//! recycled only when no manifest names it and nobody reads it; two zero-filled files are kept
//! spare, one for the next open and one for compaction, and the log never takes them.
//!
//! Everything here waits for the disk. It runs beside the commit path, and on it only when the next
//! segment was not ready in time.

use std::sync::Arc;

use super::environment::Environment;
use super::segment::{Contents, Segment};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{Nonce, SegmentId, Slot, StoreTime, Token};
use crate::log::{Manifest, SegmentEntry, SegmentHeader, SegmentKind, manifest};

/// Who asks for a file, from the least to the most entitled. Each leaves files for the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Log,
    Compaction,
    Open,
}

impl Need {
    /// How many spare files must remain for others.
    const fn leaves(self) -> usize {
        match self {
            Self::Log => 2,
            Self::Compaction => 1,
            Self::Open => 0,
        }
    }
}

/// Spare files that are kept.
pub(crate) const SPARES: usize = 2;

#[derive(Debug)]
pub(crate) struct Catalog {
    env: Environment,
    manifest: Manifest,
    /// Files of full size that no manifest names.
    free: Vec<Slot>,
    /// Segments that left the manifest; their files are free once nobody reads them.
    retired: Vec<Arc<Segment>>,
    next_slot: u32,
    max_slots: u32,
    /// Bytes of zeros written, for the statistics.
    pub(crate) zero_filled_bytes: u64,
}

impl Catalog {
    /// A catalog over what `open` found.
    pub(crate) fn new(
        env: Environment,
        manifest: Manifest,
        free: Vec<Slot>,
        next_slot: u32,
        max_slots: u32,
    ) -> Self {
        Self {
            env,
            manifest,
            free,
            retired: Vec::new(),
            next_slot,
            max_slots,
            zero_filled_bytes: 0,
        }
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Bytes of all segment files.
    pub(crate) fn allocated_bytes(&self) -> u64 {
        u64::from(self.next_slot) * u64::from(self.manifest.segment_size)
    }

    pub(crate) fn spare_files(&self) -> usize {
        self.free.len()
    }

    /// Makes a segment ready for use: a file, a new life in its header, on disk. No manifest names
    /// it yet.
    pub(crate) fn new_segment(&mut self, need: Need, kind: SegmentKind) -> Result<Arc<Segment>> {
        let slot = self.take_file(need)?;
        match self.begin_life(slot, kind) {
            Ok(segment) => Ok(segment),
            Err(error) => {
                self.free.push(slot);
                Err(error)
            }
        }
    }

    fn begin_life(&mut self, slot: Slot, kind: SegmentKind) -> Result<Arc<Segment>> {
        let name = slot.file_name();
        let doing = |what: &str| format!("{what} {name}");
        let nonce = self.env.random.next_u64().map_err(|e| Error::io("drawing a nonce", e))?;
        let header = SegmentHeader {
            store_id: self.manifest.store_id,
            id: self.manifest.next_segment,
            nonce: Nonce(nonce),
            base: self.manifest.base,
            slot,
            kind,
            size: self.manifest.segment_size,
        };
        let file = self.env.disk.open(&name).map_err(|e| Error::io(doing("opening"), e))?;
        file.write_at(&header.encode(), 0).map_err(|e| Error::io(doing("writing"), e))?;
        file.sync().map_err(|e| Error::io(doing("syncing"), e))?;
        self.manifest.next_segment = SegmentId(self.manifest.next_segment.0 + 1);
        Ok(Arc::new(Segment::new(
            (header.id, header.nonce, slot, kind),
            header.size,
            header.base,
            file,
            Contents::empty(),
        )))
    }

    /// A file of full size that nothing needs.
    fn take_file(&mut self, need: Need) -> Result<Slot> {
        self.reclaim();
        if self.free.len() <= need.leaves() {
            self.add_file()?;
        }
        self.free.pop().ok_or_else(|| Error::new(ErrorKind::DiskFull, "no segment file is free"))
    }

    /// Keeps the spare files that promise 8 needs. An error is remembered, not returned: it may
    /// pass.
    pub(crate) fn top_up(&mut self, more: usize) {
        self.reclaim();
        while self.free.len() < SPARES + more {
            if self.add_file().is_err() {
                return;
            }
        }
    }

    /// Adds a zero-filled file to the free ones.
    fn add_file(&mut self) -> Result<()> {
        if self.next_slot >= self.max_slots {
            return Err(Error::new(
                ErrorKind::DiskFull,
                format!("the store has {} segment files, as many as it may", self.next_slot),
            ));
        }
        let slot = Slot(self.next_slot);
        let (name, size) = (slot.file_name(), u64::from(self.manifest.segment_size));
        let filled = self.env.disk.create(&name).and_then(|file| file.zero_fill(size));
        if let Err(error) = filled.and_then(|()| self.env.disk.sync_dir()) {
            // What was made of it would only keep others from the room.
            let _ = self.env.disk.remove(&name);
            return Err(Error::io(format_args!("allocating {name} ({size} bytes)"), error));
        }
        self.zero_filled_bytes += size;
        self.next_slot += 1;
        self.free.push(slot);
        Ok(())
    }

    /// Frees the files of retired segments that nobody reads any more.
    fn reclaim(&mut self) {
        let (idle, busy): (Vec<_>, Vec<_>) = std::mem::take(&mut self.retired)
            .into_iter()
            .partition(|segment| Arc::strong_count(segment) == 1);
        self.retired = busy;
        self.free.extend(idle.iter().map(|segment| segment.slot));
    }

    /// Names a new log segment in the manifest, so that it may be written.
    pub(crate) fn admit(&mut self, segment: &Segment, time: StoreTime) -> Result<()> {
        self.change(time, |manifest| manifest.segments.push(entry_of(segment)))
    }

    /// Says that a segment has its footer.
    pub(crate) fn mark_sealed(&mut self, id: SegmentId, time: StoreTime) -> Result<()> {
        self.change(time, |manifest| {
            for entry in manifest.segments.iter_mut().filter(|entry| entry.id == id) {
                entry.sealed = true;
            }
        })
    }

    /// Replaces segments by others, in one step.
    pub(crate) fn replace(
        &mut self,
        old: &[Arc<Segment>],
        new: &[Arc<Segment>],
        time: StoreTime,
    ) -> Result<()> {
        self.change(time, |manifest| {
            manifest.segments.retain(|entry| old.iter().all(|segment| segment.id != entry.id));
            manifest.segments.extend(new.iter().map(|segment| entry_of(segment)));
            manifest.segments.sort_unstable_by_key(|entry| entry.id);
        })
    }

    /// Gives the files of segments back that the manifest no longer names and the table no longer
    /// holds.
    pub(crate) fn retire(&mut self, segments: impl IntoIterator<Item = Arc<Segment>>) {
        self.retired.extend(segments);
    }

    /// Gives a file back that was never named by a manifest.
    pub(crate) fn give_back(&mut self, slot: Slot) {
        self.free.push(slot);
    }

    /// Promises tokens below `ceiling`.
    pub(crate) fn raise_ceiling(&mut self, ceiling: Token, time: StoreTime) -> Result<()> {
        self.change(time, |manifest| manifest.ceiling = ceiling)
    }

    /// Says that nothing is left to recover.
    pub(crate) fn mark_clean(&mut self, ceiling: Token, time: StoreTime) -> Result<()> {
        self.change(time, |manifest| {
            manifest.ceiling = ceiling;
            manifest.clean = true;
        })
    }

    /// Writes the manifest with a change. If that fails the change is undone in memory; on disk it
    /// may or may not have been made, and either is a state that `open` understands.
    fn change(&mut self, time: StoreTime, change: impl FnOnce(&mut Manifest)) -> Result<()> {
        let mut changed = self.manifest.clone();
        change(&mut changed);
        changed.store_time = changed.store_time.max(time);
        self.write(changed)
    }

    /// Makes `manifest` the one on disk.
    pub(crate) fn write(&mut self, changed: Manifest) -> Result<()> {
        manifest::write(&*self.env.disk, &changed)
            .map_err(|error| Error::io("writing MANIFEST", error))?;
        self.manifest = changed;
        Ok(())
    }
}

pub(crate) fn entry_of(segment: &Segment) -> SegmentEntry {
    SegmentEntry {
        id: segment.id,
        nonce: segment.nonce,
        slot: segment.slot,
        kind: segment.kind,
        sealed: segment.is_sealed(),
    }
}
