//! The store by itself: cycles (claim, then complete) by callers and durability, lookups, replays,
//! and opening.
//!
//! `cargo bench` runs all of it on the disk that holds the system's temporary directory; set
//! `TMPDIR` to measure another. How it compares with other engines and with what the disk allows is
//! `benches/compare`'s to say.

#![allow(missing_docs, clippy::disallowed_methods, reason = "a bench measures real time")]

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use oncekey::{
    ClaimRequest, Durability, Fingerprint, Key, Options, Outcome, Scope, Store, StoredResponse,
};
use tempfile::TempDir;

const RESPONSE: [u8; 256] = [7; 256];
/// Records that are there when lookups and replays are measured.
const RECORDS: u64 = 200_000;

/// Numbers keys across all runs, so that none is claimed twice.
static NEXT: AtomicU64 = AtomicU64::new(0);

struct Bench {
    store: Store,
    _dir: TempDir,
}

impl Bench {
    fn new(options: &Options) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = options.create(dir.path().join("store")).expect("a store");
        Self { store, _dir: dir }
    }

    /// A store with so many completed records.
    fn filled(records: u64) -> Self {
        let bench = Self::new(&Options::new().durability(Durability::Interval(SECOND)));
        for number in 0..records {
            cycle(&bench.store, number);
        }
        bench
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn scope() -> Scope {
    Scope::new("acct_000042").expect("a scope")
}

fn key(number: u64) -> Key {
    Key::new(format!("{number:020}-0000-0000-0000")).expect("a key")
}

fn request(number: u64) -> ClaimRequest {
    ClaimRequest::new(scope(), key(number)).fingerprint(Fingerprint::from_bytes([3; 32]))
}

fn cycle(store: &Store, number: u64) {
    match store.claim(request(number)).wait() {
        Ok(Outcome::Claimed(claim)) => {
            claim.complete(StoredResponse::new(RESPONSE)).wait().expect("completed");
        }
        other => panic!("not claimed: {other:?}"),
    }
}

async fn cycle_task(store: Store, number: u64) {
    match store.claim(request(number)).await {
        Ok(Outcome::Claimed(claim)) => {
            claim.complete(StoredResponse::new(RESPONSE)).await.expect("completed");
        }
        other => panic!("not claimed: {other:?}"),
    }
}

fn next() -> u64 {
    RECORDS + NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Runs `cycles` cycles on `threads` threads.
fn by_threads(store: &Store, threads: u64, cycles: u64) -> Duration {
    let left = AtomicU64::new(cycles);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                    .is_ok()
                {
                    cycle(store, next());
                }
            });
        }
    });
    start.elapsed()
}

/// Runs `cycles` cycles as tasks, so many at a time, on two threads.
fn by_tasks(runtime: &tokio::runtime::Runtime, store: &Store, tasks: u64, cycles: u64) -> Duration {
    let start = Instant::now();
    runtime.block_on(async {
        let each = cycles.div_ceil(tasks);
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..tasks.min(cycles) {
            let store = store.clone();
            running.spawn(async move {
                for _ in 0..each {
                    cycle_task(store.clone(), next()).await;
                }
            });
        }
        while let Some(done) = running.join_next().await {
            done.expect("a task");
        }
    });
    start.elapsed()
}

fn cycles(c: &mut Criterion) {
    let modes = [
        ("durable", Options::new()),
        ("interval", Options::new().durability(Durability::Interval(Duration::from_millis(100)))),
    ];
    for (mode, options) in modes {
        let mut group = c.benchmark_group(format!("cycle/{mode}"));
        group.throughput(Throughput::Elements(1)).sample_size(10);
        for threads in [1, 8, 64] {
            let bench = Bench::new(&options);
            group.bench_function(format!("{threads} threads"), |b| {
                b.iter_custom(|cycles| by_threads(&bench.store, threads, cycles));
            });
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .expect("a runtime");
        let bench = Bench::new(&options);
        group.bench_function("1000 tasks", |b| {
            b.iter_custom(|cycles| {
                by_tasks(&runtime, &bench.store, 1000, cycles.max(1000))
                    / u32::try_from(cycles.max(1000) / cycles).unwrap_or(1)
            });
        });
        group.finish();
    }
}

fn lookups(c: &mut Criterion) {
    let bench = Bench::filled(RECORDS);
    let mut group = c.benchmark_group("lookup");
    group.throughput(Throughput::Elements(1));
    let scope = scope();
    let absent: Vec<Key> = (0..4096).map(|number| key(u64::MAX - number)).collect();
    let mut at = 0;
    group.bench_function("absent", |b| {
        b.iter(|| {
            at = (at + 1) % absent.len();
            black_box(bench.store.get(&scope, &absent[at]).wait().expect("a look"))
        });
    });
    let present: Vec<Key> = (0..4096).map(|number| key(number * 41)).collect();
    group.bench_function("present, 256 bytes", |b| {
        b.iter(|| {
            at = (at + 1) % present.len();
            black_box(bench.store.get(&scope, &present[at]).wait().expect("a look"))
        });
    });
    let mut number = 0;
    group.bench_function("replay, 256 bytes", |b| {
        b.iter_batched(
            || {
                number = (number + 41) % RECORDS;
                request(number)
            },
            |request| bench.store.claim(request).wait().expect("an outcome"),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn open(c: &mut Criterion) {
    let mut group = c.benchmark_group("open");
    group.sample_size(10);
    let Bench { store, _dir: dir } = Bench::filled(RECORDS);
    store.close(SECOND).wait().expect("closed");
    drop(store);
    let path = dir.path().join("store");
    group.bench_function(format!("{RECORDS} records, after a close"), |b| {
        b.iter_custom(|times| {
            let mut spent = Duration::ZERO;
            for _ in 0..times {
                let start = Instant::now();
                let store = Store::open(&path).expect("opened");
                spent += start.elapsed();
                store.close(SECOND).wait().expect("closed");
            }
            spent
        });
    });
    group.finish();
}

criterion_group!(benches, cycles, lookups, open);
criterion_main!(benches);
