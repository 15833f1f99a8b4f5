//! Somebody who means harm, from within: tenants who share a store, and callers who choose keys.
//! What each threat meets is in `docs/security.md`.

use std::collections::HashSet;

use super::world::*;
use crate::index::{KeyHasher, with_masked_hashes};
use crate::{ClaimRequest, DropPolicy, Entry, ErrorKind, Options, Outcome, StoredResponse};

/// Whatever hashes do: here all are equal, so that nothing but the stored scope and key tells two
/// records apart.
#[test]
fn promise_4_no_scope_sees_anothers_records_also_where_all_hashes_are_equal() {
    with_masked_hashes(0, || {
        let mut world = World::new();
        let store = world.open();
        let of = |name: &str| ClaimRequest::new(scope(name), key("k")).payload("same");
        let claim = claimed(store.claim(of("a")).wait().expect("an outcome"));
        claim.complete(StoredResponse::new("of a")).wait().expect("completed");
        let held = claimed(store.claim(of("b")).wait().expect("an outcome"));
        for _ in 0..2 {
            let unknown = store.get(&scope("c"), &key("k")).wait().expect("an answer");
            assert_eq!(unknown, None);
            assert!(matches!(store.claim(of("b")).wait(), Ok(Outcome::InFlight(_))));
        }
        // What one scope forgets or resolves is its own.
        assert_eq!(store.forget_scope(&scope("c")).wait().expect("forgotten"), 0);
        assert!(!store.forget(&scope("c"), &key("k")).wait().expect("an answer"));
        let resolution = crate::Resolution::NotExecuted;
        let error = store.resolve(&scope("c"), &key("k"), resolution).wait().expect_err("none");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        held.complete(StoredResponse::new("of b")).wait().expect("completed");
        for (name, body) in [("a", "of a"), ("b", "of b")] {
            let record = replayed(store.claim(of(name)).wait().expect("an outcome"));
            assert_eq!(record.response().body(), body.as_bytes());
        }
        assert_eq!(store.forget_scope(&scope("a")).wait().expect("forgotten"), 1);
        assert_eq!(store.get(&scope("a"), &key("k")).wait().expect("an answer"), None);
        let found = store.get(&scope("b"), &key("k")).wait().expect("an answer");
        assert!(matches!(found, Some(Entry::Completed(_))));
    });
}

/// A mismatch says which part differs, and nothing else of the first request or its response.
#[test]
fn promise_4_a_mismatch_tells_nothing_of_the_record() {
    let mut world = World::new();
    let store = world.open();
    execute(&store, "k", "a secret answer");
    let other = request("k").payload("guess");
    let Outcome::Mismatch(mismatch) = store.claim(other).wait().expect("an outcome") else {
        panic!("another payload is another request");
    };
    let told = format!("{mismatch:?}");
    assert!(!told.contains("secret") && !told.contains("115, 101, 99"), "{told}");
}

/// Keys that meet in one store are spread in another: a caller cannot choose them without its
/// secret.
#[test]
fn keys_that_collide_in_one_store_do_not_in_another() {
    let (ours, theirs) = (KeyHasher::new(&[1; 16]), KeyHasher::new(&[2; 16]));
    let names = (0..2_000_000_u32).map(|number| number.to_string());
    let chosen: Vec<String> =
        names.filter(|name| ours.hash(b"acct", name.as_bytes()).shard() == 7).collect();
    assert!(chosen.len() > 300);
    let shards: HashSet<usize> =
        chosen.iter().map(|name| theirs.hash(b"acct", name.as_bytes()).shard()).collect();
    assert!(shards.len() > chosen.len() * 9 / 10, "{} of {}", shards.len(), chosen.len());
}

/// Each store draws a secret of its own.
#[test]
fn two_stores_have_two_secrets() {
    let mut ids = HashSet::new();
    for _ in 0..2 {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Options::new().segment_bytes(1 << 16).create(directory.path()).expect("one");
        assert!(ids.insert(store.id().to_string()));
        let manifest = directory.path().join("MANIFEST");
        drop(store);
        #[allow(clippy::disallowed_methods, reason = "this test looks at the store's files")]
        let bytes = std::fs::read(manifest).expect("a manifest");
        let (manifest, _) = crate::log::Manifest::decode(&bytes).expect("a good one");
        assert!(ids.insert(format!("{:?}", manifest.hash_key)));
    }
}

/// Who knows a key, its token and its attempt does not hold it: a stale holder, whoever else, and a
/// guard of another store are refused.
#[test]
fn promise_1_a_claim_is_not_stolen_by_knowing_its_names() {
    let mut world = World::with(Options::new().on_drop(DropPolicy::Hold));
    let store = world.open();
    let first = claim(&store, "k");
    world.advance(HALF_HOUR);
    let second = claim(&store, "k");
    assert!(second.token() > first.token());
    let error = first.complete(StoredResponse::new("theirs")).wait().expect_err("it is stale");
    assert_eq!(error.kind(), ErrorKind::LeaseLost);
    // The key cannot be forgotten away from its holder either.
    let error = store.forget(&scope("acct"), &key("k")).wait().expect_err("it is held");
    assert_eq!(error.kind(), ErrorKind::InFlight);
    second.complete(StoredResponse::new("ours")).wait().expect("completed");
    assert_eq!(replayed(outcome(&store, "k")).response().body(), b"ours");
}
