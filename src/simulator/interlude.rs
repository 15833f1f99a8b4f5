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

/// Whose disk it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Store,
    Trail,
}

impl Of {
    fn before(self, call: Call, words: impl FnOnce() -> String) {
        let Some(world) = WORLD.with_borrow(Weak::upgrade) else { return };
        match self {
            Self::Store => world.during_disk_call(call),
            Self::Trail => world.during_trail_call(call),
        }
        let place = if self == Self::Trail { "audit: " } else { "" };
        world.say(|| format!("    disk: {place}{}", words()));
    }
}

#[derive(Debug)]
pub(crate) struct InterludeDisk {
    disk: Arc<SimDisk>,
    of: Of,
}

impl InterludeDisk {
    pub(crate) fn of_store(disk: Arc<SimDisk>) -> Self {
        Self { disk, of: Of::Store }
    }

    pub(crate) fn of_trail(disk: Arc<SimDisk>) -> Self {
        Self { disk, of: Of::Trail }
    }

    fn file(&self, name: &str, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(InterludeFile { name: name.into(), file, of: self.of })
    }
}

impl Disk for InterludeDisk {
    fn describe(&self) -> String {
        self.disk.describe()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.of.before(Call::Other, || format!("open {name}"));
        Ok(self.file(name, self.disk.open(name)?))
    }

    fn open_read_only(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.of.before(Call::Other, || format!("open {name} to read"));
        Ok(self.file(name, self.disk.open_read_only(name)?))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.of.before(Call::Other, || format!("create {name}"));
        Ok(self.file(name, self.disk.create(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.of.before(Call::Other, || format!("rename {from} to {to}"));
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.of.before(Call::Other, || format!("remove {name}"));
        self.disk.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.of.before(Call::Sync, || "sync the directory".into());
        self.disk.sync_dir()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.of.before(Call::Other, || "list".into());
        self.disk.list()
    }

    fn try_lock(&self) -> io::Result<LockAttempt> {
        self.of.before(Call::Other, || "lock".into());
        self.disk.try_lock()
    }

    fn identity(&self) -> io::Result<DirIdentity> {
        self.of.before(Call::Other, || "identity".into());
        self.disk.identity()
    }

    fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        self.disk.directory(name)
    }
}

#[derive(Debug)]
struct InterludeFile {
    of: Of,
    name: Box<str>,
    file: Arc<dyn DiskFile>,
}

impl DiskFile for InterludeFile {
    #[allow(clippy::disallowed_methods, reason = "a short read is passed on as it is")]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.of.before(Call::Read, || format!("read {} at {offset} of {}", buf.len(), self.name));
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.of
            .before(Call::Other, || format!("write {} at {offset} of {}", bytes.len(), self.name));
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.of.before(Call::Sync, || format!("sync {}", self.name));
        self.file.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.of.before(Call::Other, || format!("length of {}", self.name));
        self.file.len()
    }

    fn zero_fill(&self, len: u64) -> io::Result<()> {
        self.of.before(Call::Sync, || format!("fill {} with {len} zeros", self.name));
        self.file.zero_fill(len)
    }
}
