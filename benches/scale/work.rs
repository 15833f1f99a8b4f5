//! What one process of the bench does: fill a store and die, or open one, measure and die.
//!
//! Each prints its figures as lines of a name and a number, and ends without closing the store, as
//! if it had been killed.

use std::path::Path;
use std::time::{Duration, Instant};

use oncekey::{
    ClaimRequest, Durability, Fingerprint, Key, Options, Outcome, Scope, Store, StoredResponse,
};
use rustix::time::{ClockId, clock_gettime};

const RESPONSE: [u8; 16] = [7; 16];
const TASKS: u64 = 1000;
const INTERVAL: Duration = Duration::from_millis(100);
/// Claims whose latency is measured, synced now and then.
const INTERVAL_CLAIMS: u64 = 30_000;
/// Claims whose latency is measured, each synced.
const SYNC_CLAIMS: u64 = 3000;
/// Lookups of keys that are not there, and replays.
const LOOKUPS: u64 = 50_000;

/// Fills a new store with so many completed keys.
pub fn fill(dir: &Path, keys: u64) -> ! {
    let options = Options::new().durability(Durability::Interval(INTERVAL));
    let store = options.create(dir).expect("a store");
    let before = anonymous_bytes();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
    let start = Instant::now();
    runtime.expect("a runtime").block_on(async {
        let mut running = tokio::task::JoinSet::new();
        for task in 0..TASKS {
            let store = store.clone();
            running.spawn(async move {
                for number in (task..keys).step_by(TASKS as usize) {
                    cycle(&store, number).await;
                }
            });
        }
        while let Some(done) = running.join_next().await {
            done.expect("a task");
        }
    });
    tell("fill_s", start.elapsed().as_secs_f64());
    let stats = store.stats();
    assert_eq!(stats.records, keys);
    tell("fill_anonymous", anonymous_bytes().saturating_sub(before) as f64);
    tell("fill_index", stats.index_bytes as f64);
    tell("disk", stats.disk_bytes as f64);
    std::process::abort()
}

/// Opens a store after a crash and measures it; `fresh` numbers keys that were never claimed.
pub fn open(dir: &Path, keys: u64, fresh: u64) -> ! {
    let before = anonymous_bytes();
    let start = Instant::now();
    let options = Options::new().durability(Durability::Interval(INTERVAL));
    let store = options.open(dir).expect("the store opens");
    tell("open_ms", start.elapsed().as_secs_f64() * 1e3);
    tell("open_cpu_ms", cpu_ms());
    tell("open_peak", peak_bytes().saturating_sub(before) as f64);
    tell("open_anonymous", anonymous_bytes().saturating_sub(before) as f64);
    let stats = store.stats();
    assert!(stats.records >= keys, "{} of {keys} records", stats.records);
    tell("open_index", stats.index_bytes as f64);
    tell("segments", stats.segments as f64);
    claims(&store, "interval", fresh, INTERVAL_CLAIMS);
    lookups(&store, keys);
    std::process::abort()
}

/// Opens a store, measures that, and dies at once: what it leaves has no tail.
pub fn open_only(dir: &Path) -> ! {
    let start = Instant::now();
    let _store = Options::new().open(dir).expect("the store opens");
    tell("bare_open_ms", start.elapsed().as_secs_f64() * 1e3);
    tell("bare_open_cpu_ms", cpu_ms());
    std::process::abort()
}

/// Opens a store that syncs each batch, and measures claims.
pub fn open_sync(dir: &Path, fresh: u64) -> ! {
    let store = Options::new().open(dir).expect("the store opens");
    claims(&store, "sync", fresh, SYNC_CLAIMS);
    std::process::abort()
}

/// Measures claims of fresh keys on one thread; each is completed.
fn claims(store: &Store, name: &str, fresh: u64, count: u64) {
    let mut taken = Vec::with_capacity(count as usize);
    for number in fresh..fresh + count {
        let request = request(number);
        let start = Instant::now();
        let outcome = store.claim(request).wait();
        taken.push(start.elapsed().as_nanos() as f64 / 1e3);
        let Ok(Outcome::Claimed(claim)) = outcome else { panic!("not claimed: {outcome:?}") };
        claim.complete(StoredResponse::new(RESPONSE)).wait().expect("completed");
    }
    // The first ones meet a store that has just been opened.
    let mut taken = taken.split_off(count as usize / 10);
    taken.sort_unstable_by(f64::total_cmp);
    let quantile = |share: f64| taken[((taken.len() - 1) as f64 * share) as usize];
    tell(&format!("{name}_p50_us"), quantile(0.5));
    tell(&format!("{name}_p99_us"), quantile(0.99));
    tell(&format!("{name}_p999_us"), quantile(0.999));
}

/// Looks up keys that are not there, and one in some of those that are.
fn lookups(store: &Store, keys: u64) {
    let reads = read_calls();
    let start = Instant::now();
    for number in 0..LOOKUPS {
        let found = store.get(&scope(), &key(u64::MAX - number)).wait().expect("an answer");
        assert!(found.is_none());
    }
    tell("absent_ns", start.elapsed().as_nanos() as f64 / LOOKUPS as f64);
    // Whatever was read in a lookup was read for the sake of a false match.
    tell("false_reads", read_calls().saturating_sub(reads) as f64);
    let start = Instant::now();
    for number in 0..LOOKUPS {
        let number = number * 7919 % keys;
        assert!(store.get(&scope(), &key(number)).wait().expect("an answer").is_some());
    }
    tell("present_ns", start.elapsed().as_nanos() as f64 / LOOKUPS as f64);
}

async fn cycle(store: &Store, number: u64) {
    match store.claim(request(number)).await {
        Ok(Outcome::Claimed(claim)) => {
            claim.complete(StoredResponse::new(RESPONSE)).await.expect("completed");
        }
        other => panic!("not claimed: {other:?}"),
    }
}

fn scope() -> Scope {
    Scope::new("acct_000042").expect("a scope")
}

fn key(number: u64) -> Key {
    Key::new(format!("{number:020}-0000-0000-0000x")).expect("a key")
}

fn request(number: u64) -> ClaimRequest {
    ClaimRequest::new(scope(), key(number)).fingerprint(Fingerprint::from_bytes([3; 32]))
}

fn tell(name: &str, value: f64) {
    println!("{name} {value}");
}

/// Memory of the process that is no file's.
fn anonymous_bytes() -> u64 {
    status("RssAnon:")
}

/// The most memory the process has had.
fn peak_bytes() -> u64 {
    status("VmHWM:")
}

fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Processor time of the process so far, of all its threads.
fn cpu_ms() -> f64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    spent.tv_sec as f64 * 1e3 + spent.tv_nsec as f64 / 1e6
}

/// Calls of `read` and its like so far.
fn read_calls() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let calls = io.lines().find_map(|line| line.strip_prefix("syscr: "));
    calls.and_then(|count| count.parse().ok()).unwrap_or(0)
}
