//! fjall with transactions of its own: what gives a claim its compare-and-swap without a lock
//! outside. [`super::fjall`] has the quicker way, a lock beside plain keyspaces.

use std::path::Path;
use std::sync::Arc;

use fjall::{
    KeyspaceCreateOptions, OptimisticTxDatabase, OptimisticTxKeyspace, PersistMode, Readable,
};

use super::grouped::Change;
use super::interval::{Interval, Synced};
use super::{Engine, Mode, Role, Variant};
use crate::workload::Request;

pub const VARIANTS: [Variant; 2] = [
    Variant {
        name: "fjall transactions",
        role: Role::Peer,
        mode: Mode::Durable,
        lookups: false,
        has_tasks: false,
        open: |dir| Arc::new(FjallTx::open(dir, PersistMode::SyncData)),
    },
    Variant {
        name: "fjall transactions, interval",
        role: Role::Peer,
        mode: Mode::Interval,
        lookups: false,
        has_tasks: false,
        open: |dir| Arc::new(Interval::new(FjallTx::open(dir, PersistMode::Buffer))),
    },
];

struct FjallTx {
    db: OptimisticTxDatabase,
    records: OptimisticTxKeyspace,
    persist: PersistMode,
}

impl FjallTx {
    fn open(dir: &Path, persist: PersistMode) -> Self {
        let db = OptimisticTxDatabase::builder(dir).open().expect("open fjall");
        let records =
            db.keyspace("records", KeyspaceCreateOptions::default).expect("open the keyspace");
        Self { db, records, persist }
    }

    /// False if the change had to be new and was not.
    fn apply(&self, change: &Change) -> bool {
        loop {
            let transaction = self.db.write_tx().expect("begin in fjall");
            let mut transaction = transaction.durability(Some(self.persist));
            let key = change.key.as_slice();
            if change.must_be_new
                && transaction.contains_key(&self.records, key).expect("read fjall")
            {
                return false;
            }
            transaction.insert(&self.records, key, change.value.as_slice());
            if transaction.commit().expect("commit in fjall").is_ok() {
                return true;
            }
        }
    }
}

impl Engine for FjallTx {
    fn claim(&self, request: &Request) -> bool {
        self.apply(&Change::claim(request))
    }

    fn complete(&self, request: &Request) {
        self.apply(&Change::complete(request));
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
        self.sync();
    }
}

impl Synced for FjallTx {
    fn sync(&self) {
        self.db.persist(PersistMode::SyncData).expect("persist fjall");
    }
}
