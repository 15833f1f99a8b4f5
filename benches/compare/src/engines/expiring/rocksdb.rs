//! RocksDB with a second column family in order of expiry, and a batch over both.
//!
//! The janitor deletes a batch's stretch of the index as one range, and goes on where it left off.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use parking_lot::Mutex;
use rocksdb::{ColumnFamily, DB, Direction, IteratorMode, WriteBatch, WriteOptions};

use super::janitor::key_of;
use super::{Indexed, Janitor, Step, Variant};
use crate::engines::rocksdb::{options, write_options};

pub const VARIANT: Variant = Variant {
    name: "rocksdb",
    is_peer: true,
    open: |dir, pace| Box::new(Janitor { store: Rocks::open(dir), pace }),
};

const STRIPES: usize = 16_384;

struct Rocks {
    db: DB,
    stripes: Vec<Mutex<()>>,
    write: WriteOptions,
}

impl Rocks {
    fn open(dir: &Path) -> Self {
        let families = ["records", "expiries"].map(|name| (name, options()));
        let db = DB::open_cf_with_opts(&options(), dir, families).expect("open rocksdb");
        let stripes = (0..STRIPES).map(|_| Mutex::new(())).collect();
        Self { db, stripes, write: write_options(true) }
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        self.db.cf_handle(name).expect("a column family")
    }

    fn write(&self, batch: WriteBatch) {
        self.db.write_opt(batch, &self.write).expect("write rocksdb");
    }
}

impl Indexed for Rocks {
    fn claim(&self, key: &[u8], value: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let _alone = self.stripes[hasher.finish() as usize % STRIPES].lock();
        let records = self.family("records");
        if self.db.get_pinned_cf(records, key).expect("read rocksdb").is_some() {
            return false;
        }
        self.db.put_cf_opt(records, key, value, &self.write).expect("write rocksdb");
        true
    }

    fn complete(&self, steps: &[Step]) {
        let (records, expiries) = (self.family("records"), self.family("expiries"));
        let mut batch = WriteBatch::default();
        for step in steps {
            batch.put_cf(records, &step.key, &step.value);
            batch.put_cf(expiries, &step.due, []);
        }
        self.write(batch);
    }

    fn expire(&self, after: &mut Vec<u8>, end: &[u8], limit: usize) -> usize {
        let (records, expiries) = (self.family("records"), self.family("expiries"));
        let first = after.clone();
        let mode = IteratorMode::From(&first, Direction::Forward);
        let mut batch = WriteBatch::default();
        let mut count = 0;
        for entry in self.db.iterator_cf(expiries, mode).take(limit) {
            let (entry, _) = entry.expect("read the index");
            if &*entry >= end {
                break;
            }
            batch.delete_cf(records, key_of(&entry));
            after.clear();
            after.extend_from_slice(&entry);
            count += 1;
        }
        // The first key after the last entry.
        after.push(0);
        batch.delete_range_cf(expiries, &first, after);
        self.write(batch);
        count
    }
}
