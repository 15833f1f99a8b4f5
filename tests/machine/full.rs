//! A tiny filesystem that fills up under load and is given room again (promise 8): a full disk is
//! met before a decision, what is claimed can end, reads go on, and nothing has to be opened again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use oncekey::audit::Audit;
use oncekey::{Claim, ErrorKind, Options, Store, StoredResponse};

use crate::common::{claimed, outcome, replayed, request};
use crate::ground::{self, Mount};
use crate::pause;

/// Upkeep looks for room about once a second; a machine may be busy.
const TRIES: u32 = 1200;
const TRY_EVERY: Duration = Duration::from_millis(50);
const HELD: usize = 12;

fn options(audit: &Audit) -> Options {
    Options::new().segment_bytes(1 << 16).audit(audit.clone())
}

/// No two are alike, and nothing of it can be compressed.
fn body(name: &str) -> Vec<u8> {
    let mut numbers = crate::common::Numbers(
        name.bytes().fold(1, |sum: u64, b| sum.wrapping_mul(31) ^ u64::from(b)),
    );
    (0..640).flat_map(|_| numbers.next().to_le_bytes()).collect()
}

/// Claims and completes fresh keys until the store says that the disk is full: what was completed.
fn fill(store: &Store, prefix: &str) -> Vec<String> {
    let mut done = Vec::new();
    for number in 0..100_000 {
        let name = format!("{prefix}-{number}");
        let claim = match store.claim(request(&name)).wait() {
            Ok(outcome) => claimed(outcome),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
                return done;
            }
        };
        if end(claim, &name) {
            done.push(name);
        }
    }
    panic!("the disk never gets full");
}

/// Completes a claim, without its body if there is no room for it; whether the body was kept.
fn end(claim: Claim, name: &str) -> bool {
    let error = match claim.complete(StoredResponse::new(body(name))).wait() {
        Ok(_) => return true,
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{}", error.error());
    let (claim, _) = error.into_claim().expect("a refused completion gives the claim back");
    claim.complete(StoredResponse::new("")).wait().expect("there is always room for this");
    false
}

fn check(store: &Store, done: &[String]) {
    for name in done {
        assert_eq!(replayed(outcome(store, name)).response().body(), body(name), "{name}");
    }
}

/// Asks until the store sees that there is room: what is left to claims in flight does not count.
fn until_there_is_room(store: &Store, name: &str) {
    for _ in 0..TRIES {
        if !store.stats().short_of_room {
            let claim = claimed(outcome(store, name));
            return claim.release().wait().expect("released");
        }
        pause(TRY_EVERY);
    }
    panic!("there is room, and the store does not see it: {:?}", store.stats());
}

/// Fills, gives room, fills again, opens again on a full disk.
fn fill_and_give_room(at: &Path, audit: &Audit, more: impl FnOnce(), even_more: impl FnOnce()) {
    let path: PathBuf = at.join("store");
    let store = options(audit).create(&path).expect("a store");
    let held: Vec<(String, Claim)> = (0..HELD)
        .map(|number| format!("held-{number}"))
        .map(|name| (name.clone(), claimed(outcome(&store, &name))))
        .collect();
    let mut done = fill(&store, "first");
    assert!(done.len() > 20, "{}", done.len());
    // What is completed is read and replayed, and what is claimed can end.
    check(&store, &done);
    for (number, (name, claim)) in held.into_iter().enumerate() {
        if number % 3 == 0 {
            claim.release().wait().expect("a release needs no room");
        } else if end(claim, &name) {
            done.push(name);
        }
    }
    assert!(!store.stats().poisoned);
    more();
    until_there_is_room(&store, "room");
    let second = fill(&store, "second");
    assert!(second.len() > 20, "{}", second.len());
    done.extend(second);
    check(&store, &done);
    store.close(Duration::from_secs(60)).wait().expect("it closes on a full disk");
    drop(store);
    let (store, opened_full) = open_again(&path, audit, even_more);
    assert!(store.recovery().damage.is_empty(), "{:?}", store.recovery());
    check(&store, &done);
    until_there_is_room(&store, "more-room");
    let name = "last".to_owned();
    assert!(end(claimed(outcome(&store, &name)), &name));
    done.push(name);
    check(&store, &done);
    drop(store);
    let report = oncekey::Inspector::open(&path).expect("a store").verify().expect("it is read");
    assert!(report.is_whole(), "{report:?}");
    println!("{} keys; opened while the disk was full: {opened_full}", done.len());
}

/// Opens on a full disk, if two files are free for it, or once there is room.
fn open_again(path: &Path, audit: &Audit, even_more: impl FnOnce()) -> (Store, bool) {
    match options(audit).open(path) {
        Ok(store) => {
            even_more();
            (store, true)
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
            even_more();
            (options(audit).open(path).expect("it opens where there is room"), false)
        }
    }
}

#[test]
#[ignore = "takes root, to mount filesystems"]
fn promise_8_a_tmpfs_that_is_full_and_grows() {
    on_tmpfs(&Audit::off());
}

/// A trail of the store's own takes from the same disk.
#[test]
#[ignore = "takes root, to mount filesystems"]
fn promise_8_a_tmpfs_that_is_full_also_of_a_trail() {
    on_tmpfs(&Audit::new());
}

fn on_tmpfs(audit: &Audit) {
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path().join("tiny");
    let mount = match Mount::new("tmpfs", "size=1536k", Path::new("tmpfs"), &at) {
        Ok(mount) => mount,
        Err(why) => return println!("skipped: {why}"),
    };
    let grow = |size: &str| mount.remount(size).expect("it grows");
    fill_and_give_room(&at, audit, || grow("size=3m"), || grow("size=5m"));
}

#[test]
#[ignore = "takes root and a loop device"]
fn promise_8_an_ext4_that_is_full_until_files_are_removed() {
    let directory = ground::directory().expect("a directory");
    let (image, at) = (directory.path().join("image"), directory.path().join("tiny"));
    let mounted = ground::format(&image, 16 << 20, 4)
        .and_then(|()| Mount::new("ext4", "loop,noatime", &image, &at));
    let _mount = match mounted {
        Ok(mount) => mount,
        Err(why) => return println!("skipped: {why}"),
    };
    let ballast = |name: &str| at.join(name);
    for name in ["ballast-1", "ballast-2"] {
        std::fs::write(ballast(name), vec![1; 3 << 20]).expect("there is room for it");
    }
    let drop_ballast = |name: &str| std::fs::remove_file(ballast(name)).expect("removed");
    let audit = Audit::off();
    fill_and_give_room(&at, &audit, || drop_ballast("ballast-1"), || drop_ballast("ballast-2"));
}
