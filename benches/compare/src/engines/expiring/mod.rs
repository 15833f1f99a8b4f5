//! The engines whose records expire, as the lifecycle comparison sees them, and the list of them.
//!
//! A peer has no expiry of its own. Its expert keeps an index in order of expiry, writes it in the
//! transaction that completes a record, and prunes with a janitor: see [`Indexed`]. Where an engine
//! offers a cheaper way, that is a variant beside it.

mod fjall;
mod janitor;
mod lmdb;
#[cfg(feature = "oncekey")]
mod oncekey;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
#[cfg(feature = "rocksdb")]
mod rocksdb_buckets;
#[cfg(feature = "rocksdb")]
mod rocksdb_filter;
mod sqlite;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::workload::Request;

pub use janitor::{Indexed, Janitor, Step};

/// A store of records that expire. Times are milliseconds since the program's first look.
pub trait Expiring: Send + Sync {
    /// Stores completed records, each with its expiry, as fast as the engine can.
    fn load(&self, requests: &mut dyn Iterator<Item = (Request, u64)>);

    /// Claims a new key and completes it, each durable before the next; false if refused.
    fn cycle(&self, request: &Request, expires_ms: u64) -> bool;

    /// Removes what has expired by this time.
    fn prune(&self, expired_ms: u64) -> Pruned;

    /// Whether records expire by the clock, so that pruning must wait for their time to come.
    fn keeps_time(&self) -> bool {
        false
    }
}

/// What came of a prune.
pub struct Pruned {
    pub records: u64,
    /// When the last of them was gone.
    pub finished: Instant,
}

impl Pruned {
    /// So many records, the last of them just now.
    pub fn just_now(records: u64) -> Self {
        Self { records, finished: Instant::now() }
    }
}

/// One engine in one variant.
#[derive(Clone, Copy)]
pub struct Variant {
    pub name: &'static str,
    /// Whether the bars compare the store with it.
    pub is_peer: bool,
    pub open: fn(&Path, Pace) -> Box<dyn Expiring>,
}

/// How a janitor works: so many records a transaction, and a pause in which writers get their turn.
#[derive(Clone, Copy)]
pub struct Pace {
    pub batch: usize,
    pub pause: Duration,
}

/// Every variant, the store first.
pub fn all() -> Vec<Variant> {
    let mut all = Vec::new();
    #[cfg(feature = "oncekey")]
    all.push(oncekey::VARIANT);
    all.extend([fjall::VARIANT, redb::VARIANT, lmdb::VARIANT, sqlite::VARIANT]);
    #[cfg(feature = "rocksdb")]
    all.extend([rocksdb::VARIANT, rocksdb_filter::VARIANT, rocksdb_buckets::VARIANT]);
    all
}

/// Milliseconds since the program's first look at the clock.
pub fn now_ms() -> u64 {
    static FIRST: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed().as_millis() as u64
}
