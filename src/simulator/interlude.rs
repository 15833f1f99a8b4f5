//! A simulated disk in whose calls something else may happen.
//!
//! Before each call of the disk the world of this thread is asked: it may let other tasks run, let
//! time pass, or turn the machine off. That is how one thread interleaves what threads would: a
//! store has no lock of a key's held while it calls the disk.

use std::cell::RefCell;
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::world::World;
use crate::simulation::{DirIdentity, Disk, DiskFile, LockAttempt, SimDisk};

thread_local! {
    static WORLD: RefCell<Weak<World>> = const { RefCell::new(Weak::new()) };
}

/// Lets the disk calls of this thread go through a world while `run` runs.
pub(crate) fn within<T>(world: &Rc<World>, run: impl FnOnce() -> T) -> T {
    let before = WORLD.replace(Rc::downgrade(world));
    let result = run();
    WORLD.set(before);
    result
}

/// What is about to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Sync,
    Other,
}

fn before(call: Call) {
    let world = WORLD.with_borrow(Weak::upgrade);
    if let Some(world) = world {
        world.during_disk_call(call);
    }
}

#[derive(Debug)]
pub(crate) struct InterludeDisk(pub(crate) Arc<SimDisk>);

impl Disk for InterludeDisk {
    fn describe(&self) -> String {
        self.0.describe()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        before(Call::Other);
        Ok(Arc::new(InterludeFile(self.0.open(name)?)))
    }

    fn open_read_only(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        before(Call::Other);
        Ok(Arc::new(InterludeFile(self.0.open_read_only(name)?)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        before(Call::Other);
        Ok(Arc::new(InterludeFile(self.0.create(name)?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        before(Call::Other);
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        before(Call::Other);
        self.0.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        before(Call::Sync);
        self.0.sync_dir()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        before(Call::Other);
        self.0.list()
    }

    fn try_lock(&self) -> io::Result<LockAttempt> {
        before(Call::Other);
        self.0.try_lock()
    }

    fn identity(&self) -> io::Result<DirIdentity> {
        before(Call::Other);
        self.0.identity()
    }
}

#[derive(Debug)]
struct InterludeFile(Arc<dyn DiskFile>);

impl DiskFile for InterludeFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        before(Call::Other);
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        before(Call::Other);
        self.0.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        before(Call::Sync);
        self.0.sync()
    }

    fn len(&self) -> io::Result<u64> {
        before(Call::Other);
        self.0.len()
    }

    fn zero_fill(&self, len: u64) -> io::Result<()> {
        before(Call::Sync);
        self.0.zero_fill(len)
    }
}
