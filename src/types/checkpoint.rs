//! A recovery point that a holder saves midway.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

/// The longest name of a checkpoint, in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 64;
/// The most data in a checkpoint, in bytes.
pub(crate) const MAX_DATA_BYTES: usize = 1024;

/// A small named recovery point: a name of 1 to 64 bytes and at most 1 KiB of data. A takeover gets
/// the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    name: Arc<str>,
    data: Arc<[u8]>,
}

impl Checkpoint {
    /// Makes a checkpoint.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an empty name, [`ErrorKind::LimitExceeded`] for a long one
    /// or for more than 1 KiB of data.
    pub fn new(name: impl AsRef<str>, data: impl AsRef<[u8]>) -> Result<Self> {
        let (name, data) = (name.as_ref(), data.as_ref());
        if name.is_empty() {
            return Err(Error::invalid("the checkpoint's name is empty"));
        }
        if name.len() > MAX_NAME_BYTES || data.len() > MAX_DATA_BYTES {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!(
                    "the checkpoint has a name of {} bytes (at most {MAX_NAME_BYTES}) and {} \
                     bytes of data (at most {MAX_DATA_BYTES}); keep what is large elsewhere \
                     and store its id",
                    name.len(),
                    data.len(),
                ),
            ));
        }
        Ok(Self { name: name.into(), data: data.into() })
    }

    /// A checkpoint read from disk, where a name is as it was written.
    pub(crate) fn from_disk(name: &[u8], data: &[u8]) -> Self {
        Self { name: String::from_utf8_lossy(name).into(), data: data.into() }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its data.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }
}
