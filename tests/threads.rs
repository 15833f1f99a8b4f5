//! Promise 1 under threads: many of them, few keys, real files. A book in memory checks that a key
//! has one holder at a time, runs once in its life, and answers everybody the same.

mod common;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{Numbers, key, outcome, request, scope};
use oncekey::{DropPolicy, Durability, ErrorKind, Options, Outcome, Store, StoredResponse};

const THREADS: u64 = 8;
const KEYS: usize = 6;
const LIMIT: Duration = Duration::from_secs(30);

/// What is known of one key, beside the store.
#[derive(Default)]
struct Page {
    holders: AtomicU32,
    /// The answer of each life of the key: it ends by a forget.
    answers: Mutex<HashMap<u64, Vec<u8>>>,
    life: std::sync::RwLock<u64>,
}

fn book() -> Vec<Page> {
    (0..KEYS).map(|_| Page::default()).collect()
}

/// Executes a claim as a service would, and notes the answer.
fn execute(page: &Page, claim: oncekey::Claim, life: u64, numbers: &mut Numbers) {
    assert_eq!(page.holders.fetch_add(1, Ordering::SeqCst), 0, "two holders at a time");
    assert_eq!(claim.attempt(), 1);
    let body = format!("{life} {} {}", claim.token(), "x".repeat(numbers.below(200) as usize));
    if numbers.below(4) == 0 {
        // Nothing took effect: somebody else may run.
        page.holders.fetch_sub(1, Ordering::SeqCst);
        claim.release().wait().expect("released");
        return;
    }
    let earlier = page.answers.lock().expect("no panic").insert(life, body.clone().into_bytes());
    assert_eq!(earlier, None, "executed twice");
    page.holders.fetch_sub(1, Ordering::SeqCst);
    claim.complete(StoredResponse::new(body)).wait().expect("completed");
}

fn one_operation(store: &Store, pages: &[Page], numbers: &mut Numbers) {
    let index = numbers.below(KEYS as u64) as usize;
    let page = &pages[index];
    let name = format!("key {index}");
    if numbers.below(20) == 0 {
        let mut life = page.life.write().expect("no panic");
        match store.forget(&scope(), &key(&name)).wait() {
            Ok(true) => *life += 1,
            Ok(false) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::InFlight),
        }
        return;
    }
    let life = page.life.read().expect("no panic");
    let mut told = outcome(store, &name);
    if let Outcome::InFlight(flight) = told {
        told = flight.wait(LIMIT).wait().expect("an outcome");
    }
    match told {
        Outcome::Claimed(claim) => execute(page, claim, *life, numbers),
        Outcome::Replay(record) => {
            let answers = page.answers.lock().expect("no panic");
            assert_eq!(answers.get(&life).map(Vec::as_slice), Some(record.response().body()));
        }
        other => panic!("{other:?}"),
    }
}

fn race(durability: Durability, operations: u64) {
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options::new().durability(durability).segment_bytes(1 << 16);
    let store = options.create(dir.path().join("store")).expect("a store");
    let pages = book();
    std::thread::scope(|threads| {
        for seed in 0..THREADS {
            let (store, pages) = (&store, &pages);
            threads.spawn(move || {
                let mut numbers = Numbers(seed);
                (0..operations).for_each(|_| one_operation(store, pages, &mut numbers));
            });
        }
    });
    assert_eq!(store.stats().in_flight, 0);
    drop(store);
    let store = options.open(dir.path().join("store")).expect("the store");
    assert!(store.recovery().clean);
    for (index, page) in pages.iter().enumerate() {
        let life = *page.life.read().expect("no panic");
        let expected = page.answers.lock().expect("no panic").get(&life).cloned();
        let found = match store.get(&scope(), &key(&format!("key {index}"))).wait() {
            Ok(Some(oncekey::Entry::Completed(record))) => Some(record.response().body().to_vec()),
            Ok(None) => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(found, expected);
    }
}

#[test]
fn promise_1_threads_race_on_few_keys_synced() {
    race(Durability::Sync, 1500);
}

#[test]
fn promise_1_threads_race_on_few_keys_in_intervals() {
    race(Durability::Interval(Duration::from_millis(5)), 3000);
}

#[test]
fn promise_1_takeovers_have_one_holder_and_only_the_last_completes() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options::new().durability(Durability::Interval(Duration::from_millis(5)));
    let store = options.segment_bytes(1 << 16).create(dir.path().join("store")).expect("a store");
    let completed = AtomicU32::new(0);
    std::thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| {
                let mut last = None;
                for i in 0..200 {
                    // Leases of a millisecond: everybody takes over from everybody.
                    let request = request(&format!("key {i}")).lease(Duration::from_millis(1));
                    let mut told = store.claim(request).wait().expect("an outcome");
                    while let Outcome::InFlight(flight) = told {
                        told = flight.wait(LIMIT).wait().expect("an outcome");
                    }
                    let Outcome::Claimed(claim) = told else { continue };
                    assert!(Some(claim.token()) > last, "tokens rise");
                    last = Some(claim.token());
                    std::thread::yield_now();
                    match claim.complete(StoredResponse::new("x")).wait() {
                        Ok(_) => drop(completed.fetch_add(1, Ordering::SeqCst)),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::LeaseLost),
                    }
                }
            });
        }
    });
    assert_eq!(completed.into_inner(), 200, "each key is completed once");
}

#[test]
fn promise_10_threads_never_pass_the_limit_of_claims_in_flight() {
    let dir = tempfile::tempdir().expect("a directory");
    let interval = Durability::Interval(Duration::from_millis(5));
    let options = Options::new().durability(interval).max_in_flight(3).segment_bytes(1 << 16);
    let store = options.create(dir.path().join("store")).expect("a store");
    let held = AtomicU32::new(0);
    std::thread::scope(|threads| {
        for seed in 0..THREADS {
            let (store, held) = (&store, &held);
            threads.spawn(move || {
                for i in 0..2000 {
                    let told = store.claim(request(&format!("{seed} {i}"))).wait();
                    match told {
                        Ok(Outcome::Claimed(claim)) => {
                            assert!(held.fetch_add(1, Ordering::SeqCst) < 3, "too many");
                            held.fetch_sub(1, Ordering::SeqCst);
                            claim.release().wait().expect("released");
                        }
                        Ok(other) => panic!("{other:?}"),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::LimitExceeded),
                    }
                }
            });
        }
    });
}

#[test]
fn closing_under_load_lets_every_claim_end_and_nothing_in() {
    for round in 0..10 {
        let dir = tempfile::tempdir().expect("a directory");
        let options = Options::new().segment_bytes(1 << 16);
        let store = options.create(dir.path().join("store")).expect("a store");
        let acknowledged = Mutex::new(Vec::new());
        std::thread::scope(|threads| {
            for seed in 0..THREADS {
                let (store, acknowledged) = (store.clone(), &acknowledged);
                threads.spawn(move || {
                    for i in 0.. {
                        let name = format!("{seed} {i}");
                        let claim = match store.claim(request(&name)).wait() {
                            Ok(told) => common::claimed(told),
                            Err(error) => return assert_eq!(error.kind(), ErrorKind::Closed),
                        };
                        claim.complete(StoredResponse::new("x")).wait().expect("let in: it ends");
                        acknowledged.lock().expect("no panic").push(name);
                    }
                });
            }
            while acknowledged.lock().expect("no panic").len() < 20 + 7 * round {
                std::thread::yield_now();
            }
            assert_eq!(store.close(LIMIT).wait().expect("closed").remaining, 0);
        });
        // The old clone is still there; the directory is free all the same.
        let again = options.open(dir.path().join("store")).expect("the store");
        assert!(again.recovery().clean);
        for name in acknowledged.into_inner().expect("no panic") {
            common::replayed(outcome(&again, &name));
        }
    }
}

#[test]
fn dropped_claims_of_threads_that_panic_follow_their_policy() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::create(dir.path().join("store")).expect("a store");
    let request = || request("a").on_drop(DropPolicy::Release);
    for _ in 0..20 {
        let panicking = store.clone();
        let claim = request();
        let thread = std::thread::spawn(move || {
            let _claim = common::claimed(panicking.claim(claim).wait().expect("an outcome"));
            std::panic::resume_unwind(Box::new("the handler's"));
        });
        assert!(thread.join().is_err());
        let claim = common::claimed(store.claim(request()).wait().expect("an outcome"));
        assert_eq!(claim.attempt(), 1);
        claim.release().wait().expect("released");
    }
}
