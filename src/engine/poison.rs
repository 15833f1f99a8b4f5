//! The store's end by a failed disk (promise 8).
//!
//! After a failed write or sync nobody knows what the disk holds: the kernel marks the pages clean,
//! and a later sync that succeeds proves nothing. So the first failure is kept for good, and every
//! later change is refused with it.

use std::sync::OnceLock;

use crate::error::{Error, ErrorKind, Result};

#[derive(Debug, Default)]
pub(crate) struct Poison {
    cause: OnceLock<Error>,
}

impl Poison {
    /// Refuses if the store is poisoned.
    pub(crate) fn check(&self) -> Result<()> {
        match self.cause.get() {
            None => Ok(()),
            Some(cause) => Err(cause.with_kind(
                ErrorKind::Poisoned,
                "the store takes no more changes since a write failed; open it anew \
                 (after looking at the disk)",
            )),
        }
    }

    /// What to tell somebody whose change was on its way when it happened.
    pub(crate) fn outcome_unknown(&self) -> Error {
        const TOLD: &str =
            "the change may or may not be on disk; treat the key as possibly executed";
        match self.cause.get() {
            None => Error::new(ErrorKind::OutcomeUnknown, TOLD),
            Some(cause) => cause.with_kind(ErrorKind::OutcomeUnknown, TOLD),
        }
    }

    /// The first failure, as it happened.
    pub(crate) fn cause(&self) -> Option<Error> {
        self.cause.get().cloned()
    }

    pub(crate) fn is_set(&self) -> bool {
        self.cause.get().is_some()
    }

    /// Poisons the store; the first cause stays. Says whether this is it.
    pub(crate) fn set(&self, cause: Error) -> bool {
        self.cause.set(cause).is_ok()
    }
}
