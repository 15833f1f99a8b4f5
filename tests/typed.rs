//! Typed payloads (feature `serde`): what goes in comes out, and nothing else does.

#![cfg(feature = "serde")]

mod common;

use common::{claimed, outcome, replayed};
use oncekey::{ErrorKind, Store, StoredResponse};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Receipt {
    id: String,
    cents: u64,
    refunded: Option<bool>,
    tags: Vec<(u8, char)>,
}

fn receipt() -> Receipt {
    Receipt { id: "ch_7".into(), cents: 100_000, refunded: Some(false), tags: vec![(1, 'ü')] }
}

/// The bytes of [`receipt`] in format version 1: a change of them would orphan every stored record.
const GOLDEN: [u8; 18] =
    [4, b'c', b'h', b'_', b'7', 252, 0xa0, 0x86, 1, 0, 1, 0, 1, 1, 0xc3, 0xbc, 0, 0];

#[test]
fn a_value_comes_back_as_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::create(dir.path().join("store")).expect("a store");
    let call = claimed(outcome(&store, "a")).complete_as(&receipt()).expect("it encodes");
    assert_eq!(call.wait().expect("completed").decode::<Receipt>().expect("it"), receipt());
    drop(store);
    let store = Store::open(dir.path().join("store")).expect("the store");
    let record = replayed(outcome(&store, "a"));
    assert_eq!(record.decode::<Receipt>().expect("it"), receipt());
}

#[test]
fn another_type_is_an_error() {
    let stored = StoredResponse::encode(&receipt()).expect("it encodes");
    let kinds = [
        stored.decode::<u64>().map(drop),
        stored.decode::<String>().map(drop),
        stored.decode::<(Receipt, u8)>().map(drop),
        StoredResponse::new("").decode::<u8>().map(drop),
        // A length that no memory holds.
        StoredResponse::new([253, 255, 255, 255, 255, 255, 255, 255, 255])
            .decode::<String>()
            .map(drop),
        StoredResponse::new([253, 255, 255, 255, 255, 255, 255, 255, 127])
            .decode::<Vec<u64>>()
            .map(drop),
    ];
    for told in kinds {
        assert_eq!(told.expect_err("another type").kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn the_bytes_never_change() {
    let stored = StoredResponse::encode(&receipt()).expect("it encodes");
    assert_eq!(stored.body(), &GOLDEN[..16]);
}
