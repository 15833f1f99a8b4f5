//! A directory of the operating system as a [`Disk`].
//!
//! Invariants:
//! - Every call goes through one open handle on the directory: if the path is renamed or another
//!   filesystem is mounted over it, the store goes on in the directory it locked.
//! - No symbolic link is followed inside the directory, and nothing but regular files is opened.
//! - Files are for their owner alone (mode 0600), and so is a directory created here (0700),
//!   whatever the umask. A directory that exists keeps its mode: it is somebody's choice.
//!
//! It retries interrupted calls and short transfers and nothing else. What a failed write or sync
//! means is for the caller to judge.

#![allow(clippy::disallowed_methods, reason = "this file is the seam to the filesystem")]

#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
#[cfg(target_os = "linux")]
use rustix::{fs::FallocateFlags, io::Errno};

use super::{DirIdentity, DirLock, Disk, DiskFile, LockAttempt, name};

const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const DIR_MODE: u32 = 0o700;
/// What zeros are written by. The page cache keeps a file in pieces as large as it was written by:
/// a small write visits every block of its piece (with 1 MiB it cost twice as much as with
/// 256 KiB), and small pieces make random reads dearer (by a fifth with 64 KiB). Measured on ext4,
/// Linux 6.18.
const ZERO_CHUNK_BYTES: u64 = 256 * 1024;

/// A real directory, held open.
#[derive(Debug)]
pub(crate) struct RealDisk {
    path: PathBuf,
    dir: File,
}

impl RealDisk {
    /// Opens a directory that exists.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        Ok(Self { path: path.to_path_buf(), dir })
    }

    /// Creates the directory and the parents it lacks, durably; opens it if it exists.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let missing: Vec<&Path> = path
            .ancestors()
            .take_while(|dir| !dir.as_os_str().is_empty() && !dir.is_dir())
            .collect();
        for dir in missing.into_iter().rev() {
            match DirBuilder::new().mode(DIR_MODE).create(dir) {
                // Somebody was faster; if it is no directory, opening it says so.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                // The umask may have taken more away.
                Ok(()) => std::fs::set_permissions(dir, Permissions::from_mode(DIR_MODE))?,
            }
            sync_parent(dir)?;
        }
        // It may be there and not durable yet, after a run that was killed. Who made it may have
        // made a parent that we cannot read, so this much is only tried.
        let _ = sync_parent(path);
        Self::open(path)
    }

    /// The kind of network filesystem the directory is on, if it is on one. Filesystems that look
    /// like others (sshfs is FUSE) cannot be told.
    pub(crate) fn network_filesystem(&self) -> io::Result<Option<&'static str>> {
        #[cfg(target_os = "linux")]
        {
            let kind = rustix::fs::fstatfs(&self.dir)?.f_type;
            // The field's type differs between machines; all magic numbers have 32 bits.
            Ok(network_name(kind as u32))
        }
        #[cfg(not(target_os = "linux"))]
        Ok(None)
    }

    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<Arc<dyn DiskFile>> {
        name::check(name)?;
        Ok(Arc::new(RealFile { file: self.open_regular(name, flags)? }))
    }

    fn open_regular(&self, name: &str, flags: OFlags) -> io::Result<File> {
        // A pipe in the place of a file must not keep its opening waiting.
        let file = self.open_at(name, flags | OFlags::NONBLOCK)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            let message = format!("{name:?} is not a regular file");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        if flags.contains(OFlags::CREATE) && Mode::from_raw_mode(metadata.mode()) != FILE_MODE {
            // The umask took more away, or it was there with other rights. A filesystem without
            // rights of its own may refuse: then those of its mount hold.
            let _ = rustix::fs::fchmod(&file, FILE_MODE);
        }
        Ok(file)
    }

    fn open_at(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd =
            rustix::io::retry_on_intr(|| rustix::fs::openat(&self.dir, name, flags, FILE_MODE))?;
        Ok(File::from(fd))
    }
}

impl Disk for RealDisk {
    fn describe(&self) -> String {
        self.path.display().to_string()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open_file(name, OFlags::RDWR)
    }

    fn open_read_only(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open_file(name, OFlags::RDONLY)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open_file(name, OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        name::check(from)?;
        name::check(to)?;
        Ok(rustix::fs::renameat(&self.dir, from, &self.dir, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        name::check(name)?;
        Ok(rustix::fs::unlinkat(&self.dir, name, AtFlags::empty())?)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.dir.sync_all()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.dir)? {
            let entry = entry?;
            // A name that is not UTF-8 is none of ours.
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name::check(name).is_err() {
                continue;
            }
            let kind = match entry.file_type() {
                // Some filesystems do not tell in the listing.
                FileType::Unknown => match file_type_at(&self.dir, name) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    other => other?,
                },
                kind => kind,
            };
            // Links are listed, so that opening one is an error and not a file gone missing.
            if kind != FileType::Directory {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn try_lock(&self) -> io::Result<LockAttempt> {
        let file = self.open_regular(name::LOCK, OFlags::RDWR | OFlags::CREATE)?;
        match file.try_lock() {
            Ok(()) => {
                note_holder(&file);
                Ok(LockAttempt::Held(Box::new(RealLock { file })))
            }
            Err(TryLockError::WouldBlock) => Ok(LockAttempt::Busy(read_holder(&file))),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn identity(&self) -> io::Result<DirIdentity> {
        let metadata = self.dir.metadata()?;
        Ok(DirIdentity { device: metadata.dev(), inode: metadata.ino() })
    }

    fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        name::check(name)?;
        let mode = Mode::from_raw_mode(DIR_MODE);
        match rustix::fs::mkdirat(&self.dir, name, mode) {
            Ok(()) => {
                // The umask may have taken more away.
                rustix::fs::chmodat(&self.dir, name, mode, AtFlags::empty())?;
                self.sync_dir()?;
            }
            Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let dir = self.open_at(name, OFlags::RDONLY | OFlags::DIRECTORY)?;
        Ok(Arc::new(Self { path: self.path.join(name), dir }))
    }
}

#[derive(Debug)]
struct RealFile {
    file: File,
}

impl DiskFile for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn zero_fill(&self, len: u64) -> io::Result<()> {
        // Zeros are written, not reserved: blocks reserved by fallocate are converted at their
        // first write, and that makes every sync of a batch change metadata.
        // They are reserved first all the same, so that a disk without room for all of them says so
        // at once, and not after most of them were written.
        #[cfg(target_os = "linux")]
        if let Err(error @ (Errno::NOSPC | Errno::DQUOT)) =
            rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len)
        {
            return Err(error.into());
        }
        let zeros = vec![0; ZERO_CHUNK_BYTES.min(len) as usize];
        let mut offset = 0;
        while offset < len {
            let chunk = ZERO_CHUNK_BYTES.min(len - offset);
            self.file.write_all_at(&zeros[..chunk as usize], offset)?;
            offset += chunk;
        }
        if self.len()? > len {
            self.file.set_len(len)?;
        }
        self.file.sync_all()
    }
}

#[derive(Debug)]
struct RealLock {
    file: File,
}

impl DirLock for RealLock {}

impl Drop for RealLock {
    fn drop(&mut self) {
        // Closing is not enough: a child between fork and exec shares the lock until it runs. The
        // file stays: removing it would let two processes lock two files of that name.
        let _ = self.file.unlock();
    }
}

/// Without its entry in the parent, a power cut would take a directory and all that was synced
/// inside.
fn sync_parent(dir: &Path) -> io::Result<()> {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Writes our process id into the lock file. Only messages rest on it, so a full disk, which must
/// not keep a store from opening, is no error.
fn note_holder(file: &File) {
    let text = format!("{}\n", std::process::id());
    // Written before it is cut, so that a reader finds a whole first line at any time.
    if file.write_all_at(text.as_bytes(), 0).is_ok() {
        let _ = file.set_len(text.len() as u64);
    } else {
        let _ = file.set_len(0);
    }
}

fn read_holder(file: &File) -> Option<u32> {
    let mut buf = [0; 16];
    let read = file.read_at(&mut buf, 0).ok()?;
    let text = std::str::from_utf8(buf.get(..read)?).ok()?;
    text.lines().next()?.trim().parse().ok()
}

fn file_type_at(dir: &File, name: &str) -> io::Result<FileType> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

/// The network filesystems of statfs(2) and the kernel's `magic.h`.
#[cfg(target_os = "linux")]
fn network_name(magic: u32) -> Option<&'static str> {
    match magic {
        0x0000_6969 => Some("NFS"),
        0x0000_517B => Some("SMB"),
        0xFF53_4D42 => Some("CIFS"),
        0xFE53_4D42 => Some("SMB2"),
        0x5346_414F | 0x6B41_4653 => Some("AFS"),
        0x7375_7245 => Some("CODA"),
        0x0102_1997 => Some("9P"),
        0x00C3_6400 => Some("CEPH"),
        _ => None,
    }
}
