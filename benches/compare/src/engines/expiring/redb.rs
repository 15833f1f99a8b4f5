//! redb with a second table in order of expiry.

use std::path::Path;

use redb::{Database, ReadableTable, TableDefinition};

use super::janitor::key_of;
use super::{Indexed, Janitor, Step, Variant};

pub const VARIANT: Variant = Variant {
    name: "redb",
    is_peer: true,
    open: |dir, pace| Box::new(Janitor { store: Redb::open(dir), pace }),
};

const RECORDS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("records");
const EXPIRIES: TableDefinition<&[u8], ()> = TableDefinition::new("expiries");

struct Redb {
    db: Database,
}

impl Redb {
    fn open(dir: &Path) -> Self {
        let redb = Self { db: Database::create(dir.join("records.redb")).expect("create redb") };
        redb.complete(&[]);
        redb
    }
}

impl Indexed for Redb {
    fn claim(&self, key: &[u8], value: &[u8]) -> bool {
        let transaction = self.db.begin_write().expect("begin in redb");
        let mut records = transaction.open_table(RECORDS).expect("open the table");
        let won = records.get(key).expect("read redb").is_none();
        if won {
            records.insert(key, value).expect("write redb");
        }
        drop(records);
        transaction.commit().expect("commit in redb");
        won
    }

    fn complete(&self, steps: &[Step]) {
        let transaction = self.db.begin_write().expect("begin in redb");
        {
            let mut records = transaction.open_table(RECORDS).expect("open the table");
            let mut expiries = transaction.open_table(EXPIRIES).expect("open the index");
            for step in steps {
                records.insert(&*step.key, &*step.value).expect("write redb");
                expiries.insert(&*step.due, ()).expect("write redb");
            }
        }
        transaction.commit().expect("commit in redb");
    }

    fn expire(&self, _after: &mut Vec<u8>, end: &[u8], limit: usize) -> usize {
        let transaction = self.db.begin_write().expect("begin in redb");
        let mut count = 0;
        {
            let mut records = transaction.open_table(RECORDS).expect("open the table");
            let mut expiries = transaction.open_table(EXPIRIES).expect("open the index");
            let due = expiries.extract_from_if(..end, |_, ()| true).expect("read the index");
            for entry in due.take(limit) {
                let (entry, _) = entry.expect("read the index");
                records.remove(key_of(entry.value())).expect("write redb");
                count += 1;
            }
        }
        transaction.commit().expect("commit in redb");
        count
    }
}
