//! The catalog: which segments there are, and the manifest that says so.
//!
//! Invariants: a segment is named by a synced manifest before its first batch is written; a file is
//! recycled only when no manifest names it and nobody reads it; two zero-filled files are kept
//! spare, one for the next open and one for compaction, and the room for the next manifest. The log
//! takes the files, and a manifest that cannot wait and finds no room takes theirs, only rather
//! than fail what was admitted.
//!
//! Everything here waits for the disk. It runs beside the commit path, and on it only when the next
//! segment was not ready in time.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::environment::Environment;
use super::files::Files;
use super::segment::{Contents, Segment};
use crate::disk::DiskFile;
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

/// Whether a manifest may take the room, or the descriptor, of a spare file if there is no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    CanWait,
    CannotWait,
}

#[derive(Debug)]
pub(crate) struct Catalog {
    env: Environment,
    manifest: Manifest,
    files: Files,
    /// Segments that left the manifest; their files are free once nobody reads them.
    retired: Vec<Arc<Segment>>,
    /// Segments that have their footer, which the manifest could not be made to say yet.
    sealed: BTreeSet<SegmentId>,
    /// Whether room on the disk is kept for the next manifest.
    has_manifest_room: bool,
}

impl Catalog {
    /// A catalog over what `open` found.
    pub(crate) fn new(env: Environment, manifest: Manifest, files: Files) -> Self {
        Self {
            env,
            manifest,
            files,
            retired: Vec::new(),
            sealed: BTreeSet::new(),
            has_manifest_room: false,
        }
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    pub(crate) fn files_mut(&mut self) -> &mut Files {
        &mut self.files
    }

    /// Makes a segment ready for use: a file, a new life in its header, on disk. No manifest names
    /// it yet.
    pub(crate) fn new_segment(&mut self, need: Need, kind: SegmentKind) -> Result<Arc<Segment>> {
        self.reclaim();
        if self.files.lacks(need.leaves()) {
            self.add_file()?;
        }
        let (slot, file) = self.files.take(need.leaves())?;
        let begun = self.begin_life(slot, file.clone(), kind);
        if begun.is_err() {
            self.files.give_back(slot, file);
        }
        begun
    }

    fn begin_life(
        &mut self,
        slot: Slot,
        file: Option<Arc<dyn DiskFile>>,
        kind: SegmentKind,
    ) -> Result<Arc<Segment>> {
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
        let file = match file {
            Some(file) => file,
            None => self.env.disk.open(&name).map_err(|e| Error::io(doing("opening"), e))?,
        };
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

    /// Keeps the spare files that promise 8 needs, and the room for the next manifest. An error is
    /// not returned: it may pass.
    pub(crate) fn top_up(&mut self) {
        self.reclaim();
        let _ = self.keep_manifest_room();
        while self.files.free_count() < SPARES && self.add_file().is_ok() {}
        self.files.open_spares();
    }

    /// Adds a file to the free ones, but not at the cost of the next manifest.
    pub(crate) fn add_file(&mut self) -> Result<()> {
        match self.keep_manifest_room() {
            Err(error) if error.is_shortage() => Err(error),
            _ => self.files.add(),
        }
    }

    /// Keeps room on the disk for the next manifest: the last one gave as much back.
    pub(crate) fn keep_manifest_room(&mut self) -> Result<()> {
        if !self.has_manifest_room {
            manifest::keep_room(&*self.env.disk, &self.manifest)
                .map_err(|error| Error::io("keeping room for the next MANIFEST", error))?;
            self.has_manifest_room = true;
        }
        Ok(())
    }

    /// Removes a file that is not likely to be needed soon; returns whether there was one.
    pub(crate) fn remove_surplus(&mut self) -> bool {
        self.reclaim();
        self.files.remove_surplus(self.manifest.segments.len())
    }

    /// Frees the files of retired segments that nobody reads any more.
    fn reclaim(&mut self) {
        let (idle, busy): (Vec<_>, Vec<_>) = std::mem::take(&mut self.retired)
            .into_iter()
            .partition(|segment| Arc::strong_count(segment) == 1);
        self.retired = busy;
        for segment in idle {
            self.files.give_back(segment.slot, Some(segment.file.clone()));
        }
    }

    /// Names a new log segment in the manifest, so that it may be written.
    pub(crate) fn admit(
        &mut self,
        segment: &Segment,
        urgency: Urgency,
        time: StoreTime,
    ) -> Result<()> {
        self.change(time, urgency, |manifest| manifest.segments.push(entry_of(segment)))
    }

    /// Says that a segment has its footer: now, or with the next change if there is no room.
    pub(crate) fn mark_sealed(&mut self, id: SegmentId, time: StoreTime) -> Result<()> {
        self.sealed.insert(id);
        self.change(time, Urgency::CanWait, |_| {})
    }

    /// Replaces segments by others, in one step. What it gives back is worth a spare file.
    pub(crate) fn replace(
        &mut self,
        old: &[Arc<Segment>],
        new: &[Arc<Segment>],
        time: StoreTime,
    ) -> Result<()> {
        self.change(time, Urgency::CannotWait, |manifest| {
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

    /// Promises tokens below `ceiling`.
    pub(crate) fn raise_ceiling(
        &mut self,
        ceiling: Token,
        urgency: Urgency,
        time: StoreTime,
    ) -> Result<()> {
        self.change(time, urgency, |manifest| manifest.ceiling = manifest.ceiling.max(ceiling))
    }

    /// Writes store time down.
    pub(crate) fn note_time(&mut self, time: StoreTime) -> Result<()> {
        self.change(time, Urgency::CanWait, |_| {})
    }

    /// Says that nothing is left to recover.
    pub(crate) fn mark_clean(&mut self, ceiling: Token, time: StoreTime) -> Result<()> {
        self.change(time, Urgency::CannotWait, |manifest| {
            manifest.ceiling = ceiling;
            manifest.clean = true;
        })
    }

    /// Writes the manifest with a change. If that fails the change is undone in memory. If it fails
    /// for want of room or of a descriptor it was not made on disk either; after any other failure
    /// it may or may not have been, and either is a state that `open` understands.
    fn change(
        &mut self,
        time: StoreTime,
        urgency: Urgency,
        change: impl FnOnce(&mut Manifest),
    ) -> Result<()> {
        let mut changed = self.manifest.clone();
        change(&mut changed);
        changed.store_time = changed.store_time.max(time);
        for entry in changed.segments.iter_mut().filter(|entry| self.sealed.contains(&entry.id)) {
            entry.sealed = true;
        }
        self.write(changed, urgency)?;
        self.sealed.clear();
        Ok(())
    }

    /// Makes `manifest` the one on disk.
    pub(crate) fn write(&mut self, changed: Manifest, urgency: Urgency) -> Result<()> {
        let mut tries = SPARES;
        loop {
            self.has_manifest_room = false;
            let Err(error) = manifest::write(&*self.env.disk, &changed) else {
                self.manifest = changed;
                return Ok(());
            };
            let error = Error::io("writing MANIFEST", error);
            let may_try = urgency == Urgency::CannotWait && tries > 0;
            tries -= usize::from(may_try);
            let made_room = match error.kind() {
                ErrorKind::DiskFull if may_try => self.files.give_up()?,
                ErrorKind::LimitExceeded if may_try => self.files.close_one(),
                _ => false,
            };
            if !made_room {
                return Err(error);
            }
        }
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
