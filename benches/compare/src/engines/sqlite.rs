//! SQLite through rusqlite, compiled in: a transaction an operation, or one for all that queued.
//!
//! The write-ahead log with `synchronous=FULL` syncs once a commit. `NORMAL` syncs at checkpoints
//! only: the interval variant asks for one every 100 ms. A table `WITHOUT ROWID` answers a lookup a
//! fifth sooner, but takes half as much processor time again to write rows of this size.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, params};

use super::grouped::{Batched, Change, Grouped, load_in_batches};
use super::interval::{Interval, Synced};
use super::{Engine, Mode, Role, Variant};
use crate::workload::Request;

pub const VARIANTS: [Variant; 3] = [
    Variant {
        name: "sqlite per-op",
        role: Role::Peer,
        mode: Mode::Durable,
        lookups: false,
        has_tasks: false,
        open: |dir| Arc::new(Sqlite::open(dir, "FULL")),
    },
    Variant {
        name: "sqlite group",
        role: Role::Peer,
        mode: Mode::Durable,
        lookups: true,
        has_tasks: true,
        open: |dir| Arc::new(Grouped::new(Sqlite::open(dir, "FULL"))),
    },
    Variant {
        name: "sqlite interval",
        role: Role::Peer,
        mode: Mode::Interval,
        lookups: false,
        has_tasks: false,
        open: |dir| Arc::new(Interval::new(Sqlite::open(dir, "NORMAL"))),
    },
];

const TABLE: &str = "CREATE TABLE IF NOT EXISTS records
    (key BLOB PRIMARY KEY, value BLOB NOT NULL)";
const CLAIM: &str = "INSERT INTO records VALUES (?1, ?2) ON CONFLICT DO NOTHING";
const COMPLETE: &str = "INSERT INTO records VALUES (?1, ?2)
    ON CONFLICT DO UPDATE SET value = excluded.value";
const GET: &str = "SELECT value FROM records WHERE key = ?1";

/// A connection with a write-ahead log, memory enough, and reads through a map.
pub fn connect(dir: &Path, synchronous: &str) -> Connection {
    let connection = Connection::open(dir.join("records.sqlite")).expect("open sqlite");
    let settings = format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous};
         PRAGMA cache_size = -524288; PRAGMA mmap_size = 8589934592;
         PRAGMA busy_timeout = 60000"
    );
    connection.execute_batch(&settings).expect("set sqlite up");
    connection
}

/// Writers take turns on one connection, as only one could write anyway; lookups have another.
struct Sqlite {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
}

impl Sqlite {
    fn open(dir: &Path, synchronous: &str) -> Self {
        let writer = connect(dir, synchronous);
        writer.execute_batch(TABLE).expect("create the table");
        Self { writer: Mutex::new(writer), reader: Mutex::new(connect(dir, synchronous)) }
    }

    /// One transaction; a verdict per change.
    fn apply(&self, changes: &[Change]) -> Vec<bool> {
        let writer = self.writer.lock();
        let transaction = writer.unchecked_transaction().expect("begin in sqlite");
        let verdicts = changes.iter().map(|change| apply(&transaction, change)).collect();
        transaction.commit().expect("commit in sqlite");
        verdicts
    }

    /// A transaction of its own, without a BEGIN and a COMMIT around it.
    fn apply_alone(&self, change: &Change) -> bool {
        apply(&self.writer.lock(), change)
    }
}

fn apply(connection: &Connection, change: &Change) -> bool {
    let sql = if change.must_be_new { CLAIM } else { COMPLETE };
    let mut statement = connection.prepare_cached(sql).expect("prepare for sqlite");
    statement.execute(params![change.key, change.value]).expect("write sqlite") == 1
}

impl Engine for Sqlite {
    fn claim(&self, request: &Request) -> bool {
        self.apply_alone(&Change::claim(request))
    }

    fn complete(&self, request: &Request) {
        self.apply_alone(&Change::complete(request));
    }

    fn replay(&self, request: &Request) -> Option<Vec<u8>> {
        let reader = self.reader.lock();
        let mut statement = reader.prepare_cached(GET).expect("prepare for sqlite");
        let response = |row: &rusqlite::Row| Ok(request.response_in(row.get_ref(0)?.as_blob()?));
        statement.query_row([request.joined()], response).optional().expect("read sqlite")?
    }

    fn load(&self, requests: &mut dyn Iterator<Item = Request>) {
        load_in_batches(requests, |changes| drop(self.apply(changes)));
    }
}

impl Batched for Sqlite {
    fn commit(&self, changes: &mut Vec<Change>) -> Vec<bool> {
        let verdicts = self.apply(changes);
        changes.clear();
        verdicts
    }
}

impl Synced for Sqlite {
    fn sync(&self) {
        let reader = self.reader.lock();
        let checkpoint = reader.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        checkpoint.expect("checkpoint sqlite");
    }
}
