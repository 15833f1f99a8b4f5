//! The only door to files.
//!
//! A [`Disk`] is one directory; its files are named by plain names, never by paths. The engine
//! reads, writes, renames and syncs through it and through nothing else, so that a simulated disk
//! can lose, tear and refuse whatever a real one could.
//!
//! What a disk promises, and what the engine relies on:
//! - `write_at` hands the bytes to the operating system: they survive the process, not the machine.
//! - `read_at` falls short only at the end of the file. Nobody takes its word for it: the engine
//!   reads through [`read`], which asks for the file's length.
//! - `sync` returns after everything written to that file before it is on stable storage.
//! - A directory change (create, rename, remove) survives the machine after `sync_dir`.
//! - A write changes no byte outside of its range, also when it is torn.
//!
//! What it does not promise: a call that failed may have done part of its work, and after a failed
//! sync nothing is known about the bytes it was for, whatever a later sync says.

mod name;
mod real;
#[cfg(any(test, feature = "simulation"))]
mod sim;

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

pub(crate) use real::RealDisk;
#[cfg(any(test, feature = "simulation"))]
pub use sim::{CallKind, Fault, FaultPlan, SimCall, SimCounters, SimDisk, Survival};

/// A file of a [`Disk`]. Positions are in bytes from its start.
#[allow(clippy::len_without_is_empty, reason = "a length that can fail, and nobody asks for zero")]
pub trait DiskFile: Debug + Send + Sync {
    /// Reads into `buf` from `offset`; returns how many bytes were read, fewer than asked for only
    /// at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`, growing the file if it must.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Puts all that was written to this file on stable storage, and its length (fdatasync).
    fn sync(&self) -> io::Result<()>;
    /// The file's length.
    fn len(&self) -> io::Result<u64>;
    /// Makes the file exactly `len` bytes of written zeros, on stable storage, so that later writes
    /// within it allocate nothing. A failure may leave it part filled.
    fn zero_fill(&self, len: u64) -> io::Result<()>;
}

/// Reads into `buf` from `offset`; returns how many bytes were read, fewer than asked for only at
/// the end of the file: that is made sure of here. Taken at its word, a read that falls short in
/// the middle of a file would be the end of the log, and cut it.
pub(crate) fn read(file: &dyn DiskFile, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    #[allow(clippy::disallowed_methods, reason = "the one place that checks what it returns")]
    let count = file.read_at(buf, offset)?;
    if count < buf.len() {
        let (end, len) = (offset.saturating_add(count as u64), file.len()?);
        if end < len {
            let message = format!("a read ended at byte {end} of a file of {len} bytes");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
    }
    Ok(count)
}

/// Where a directory lives: a copy or a restored backup has another identity than the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirIdentity {
    /// The device's number.
    pub device: u64,
    /// The directory's number on the device (inode).
    pub inode: u64,
}

/// An exclusive lock on a directory, held until it is dropped.
pub trait DirLock: Debug + Send + Sync {}

/// What came of an attempt to lock a directory.
#[derive(Debug)]
pub enum LockAttempt {
    /// The lock is ours.
    Held(Box<dyn DirLock>),
    /// Another process, or another store of this one, holds it; its process id if it could be read.
    Busy(Option<u32>),
}

/// One directory of files. See the module's header for what it promises.
///
/// A name that is not plain (empty, `.`, `..`, with a slash) or is the lock's is refused as
/// `InvalidInput`.
pub trait Disk: Debug + Send + Sync {
    /// Where this directory is, as a person would say it (for messages).
    fn describe(&self) -> String;
    /// Opens an existing file for reading and writing; `NotFound` if there is none.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens an existing file for reading only.
    fn open_read_only(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Creates a file, empty; an existing one is truncated.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames a file, replacing the target at once.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Puts the directory's entries on stable storage.
    fn sync_dir(&self) -> io::Result<()>;
    /// The names of the files there are, in no order; without directories and the lock.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Takes the directory's exclusive lock without waiting.
    fn try_lock(&self) -> io::Result<LockAttempt>;
    /// The directory's identity.
    fn identity(&self) -> io::Result<DirIdentity>;
    /// A directory inside of this one, made durably if it is missing. A disk need not have any.
    fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        let message = format!("{} has no directory {name:?}", self.describe());
        Err(io::Error::new(io::ErrorKind::Unsupported, message))
    }
}
