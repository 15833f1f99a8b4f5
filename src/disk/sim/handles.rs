//! What the engine holds of a simulated disk: the directory, its files and its lock.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::super::{DirIdentity, DirLock, Disk, DiskFile, LockAttempt, name};
use super::SimDisk;
use super::directory::InodeId;
use super::state::State;
use crate::sync::Mutex;

/// The process id that a held lock reports.
const HOLDER_PID: u32 = 1;

impl SimDisk {
    fn handle(&self, inode: InodeId, writable: bool) -> Arc<dyn DiskFile> {
        Arc::new(SimFile { state: Arc::clone(&self.state), inode, writable })
    }
}

impl Disk for SimDisk {
    fn describe(&self) -> String {
        let identity = self.state.lock().identity;
        format!("simulated disk {}:{}", identity.device, identity.inode)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        name::check(name)?;
        let inode = self.state.lock().open(name)?;
        Ok(self.handle(inode, true))
    }

    fn open_read_only(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        name::check(name)?;
        let inode = self.state.lock().open(name)?;
        Ok(self.handle(inode, false))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        name::check(name)?;
        let inode = self.state.lock().create(name)?;
        Ok(self.handle(inode, true))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        name::check(from)?;
        name::check(to)?;
        self.state.lock().rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        name::check(name)?;
        self.state.lock().remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.state.lock().sync_dir()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.state.lock().list()
    }

    fn try_lock(&self) -> io::Result<LockAttempt> {
        if self.state.lock().lock()? {
            return Ok(LockAttempt::Held(Box::new(SimLock { state: Arc::clone(&self.state) })));
        }
        Ok(LockAttempt::Busy(Some(HOLDER_PID)))
    }

    fn identity(&self) -> io::Result<DirIdentity> {
        self.state.lock().identity()
    }

    fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        match self.directories.lock().get(name) {
            Some(disk) => Ok(disk.clone()),
            None => Err(io::Error::new(io::ErrorKind::Unsupported, "it was not put there")),
        }
    }
}

struct SimFile {
    state: Arc<Mutex<State>>,
    inode: InodeId,
    writable: bool,
}

impl SimFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(Errno::BADF.into()) }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.state.lock().read(self.inode, buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check_writable()?;
        self.state.lock().write(self.inode, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.state.lock().sync(self.inode)
    }

    fn len(&self) -> io::Result<u64> {
        self.state.lock().len(self.inode)
    }

    fn zero_fill(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        self.state.lock().zero_fill(self.inode, len)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.state.lock().close(self.inode);
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile")
            .field("inode", &self.inode)
            .field("writable", &self.writable)
            .finish_non_exhaustive()
    }
}

struct SimLock {
    state: Arc<Mutex<State>>,
}

impl DirLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.state.lock().locked = false;
    }
}

impl fmt::Debug for SimLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimLock").finish_non_exhaustive()
    }
}
