//! The engines under test behind one small trait, and the list of them.

#[cfg(feature = "oncekey")]
pub mod oncekey;

pub mod expiring;
pub mod fjall;
pub mod fjall_tx;
mod grouped;
mod interval;
pub mod lmdb;
pub mod rawlog;
pub mod redb;
#[cfg(feature = "rocksdb")]
pub mod rocksdb;
pub mod sled;
pub mod sqlite;
mod writer;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::workload::Request;

/// A pending answer to a task.
pub type Answer<'a> = Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

/// A store of idempotency records as the bench sees it. A failed call panics: nothing may be
/// counted that did not happen.
pub trait Engine: Send + Sync {
    /// Claims by compare-and-swap; false if the key is present. Durable when it returns.
    fn claim(&self, request: &Request) -> bool;

    /// Stores fingerprint and response under a claimed key. Durable when it returns.
    fn complete(&self, request: &Request);

    /// Claims a new key and completes it; false if the claim was refused.
    fn cycle(&self, request: &Request) -> bool {
        let won = self.claim(request);
        if won {
            self.complete(request);
        }
        won
    }

    /// Claims a new key and completes it; how long the claim took.
    fn timed_claim(&self, request: &Request) -> Duration {
        let started = Instant::now();
        assert!(self.claim(request), "a new key was refused");
        let took = started.elapsed();
        self.complete(request);
        took
    }

    /// The stored response, if the key is completed with this fingerprint.
    fn replay(&self, request: &Request) -> Option<Vec<u8>>;

    /// Stores completed records as fast as the engine can, for lookups.
    fn load(&self, requests: &mut dyn Iterator<Item = Request>);

    /// The same calls for tasks, where the engine has them.
    fn tasks(&self) -> Option<&dyn Tasks> {
        None
    }

    /// Syncs so far, where the engine counts its own.
    fn syncs(&self) -> Option<u64> {
        None
    }
}

/// The calls that tasks await.
pub trait Tasks: Send + Sync {
    fn claim<'a>(&'a self, request: &'a Request) -> Answer<'a>;
    fn complete<'a>(&'a self, request: &'a Request) -> Answer<'a>;

    /// Claims a new key and completes it; false if the claim was refused.
    fn cycle<'a>(&'a self, request: &'a Request) -> Answer<'a> {
        Box::pin(async move { self.claim(request).await && self.complete(request).await })
    }
}

/// What an engine is to the comparison.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// What the device allows.
    Floor,
    /// A peer that syncs before it answers.
    Peer,
    /// A peer whose flush does not reach the device.
    WeakPeer,
    #[cfg(feature = "oncekey")]
    /// The store itself.
    Store,
}

/// Where an engine takes part.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Durable before told.
    Durable,
    /// Handed to the system before told, synced every 100 ms.
    Interval,
    /// Lookups only.
    Lookup,
}

/// One engine in one variant.
#[derive(Clone, Copy)]
pub struct Variant {
    pub name: &'static str,
    pub role: Role,
    pub mode: Mode,
    /// Whether the lookup workload measures it too.
    pub lookups: bool,
    pub has_tasks: bool,
    pub open: fn(&Path) -> Arc<dyn Engine>,
}

/// Every variant, the floor first.
pub fn all() -> Vec<Variant> {
    let mut all = Vec::new();
    all.extend(rawlog::VARIANTS);
    #[cfg(feature = "oncekey")]
    all.extend(oncekey::VARIANTS);
    all.extend(fjall::VARIANTS);
    all.extend(fjall_tx::VARIANTS);
    all.extend(redb::VARIANTS);
    all.extend(lmdb::VARIANTS);
    all.extend(sqlite::VARIANTS);
    #[cfg(feature = "rocksdb")]
    all.extend(rocksdb::VARIANTS);
    all.extend(sled::VARIANTS);
    all
}
