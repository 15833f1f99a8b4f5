//! RocksDB: each caller waits for its write to be synced, and RocksDB groups those that wait.
//!
//! Its plain database has no compare-and-swap, so a claim reads and writes under a striped lock;
//! with so many stripes hardly ever does one caller wait for another's sync.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rocksdb::{BlockBasedOptions, Cache, DB, DBCompressionType, Options, WriteBatch, WriteOptions};

use super::grouped::{Batched, Change, Grouped};
use super::interval::{Interval, Synced};
use super::{Engine, Mode, Role, Variant};
use crate::workload::Request;

pub const VARIANTS: [Variant; 3] = [
    Variant {
        name: "rocksdb per-op",
        role: Role::Peer,
        mode: Mode::Durable,
        lookups: false,
        has_tasks: false,
        open: |dir| Arc::new(Rocks::open(dir, true)),
    },
    Variant {
        name: "rocksdb group",
        role: Role::Peer,
        mode: Mode::Durable,
        lookups: true,
        has_tasks: true,
        open: |dir| Arc::new(Grouped::new(Rocks::open(dir, true))),
    },
    Variant {
        name: "rocksdb interval",
        role: Role::Peer,
        mode: Mode::Interval,
        lookups: false,
        has_tasks: false,
        open: |dir| Arc::new(Interval::new(Rocks::open(dir, false))),
    },
];

const STRIPES: usize = 16_384;
const CACHE_BYTES: usize = 512 << 20;
/// Records a batch of a load.
const LOAD_BATCH: usize = 20_000;

/// Options for point lookups: a Bloom filter, a cache, no compression of what cannot be compressed,
/// and log files that are used again, which spares a sync the change of a file's size.
pub fn options() -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_bloom_filter(10.0, false);
    table.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::None);
    options.set_max_background_jobs(2);
    options.set_recycle_log_file_num(4);
    options
}

/// With `sync`, what is written is on stable storage when the call returns.
pub fn write_options(sync: bool) -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(sync);
    options
}

struct Rocks {
    db: DB,
    stripes: Vec<Mutex<()>>,
    write: WriteOptions,
}

impl Rocks {
    fn open(dir: &Path, sync: bool) -> Self {
        let db = DB::open(&options(), dir).expect("open rocksdb");
        let stripes = (0..STRIPES).map(|_| Mutex::new(())).collect();
        Self { db, stripes, write: write_options(sync) }
    }

    fn has(&self, key: &[u8]) -> bool {
        self.db.get_pinned(key).expect("read rocksdb").is_some()
    }

    /// False if the change had to be new and was not.
    fn apply(&self, change: &Change) -> bool {
        let mut hasher = DefaultHasher::new();
        change.key.hash(&mut hasher);
        let _alone = self.stripes[hasher.finish() as usize % STRIPES].lock();
        if change.must_be_new && self.has(&change.key) {
            return false;
        }
        self.db.put_opt(&change.key, &change.value, &self.write).expect("write rocksdb");
        true
    }

    fn write(&self, batch: WriteBatch) {
        self.db.write_opt(batch, &self.write).expect("write rocksdb");
    }
}

impl Engine for Rocks {
    fn claim(&self, request: &Request) -> bool {
        self.apply(&Change::claim(request))
    }

    fn complete(&self, request: &Request) {
        self.apply(&Change::complete(request));
    }

    fn replay(&self, request: &Request) -> Option<Vec<u8>> {
        let value = self.db.get_pinned(request.joined()).expect("read rocksdb")?;
        request.response_in(&value)
    }

    fn load(&self, requests: &mut dyn Iterator<Item = Request>) {
        loop {
            let mut batch = WriteBatch::default();
            for request in requests.take(LOAD_BATCH) {
                batch.put(request.joined(), request.completed_value());
            }
            if batch.is_empty() {
                break;
            }
            self.write(batch);
        }
    }
}

impl Batched for Rocks {
    fn commit(&self, changes: &mut Vec<Change>) -> Vec<bool> {
        let mut batch = WriteBatch::default();
        let mut claimed = HashSet::new();
        let mut verdicts = Vec::with_capacity(changes.len());
        for change in changes.drain(..) {
            let refused = change.must_be_new
                && (self.has(&change.key) || !claimed.insert(change.key.clone()));
            if !refused {
                batch.put(change.key, change.value);
            }
            verdicts.push(!refused);
        }
        self.write(batch);
        verdicts
    }
}

impl Synced for Rocks {
    fn sync(&self) {
        self.db.flush_wal(true).expect("sync rocksdb");
    }
}
