//! A simulated disk in whose calls something else may happen.
//!
//! Before each call of the disk the world of this thread is asked: it may let other tasks run, let
//! a round of upkeep or a compaction come between, time pass, or turn the machine off. That is how
//! one thread interleaves what threads would: a store has no lock of a key's held while it calls
//! the disk.

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
    Read,
    Sync,
    Other,
}

fn before(call: Call, words: impl FnOnce() -> String) {
    let world = WORLD.with_borrow(Weak::upgrade);
    if let Some(world) = world {
        world.during_disk_call(call);
        world.say(|| format!("    disk: {}", words()));
    }
}

#[derive(Debug)]
pub(crate) struct InterludeDisk(pub(crate) Arc<SimDisk>);

impl InterludeDisk {
    fn file(name: &str, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(InterludeFile { name: name.into(), file })
    }
}

impl Disk for InterludeDisk {
    fn describe(&self) -> String {
        self.0.describe()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        before(Call::Other, || format!("open {name}"));
        Ok(Self::file(name, self.0.open(name)?))
    }

    fn open_read_only(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        before(Call::Other, || format!("open {name} to read"));
        Ok(Self::file(name, self.0.open_read_only(name)?))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        before(Call::Other, || format!("create {name}"));
        Ok(Self::file(name, self.0.create(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        before(Call::Other, || format!("rename {from} to {to}"));
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        before(Call::Other, || format!("remove {name}"));
        self.0.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        before(Call::Sync, || "sync the directory".into());
        self.0.sync_dir()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        before(Call::Other, || "list".into());
        self.0.list()
    }

    fn try_lock(&self) -> io::Result<LockAttempt> {
        before(Call::Other, || "lock".into());
        self.0.try_lock()
    }

    fn identity(&self) -> io::Result<DirIdentity> {
        before(Call::Other, || "identity".into());
        self.0.identity()
    }
}

#[derive(Debug)]
struct InterludeFile {
    name: Box<str>,
    file: Arc<dyn DiskFile>,
}

impl DiskFile for InterludeFile {
    #[allow(clippy::disallowed_methods, reason = "a short read is passed on as it is")]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        before(Call::Read, || format!("read {} at {offset} of {}", buf.len(), self.name));
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        before(Call::Other, || format!("write {} at {offset} of {}", bytes.len(), self.name));
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        before(Call::Sync, || format!("sync {}", self.name));
        self.file.sync()
    }

    fn len(&self) -> io::Result<u64> {
        before(Call::Other, || format!("length of {}", self.name));
        self.file.len()
    }

    fn zero_fill(&self, len: u64) -> io::Result<()> {
        before(Call::Sync, || format!("fill {} with {len} zeros", self.name));
        self.file.zero_fill(len)
    }
}
