//! Lines of JSON at the end of a file.
//!
//! Invariants:
//! - a batch is acknowledged once it is on stable storage;
//! - the file ends with a whole line: what a crash has cut short is cut off when it is opened, and
//!   sent again, since it was not acknowledged;
//! - one process writes to it at a time; whole lines of others are never touched.
//!
//! After a failed sync nothing is known of what was written: the sink refuses to go on, and whoever
//! opens it again sends again what was not acknowledged.

#![allow(
    clippy::disallowed_methods,
    reason = "the file is no file of the store's: it lies wherever its reader wants it"
)]

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Message, Sink};
use crate::error::{Error, ErrorKind, Result};

const CHUNK_BYTES: usize = 64 << 10;

/// A sink that appends to a file.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    file: File,
    /// The end of what was acknowledged in this run, and of whole lines before it.
    end: u64,
    cut_bytes: u64,
    is_failed: bool,
}

impl FileSink {
    /// Opens a file, or creates it (for its owner alone), and cuts off a last line that is not
    /// whole.
    ///
    /// # Errors
    /// [`Locked`](crate::ErrorKind::Locked) if another ships to it,
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is no regular file,
    /// [`Io`](crate::ErrorKind::Io).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let failed =
            |error| Error::io(format_args!("opening {} to ship to", path.display()), error);
        if path.exists() && !path.is_file() {
            return Err(Error::invalid(format!(
                "{} is no regular file; to write to a pipe, ship to stdout",
                path.display()
            )));
        }
        let is_new = !path.exists();
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = file.open(path).map_err(failed)?;
        if is_new {
            // Whatever the umask has taken away.
            file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(
                    ErrorKind::Locked,
                    format!("{} is being shipped to by another process", path.display()),
                ));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let len = file.metadata().map_err(failed)?.len();
        let end = end_of_lines(&file, len).map_err(failed)?;
        if end < len {
            file.set_len(end).map_err(failed)?;
        }
        file.sync_all().and_then(|()| sync_directory(path)).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file, end, cut_bytes: len - end, is_failed: false })
    }

    /// How many bytes of a line that was not whole were cut off when it was opened.
    #[must_use]
    pub fn cut_bytes(&self) -> u64 {
        self.cut_bytes
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        let len = self.file.metadata()?.len();
        if len > self.end {
            // A batch before this one was cut short. Whole lines after it are somebody else's.
            let end = end_of_lines(&self.file, len)?;
            self.file.set_len(end.max(self.end))?;
            self.end = end.max(self.end);
        }
        // Somebody may have emptied the file, as rotation does: then it begins anew.
        self.end = self.end.min(len);
        self.file.write_all_at(text, self.end)
    }
}

impl Sink for FileSink {
    fn describe(&self) -> String {
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        format!("file:{}", path.display())
    }

    fn send(&mut self, messages: &[Message]) -> Result<()> {
        let path = self.path.display().to_string();
        if self.is_failed {
            let why = format!("a sync of {path} has failed: ship again in a new process");
            return Err(Error::new(ErrorKind::Poisoned, why));
        }
        let mut text = String::new();
        for message in messages {
            text.push_str(&message.line);
            text.push('\n');
        }
        self.write(text.as_bytes())
            .map_err(|error| Error::io(format_args!("writing {path}"), error))?;
        self.file.sync_data().map_err(|error| {
            self.is_failed = true;
            Error::io(format_args!("syncing {path}"), error)
        })?;
        self.end += text.len() as u64;
        Ok(())
    }
}

/// Where the last whole line ends.
fn end_of_lines(file: &File, len: u64) -> io::Result<u64> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut end = len;
    while end > 0 {
        let start = end.saturating_sub(CHUNK_BYTES as u64);
        let part = chunk.get_mut(..(end - start) as usize).unwrap_or_default();
        file.read_exact_at(part, start)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// A file that was created is there after a power cut once its directory is synced.
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}
