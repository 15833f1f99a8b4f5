//! fjall with a second keyspace in order of expiry, and a batch over both.
//!
//! The janitor goes on where it left off: looking from the front would step over a tombstone for
//! each entry that it removed before.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Bound;
use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::Mutex;

use super::janitor::key_of;
use super::{Indexed, Janitor, Step, Variant};

pub const VARIANT: Variant = Variant {
    name: "fjall",
    is_peer: true,
    open: |dir, pace| Box::new(Janitor { store: Fjall::open(dir), pace }),
};

const STRIPES: usize = 64;

struct Fjall {
    db: Database,
    records: Keyspace,
    expiries: Keyspace,
    stripes: Vec<Mutex<()>>,
}

impl Fjall {
    fn open(dir: &Path) -> Self {
        let db = Database::builder(dir).open().expect("open fjall");
        let keyspace = |name| db.keyspace(name, KeyspaceCreateOptions::default);
        let records = keyspace("records").expect("open the keyspace");
        let expiries = keyspace("expiries").expect("open the index");
        let stripes = (0..STRIPES).map(|_| Mutex::new(())).collect();
        Self { db, records, expiries, stripes }
    }

    fn persist(&self) {
        self.db.persist(PersistMode::SyncData).expect("persist fjall");
    }
}

impl Indexed for Fjall {
    fn claim(&self, key: &[u8], value: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let stripe = self.stripes[hasher.finish() as usize % STRIPES].lock();
        if self.records.contains_key(key).expect("read fjall") {
            return false;
        }
        self.records.insert(key, value).expect("write fjall");
        drop(stripe);
        self.persist();
        true
    }

    fn complete(&self, steps: &[Step]) {
        let mut batch = self.db.batch();
        for step in steps {
            batch.insert(&self.records, &*step.key, &*step.value);
            batch.insert(&self.expiries, &*step.due, []);
        }
        batch.commit().expect("commit in fjall");
        self.persist();
    }

    fn expire(&self, after: &mut Vec<u8>, end: &[u8], limit: usize) -> usize {
        let from = Bound::Excluded(after.clone());
        let mut batch = self.db.batch();
        let mut count = 0;
        for entry in self.expiries.range((from, Bound::Excluded(end.to_vec()))).take(limit) {
            let entry = entry.key().expect("read the index");
            batch.remove(&self.records, key_of(&entry));
            count += 1;
            after.clear();
            after.extend_from_slice(&entry);
            batch.remove(&self.expiries, entry);
        }
        batch.commit().expect("commit in fjall");
        self.persist();
        count
    }
}
