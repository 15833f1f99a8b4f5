//! The index while it grows: what is there is found, whoever inserts, moves or removes beside it;
//! and whoever looks at records without the lock looks again before the answer is used.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{expect_found, explore, join_all};
use crate::ids::{KeyHash, Slot};
use crate::index::{Geometry, IndexShard, Location, with_masked_hashes};
use crate::slip::Slip;
use crate::sync::{Mutex, thread};
use crate::tests::world::{World, body, execute, key, outcome, scope};
use crate::{Outcome, StoredResponse};

/// A table begins with eight homes, and grows when the eighth record comes.
const BEFORE_GROWTH: u32 = 7;

/// A shard of the index under its lock, with what it ought to hold.
#[derive(Default)]
struct Table {
    index: IndexShard,
    model: BTreeMap<u32, u32>,
}

const GEOMETRY: Geometry = Geometry::new(1 << 16);

/// Hashes spread over the table, two of each value.
const fn hash(number: u32) -> KeyHash {
    KeyHash((number as u64 / 2) << 57)
}

const fn at(offset: u32) -> Location {
    Location { slot: Slot(1), offset: 4096 + 16 * offset }
}

impl Table {
    fn insert(&mut self, number: u32, offset: u32) {
        self.index.insert(GEOMETRY, hash(number), at(offset));
        self.model.insert(number, offset);
    }

    fn check(&self, number: u32) {
        let candidates = self.index.candidates(GEOMETRY, hash(number));
        let found = |offset: &u32| candidates.iter().any(|location| location == at(*offset));
        assert!(self.model.get(&number).is_none_or(found), "{number} is not found");
        assert_eq!(self.index.len(), self.model.len());
    }
}

#[test]
fn promise_3_what_is_in_a_growing_table_is_found() {
    explore("index, one table", || {
        let table = Arc::new(Mutex::new(Table::default()));
        (0..BEFORE_GROWTH - 1).for_each(|number| table.lock().insert(number, number));
        let with = |act: fn(&Mutex<Table>)| {
            let table = table.clone();
            thread::spawn(move || act(&table))
        };
        let acting = [
            with(|table| (10..16).for_each(|number| table.lock().insert(number, number))),
            with(|table| {
                for number in 0..4 {
                    // Moved as a compaction does it: found under one hold, moved under another.
                    let found = table.lock().model.get(&number).copied();
                    let Some(offset) = found else { continue };
                    let mut table = table.lock();
                    let (old, new) = (at(offset), at(offset + 100));
                    if table.index.replace(GEOMETRY, hash(number), old, new) {
                        table.model.insert(number, offset + 100);
                    }
                }
            }),
            with(|table| {
                for number in [2, 3, 12] {
                    let found = table.lock().model.get(&number).copied();
                    let Some(offset) = found else { continue };
                    let mut table = table.lock();
                    if table.index.remove(GEOMETRY, hash(number), at(offset)) {
                        table.model.remove(&number);
                    }
                }
            }),
        ];
        (0..16).for_each(|number| table.lock().check(number));
        join_all(acting);
        (0..16).for_each(|number| table.lock().check(number));
    });
}

/// Of a key's hash these bits are left: all keys are in one shard.
const ONE_SHARD: u64 = u64::MAX >> crate::index::SHARD_BITS;

#[test]
fn promise_3_records_are_found_while_the_index_grows() {
    with_masked_hashes(ONE_SHARD, || {
        explore("index, growth under a store", || {
            let store = World::new().open_with_threads(false);
            let name = |number: u32| format!("old-{number}");
            for number in 0..BEFORE_GROWTH {
                execute(&store, &name(number), "old");
            }
            let grows = {
                let store = store.clone();
                thread::spawn(move || drop(execute(&store, "new", "new")))
            };
            let forgets = {
                let store = store.clone();
                thread::spawn(move || {
                    let there = store.forget(&scope("acct"), &key("old-6")).wait();
                    assert!(there.expect("an answer"));
                    assert_eq!(body(&store, "old-6"), None);
                })
            };
            for number in [0, 3, 5] {
                assert_eq!(body(&store, &name(number)).as_deref(), Some(&b"old"[..]));
            }
            assert!(matches!(outcome(&store, "old-1"), Outcome::Replay(_)));
            grows.join().expect("grown");
            forgets.join().expect("forgotten");
            assert_eq!(body(&store, "new").as_deref(), Some(&b"new"[..]));
        });
    });
}

/// Two ask for a key while the table that it comes into grows. All hashes are equal, so that both
/// read the records of others without the lock.
fn one_executes() {
    with_masked_hashes(0, || {
        let store = World::new().open_with_threads(false);
        for number in 0..BEFORE_GROWTH {
            execute(&store, &format!("twin-{number}"), "twin");
        }
        let executed = Arc::new(AtomicU32::new(0));
        let asking = [0, 1].map(|_| {
            let (store, executed) = (store.clone(), executed.clone());
            thread::spawn(move || {
                if let Outcome::Claimed(claim) = outcome(&store, "k") {
                    executed.fetch_add(1, Ordering::Relaxed);
                    claim.complete(StoredResponse::new("done")).wait().expect("completed");
                }
            })
        });
        join_all(asking);
        assert_eq!(executed.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn promise_1_a_key_that_comes_between_two_looks_is_not_granted_again() {
    explore("index, two looks", one_executes);
}

#[test]
fn a_claim_that_does_not_look_again_is_found() {
    expect_found(Slip::UncheckedLook, 10_000, one_executes);
}
