//! All of a simulated disk, and what each call does to it.
//!
//! A call is counted first, then fails as planned or takes effect. What is done at rest (by the
//! test, not by the store) is no call.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;

use super::super::DirIdentity;
use super::calls::{CallKind, SimCall, Subject};
use super::content::Content;
use super::directory::{Directory, InodeId};
use super::faults::{Fault, Faults};
use super::inode::Inode;

/// Longer files are refused: they would be a mistake of the caller, and held in memory.
const MAX_FILE_BYTES: u64 = 1 << 32;

/// How far off a misdirected write lands.
const MISDIRECTED_BYTES: u64 = 4096;

/// What a simulated disk has done, failed calls left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimCounters {
    /// Reads of files.
    pub reads: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Writes to files, a zero fill counting as one.
    pub writes: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Writes that landed in the wrong place.
    pub misdirected: u64,
    /// Syncs of files, with the one that ends a zero fill.
    pub syncs: u64,
    /// Syncs of the directory.
    pub dir_syncs: u64,
    /// Files created or truncated by `create`.
    pub creates: u64,
    /// Files renamed.
    pub renames: u64,
    /// Files removed.
    pub removes: u64,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) identity: DirIdentity,
    pub(super) capacity: u64,
    /// How many files may be open at a time.
    pub(super) max_open: usize,
    pub(super) faults: Faults,
    pub(super) counters: SimCounters,
    /// What the calls were, if that is wanted.
    pub(super) recorded: Option<Vec<SimCall>>,
    pub(super) locked: bool,
    pub(super) directory: Directory,
    pub(super) inodes: BTreeMap<InodeId, Inode>,
    next_inode: InodeId,
    next_change: u64,
    /// How many directories were made from the same beginning: shared by all of them.
    copies: Arc<AtomicU64>,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            identity: DirIdentity { device: 1, inode: 1 },
            capacity: u64::MAX,
            max_open: usize::MAX,
            faults: Faults::default(),
            counters: SimCounters::default(),
            recorded: None,
            locked: false,
            directory: Directory::default(),
            inodes: BTreeMap::new(),
            next_inode: 1,
            next_change: 0,
            copies: Arc::new(AtomicU64::new(1)),
        }
    }

    /// The same directory on the same disk after a restart, with other content.
    pub(super) fn restarted(&self, directory: Directory, inodes: BTreeMap<InodeId, Inode>) -> Self {
        let mut state = Self {
            identity: self.identity,
            capacity: self.capacity,
            directory,
            inodes,
            next_inode: self.next_inode,
            next_change: self.next_change,
            copies: Arc::clone(&self.copies),
            ..Self::new()
        };
        for inode in state.inodes.values_mut() {
            inode.handles = 0;
        }
        state.collect();
        state
    }

    pub(super) fn copy(&self) -> Self {
        let settled = |(id, inode): (&InodeId, &Inode)| (*id, Inode::settled(inode.seen().clone()));
        let inodes = self.inodes.iter().map(settled).collect();
        let mut copy = self.restarted(Directory::settled(self.directory.seen().clone()), inodes);
        copy.identity.inode = 1 + self.copies.fetch_add(1, Ordering::Relaxed);
        copy.capacity = u64::MAX;
        copy
    }

    pub(super) fn named(&mut self, name: &str) -> io::Result<&mut Inode> {
        let id = self.lookup(name)?;
        self.inode(id)
    }

    pub(super) fn put(&mut self, name: &str, bytes: &[u8]) {
        let id = self.add_inode(Inode::settled(Content::new(bytes)));
        self.directory.put(name, id);
        self.collect();
    }

    pub(super) fn open(&mut self, name: &str) -> io::Result<InodeId> {
        let fault = self.call(CallKind::Open, Subject::Name(name))?;
        self.check_open_files(fault)?;
        let id = self.lookup(name)?;
        self.inode(id)?.handles += 1;
        Ok(id)
    }

    pub(super) fn create(&mut self, name: &str) -> io::Result<InodeId> {
        let fault = self.call(CallKind::Create, Subject::Name(name))?;
        if fault == Some(Fault::Full) {
            return Err(Errno::NOSPC.into());
        }
        self.check_open_files(fault)?;
        let id = match self.lookup(name) {
            Ok(id) => {
                let number = self.change_number();
                self.inode(id)?.truncate(number, 0);
                id
            }
            Err(_) => {
                let id = self.add_inode(Inode::default());
                self.directory.link(name, id);
                id
            }
        };
        self.inode(id)?.handles += 1;
        self.counters.creates += 1;
        Ok(id)
    }

    pub(super) fn close(&mut self, id: InodeId) {
        if let Some(inode) = self.inodes.get_mut(&id) {
            inode.handles -= 1;
            if inode.handles == 0 && !self.directory.reaches(id) {
                self.inodes.remove(&id);
            }
        }
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.call(CallKind::Rename, Subject::Name(from))?;
        if !self.directory.rename(from, to) {
            return Err(Errno::NOENT.into());
        }
        self.counters.renames += 1;
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.call(CallKind::Remove, Subject::Name(name))?;
        if !self.directory.unlink(name) {
            return Err(Errno::NOENT.into());
        }
        self.counters.removes += 1;
        Ok(())
    }

    pub(super) fn list(&mut self) -> io::Result<Vec<String>> {
        self.call(CallKind::List, Subject::Directory)?;
        Ok(self.directory.seen().keys().cloned().collect())
    }

    pub(super) fn sync_dir(&mut self) -> io::Result<()> {
        if self.call(CallKind::SyncDir, Subject::Directory)? == Some(Fault::FailedSync) {
            self.directory.fail_sync();
            return Err(Errno::IO.into());
        }
        self.directory.sync();
        self.counters.dir_syncs += 1;
        self.collect();
        Ok(())
    }

    /// Takes the lock; `false` if it is held.
    pub(super) fn lock(&mut self) -> io::Result<bool> {
        self.call(CallKind::Lock, Subject::Directory)?;
        Ok(!std::mem::replace(&mut self.locked, true))
    }

    pub(super) fn identity(&mut self) -> io::Result<DirIdentity> {
        self.call(CallKind::Identity, Subject::Directory)?;
        Ok(self.identity)
    }

    pub(super) fn len(&mut self, id: InodeId) -> io::Result<u64> {
        self.call(CallKind::Len, Subject::Inode(id))?;
        Ok(self.inode(id)?.seen().len() as u64)
    }

    pub(super) fn read(&mut self, id: InodeId, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let fault = self.call(CallKind::Read, Subject::Inode(id))?;
        let mut count = self.inode(id)?.read(buf, offset);
        if fault == Some(Fault::ShortRead) {
            count /= 2;
        }
        self.counters.reads += 1;
        self.counters.bytes_read += count as u64;
        Ok(count)
    }

    pub(super) fn write(&mut self, id: InodeId, bytes: &[u8], offset: u64) -> io::Result<()> {
        let fault = self.call(CallKind::Write, Subject::Inode(id))?;
        let end = offset.saturating_add(bytes.len() as u64);
        let grows = end > self.inode(id)?.seen().len() as u64;
        if fault == Some(Fault::Full) && grows {
            return Err(Errno::NOSPC.into());
        }
        if fault == Some(Fault::Misdirected) {
            return self.write_elsewhere(id, bytes, offset);
        }
        self.write_or_half(id, bytes, offset, fault)
    }

    pub(super) fn zero_fill(&mut self, id: InodeId, len: u64) -> io::Result<()> {
        let fault = self.call(CallKind::ZeroFill, Subject::Inode(id))?;
        if fault == Some(Fault::Full) {
            return Err(Errno::NOSPC.into());
        }
        if len > MAX_FILE_BYTES {
            return Err(Errno::FBIG.into());
        }
        let half = fault == Some(Fault::ShortWrite);
        let room = self.room_at(id, 0)?;
        let zeros = if half { len / 2 } else { len };
        let fits = zeros.min(room);
        let number = self.change_number();
        self.inode(id)?.zero(number, fits as usize);
        self.counters.bytes_written += fits;
        if fits < zeros {
            return Err(Errno::NOSPC.into());
        }
        if half {
            return Err(Errno::IO.into());
        }
        self.counters.writes += 1;
        let number = self.change_number();
        self.inode(id)?.truncate(number, len as usize);
        self.sync_or_fail(id, fault)
    }

    pub(super) fn sync(&mut self, id: InodeId) -> io::Result<()> {
        let fault = self.call(CallKind::Sync, Subject::Inode(id))?;
        self.sync_or_fail(id, fault)
    }

    /// Counts a call and lets [`Fault::Io`] happen, which takes no part in what the call does.
    fn call(&mut self, kind: CallKind, subject: Subject<'_>) -> io::Result<Option<Fault>> {
        if self.recorded.is_some() {
            let file = self.name_of(subject);
            self.recorded.get_or_insert_default().push(SimCall { kind, file });
        }
        match self.faults.next_call() {
            Some(Fault::Io) => Err(Errno::IO.into()),
            other => Ok(other),
        }
    }

    fn name_of(&self, subject: Subject<'_>) -> String {
        match subject {
            Subject::Directory => String::new(),
            Subject::Name(name) => name.to_owned(),
            Subject::Inode(id) => {
                let mut names = self.directory.seen().iter();
                let named = names.find(|(_, inode)| **inode == id);
                named.map(|(name, _)| name.clone()).unwrap_or_default()
            }
        }
    }

    fn check_open_files(&self, fault: Option<Fault>) -> io::Result<()> {
        let may_count = self.max_open < usize::MAX;
        let open = || self.inodes.values().map(|inode| inode.handles).sum::<usize>();
        if fault == Some(Fault::TooManyFiles) || (may_count && open() >= self.max_open) {
            return Err(Errno::MFILE.into());
        }
        Ok(())
    }

    fn write_or_half(
        &mut self,
        id: InodeId,
        bytes: &[u8],
        offset: u64,
        fault: Option<Fault>,
    ) -> io::Result<()> {
        if fault == Some(Fault::ShortWrite) {
            let (half, _) = bytes.split_at(bytes.len() / 2);
            self.write_within_capacity(id, half, offset)?;
            return Err(Errno::IO.into());
        }
        self.write_within_capacity(id, bytes, offset)?;
        self.counters.writes += 1;
        Ok(())
    }

    /// Writes to the wrong place of a file, as far as the file goes.
    fn write_elsewhere(&mut self, id: InodeId, bytes: &[u8], offset: u64) -> io::Result<()> {
        let earlier = offset.checked_sub(MISDIRECTED_BYTES);
        let place = earlier
            .filter(|_| self.faults.calls().is_multiple_of(2))
            .unwrap_or_else(|| offset.saturating_add(MISDIRECTED_BYTES));
        let room = (self.inode(id)?.seen().len() as u64).saturating_sub(place);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let (within, _) = bytes.split_at(room.min(bytes.len()));
        self.write_within_capacity(id, within, place)?;
        self.counters.writes += 1;
        self.counters.misdirected += 1;
        Ok(())
    }

    /// Writes what fits; like the system, it learns that the disk is full by a short write.
    fn write_within_capacity(&mut self, id: InodeId, bytes: &[u8], offset: u64) -> io::Result<()> {
        if offset.saturating_add(bytes.len() as u64) > MAX_FILE_BYTES {
            return Err(Errno::FBIG.into());
        }
        let room = usize::try_from(self.room_at(id, offset)?).unwrap_or(usize::MAX);
        let (fits, rest) = bytes.split_at(room.min(bytes.len()));
        let number = self.change_number();
        self.inode(id)?.write(number, offset as usize, fits);
        self.counters.bytes_written += fits.len() as u64;
        if rest.is_empty() { Ok(()) } else { Err(Errno::NOSPC.into()) }
    }

    /// How many bytes can be written to a file at `offset` before the disk is full.
    fn room_at(&mut self, id: InodeId, offset: u64) -> io::Result<u64> {
        let free = self.capacity.saturating_sub(self.used_bytes());
        let limit = (self.inode(id)?.seen().len() as u64).saturating_add(free);
        Ok(limit.saturating_sub(offset))
    }

    fn sync_or_fail(&mut self, id: InodeId, fault: Option<Fault>) -> io::Result<()> {
        if fault == Some(Fault::FailedSync) {
            self.inode(id)?.fail_sync();
            return Err(Errno::IO.into());
        }
        self.inode(id)?.sync();
        self.counters.syncs += 1;
        Ok(())
    }

    fn used_bytes(&self) -> u64 {
        if self.capacity == u64::MAX {
            return 0;
        }
        let named = |id: &InodeId| self.directory.seen().values().any(|named| named == id);
        let takes_space = |(id, inode): &(&InodeId, &Inode)| inode.handles > 0 || named(id);
        self.inodes.iter().filter(takes_space).map(|(_, inode)| inode.seen().len() as u64).sum()
    }

    fn lookup(&self, name: &str) -> io::Result<InodeId> {
        let id = self.directory.seen().get(name).copied();
        id.ok_or_else(|| Errno::NOENT.into())
    }

    fn inode(&mut self, id: InodeId) -> io::Result<&mut Inode> {
        // Never missing: a handle or a name keeps its file.
        self.inodes.get_mut(&id).ok_or_else(|| Errno::STALE.into())
    }

    fn add_inode(&mut self, inode: Inode) -> InodeId {
        let id = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(id, inode);
        id
    }

    fn change_number(&mut self) -> u64 {
        self.next_change += 1;
        self.next_change
    }

    /// Drops the files that nothing can reach any more.
    fn collect(&mut self) {
        let directory = &self.directory;
        self.inodes.retain(|id, inode| inode.handles > 0 || directory.reaches(*id));
    }
}
