//! A disk whose calls take their time, and one of which fails or panics; a way to run what hangs
//! when it fails; and a source of numbers.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use crate::simulation::{DirIdentity, Disk, DiskFile, LockAttempt};

/// How the call that fails does so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Errors,
    Panics,
}

/// Passes calls on, until one fails.
pub(crate) struct ChaosDisk {
    disk: Arc<dyn Disk>,
    chaos: Arc<Chaos>,
}

struct Chaos {
    /// Calls that are left until one fails; negative if it has, or none is to.
    left: AtomicI64,
    how: How,
    /// Called before each sync.
    before_sync: Mutex<Option<Box<dyn FnMut() + Send>>>,
    /// Called after the next read.
    after_read: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Chaos {
    fn call(&self, slow: bool) -> io::Result<()> {
        if slow {
            crate::sync::thread::yield_now();
        }
        match (self.left.fetch_sub(1, Ordering::SeqCst), self.how) {
            (0, How::Errors) => Err(io::Error::from_raw_os_error(5)),
            (0, How::Panics) => std::panic::resume_unwind(Box::new("the disk's")),
            _ => Ok(()),
        }
    }
}

impl ChaosDisk {
    pub(crate) fn new(disk: Arc<dyn Disk>, how: How) -> Arc<Self> {
        let left = AtomicI64::new(-1);
        let (before_sync, after_read) = (Mutex::default(), Mutex::default());
        Arc::new(Self { disk, chaos: Arc::new(Chaos { left, how, before_sync, after_read }) })
    }

    /// Fails one call, after this many.
    pub(crate) fn fail_after(&self, calls: u64) {
        self.chaos.left.store(i64::try_from(calls).expect("a small number"), Ordering::SeqCst);
    }

    /// Has something happen before each sync of a file that is not its own.
    pub(crate) fn before_each_sync(&self, run: impl FnMut() + Send + 'static) {
        *self.chaos.before_sync.lock().expect("no panic") = Some(Box::new(run));
    }

    /// Has something happen once the next read of a file has got its bytes, before its caller has.
    pub(crate) fn after_next_read(&self, run: impl FnOnce() + Send + 'static) {
        *self.chaos.after_read.lock().expect("no panic") = Some(Box::new(run));
    }

    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(ChaosFile { file, chaos: self.chaos.clone() })
    }
}

impl fmt::Debug for ChaosDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChaosDisk")
    }
}

impl Disk for ChaosDisk {
    fn describe(&self) -> String {
        self.disk.describe()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.chaos.call(false)?;
        Ok(self.file(self.disk.open(name)?))
    }

    fn open_read_only(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.chaos.call(false)?;
        Ok(self.file(self.disk.open_read_only(name)?))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.chaos.call(false)?;
        Ok(self.file(self.disk.create(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.chaos.call(false)?;
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.chaos.call(false)?;
        self.disk.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.chaos.call(true)?;
        self.disk.sync_dir()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn try_lock(&self) -> io::Result<LockAttempt> {
        self.disk.try_lock()
    }

    fn identity(&self) -> io::Result<DirIdentity> {
        self.disk.identity()
    }
}

struct ChaosFile {
    file: Arc<dyn DiskFile>,
    chaos: Arc<Chaos>,
}

impl fmt::Debug for ChaosFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChaosFile")
    }
}

impl DiskFile for ChaosFile {
    #[allow(clippy::disallowed_methods, reason = "handed on")]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.file.read_at(buf, offset);
        let run = self.chaos.after_read.lock().expect("no panic").take();
        if let Some(run) = run {
            run();
        }
        read
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.chaos.call(false)?;
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.chaos.call(true)?;
        let run = self.chaos.before_sync.lock().expect("no panic").take();
        if let Some(mut run) = run {
            run();
            *self.chaos.before_sync.lock().expect("no panic") = Some(run);
        }
        self.file.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn zero_fill(&self, len: u64) -> io::Result<()> {
        self.chaos.call(true)?;
        self.file.zero_fill(len)
    }
}

/// Runs a test that hangs when it fails.
pub(crate) fn within(limit: Duration, test: impl FnOnce() + Send + 'static) {
    let (told, done) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        test();
        let _ = told.send(());
    });
    match done.recv_timeout(limit) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("somebody waits for what will not come"),
        _ => drop(thread.join().map_err(|panic| std::panic::resume_unwind(panic))),
    }
}

/// Numbers from a seed (SplitMix64), the same on every run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }
}
