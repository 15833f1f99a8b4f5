//! redb: a write transaction an operation, or one for everything that queued behind a writer.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};

use super::grouped::{Batched, Change, Grouped, load_in_batches};
use super::writer::WriterThread;
use super::{Engine, Mode, Role, Variant};
use crate::workload::Request;

pub const VARIANTS: [Variant; 4] = [
    Variant {
        name: "redb per-op",
        role: Role::Peer,
        mode: Mode::Durable,
        lookups: false,
        has_tasks: false,
        open: |dir| Arc::new(Redb::open(dir, Reads::Fresh)),
    },
    Variant {
        name: "redb writer thread",
        role: Role::Peer,
        mode: Mode::Durable,
        lookups: false,
        has_tasks: true,
        open: |dir| Arc::new(WriterThread::new(Redb::open(dir, Reads::Fresh))),
    },
    Variant {
        name: "redb group",
        role: Role::Peer,
        mode: Mode::Durable,
        lookups: true,
        has_tasks: true,
        open: |dir| Arc::new(Grouped::new(Redb::open(dir, Reads::Fresh))),
    },
    Variant {
        name: "redb (one old snapshot)",
        role: Role::Peer,
        mode: Mode::Lookup,
        lookups: true,
        has_tasks: false,
        open: |dir| Arc::new(Redb::open(dir, Reads::OneSnapshot)),
    },
];

const RECORDS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("records");

/// How lookups read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// A transaction each, as a service must that wants to see the last write.
    Fresh,
    /// All from a table opened once after the load: cheaper, but blind to later writes.
    OneSnapshot,
}

struct Redb {
    db: Database,
    reads: Reads,
    snapshot: OnceLock<ReadOnlyTable<&'static [u8], &'static [u8]>>,
}

impl Redb {
    fn open(dir: &Path, reads: Reads) -> Self {
        let db = Database::create(dir.join("records.redb")).expect("create redb");
        let redb = Self { db, reads, snapshot: OnceLock::new() };
        redb.apply(&[]);
        redb
    }

    /// One durable transaction; a verdict per change.
    fn apply(&self, changes: &[Change]) -> Vec<bool> {
        let mut transaction = self.db.begin_write().expect("begin in redb");
        transaction.set_durability(Durability::Immediate).expect("set durability");
        let mut verdicts = Vec::with_capacity(changes.len());
        {
            let mut table = transaction.open_table(RECORDS).expect("open the table");
            for change in changes {
                let key = change.key.as_slice();
                let refused = change.must_be_new && table.get(key).expect("read redb").is_some();
                if !refused {
                    table.insert(key, change.value.as_slice()).expect("write redb");
                }
                verdicts.push(!refused);
            }
        }
        transaction.commit().expect("commit in redb");
        verdicts
    }

    fn table(&self) -> ReadOnlyTable<&'static [u8], &'static [u8]> {
        let transaction = self.db.begin_read().expect("begin reading redb");
        transaction.open_table(RECORDS).expect("open the table")
    }
}

impl Engine for Redb {
    fn claim(&self, request: &Request) -> bool {
        self.apply(&[Change::claim(request)])[0]
    }

    fn complete(&self, request: &Request) {
        self.apply(&[Change::complete(request)]);
    }

    fn replay(&self, request: &Request) -> Option<Vec<u8>> {
        let key = request.joined();
        let fresh;
        let table = match (self.reads, self.snapshot.get()) {
            (Reads::OneSnapshot, Some(table)) => table,
            _ => {
                fresh = self.table();
                &fresh
            }
        };
        let value = table.get_owned(key.as_slice()).expect("read redb")?;
        request.response_in(value.value())
    }

    fn load(&self, requests: &mut dyn Iterator<Item = Request>) {
        load_in_batches(requests, |changes| drop(self.apply(changes)));
        if self.reads == Reads::OneSnapshot {
            let _ = self.snapshot.set(self.table());
        }
    }
}

impl Batched for Redb {
    fn commit(&self, changes: &mut Vec<Change>) -> Vec<bool> {
        let verdicts = self.apply(changes);
        changes.clear();
        verdicts
    }
}
