//! Looks into a store from outside: read-only, without a lock, beside its owner or after its death.
//!
//! Invariants:
//! - Nothing is written, created, renamed, locked or synced; files are opened for reading only, so
//!   a read-only medium will do.
//! - What is told was true at some moment of the call. A running store is read newest segment
//!   first: the log only grows, so what is seen of it is a beginning of it without holes. A file
//!   that went on to another life meanwhile shows by the manifest, and is looked at again.
//! - Damage hides nothing but itself: what can be read is shown, what cannot is named.
//!
//! The log is all there is to see: what the owner holds in memory only (leases, waiters, claims
//! whose batch is not written yet) is not.
//!
//! | file | what |
//! | --- | --- |
//! | `reader.rs` | manifest and segments, opened for reading |
//! | `snapshot.rs` | one consistent view of all segments |
//! | `resolve.rs` | which of a key's frames counts |
//! | `owner.rs` | whether the owner's process runs |
//! | `row.rs`, `keys.rs`, `summary.rs` | what is told of a key, of all keys, of the store |
//! | `verify/` | whether every byte is what was written |

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

mod keys;
mod owner;
mod reader;
mod resolve;
mod row;
mod snapshot;
mod summary;
mod verify;

use std::path::Path;
use std::sync::Arc;

pub use keys::{KeyFilter, Keys};
pub use owner::Owner;
pub use row::{KeyDetail, KeyRow, KeyState};
pub use summary::{SegmentSummary, Summary};
pub use verify::VerifyReport;

use crate::clock::{Clock, RealClock};
use crate::disk::{Disk, RealDisk};
use crate::engine::{self, Directory};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::{Observer, Progress};
use crate::types::{Key, Scope};
use owner::Liveness;
use snapshot::Snapshot;

/// Looks into a store's directory, read-only and without a lock: also beside the process that owns
/// it, and on a read-only medium.
///
/// ```
/// use oncekey::{ClaimRequest, Inspector, Key, KeyState, Outcome, Scope, Store, StoredResponse};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("state");
/// let store = Store::create(&path)?;
/// let (scope, key) = (Scope::new("acct_42")?, Key::new("8e0bd2")?);
/// let request = ClaimRequest::new(scope.clone(), key.clone());
/// if let Outcome::Claimed(claim) = store.claim(request).wait()? {
///     claim.complete(StoredResponse::new("charged")).wait()?;
/// }
///
/// let inspector = Inspector::open(&path)?;
/// assert_eq!(inspector.summary()?.completed, 1);
/// let found = inspector.key(&scope, &key)?.expect("it was completed");
/// assert_eq!(found.row.state, KeyState::Completed);
/// assert!(inspector.verify()?.is_whole());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Inspector {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    liveness: Liveness,
    observer: Observer,
}

/// How often a running store is looked at again because it changed too much during the look.
const TRIES: usize = 32;

impl Inspector {
    /// Looks at the store in a directory. Nothing but its name is read yet.
    ///
    /// # Errors
    /// [`WrongStore`](ErrorKind::WrongStore) if there is none, [`Io`](ErrorKind::Io) if the
    /// directory cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let disk = RealDisk::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::new(
                ErrorKind::WrongStore,
                format!("{} does not exist: give a store's directory", path.display()),
            ),
            std::io::ErrorKind::NotADirectory => Error::new(
                ErrorKind::WrongStore,
                format!("{} is a file: give the directory it is in", path.display()),
            ),
            _ => Error::io(format_args!("opening {}", path.display()), error),
        })?;
        Self::over(Arc::new(disk), Arc::new(RealClock), Liveness::Ask)
    }

    /// Looks at a store in a simulated world, whose owner runs or not as is said here.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[cfg(any(test, feature = "simulation"))]
    pub fn open_in(environment: &crate::engine::Environment, owner_runs: bool) -> Result<Self> {
        let (disk, clock) = (environment.disk.clone(), environment.clock.clone());
        Self::over(disk, clock, Liveness::Known(owner_runs))
    }

    fn over(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, liveness: Liveness) -> Result<Self> {
        let none = |what: &str| {
            Err(Error::new(ErrorKind::WrongStore, format!("{} {what}", disk.describe())))
        };
        match engine::look(&*disk)? {
            Directory::Store => Ok(Self { disk, clock, liveness, observer: Observer::default() }),
            Directory::Empty => none("is empty: is the volume mounted?"),
            Directory::SomethingElse => none(
                "holds no store: a store's directory has a file MANIFEST (if only that is lost, \
                 restore it from a copy)",
            ),
        }
    }

    /// Calls `call` for each segment that is looked at or read. It is not called again after a
    /// panic.
    #[must_use]
    pub fn on_progress(mut self, call: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.observer = Observer::new(call);
        self
    }

    /// What the store holds, in numbers. Reads the tables of contents, not the records.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) without a good manifest,
    /// [`VersionTooNew`](ErrorKind::VersionTooNew), [`Io`](ErrorKind::Io), and
    /// [`LimitExceeded`](ErrorKind::LimitExceeded) if the store changes faster than it can be read.
    pub fn summary(&self) -> Result<Summary> {
        Summary::of(self, &Snapshot::take(self)?)
    }

    /// Every key that the filter lets pass, claims first, then records, the newest segment's first.
    /// In memory it keeps 24 bytes a record, and one segment.
    ///
    /// # Errors
    /// As [`summary`](Self::summary). An item that is an error is a record that cannot be read; the
    /// others follow.
    pub fn keys(&self, filter: KeyFilter) -> Result<Keys<'_>> {
        Ok(Keys::new(self, Snapshot::take(self)?, filter))
    }

    /// What is known of a key, with its response; also if it has expired and is still there.
    ///
    /// # Errors
    /// As [`summary`](Self::summary); [`Corrupt`](ErrorKind::Corrupt) also if it cannot be told
    /// because a record that may be the key's cannot be read.
    pub fn key(&self, scope: &Scope, key: &Key) -> Result<Option<KeyDetail>> {
        keys::find(self, scope, key)
    }

    /// What hashes keys as the store's own audit trail does, unless that was given a secret
    /// ([`Audit::secret`](crate::audit::Audit::secret)). Reads the manifest.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) without a good manifest,
    /// [`VersionTooNew`](ErrorKind::VersionTooNew), [`Io`](ErrorKind::Io).
    #[cfg(feature = "report")]
    pub fn key_hasher(&self) -> Result<crate::audit::KeyHasher> {
        let (manifest, _) = reader::read_manifest(self)?;
        Ok(crate::audit::KeyHasher::of_store(&manifest.hash_key))
    }

    /// Reads everything and compares it with its checksums and with itself, a segment at a time.
    ///
    /// # Errors
    /// As [`summary`](Self::summary), but damage is no error: the report lists it.
    pub fn verify(&self) -> Result<VerifyReport> {
        verify::verify(self)
    }
}

fn changes_too_fast() -> Error {
    Error::new(
        ErrorKind::LimitExceeded,
        "the store changes faster than it can be read: try again when it is less busy, or look at \
         a copy or a snapshot of its directory",
    )
}
