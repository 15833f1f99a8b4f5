//! SQLite with an index on the time of expiry.

use std::path::Path;

use parking_lot::{FairMutex, FairMutexGuard};
use rusqlite::{Connection, params};

use super::janitor::EXPIRY_BYTES;
use super::{Indexed, Janitor, Step, Variant};
use crate::engines::sqlite::connect;

pub const VARIANT: Variant = Variant {
    name: "sqlite",
    is_peer: true,
    open: |dir, pace| Box::new(Janitor { store: Sqlite::open(dir), pace }),
};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS records
    (key BLOB PRIMARY KEY, value BLOB NOT NULL, due BLOB);
    CREATE INDEX IF NOT EXISTS expiries ON records (due) WHERE due IS NOT NULL";
const CLAIM: &str = "INSERT INTO records VALUES (?1, ?2, NULL) ON CONFLICT DO NOTHING";
const COMPLETE: &str = "INSERT INTO records VALUES (?1, ?2, ?3)
    ON CONFLICT DO UPDATE SET value = excluded.value, due = excluded.due";
const EXPIRE: &str = "DELETE FROM records WHERE rowid IN
    (SELECT rowid FROM records WHERE due < ?1 ORDER BY due LIMIT ?2)";

/// One connection, on which the janitor and the writers take turns.
struct Sqlite {
    connection: FairMutex<Connection>,
}

impl Sqlite {
    fn open(dir: &Path) -> Self {
        let connection = connect(dir, "FULL");
        connection.execute_batch(TABLE).expect("create the table");
        Self { connection: FairMutex::new(connection) }
    }

    fn lock(&self) -> FairMutexGuard<'_, Connection> {
        self.connection.lock()
    }
}

fn execute(connection: &Connection, sql: &str, values: impl rusqlite::Params) -> usize {
    let mut statement = connection.prepare_cached(sql).expect("prepare for sqlite");
    statement.execute(values).expect("write sqlite")
}

impl Indexed for Sqlite {
    fn claim(&self, key: &[u8], value: &[u8]) -> bool {
        execute(&self.lock(), CLAIM, params![key, value]) == 1
    }

    fn complete(&self, steps: &[Step]) {
        let connection = self.lock();
        let transaction = connection.unchecked_transaction().expect("begin in sqlite");
        for Step { key, value, due } in steps {
            execute(&transaction, COMPLETE, params![key, value, &due[..EXPIRY_BYTES]]);
        }
        transaction.commit().expect("commit in sqlite");
    }

    fn expire(&self, _after: &mut Vec<u8>, end: &[u8], limit: usize) -> usize {
        execute(&self.lock(), EXPIRE, params![end, limit as i64])
    }
}
