//! RocksDB without an index: the expiry is in the value, and a filter drops what has expired when
//! its file is compacted. A prune compacts everything.
//!
//! A read must look at the expiry for itself, as records outlive it until a compaction comes by.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rocksdb::{
    BottommostLevelCompaction, CompactOptions, CompactionDecision, DB, WriteBatch, WriteOptions,
};

use super::{Expiring, Pruned, Variant};
use crate::engines::rocksdb::{options, write_options};
use crate::workload::Request;

pub const VARIANT: Variant = Variant {
    name: "rocksdb (compaction filter)",
    is_peer: true,
    open: |dir, _| Box::new(Filtered::open(dir)),
};

const STRIPES: usize = 16_384;
const LOAD_BATCH: usize = 10_000;

struct Filtered {
    db: DB,
    stripes: Vec<Mutex<()>>,
    write: WriteOptions,
    /// What the filter drops: records that expired by then.
    expired_ms: Arc<AtomicU64>,
    dropped: Arc<AtomicU64>,
}

impl Filtered {
    fn open(dir: &Path) -> Self {
        let (expired_ms, dropped) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut options = options();
        options.set_compaction_filter("expired", {
            let (expired_ms, dropped) = (Arc::clone(&expired_ms), Arc::clone(&dropped));
            move |_, _, value: &[u8]| {
                let Some((_, expiry)) = value.split_last_chunk() else {
                    return CompactionDecision::Keep;
                };
                let is_completed = value[0] == 1;
                if is_completed && u64::from_be_bytes(*expiry) <= expired_ms.load(Ordering::Relaxed)
                {
                    dropped.fetch_add(1, Ordering::Relaxed);
                    return CompactionDecision::Remove;
                }
                CompactionDecision::Keep
            }
        });
        let db = DB::open(&options, dir).expect("open rocksdb");
        let stripes = (0..STRIPES).map(|_| Mutex::new(())).collect();
        Self { db, stripes, write: write_options(true), expired_ms, dropped }
    }

    fn claim(&self, request: &Request) -> bool {
        let key = request.joined();
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let _alone = self.stripes[hasher.finish() as usize % STRIPES].lock();
        if self.db.get_pinned(&key).expect("read rocksdb").is_some() {
            return false;
        }
        self.db.put_opt(key, request.claimed_value(), &self.write).expect("write rocksdb");
        true
    }
}

fn completed(request: &Request, expires_ms: u64) -> Vec<u8> {
    let mut value = request.completed_value();
    value.extend_from_slice(&expires_ms.to_be_bytes());
    value
}

impl Expiring for Filtered {
    fn load(&self, requests: &mut dyn Iterator<Item = (Request, u64)>) {
        loop {
            let mut batch = WriteBatch::default();
            for (request, expires_ms) in requests.take(LOAD_BATCH) {
                batch.put(request.joined(), completed(&request, expires_ms));
            }
            if batch.is_empty() {
                break;
            }
            self.db.write_opt(batch, &self.write).expect("write rocksdb");
        }
    }

    fn cycle(&self, request: &Request, expires_ms: u64) -> bool {
        let won = self.claim(request);
        if won {
            let value = completed(request, expires_ms);
            self.db.put_opt(request.joined(), value, &self.write).expect("write rocksdb");
        }
        won
    }

    fn prune(&self, expired_ms: u64) -> Pruned {
        let before = self.dropped.load(Ordering::Relaxed);
        self.expired_ms.store(expired_ms, Ordering::Relaxed);
        let mut compaction = CompactOptions::default();
        compaction.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        compaction.set_exclusive_manual_compaction(false);
        self.db.compact_range_opt(None::<&[u8]>, None::<&[u8]>, &compaction);
        Pruned::just_now(self.dropped.load(Ordering::Relaxed) - before)
    }
}
