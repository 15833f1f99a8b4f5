//! LMDB with a second table in order of expiry.

use std::path::Path;

use heed::{Env, PutFlags};

use super::janitor::key_of;
use super::{Indexed, Janitor, Step, Variant};
use crate::engines::lmdb::{self, Table};

pub const VARIANT: Variant = Variant {
    name: "lmdb",
    is_peer: true,
    open: |dir, pace| Box::new(Janitor { store: Lmdb::open(dir), pace }),
};

struct Lmdb {
    env: Env,
    records: Table,
    expiries: Table,
}

impl Lmdb {
    fn open(dir: &Path) -> Self {
        let (env, [records, expiries]) = lmdb::open(dir, ["records", "expiries"]);
        Self { env, records, expiries }
    }
}

impl Indexed for Lmdb {
    fn claim(&self, key: &[u8], value: &[u8]) -> bool {
        let mut transaction = self.env.write_txn().expect("begin in lmdb");
        let put = self.records.put_with_flags(&mut transaction, PutFlags::NO_OVERWRITE, key, value);
        let won = !lmdb::is_refused(put);
        transaction.commit().expect("commit in lmdb");
        won
    }

    fn complete(&self, steps: &[Step]) {
        let mut transaction = self.env.write_txn().expect("begin in lmdb");
        for step in steps {
            self.records.put(&mut transaction, &step.key, &step.value).expect("write lmdb");
            self.expiries.put(&mut transaction, &step.due, &[]).expect("write lmdb");
        }
        transaction.commit().expect("commit in lmdb");
    }

    fn expire(&self, _after: &mut Vec<u8>, end: &[u8], limit: usize) -> usize {
        let mut transaction = self.env.write_txn().expect("begin in lmdb");
        let due: Vec<Vec<u8>> = self
            .expiries
            .iter(&transaction)
            .expect("read the index")
            .map(|entry| entry.expect("read the index").0)
            .take_while(|&entry| entry < end)
            .take(limit)
            .map(<[u8]>::to_vec)
            .collect();
        for entry in &due {
            self.records.delete(&mut transaction, key_of(entry)).expect("write lmdb");
            self.expiries.delete(&mut transaction, entry).expect("write lmdb");
        }
        transaction.commit().expect("commit in lmdb");
        due.len()
    }
}
