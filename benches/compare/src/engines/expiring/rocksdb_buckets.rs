//! RocksDB with a column family for each hour of expiry: an hour that is over goes as a whole.
//!
//! Nothing is cheaper to prune. The price is paid by each claim, which must ask every hour of a day
//! for the key, and by the expiry, which deletes by the hour.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rocksdb::{ColumnFamily, DB, WriteBatch, WriteOptions};

use super::{Expiring, Pruned, Variant};
use crate::engines::rocksdb::{options, write_options};
use crate::workload::Request;

pub const VARIANT: Variant = Variant {
    name: "rocksdb (a family an hour)",
    is_peer: true,
    open: |dir, _| Box::new(Hourly::open(dir)),
};

const STRIPES: usize = 16_384;
const LOAD_BATCH: usize = 10_000;
const HOUR_MS: u64 = 3600 * 1000;
/// A day's, the one that is under way, and the one that is being dropped.
const HOURS: u64 = 26;
/// The family of the claims that are not completed.
const CLAIMS: u64 = HOURS;
/// Comes before every key, and after.
const FIRST: [u8; 0] = [];
const LAST: [u8; 1] = [0xff];

struct Hourly {
    db: DB,
    stripes: Vec<Mutex<()>>,
    write: WriteOptions,
    /// Records an hour, to tell what a prune was worth.
    counts: [AtomicU64; HOURS as usize],
}

impl Hourly {
    fn open(dir: &Path) -> Self {
        let families = (0..=CLAIMS).map(|family| (family.to_string(), options()));
        let db = DB::open_cf_with_opts(&options(), dir, families).expect("open rocksdb");
        let stripes = (0..STRIPES).map(|_| Mutex::new(())).collect();
        let counts = std::array::from_fn(|_| AtomicU64::new(0));
        Self { db, stripes, write: write_options(true), counts }
    }

    fn family(&self, number: u64) -> &ColumnFamily {
        self.db.cf_handle(&number.to_string()).expect("a column family")
    }

    fn claim(&self, request: &Request) -> bool {
        let key = request.joined();
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let _alone = self.stripes[hasher.finish() as usize % STRIPES].lock();
        let has = |family| {
            self.db.get_pinned_cf(self.family(family), &key).expect("read rocksdb").is_some()
        };
        if (0..=CLAIMS).any(has) {
            return false;
        }
        let (claims, value) = (self.family(CLAIMS), request.claimed_value());
        self.db.put_cf_opt(claims, key, value, &self.write).expect("write rocksdb");
        true
    }

    fn put(&self, batch: &mut WriteBatch, request: &Request, expires_ms: u64) {
        let hour = hour(expires_ms);
        batch.put_cf(self.family(hour), request.joined(), request.completed_value());
        self.counts[hour as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn write(&self, batch: WriteBatch) {
        self.db.write_opt(batch, &self.write).expect("write rocksdb");
    }

    /// Drops an hour: its files at once, and with a range what is not in files of its own yet.
    fn drop_hour(&self, hour: u64) -> u64 {
        let family = self.family(hour);
        let mut batch = WriteBatch::default();
        batch.delete_range_cf(family, &FIRST[..], &LAST[..]);
        self.write(batch);
        self.db.delete_file_in_range_cf(family, &FIRST[..], &LAST[..]).expect("delete files");
        self.db.compact_range_cf(family, None::<&[u8]>, None::<&[u8]>);
        self.counts[hour as usize].swap(0, Ordering::Relaxed)
    }
}

fn hour(expires_ms: u64) -> u64 {
    expires_ms / HOUR_MS % HOURS
}

impl Expiring for Hourly {
    fn load(&self, requests: &mut dyn Iterator<Item = (Request, u64)>) {
        loop {
            let mut batch = WriteBatch::default();
            for (request, expires_ms) in requests.take(LOAD_BATCH) {
                self.put(&mut batch, &request, expires_ms);
            }
            if batch.is_empty() {
                break;
            }
            self.write(batch);
        }
    }

    fn cycle(&self, request: &Request, expires_ms: u64) -> bool {
        let won = self.claim(request);
        if won {
            let mut batch = WriteBatch::default();
            batch.delete_cf(self.family(CLAIMS), request.joined());
            self.put(&mut batch, request, expires_ms);
            self.write(batch);
        }
        won
    }

    fn prune(&self, expired_ms: u64) -> Pruned {
        let last = hour(expired_ms);
        // The load may have begun an hour earlier.
        let before = hour(expired_ms - HOUR_MS.min(expired_ms));
        let mut pruned = self.drop_hour(last);
        if before != last {
            pruned += self.drop_hour(before);
        }
        Pruned::just_now(pruned)
    }
}
