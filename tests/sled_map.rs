//! A differential run against sled, used as a plain map: the same random operations, the same
//! answers, also after both were closed and opened again.

mod common;

use common::{Numbers, key, outcome, request, scope};
use oncekey::{Entry, ErrorKind, Options, Outcome, Store, StoredResponse};

const KEYS: u64 = 300;
const ROUNDS: u64 = 6;
const OPERATIONS: u64 = 2500;

struct Both {
    store: Store,
    map: sled::Db,
}

impl Both {
    fn open(dir: &std::path::Path) -> Self {
        let store = Options::new().segment_bytes(1 << 16).open_or_create(dir.join("store"));
        let map = sled::Config::new().path(dir.join("map")).flush_every_ms(None).open();
        Self { store: store.expect("a store"), map: map.expect("a map") }
    }

    /// Claims and completes a key: wins if and only if the map has nothing there.
    fn execute(&self, name: &str, body: &[u8]) {
        match outcome(&self.store, name) {
            Outcome::Claimed(claim) => {
                claim.complete(StoredResponse::new(body)).wait().expect("completed");
                assert_eq!(self.map.insert(name, body).expect("inserted"), None);
            }
            Outcome::Replay(record) => {
                let known = self.map.get(name).expect("a look").expect("it is there");
                assert_eq!(record.response().body(), &*known);
            }
            other => panic!("{other:?}"),
        }
    }

    fn release(&self, name: &str) {
        if let Outcome::Claimed(claim) = outcome(&self.store, name) {
            claim.release().wait().expect("released");
            assert_eq!(self.map.get(name).expect("a look"), None);
        }
    }

    fn forget(&self, name: &str) {
        let was_there = self.store.forget(&scope(), &key(name)).wait().expect("forgotten");
        assert_eq!(was_there, self.map.remove(name).expect("removed").is_some());
    }

    fn look(&self, name: &str) {
        let found = self.store.get(&scope(), &key(name)).wait().expect("a look");
        let known = self.map.get(name).expect("a look");
        match (found, known) {
            (None, None) => {}
            (Some(Entry::Completed(record)), Some(known)) => {
                assert_eq!(record.response().body(), &*known);
            }
            (found, known) => panic!("{name}: {found:?} against {known:?}"),
        }
    }
}

#[test]
fn the_same_operations_give_the_same_answers_as_sleds_map() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut numbers = Numbers(7);
    for round in 0..ROUNDS {
        let both = Both::open(dir.path());
        assert!(both.store.recovery().clean || round == 0);
        (0..KEYS).for_each(|i| both.look(&format!("key {i}")));
        for _ in 0..OPERATIONS {
            let name = format!("key {}", numbers.below(KEYS));
            match numbers.below(10) {
                0..4 => {
                    let body = numbers.next().to_le_bytes().repeat(numbers.below(120) as usize);
                    both.execute(&name, &body);
                }
                4..7 => both.forget(&name),
                7 => both.release(&name),
                8 if numbers.below(50) == 0 => {
                    both.store.compact().wait().expect("compacted");
                }
                _ => both.look(&name),
            }
        }
        assert_eq!(both.store.stats().records, both.map.len() as u64);
    }
    // All that is left goes at once.
    let both = Both::open(dir.path());
    let forgotten = both.store.forget_scope(&scope()).wait().expect("forgotten");
    assert_eq!(forgotten, both.map.len() as u64);
    let refused = both.store.claim(request("a").ttl(std::time::Duration::ZERO)).wait();
    assert_eq!(refused.expect_err("bad").kind(), ErrorKind::InvalidInput);
}
