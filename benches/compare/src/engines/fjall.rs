//! fjall: each caller persists the journal for itself, or a writer does for all that queued.
//!
//! Its keyspaces have no compare-and-swap, so a claim reads and inserts under a striped lock.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::Mutex;

use super::grouped::{Batched, Change, Grouped};
use super::interval::{Interval, Synced};
use super::writer::WriterThread;
use super::{Engine, Mode, Role, Variant};
use crate::workload::Request;

pub const VARIANTS: [Variant; 4] = [
    Variant {
        name: "fjall per-op",
        role: Role::Peer,
        mode: Mode::Durable,
        lookups: false,
        has_tasks: false,
        open: |dir| Arc::new(Fjall::open(dir, Some(PersistMode::SyncData))),
    },
    Variant {
        name: "fjall writer thread",
        role: Role::Peer,
        mode: Mode::Durable,
        lookups: false,
        has_tasks: true,
        open: |dir| Arc::new(WriterThread::new(Fjall::open(dir, None))),
    },
    Variant {
        name: "fjall group",
        role: Role::Peer,
        mode: Mode::Durable,
        lookups: true,
        has_tasks: true,
        open: |dir| Arc::new(Grouped::new(Fjall::open(dir, None))),
    },
    Variant {
        name: "fjall interval",
        role: Role::Peer,
        mode: Mode::Interval,
        lookups: false,
        has_tasks: false,
        open: |dir| Arc::new(Interval::new(Fjall::open(dir, None))),
    },
];

const STRIPES: usize = 64;

struct Fjall {
    db: Database,
    records: Keyspace,
    stripes: Vec<Mutex<()>>,
    /// What each call waits for besides the hand-over to the system.
    persist: Option<PersistMode>,
}

impl Fjall {
    fn open(dir: &Path, persist: Option<PersistMode>) -> Self {
        let db = Database::builder(dir).open().expect("open fjall");
        let records =
            db.keyspace("records", KeyspaceCreateOptions::default).expect("open the keyspace");
        let stripes = (0..STRIPES).map(|_| Mutex::new(())).collect();
        Self { db, records, stripes, persist }
    }

    /// False if the change had to be new and was not.
    fn apply(&self, change: Change) -> bool {
        let mut hasher = DefaultHasher::new();
        change.key.hash(&mut hasher);
        let stripe = self.stripes[hasher.finish() as usize % STRIPES].lock();
        if change.must_be_new && self.records.contains_key(&change.key).expect("read fjall") {
            return false;
        }
        self.records.insert(change.key, change.value).expect("write fjall");
        drop(stripe);
        if let Some(mode) = self.persist {
            self.db.persist(mode).expect("persist fjall");
        }
        true
    }
}

impl Engine for Fjall {
    fn claim(&self, request: &Request) -> bool {
        self.apply(Change::claim(request))
    }

    fn complete(&self, request: &Request) {
        self.apply(Change::complete(request));
    }

    fn replay(&self, request: &Request) -> Option<Vec<u8>> {
        let value = self.records.get(request.joined()).expect("read fjall")?;
        request.response_in(&value)
    }

    fn load(&self, requests: &mut dyn Iterator<Item = Request>) {
        for request in requests {
            let change = Change::complete(&request);
            self.records.insert(change.key, change.value).expect("write fjall");
        }
        self.db.persist(PersistMode::SyncAll).expect("persist fjall");
    }
}

impl Batched for Fjall {
    fn commit(&self, changes: &mut Vec<Change>) -> Vec<bool> {
        let mut write = self.db.batch().durability(Some(PersistMode::SyncData));
        let mut claimed = HashSet::new();
        let mut verdicts = Vec::with_capacity(changes.len());
        for change in changes.drain(..) {
            let refused = change.must_be_new
                && (self.records.contains_key(&change.key).expect("read fjall")
                    || !claimed.insert(change.key.clone()));
            if !refused {
                write.insert(&self.records, change.key, change.value);
            }
            verdicts.push(!refused);
        }
        write.commit().expect("commit in fjall");
        verdicts
    }
}

impl Synced for Fjall {
    fn sync(&self) {
        self.db.persist(PersistMode::SyncData).expect("persist fjall");
    }
}
