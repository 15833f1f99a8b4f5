//! LMDB through heed: a write transaction an operation, or one for everything that queued.
//!
//! With its default flags a commit syncs the data pages with fdatasync, and then writes its meta
//! page to a descriptor opened with `O_DSYNC`: two flushes, of which a count of sync calls sees
//! one.

use std::path::Path;
use std::sync::Arc;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvOpenOptions, Error, MdbError, PutFlags};

use super::grouped::{Batched, Change, Grouped, load_in_batches};
use super::{Engine, Mode, Role, Variant};
use crate::workload::Request;

pub const VARIANTS: [Variant; 2] = [
    Variant {
        name: "lmdb per-op",
        role: Role::Peer,
        mode: Mode::Durable,
        lookups: false,
        has_tasks: false,
        open: |dir| Arc::new(Lmdb::open(dir)),
    },
    Variant {
        name: "lmdb group",
        role: Role::Peer,
        mode: Mode::Durable,
        lookups: true,
        has_tasks: true,
        open: |dir| Arc::new(Grouped::new(Lmdb::open(dir))),
    },
];

/// Addresses set aside for the map; the file grows as it is used.
const MAP_BYTES: usize = 256 << 30;

/// A table of byte strings.
pub type Table = Database<'static, Bytes, Bytes>;

/// Opens an environment with these tables in it.
pub fn open<const N: usize>(dir: &Path, names: [&str; N]) -> (Env, [Table; N]) {
    let mut options = EnvOpenOptions::new();
    options.map_size(MAP_BYTES).max_dbs(N as u32);
    // SAFETY: nobody else touches the run's directory while it is mapped.
    let env = unsafe { options.open(dir) }.expect("open lmdb");
    let transaction = env.write_txn().expect("begin in lmdb");
    let tables = env.create_databases_and_commit(transaction, |opener, transaction| {
        let mut create = |name| opener.create_database::<Bytes, Bytes>(transaction, Some(name));
        let tables = names.map(|name| create(name).expect("create a table"));
        Ok::<_, Error>(CommitOrAbort::<_, ()>::Commit(tables))
    });
    let CommitOrAbort::Commit(tables) = tables.expect("commit in lmdb") else {
        unreachable!("nothing aborts it")
    };
    (env, tables)
}

/// True if the put was refused because the key is present.
pub fn is_refused(put: heed::Result<()>) -> bool {
    match put {
        Ok(()) => false,
        Err(Error::Mdb(MdbError::KeyExist)) => true,
        Err(error) => panic!("write lmdb: {error}"),
    }
}

struct Lmdb {
    env: Env,
    records: Table,
}

impl Lmdb {
    fn open(dir: &Path) -> Self {
        let (env, [records]) = open(dir, ["records"]);
        Self { env, records }
    }

    /// One durable transaction; a verdict per change.
    fn apply(&self, changes: &[Change]) -> Vec<bool> {
        let mut transaction = self.env.write_txn().expect("begin in lmdb");
        let mut verdicts = Vec::with_capacity(changes.len());
        for Change { key, value, must_be_new } in changes {
            let flags = if *must_be_new { PutFlags::NO_OVERWRITE } else { PutFlags::empty() };
            let put = self.records.put_with_flags(&mut transaction, flags, key, value);
            verdicts.push(!is_refused(put));
        }
        transaction.commit().expect("commit in lmdb");
        verdicts
    }
}

impl Engine for Lmdb {
    fn claim(&self, request: &Request) -> bool {
        self.apply(&[Change::claim(request)])[0]
    }

    fn complete(&self, request: &Request) {
        self.apply(&[Change::complete(request)]);
    }

    fn replay(&self, request: &Request) -> Option<Vec<u8>> {
        let transaction = self.env.read_txn().expect("begin reading lmdb");
        let value = self.records.get(&transaction, &request.joined()).expect("read lmdb")?;
        request.response_in(value)
    }

    fn load(&self, requests: &mut dyn Iterator<Item = Request>) {
        load_in_batches(requests, |changes| drop(self.apply(changes)));
    }
}

impl Batched for Lmdb {
    fn commit(&self, changes: &mut Vec<Change>) -> Vec<bool> {
        let verdicts = self.apply(changes);
        changes.clear();
        verdicts
    }
}
