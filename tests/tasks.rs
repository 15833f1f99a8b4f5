//! Promise 1 under tasks: hundreds of them on a runtime's threads, few keys, some cancelled at
//! random moments.

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Numbers, claimed, outcome, replayed, request};
use oncekey::{
    Abort, Claim, DropPolicy, Durability, OnceError, Options, Outcome, Store, StoredResponse,
};

const TASKS: u64 = 500;
const KEYS: u64 = 5;
const LIMIT: Duration = Duration::from_secs(30);

/// What is known of the keys, beside the store.
#[derive(Default)]
struct Book {
    holders: [AtomicU32; KEYS as usize],
    answers: Mutex<HashMap<String, Vec<u8>>>,
}

/// Marks that somebody is executing a key, until it is dropped.
struct Executing<'a>(&'a AtomicU32);

impl<'a> Executing<'a> {
    fn begin(holders: &'a AtomicU32) -> Self {
        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two holders at a time");
        Self(holders)
    }
}

impl Drop for Executing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn store(dir: &tempfile::TempDir, durability: Durability) -> Store {
    let options = Options::new().durability(durability).segment_bytes(1 << 16);
    options.create(dir.path().join("store")).expect("a store")
}

async fn claim(store: &Store, name: &str) -> Outcome {
    let request = request(name).on_drop(DropPolicy::Release);
    match store.claim(request).await.expect("an outcome") {
        Outcome::InFlight(flight) => flight.wait(LIMIT).await.expect("an outcome"),
        told => told,
    }
}

/// One task's work on one key of a generation; `cancelled` says that it may stop anywhere.
async fn work(store: Store, book: Arc<Book>, generation: u64, mut numbers: Numbers) {
    for _ in 0..8 {
        let index = numbers.below(KEYS);
        let name = format!("{generation} {index}");
        match claim(&store, &name).await {
            Outcome::Claimed(claim) => execute(&book, index, &name, claim, &mut numbers).await,
            Outcome::Replay(record) => {
                let answers = book.answers.lock().expect("no panic");
                let expected = answers.get(&name).map(Vec::as_slice);
                assert_eq!(expected, Some(record.response().body()));
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn execute(book: &Book, index: u64, name: &str, claim: Claim, numbers: &mut Numbers) {
    assert_eq!(claim.attempt(), 1);
    let executing = Executing::begin(&book.holders[index as usize]);
    for _ in 0..numbers.below(3) {
        tokio::task::yield_now().await;
    }
    if numbers.below(4) == 0 {
        drop(executing);
        return drop(claim);
    }
    let body = format!("{name} under {}", claim.token()).into_bytes();
    // From here to the call of `complete` there is no await: both happen or neither.
    let earlier = book.answers.lock().expect("no panic").insert(name.to_owned(), body.clone());
    assert_eq!(earlier, None, "executed twice");
    drop(executing);
    let completion = claim.complete(StoredResponse::new(body));
    completion.await.expect("completed");
}

async fn race(store: &Store, cancel: bool) {
    let book = Arc::new(Book::default());
    for generation in 0..6 {
        let mut tasks = Vec::new();
        for task in 0..TASKS {
            let mut numbers = Numbers(generation * TASKS + task);
            let patience = numbers.below(40);
            let work = work(store.clone(), book.clone(), generation, numbers);
            tasks.push(tokio::spawn(async move {
                if !cancel || task % 2 == 0 {
                    return work.await;
                }
                tokio::select! {
                    () = work => {}
                    () = yield_times(patience) => {}
                }
            }));
        }
        for (i, task) in tasks.into_iter().enumerate() {
            if cancel && i % 5 == 1 {
                task.abort();
            }
            assert!(task.await.is_ok_or_cancelled(), "a task panicked");
        }
    }
    for (name, body) in book.answers.lock().expect("no panic").iter() {
        assert_eq!(replayed(outcome(store, name)).response().body(), body);
    }
    assert_eq!(store.stats().in_flight, 0);
}

trait Ended {
    fn is_ok_or_cancelled(&self) -> bool;
}

impl Ended for Result<(), tokio::task::JoinError> {
    fn is_ok_or_cancelled(&self) -> bool {
        self.as_ref().err().is_none_or(tokio::task::JoinError::is_cancelled)
    }
}

async fn yield_times(times: u64) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn promise_1_tasks_race_on_few_keys_synced() {
    let dir = tempfile::tempdir().expect("a directory");
    race(&store(&dir, Durability::Sync), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn promise_1_tasks_race_on_few_keys_in_intervals() {
    let dir = tempfile::tempdir().expect("a directory");
    race(&store(&dir, Durability::Interval(Duration::from_millis(5))), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn promise_1_tasks_that_are_cancelled_anywhere_leave_no_key_behind() {
    let dir = tempfile::tempdir().expect("a directory");
    race(&store(&dir, Durability::Sync), true).await;
}

#[tokio::test]
async fn promise_1_tasks_of_one_thread_are_cancelled_too() {
    let dir = tempfile::tempdir().expect("a directory");
    race(&store(&dir, Durability::Interval(Duration::from_millis(5))), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn once_runs_its_handler_once_for_hundreds_of_tasks() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store(&dir, Durability::Sync);
    for key in 0..5 {
        let runs = Arc::new(AtomicU32::new(0));
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let (store, runs) = (store.clone(), runs.clone());
                tokio::spawn(async move {
                    let call =
                        store.once(request(&format!("once {key}")), move |claim| async move {
                            let run = runs.fetch_add(1, Ordering::SeqCst);
                            tokio::task::yield_now().await;
                            if run < 3 {
                                return Err(Abort::release(task));
                            }
                            Ok(StoredResponse::new(claim.token().to_string()))
                        });
                    call.wait_limit(LIMIT).await
                })
            })
            .collect();
        let mut bodies = Vec::new();
        let mut failed = 0;
        for task in tasks {
            match task.await.expect("no panic") {
                Ok(record) => bodies.push(record.response().body().to_vec()),
                Err(OnceError::Handler(_)) => failed += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(failed, 3);
        assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "everybody gets one answer");
    }
}

#[tokio::test]
async fn a_panic_in_a_task_follows_the_policy() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store(&dir, Durability::Sync);
    let task = tokio::spawn({
        let store = store.clone();
        let request = request("a").on_drop(DropPolicy::Unresolved);
        async move {
            let handler = |_| async { std::panic::resume_unwind(Box::new("the handler's")) };
            store.once::<_, _, String>(request, handler).await
        }
    });
    assert!(task.await.expect_err("it goes on").is_panic());
    let told = store.claim(request("a")).await.expect("an outcome");
    assert!(matches!(told, Outcome::Unresolved(_)));
}

#[tokio::test]
async fn the_last_store_may_be_dropped_on_a_runtimes_thread() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("store");
    for _ in 0..5 {
        let store = Store::open_or_create(&path).expect("a store");
        let claim = claimed(store.claim(request("a")).await.expect("an outcome"));
        drop(store);
        claim.release().await.expect("released");
        // The lock is free as soon as the last of it is gone.
    }
    let store = Store::open(&path).expect("the store");
    let clone = store.clone();
    let closing = tokio::spawn(async move { clone.close(LIMIT).await });
    assert_eq!(closing.await.expect("no panic").expect("closed").remaining, 0);
    drop(store);
}
