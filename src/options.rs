//! How a store is opened and what it allows.

use std::path::Path;
use std::time::Duration;

use crate::audit::Audit;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::StoreId;
use crate::progress::{Observer, Progress};
use crate::types::{DropPolicy, Terms};

/// When an outcome is told, relative to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// On stable storage before it is told: survives a power cut. The default.
    Sync,
    /// Handed to the operating system before it is told, and synced at this interval: survives the
    /// death of the process, and may lose up to the interval when the machine loses power.
    Interval(Duration),
}

/// How long one duration may be: a hundred years. Longer ones are refused rather than clamped.
const MAX_DURATION: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The least that can be called a leap: what passes between two looks at the clock must not be
/// doubted.
const MIN_LEAP_THRESHOLD: Duration = Duration::from_secs(10);

/// How a store is opened: defaults for requests, limits, durability.
///
/// ```
/// use std::time::Duration;
/// use oncekey::{Options, Durability};
///
/// # fn main() -> oncekey::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("idempotency");
/// let store = Options::new()
///     .ttl(Duration::from_secs(24 * 3600))
///     .lock_wait(Duration::from_secs(30)) // a rolling deploy: the old process is still closing
///     .open_or_create(&path)?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) durability: Durability,
    pub(crate) ttl: Duration,
    pub(crate) lease: Option<Duration>,
    pub(crate) on_drop: DropPolicy,
    pub(crate) lock_wait: Duration,
    pub(crate) expect_id: Option<StoreId>,
    pub(crate) refuse_late_retries: bool,
    pub(crate) remember_late: Duration,
    /// So many keys that are remembered become a file of their own; fewer in tests.
    pub(crate) late_pending: usize,
    /// No more than these are in no file, while the disk takes files.
    pub(crate) late_most: usize,
    pub(crate) accept_damage: bool,
    pub(crate) allow_network_filesystem: bool,
    pub(crate) leap_threshold: Duration,
    pub(crate) leap_confirmation: Duration,
    pub(crate) max_response_bytes: usize,
    pub(crate) compress_from_bytes: usize,
    pub(crate) max_in_flight: usize,
    pub(crate) max_unresolved: usize,
    pub(crate) max_disk_bytes: u64,
    pub(crate) scope_window: Duration,
    pub(crate) max_new_keys_per_scope: Option<u64>,
    pub(crate) segment_bytes: u32,
    pub(crate) observer: Observer,
    pub(crate) compaction_bytes_per_s: u64,
    pub(crate) record_cache_bytes: usize,
    pub(crate) audit: Audit,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Sync,
            ttl: Duration::from_secs(24 * 3600),
            lease: Some(Duration::from_secs(60)),
            on_drop: DropPolicy::Hold,
            lock_wait: Duration::ZERO,
            expect_id: None,
            refuse_late_retries: false,
            remember_late: Duration::from_secs(24 * 3600),
            late_pending: 1 << 17,
            late_most: 1 << 21,
            accept_damage: false,
            allow_network_filesystem: false,
            leap_threshold: Duration::from_secs(3600),
            leap_confirmation: Duration::from_secs(600),
            max_response_bytes: 1 << 20,
            compress_from_bytes: 1 << 10,
            max_in_flight: 65_536,
            max_unresolved: 65_536,
            max_disk_bytes: 1 << 40,
            scope_window: Duration::from_secs(60),
            max_new_keys_per_scope: None,
            segment_bytes: 64 << 20,
            observer: Observer::default(),
            compaction_bytes_per_s: 16 << 20,
            record_cache_bytes: 32 << 20,
            audit: Audit::off(),
        }
    }
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $field:ident $(.$wrap:ident)?;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(mut self, $name: $type) -> Self {
                self.$field = setters!(@value $name $($wrap)?);
                self
            }
        )*
    };
    (@value $name:ident) => { $name };
    (@value $name:ident some) => { Some($name) };
}

impl Options {
    /// The defaults: [`Durability::Sync`], a TTL of 24 hours, a lease of 60 seconds,
    /// [`DropPolicy::Hold`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// When an outcome is told, relative to the disk. Default: [`Durability::Sync`].
        durability: Durability = durability;
        /// How long a completed record is replayed, counted from completion. Default: 24 hours.
        ttl: Duration = ttl;
        /// Until when nobody may take a claim over, counted from the claim. Default: 60 seconds.
        lease: Duration = lease.some;
        /// What becomes of a claim dropped without an end. Default: [`DropPolicy::Hold`].
        on_drop: DropPolicy = on_drop;
        /// How long `open` waits for another process to let go of the directory, as in a rolling
        /// deploy. Default: it does not wait.
        lock_wait: Duration = lock_wait;
        /// The store that must be found; another one is refused.
        expect_id: StoreId = expect_id.some;
        /// Answers a claim of a key whose record expired with
        /// [`Outcome::Expired`](crate::Outcome::Expired) while the expired record is still on disk
        /// or remembered ([`remember_late`](Self::remember_late)), instead of executing it again.
        /// Default: false.
        refuse_late_retries: bool = refuse_late_retries;
        /// How long at least a key whose record expired is remembered once the record is gone, so
        /// that a late retry is told as one ([`late_retry`](crate::ClaimContext::late_retry)),
        /// counted from the expiry; up to half as long again. It takes at most a byte and a half of
        /// memory and 14 bytes of disk a key. Zero turns it off, and what was remembered is
        /// forgotten at the next open. Default: 24 hours.
        ///
        /// A key is known by 64 bits of a secret hash: of a hundred million remembered ones a fresh
        /// key is taken for one of them once in 180 thousand million times.
        ///
        /// ```
        /// # use std::time::Duration;
        /// # use oncekey::Options;
        /// // Clients that retry for three days meet `Outcome::Expired`, not a second charge.
        /// let options = Options::new()
        ///     .ttl(Duration::from_secs(24 * 3600))
        ///     .remember_late(Duration::from_secs(3 * 24 * 3600))
        ///     .refuse_late_retries(true);
        /// ```
        remember_late: Duration = remember_late;
        /// Opens a store although part of it is damaged beyond what a crash explains; what was lost
        /// is listed in [`Store::recovery`](crate::Store::recovery). Default: false, since a lost
        /// record can mean a second charge.
        accept_damage: bool = accept_damage;
        /// Allows a directory on NFS, SMB and the like, whose locks and syncs cannot be relied on.
        /// Default: false.
        allow_network_filesystem: bool = allow_network_filesystem;
        /// A forward leap of the clock by more than this expires nothing until it is confirmed.
        /// Default: one hour.
        leap_threshold: Duration = leap_threshold;
        /// How long a leap must last before it is believed. Default: ten minutes.
        leap_confirmation: Duration = leap_confirmation;
        /// The largest response in bytes. Default: 1 MiB; at most an eighth of a segment.
        max_response_bytes: usize = max_response_bytes;
        /// Compresses responses of at least so many bytes (LZ4), where that saves an eighth or
        /// more; `usize::MAX` compresses none. What was stored either way stays readable.
        /// Default: 1 KiB.
        compress_from_bytes: usize = compress_from_bytes;
        /// The most claims in flight at one time. Default: 65,536.
        max_in_flight: usize = max_in_flight;
        /// The most unresolved records; while it is met, claims that could become unresolved are
        /// refused. Default: 65,536.
        max_unresolved: usize = max_unresolved;
        /// The most bytes of segment files. Default: 1 TiB.
        max_disk_bytes: u64 = max_disk_bytes;
        /// The size of a segment file: a power of two from 64 KiB to 1 GiB, fixed when the store is
        /// created. Default: 64 MiB.
        segment_bytes: u32 = segment_bytes;
        /// How many bytes a second the store's own compaction may write. It goes faster where it
        /// would fall behind, or room is short, and [`Store::compact`](crate::Store::compact) goes
        /// as fast as it can. Default: 16 MiB.
        compaction_bytes_per_s: u64 = compaction_bytes_per_s;
        /// The most bytes of memory for records that are asked for again and again: from their
        /// second reading on they are answered without reading their file, up to 16 KiB each (and
        /// an eighth of all). It takes what it needs, tables included, and no more than this; 0
        /// turns it off. [`Stats`](crate::Stats) counts what it holds and answers. Default: 32 MiB.
        record_cache_bytes: usize = record_cache_bytes;
        /// The audit trail: a record of every decision, in the directory `audit` of the store's.
        /// Default: none.
        audit: Audit = audit;
    }

    /// Lets claims be held without a deadline: until they end, or the process does.
    #[must_use]
    pub fn no_lease(mut self) -> Self {
        self.lease = None;
        self
    }

    /// Allows a scope at most `keys` new keys in each window of this length. Default: no limit.
    #[must_use]
    pub fn scope_limit(mut self, keys: u64, window: Duration) -> Self {
        self.max_new_keys_per_scope = Some(keys);
        self.scope_window = window;
        self
    }

    /// Calls `call` while a store is opened: for each segment looked at, rewritten, and taken into
    /// the index. It may be called from several threads at one time, and is not called again after
    /// a panic. It delays opening by as long as it takes.
    #[must_use]
    pub fn on_progress(mut self, call: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.observer = Observer::new(call);
        self
    }

    /// How a claim and its record are kept under these terms, and these options where the terms
    /// say nothing.
    pub(crate) fn keep(&self, terms: &Terms) -> Result<KeptFor> {
        let ttl_ms = check_duration("TTL", terms.ttl.unwrap_or(self.ttl))?;
        let lease = terms.lease.or(self.lease);
        let lease_ms = lease.map(|lease| check_duration("lease", lease)).transpose()?;
        Ok(KeptFor { ttl_ms, lease_ms, policy: terms.on_drop.unwrap_or(self.on_drop) })
    }

    pub(crate) fn validate(&self) -> Result<()> {
        check_duration("TTL", self.ttl)?;
        if let Some(lease) = self.lease {
            check_duration("lease", lease)?;
        }
        if let Durability::Interval(interval) = self.durability {
            check_duration("sync interval", interval)?;
        }
        check_duration("window of the scope limit", self.scope_window)?;
        if !self.remember_late.is_zero() {
            check_duration("time for which late retries are remembered", self.remember_late)?;
        }
        if self.leap_threshold < MIN_LEAP_THRESHOLD {
            return Err(Error::invalid(format!(
                "a leap threshold of {} ms: the clock is looked at about once a second, so less \
                 than {} s would doubt all time that passes",
                self.leap_threshold.as_millis(),
                MIN_LEAP_THRESHOLD.as_secs()
            )));
        }
        self.audit.validate()?;
        let size = self.segment_bytes;
        if !size.is_power_of_two() || !(1 << 16..=1 << 30).contains(&size) {
            return Err(Error::invalid(format!(
                "a segment of {size} bytes: it must be a power of two from 65536 (64 KiB) \
                 to 1073741824 (1 GiB)"
            )));
        }
        if self.compaction_bytes_per_s == 0 {
            return Err(Error::invalid(
                "compaction_bytes_per_s is 0: nothing would ever be given back \
                 (Store::pause_compaction pauses it)",
            ));
        }
        if self.max_in_flight == 0 {
            return Err(Error::invalid("max_in_flight is 0: nothing could ever be claimed"));
        }
        Ok(())
    }

    /// The largest response that fits a store whose segments have this size.
    pub(crate) fn response_limit(&self, segment_bytes: u32) -> usize {
        self.max_response_bytes.min(segment_bytes as usize / 8)
    }
}

/// How a claim and its record are kept, with everything said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeptFor {
    pub(crate) ttl_ms: u64,
    /// `None`: until the claim ends, or the process does.
    pub(crate) lease_ms: Option<u64>,
    pub(crate) policy: DropPolicy,
}

/// Checks a duration that a caller gave, and returns its milliseconds, at least 1.
pub(crate) fn check_duration(what: &str, duration: Duration) -> Result<u64> {
    if duration.is_zero() {
        return Err(Error::invalid(format!("the {what} is zero")));
    }
    if duration > MAX_DURATION {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("the {what} of {} s is over a hundred years", duration.as_secs()),
        ));
    }
    Ok(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1))
}

impl Options {
    /// Opens a store that exists. An empty or missing directory is refused: an unmounted volume
    /// must not pass for a fresh store.
    ///
    /// # Errors
    /// See [`Store::open`](crate::Store::open).
    pub fn open(&self, path: impl AsRef<Path>) -> Result<crate::Store> {
        crate::Store::with_options(path.as_ref(), self, crate::store::Creation::Never)
    }

    /// Creates a store in a directory that is missing or empty.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStore`] if there is a store already, or other files.
    pub fn create(&self, path: impl AsRef<Path>) -> Result<crate::Store> {
        crate::Store::with_options(path.as_ref(), self, crate::store::Creation::Always)
    }

    /// Opens the store, or creates it if the directory is missing or empty.
    ///
    /// # Errors
    /// See [`Store::open`](crate::Store::open).
    pub fn open_or_create(&self, path: impl AsRef<Path>) -> Result<crate::Store> {
        crate::Store::with_options(path.as_ref(), self, crate::store::Creation::IfMissing)
    }
}
