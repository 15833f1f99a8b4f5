//! A directory in memory, for the tests of this folder: it does as it is told and fails never.

#[cfg(test)]
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use crate::disk::DiskFile;
#[cfg(test)]
use crate::disk::{DirIdentity, Disk, LockAttempt};

#[derive(Debug, Default, Clone)]
pub(super) struct MemoryFile(pub(super) Arc<Mutex<Vec<u8>>>);

impl MemoryFile {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(bytes)))
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.0.lock().unwrap();
        let there = bytes.get(offset as usize..).unwrap_or_default();
        let len = there.len().min(buf.len());
        buf[..len].copy_from_slice(&there[..len]);
        Ok(len)
    }

    fn write_at(&self, new: &[u8], offset: u64) -> io::Result<()> {
        let mut bytes = self.0.lock().unwrap();
        let end = offset as usize + new.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[offset as usize..end].copy_from_slice(new);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }

    fn zero_fill(&self, len: u64) -> io::Result<()> {
        *self.0.lock().unwrap() = vec![0; len as usize];
        Ok(())
    }
}

#[cfg(test)]
#[derive(Debug, Default)]
pub(super) struct MemoryDisk(pub(super) Mutex<BTreeMap<String, MemoryFile>>);

#[cfg(test)]
impl Disk for MemoryDisk {
    fn describe(&self) -> String {
        "memory".into()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.0.lock().unwrap().get(name).cloned();
        let file = file.ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Arc::new(file))
    }

    fn open_read_only(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open(name)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = MemoryFile::default();
        self.0.lock().unwrap().insert(name.into(), file.clone());
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.0.lock().unwrap();
        let file = files.remove(from).ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        files.insert(to.into(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }

    fn try_lock(&self) -> io::Result<LockAttempt> {
        Ok(LockAttempt::Busy(None))
    }

    fn identity(&self) -> io::Result<DirIdentity> {
        Ok(DirIdentity { device: 0, inode: 0 })
    }
}
