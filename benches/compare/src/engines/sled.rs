//! sled 0.34. Its flush is `sync_file_range` only: the device's cache is not flushed and metadata
//! is not written, so it is a weak peer, listed but not a durable baseline.

use std::path::Path;
use std::sync::Arc;

use sled::Db;

use super::grouped::{Batched, Change, Grouped};
use super::{Engine, Mode, Role, Variant};
use crate::workload::Request;

pub const VARIANTS: [Variant; 2] = [
    Variant {
        name: "sled per-op (not durable)",
        role: Role::WeakPeer,
        mode: Mode::Durable,
        lookups: false,
        has_tasks: false,
        open: |dir| Arc::new(Sled::open(dir)),
    },
    Variant {
        name: "sled group (not durable)",
        role: Role::WeakPeer,
        mode: Mode::Durable,
        lookups: true,
        has_tasks: true,
        open: |dir| Arc::new(Grouped::new(Sled::open(dir))),
    },
];

/// Every caller flushes for itself, unless it is grouped.
struct Sled {
    db: Db,
}

impl Sled {
    fn open(dir: &Path) -> Self {
        let config = sled::Config::new().path(dir).flush_every_ms(None);
        Self { db: config.open().expect("open sled") }
    }

    /// False if the change had to be new and was not.
    fn apply(&self, change: &Change) -> bool {
        let (key, value) = (change.key.as_slice(), change.value.as_slice());
        if change.must_be_new {
            let swap = self.db.compare_and_swap(key, None::<&[u8]>, Some(value));
            return swap.expect("claim in sled").is_ok();
        }
        self.db.insert(key, value).expect("complete in sled");
        true
    }

    fn flush(&self) {
        self.db.flush().expect("flush sled");
    }
}

impl Engine for Sled {
    fn claim(&self, request: &Request) -> bool {
        let won = self.apply(&Change::claim(request));
        self.flush();
        won
    }

    fn complete(&self, request: &Request) {
        self.apply(&Change::complete(request));
        self.flush();
    }

    fn replay(&self, request: &Request) -> Option<Vec<u8>> {
        let value = self.db.get(request.joined()).expect("read sled")?;
        request.response_in(&value)
    }

    fn load(&self, requests: &mut dyn Iterator<Item = Request>) {
        for request in requests {
            self.apply(&Change::complete(&request));
        }
        self.flush();
    }
}

impl Batched for Sled {
    fn commit(&self, changes: &mut Vec<Change>) -> Vec<bool> {
        let verdicts = changes.drain(..).map(|change| self.apply(&change)).collect();
        self.flush();
        verdicts
    }
}
