//! The one error type: what happened, for a person, and what to do, for the caller.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustix::io::Errno;

/// What every fallible call of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// What a caller can do about an [`Error`]. Coarse on purpose; the error's text has the details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request itself is wrong (an empty scope, a TTL of zero ...): mend the caller.
    InvalidInput,
    /// A limit of [`Options`](crate::Options) or of the operating system (open files, memory) was
    /// met: slow down, or raise it.
    LimitExceeded,
    /// This claim was taken over, completed, dropped, released or resolved: somebody else decides
    /// about the key now.
    LeaseLost,
    /// There is no such claim or record.
    NotFound,
    /// The key is claimed at this moment, so this cannot be done to it now.
    InFlight,
    /// The disk is full. Nothing was decided; what was claimed can still complete without a body.
    DiskFull,
    /// The change was handed to the disk, or sent to a server, and its fate is unknown: treat the
    /// key as possibly executed.
    OutcomeUnknown,
    /// An earlier write or sync failed: the store refuses changes until it is opened anew.
    Poisoned,
    /// The store was closed.
    Closed,
    /// The guard of the store ([`Audit::guard`](crate::audit::Audit::guard)) refused to answer this
    /// request. Nothing was changed.
    Refused,
    /// Another process (or another store of this one) owns the directory.
    Locked,
    /// The directory is missing, is not a store, or is another store than expected.
    WrongStore,
    /// The store was written by a newer version of this crate.
    VersionTooNew,
    /// Bytes on disk are damaged: the text names file, offset and cost.
    Corrupt,
    /// The operating system refused; nothing was changed.
    Io,
    /// A [`Backend`](crate::backend::Backend) cannot be reached, or cannot answer now; nothing was
    /// changed. The embedded store never says so.
    Unavailable,
}

impl ErrorKind {
    /// Whether the store, rather than the request or a lost race, is the reason: it cannot answer
    /// this now, and nothing was changed by the call. Fail closed.
    ///
    /// ```
    /// use oncekey::ErrorKind;
    ///
    /// assert!(ErrorKind::Poisoned.is_unavailable());
    /// assert!(!ErrorKind::LeaseLost.is_unavailable());
    /// assert!(!ErrorKind::OutcomeUnknown.is_unavailable()); // something may have been changed
    /// ```
    #[must_use]
    pub const fn is_unavailable(self) -> bool {
        match self {
            Self::DiskFull
            | Self::Poisoned
            | Self::Closed
            | Self::Locked
            | Self::WrongStore
            | Self::VersionTooNew
            | Self::Corrupt
            | Self::Io
            | Self::Unavailable => true,
            Self::InvalidInput
            | Self::LimitExceeded
            | Self::LeaseLost
            | Self::NotFound
            | Self::InFlight
            | Self::Refused
            | Self::OutcomeUnknown => false,
        }
    }
}

/// An error of the store. See [`Error::kind`] for what to do, and its `Display` text for what
/// happened.
///
/// Cloning is cheap: one failed sync is told to every caller that waited for it.
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<io::Error>,
}

impl Error {
    /// An error of a [`Backend`](crate::backend::Backend): what a caller can do about it, and what
    /// happened, for a person.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { inner: Arc::new(Inner { kind, message: message.into(), source: None }) }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// An error of the operating system; shortages are told apart, since callers act on them
    /// differently.
    pub(crate) fn io(doing: impl fmt::Display, error: io::Error) -> Self {
        let (kind, advice) = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (ErrorKind::DiskFull, ""),
            io::ErrorKind::OutOfMemory => (ErrorKind::LimitExceeded, ""),
            _ => match Errno::from_io_error(&error) {
                Some(Errno::MFILE | Errno::NFILE) => (
                    ErrorKind::LimitExceeded,
                    "; a store keeps a file open for each segment: raise `ulimit -n`, or use \
                     larger segments",
                ),
                _ => (ErrorKind::Io, ""),
            },
        };
        let message = format!("{doing}: {error}{advice}");
        Self { inner: Arc::new(Inner { kind, message, source: Some(error) }) }
    }

    /// Whether it is for want of room or of something else that may be had again: where nothing was
    /// decided yet, such an error may pass.
    pub(crate) fn is_shortage(&self) -> bool {
        matches!(self.kind(), ErrorKind::DiskFull | ErrorKind::LimitExceeded)
    }

    /// Whether the filesystem has no room, rather than the store no leave to take more of it.
    pub(crate) fn is_full_disk(&self) -> bool {
        self.kind() == ErrorKind::DiskFull && self.inner.source.is_some()
    }

    /// The same story under another kind.
    pub(crate) fn with_kind(&self, kind: ErrorKind, prefix: &str) -> Self {
        Self::new(kind, format!("{prefix}: {self}"))
    }

    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Whether the change may or may not have been made.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        self.kind() == ErrorKind::OutcomeUnknown
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {})", self.inner.kind, self.inner.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.as_ref().map(|error| error as _)
    }
}
