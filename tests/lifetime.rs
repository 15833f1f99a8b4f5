//! Opening and closing on real files: what is refused, what it says, who holds the directory and
//! until when.

#![allow(clippy::disallowed_methods, reason = "this test puts files where they do not belong")]

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{claimed, outcome, replayed, request};
use oncekey::{Error, ErrorKind, Options, Outcome, Store, StoredResponse};

const LIMIT: Duration = Duration::from_secs(30);

fn refused(opened: oncekey::Result<Store>, kind: ErrorKind) -> Error {
    let error = opened.expect_err("it must be refused");
    assert_eq!(error.kind(), kind, "{error}");
    error
}

fn options() -> Options {
    Options::new().segment_bytes(1 << 16)
}

fn files(path: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(path)
        .expect("a directory")
        .map(|entry| entry.expect("one").path())
        .collect();
    files.sort();
    files
}

fn in_a_directory(run: impl FnOnce(&Path)) {
    let dir = tempfile::tempdir().expect("a directory");
    run(dir.path());
}

#[test]
fn opening_does_not_create() {
    in_a_directory(|dir| {
        let missing = dir.join("missing");
        let error = refused(Store::open(&missing), ErrorKind::WrongStore);
        assert!(error.to_string().contains("does not exist"), "{error}");
        assert!(!missing.exists());
        // An empty mount must not pass for a fresh store, nor be made to look like one.
        let error = refused(Store::open(dir), ErrorKind::WrongStore);
        assert!(error.to_string().contains("is empty"), "{error}");
        assert!(files(dir).is_empty());
    });
}

#[test]
fn what_is_not_a_store_is_left_alone() {
    in_a_directory(|dir| {
        let file = dir.join("notes.txt");
        std::fs::write(&file, "mine").expect("written");
        for open in [Options::open, Options::create, Options::open_or_create] {
            refused(open(&options(), dir), ErrorKind::WrongStore);
        }
        assert_eq!(files(dir), std::slice::from_ref(&file));
        // A file in place of the directory, or above it.
        let below = file.join("below");
        for open in [Options::open, Options::create, Options::open_or_create] {
            let error = refused(open(&options(), &file), ErrorKind::WrongStore);
            assert!(error.to_string().contains("not a directory"), "{error}");
            refused(open(&options(), &below), ErrorKind::WrongStore);
        }
        assert_eq!(std::fs::read(&file).expect("there"), b"mine");
    });
}

#[test]
fn creating_refuses_a_store_that_exists_and_keeps_it() {
    in_a_directory(|dir| {
        let path = dir.join("some/where/store");
        let store = options().create(&path).expect("a store, and its parents");
        let id = store.id();
        claimed(outcome(&store, "a")).complete(StoredResponse::new("b")).wait().expect("completed");
        refused(options().create(&path), ErrorKind::WrongStore);
        drop(store);
        let error = refused(options().create(&path), ErrorKind::WrongStore);
        assert!(error.to_string().contains("holds a store already"), "{error}");
        let store = options().open_or_create(&path).expect("the store");
        assert_eq!(store.id(), id);
        assert_eq!(replayed(outcome(&store, "a")).response().body(), b"b");
    });
}

#[test]
fn a_directory_is_opened_once_and_the_error_says_by_whom() {
    in_a_directory(|dir| {
        let path = dir.join("store");
        let store = options().create(&path).expect("a store");
        let error = refused(Store::open(&path), ErrorKind::Locked);
        assert!(error.to_string().contains("open in this process"), "{error}");
        // Also by another name.
        std::os::unix::fs::symlink(&path, dir.join("link")).expect("a link");
        refused(Store::open(dir.join("link")), ErrorKind::Locked);
        drop(store);
        Store::open(&path).expect("free again");
    });
}

#[test]
fn a_lock_is_waited_for_as_long_as_was_asked_for() {
    in_a_directory(|dir| {
        let path = dir.join("store");
        let store = options().create(&path).expect("a store");
        let patient = options().lock_wait(Duration::from_millis(30));
        let error = refused(patient.open(&path), ErrorKind::Locked);
        assert!(error.to_string().contains("waited"), "{error}");
        let claim = claimed(outcome(&store, "a"));
        drop(store);
        std::thread::scope(|threads| {
            let opening = threads.spawn(|| options().lock_wait(LIMIT).open(&path));
            claim.complete(StoredResponse::new("b")).wait().expect("completed");
            let store = opening.join().expect("no panic").expect("it waited");
            assert_eq!(replayed(outcome(&store, "a")).response().body(), b"b");
        });
    });
}

#[test]
fn another_store_than_expected_is_refused() {
    in_a_directory(|dir| {
        let (one, other) = (dir.join("one"), dir.join("other"));
        let id = options().create(&one).expect("a store").id();
        options().create(&other).expect("a store");
        let error = refused(options().expect_id(id).open(&other), ErrorKind::WrongStore);
        assert!(error.to_string().contains(&id.to_string()), "{error}");
        let parsed = oncekey::StoreId::parse(&id.to_string()).expect("what it displays");
        assert_eq!(options().expect_id(parsed).open(&one).expect("the right one").id(), id);
        assert_eq!(oncekey::StoreId::parse("no"), None);
    });
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_kept() {
    in_a_directory(|dir| {
        let path = dir.join("store");
        drop(options().create(&path).expect("a store"));
        let manifest = path.join("MANIFEST");
        let mut bytes = std::fs::read(&manifest).expect("a manifest");
        let half = bytes.len() / 2;
        // The version comes after eight bytes of magic and four of checksum, in both copies.
        bytes[12] = 99;
        bytes[half + 12] = 99;
        std::fs::write(&manifest, &bytes).expect("written");
        let error = refused(Store::open(&path), ErrorKind::VersionTooNew);
        assert!(error.to_string().contains("99"), "{error}");
        assert_eq!(std::fs::read(&manifest).expect("a manifest"), bytes);
    });
}

#[test]
fn a_directory_that_may_not_be_written_is_an_error_of_the_system() {
    use std::os::unix::fs::PermissionsExt;
    in_a_directory(|dir| {
        let path = dir.join("store");
        drop(options().create(&path).expect("a store"));
        let read_only = std::fs::Permissions::from_mode(0o500);
        std::fs::set_permissions(&path, read_only).expect("changed");
        if std::fs::write(path.join("probe"), "").is_ok() {
            // Permissions bind everybody but root.
            return;
        }
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o500)).expect("changed");
        refused(options().create(dir.join("new")), ErrorKind::Io);
        refused(Store::open(&path), ErrorKind::Io);
        for path in [dir, &path] {
            let writable = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(path, writable).expect("changed");
        }
    });
}

#[test]
fn a_closed_store_is_free_for_others_while_its_clones_live() {
    in_a_directory(|dir| {
        let path = dir.join("store");
        let store = options().create(&path).expect("a store");
        let clone = store.clone();
        let claim = claimed(outcome(&store, "a"));
        let tried = store.close(Duration::from_millis(5)).wait().expect("tried");
        assert_eq!(tried.remaining, 1);
        refused(Store::open(&path), ErrorKind::Locked);
        claim.complete(StoredResponse::new("b")).wait().expect("it may end");
        assert_eq!(store.close(LIMIT).wait().expect("closed").remaining, 0);
        let other = options().open(&path).expect("free");
        assert!(other.recovery().clean);
        let closed = clone.claim(request("a")).wait().expect_err("closed");
        assert_eq!(closed.kind(), ErrorKind::Closed);
        replayed(outcome(&other, "a"));
    });
}

#[test]
fn closing_waits_for_a_claim_of_another_thread() {
    in_a_directory(|dir| {
        let path = dir.join("store");
        let store = options().create(&path).expect("a store");
        let claim = claimed(outcome(&store, "a"));
        std::thread::scope(|threads| {
            let closing = threads.spawn(|| store.close(LIMIT).wait());
            let let_in = |i| store.claim(request(&format!("new {i}"))).wait().is_ok();
            assert!((0..).any(|i| !let_in(i)), "closing lets nobody in");
            claim.complete(StoredResponse::new("b")).wait().expect("completed while closing");
            let closed = closing.join().expect("no panic").expect("closed");
            assert_eq!(closed.remaining, 0);
        });
    });
}

#[test]
fn waiters_on_threads_are_woken_by_the_end_and_by_the_lease() {
    in_a_directory(|dir| {
        let store = options().create(dir.join("store")).expect("a store");
        for lease in [Duration::from_millis(20), LIMIT] {
            let request = || request(&format!("{lease:?}")).lease(lease);
            let first = claimed(store.claim(request()).wait().expect("an outcome"));
            std::thread::scope(|threads| {
                let waiting = threads.spawn(|| match store.claim(request()).wait() {
                    Ok(Outcome::InFlight(flight)) => flight.wait(LIMIT).wait(),
                    told => told,
                });
                if lease == LIMIT {
                    first.complete(StoredResponse::new("b")).wait().expect("completed");
                    replayed(waiting.join().expect("no panic").expect("an outcome"));
                } else {
                    let second = waiting.join().expect("no panic").expect("an outcome");
                    assert_eq!(claimed(second).attempt(), 2);
                }
            });
        }
    });
}
