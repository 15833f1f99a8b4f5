//! Whether the next segment cannot be had for the time being, and why: the disk is full, or the
//! process may open no more files. New claims are refused with the cause until it can be.

use crate::error::{Error, ErrorKind};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug, Default)]
pub(crate) struct Shortage {
    /// Whether there is a cause, to be read without the lock.
    is_on: AtomicBool,
    /// Whether an event has told of it.
    is_told: AtomicBool,
    cause: Mutex<Option<Error>>,
}

impl Shortage {
    /// Begins, or goes on with another cause.
    pub(crate) fn begin(&self, cause: Error) {
        *self.cause.lock() = Some(cause);
        self.is_on.store(true, Ordering::Relaxed);
    }

    /// Whether an event is to tell of it, which none has so far.
    pub(crate) fn tell(&self) -> bool {
        !self.is_told.swap(true, Ordering::Relaxed)
    }

    /// Ends; says whether an event had told of it.
    pub(crate) fn end(&self) -> bool {
        self.is_on.store(false, Ordering::Relaxed);
        self.is_told.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// What somebody is told who would need more room than there is.
    pub(crate) fn refusal(&self) -> Error {
        const TOLD: &str = "there is no room in the log: nothing was decided; what is claimed can \
                            still complete (without a body if need be)";
        match &*self.cause.lock() {
            Some(cause) => cause.with_kind(cause.kind(), TOLD),
            None => Error::new(ErrorKind::DiskFull, TOLD),
        }
    }
}
