//! The engine: every decision about a key, and the way of each decision to disk.
//!
//! A decision is taken under its key's lock, enqueued in log order, and told once its batch is
//! durable; there is no way back, and a batch that fails poisons the store. The engine moves in
//! steps (commit a batch, seal a segment, prune, compact); threads only call the steps, so that a
//! test can call them in any order.
//!
//! Lock order: shard, then queue. The writer's lock is taken with neither held, and takes shards
//! (for a restatement). So are the two of the late-retry memory, that of its runs before that of
//! its journal, which are held over their I/O. The catalog's lock is taken last of all and is the
//! only one held over I/O besides these and the writer's.
//!
//! Left to others: what callers hold in their hands ([`crate::store`]), bytes ([`crate::log`]).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::disallowed_types
    )
)]

mod audit;
mod batch;
mod catalog;
mod choice;
mod claim;
mod commit;
mod compact;
mod emptied;
mod end;
mod environment;
mod files;
mod flight;
mod forget;
mod late;
mod late_runs;
mod limits;
mod lookup;
mod pace;
mod patience;
mod pause;
mod poison;
#[cfg(any(test, feature = "simulation"))]
mod probe;
mod prune;
mod queue;
mod record_cache;
mod recovery;
mod rewriter;
mod room;
mod segment;
mod shard;
mod shortage;
mod signal;
mod spares;
mod stats;
mod timers;
mod upkeep;
mod wake_word;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) use batch::Ticket;
pub(crate) use claim::{Decided, Decision, Granted, LateRecord, OpenClaim};
pub use compact::Compacted;
pub use environment::Environment;
pub(crate) use flight::{Completed, Flight, State};
pub(crate) use lookup::Found;
#[cfg(any(test, feature = "simulation"))]
pub(crate) use pace::Pace;
pub use pause::CompactionPause;
pub use prune::Pruned;
pub(crate) use recovery::{
    Claims, Data, Directory, create, each_frame, look, name_of, record_of, recover,
};
pub use recovery::{DamageReport, RecoveryReport};
pub(crate) use segment::{Contents, Segment};
pub(crate) use signal::{Listener, Signal, Wakers};
pub use stats::Stats;

use crate::audit::{Auditor, Ground};
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::expiry::StoreClock;
use crate::ids::{KeyHash, SegmentId, StoreId, StoreTime};
use crate::index::{Geometry, KeyHasher, SHARDS};
use crate::options::{Durability, Options};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex};
use crate::telemetry::Meter;
use catalog::Catalog;
use emptied::Emptied;
use late::Late;
use limits::Limits;
use pace::Density;
use patience::Patience;
use poison::Poison;
use queue::CommitQueue;
use record_cache::RecordCache;
use room::Room;
use segment::SegmentTable;
use shard::LockedShard;
use spares::{Boxes, Spares};
use stats::Counters;
pub(crate) use timers::{Timer, Timers};
use writer::{Placed, Writer};

/// Tokens are promised on disk in blocks of this many.
pub(crate) const TOKEN_BLOCK: u64 = 1 << 24;

#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) options: Options,
    pub(crate) time: StoreClock,
    pub(crate) timers: Arc<Timers>,
    pub(crate) recovered: RecoveryReport,
    has_threads: bool,
    store_id: StoreId,
    base: StoreTime,
    segment_size: u32,
    geometry: Geometry,
    hasher: KeyHasher,
    shards: Box<[LockedShard]>,
    queue: CommitQueue,
    poison: Poison,
    table: SegmentTable,
    writer: Mutex<WriterState>,
    catalog: Mutex<Catalog>,
    /// The segment the log moves to next, and those it has left that want their footer.
    next: Mutex<NextSegments>,
    upkeep: Upkeep,
    emptied: Mutex<Emptied>,
    limits: Limits,
    spares: Spares,
    cache: RecordCache,
    counters: Counters,
    pub(crate) meter: Meter,
    pub(crate) audit: Auditor,
    late: Late,
    room: Room,
    /// Claims that somebody holds, or is about to be told of. Counted up under the key's lock.
    pub(crate) held: AtomicUsize,
    closing: AtomicBool,
    closed: AtomicBool,
    /// Held while segments are dropped or compacted, so that closing can wait for it.
    rewriting: Mutex<()>,
}

#[derive(Debug)]
struct WriterState {
    writer: Writer,
    placed: Vec<Placed>,
    /// Flights whose memory is to be kept.
    ended: Boxes,
}

#[derive(Debug, Default)]
struct NextSegments {
    prepared: Option<Arc<Segment>>,
    left: Vec<Arc<Segment>>,
}

/// How the upkeep thread is woken before its time, and what it keeps in mind.
#[derive(Debug, Default)]
struct Upkeep {
    wanted: Mutex<Wanted>,
    wake: Condvar,
    /// When the log was last synced in `Interval` mode, in monotonic milliseconds.
    synced_at_ms: AtomicU64,
    /// Whether somebody was told that something has expired, which the log does not say yet.
    expiry_told: AtomicBool,
    /// Segments that cannot be compacted: they are let be until they expire.
    left_alone: Mutex<BTreeSet<SegmentId>>,
    /// Expired segments whose footer the disk did not read, and since when.
    unread: Mutex<BTreeMap<SegmentId, StoreTime>>,
    density: Density,
    /// Who wants pruning and compaction to pause, and who waits for one to end.
    pauses: AtomicUsize,
    hurrying: AtomicUsize,
    /// Whether the store's threads are to end.
    stopping: AtomicBool,
}

#[derive(Debug, Default)]
struct Wanted {
    now: bool,
    compact: bool,
    stop: bool,
}

/// What `recover` hands over to make an engine of.
pub(crate) struct Parts {
    pub(crate) options: Options,
    pub(crate) time: StoreClock,
    pub(crate) threads: bool,
    pub(crate) catalog: Catalog,
    pub(crate) table: SegmentTable,
    pub(crate) active: Arc<Segment>,
    pub(crate) recovered: RecoveryReport,
    pub(crate) shards: Box<[LockedShard]>,
    pub(crate) late: Late,
    pub(crate) disk: Arc<dyn Disk>,
}

impl Engine {
    pub(crate) fn new(parts: Parts) -> Self {
        let manifest = parts.catalog.manifest();
        let sync_each = parts.options.durability == Durability::Sync;
        let next_token = crate::ids::Token(manifest.ceiling.0 - TOKEN_BLOCK);
        let ground = Ground {
            disk: parts.disk,
            store_id: manifest.store_id,
            hash_key: &manifest.hash_key,
            boot: next_token.0,
        };
        let mut engine = Self {
            audit: Auditor::new(&parts.options.audit, ground, &parts.time),
            store_id: manifest.store_id,
            meter: Meter::new(manifest.store_id),
            base: manifest.base,
            segment_size: manifest.segment_size,
            geometry: Geometry::new(manifest.segment_size),
            hasher: KeyHasher::new(&manifest.hash_key),
            queue: CommitQueue::new(
                manifest.base,
                next_token,
                manifest.ceiling,
                (parts.threads, !sync_each),
                Patience::new(parts.time.clock()),
            ),
            spares: Spares::default(),
            cache: RecordCache::new(parts.options.record_cache_bytes),
            limits: Limits::new(&parts.options, manifest.segment_size),
            writer: Mutex::new(WriterState {
                writer: Writer::new(parts.active, sync_each),
                placed: Vec::new(),
                ended: Vec::new(),
            }),
            options: parts.options,
            time: parts.time,
            timers: Arc::default(),
            recovered: parts.recovered,
            has_threads: parts.threads,
            shards: parts.shards,
            late: parts.late,
            poison: Poison::default(),
            table: parts.table,
            room: Room::new(manifest.segment_size, parts.catalog.files().free_files()),
            catalog: Mutex::new(parts.catalog),
            next: Mutex::new(NextSegments::default()),
            upkeep: Upkeep::default(),
            emptied: Mutex::default(),
            counters: Counters::default(),
            held: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            rewriting: Mutex::new(()),
        };
        engine.upkeep.synced_at_ms.store(engine.time.monotonic_ms(), Ordering::Relaxed);
        engine.count_recovered();
        engine
    }

    /// Fresh shards.
    pub(crate) fn empty_shards() -> Box<[LockedShard]> {
        (0..SHARDS).map(|_| LockedShard::default()).collect()
    }

    pub(crate) fn store_id(&self) -> StoreId {
        self.store_id
    }

    pub(crate) fn hash(&self, scope: &[u8], key: &[u8]) -> KeyHash {
        self.hasher.hash(scope, key)
    }

    #[allow(clippy::indexing_slicing, reason = "a shard's number is 12 bits, and there are 4096")]
    fn shard(&self, hash: KeyHash) -> &LockedShard {
        &self.shards[hash.shard()]
    }

    /// Refuses a read of a store that was closed.
    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the store was closed"));
        }
        Ok(())
    }

    /// Refuses a change of a store that was closed or poisoned.
    fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        self.poison.check()
    }

    /// Whether an earlier failure of the disk has ended all changes.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poison.is_set()
    }

    /// The failure that ended all changes, if there was one.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.poison.cause()
    }

    /// Claims in flight, at one moment.
    #[cfg(test)]
    pub(crate) fn count_flights(&self) -> usize {
        let shards: Vec<_> = self.shards.iter().map(|shard| shard.lock()).collect();
        shards.iter().map(|shard| shard.flights().count()).sum()
    }

    fn count_recovered(&mut self) {
        // Nobody else knows of the engine yet, so no lock is taken: there are thousands.
        for shard in &mut self.shards {
            shard.get_mut().flights().for_each(|flight| self.limits.enter(flight));
        }
    }
}
