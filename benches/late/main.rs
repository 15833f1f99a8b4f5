//! What the memory of expired keys costs: bytes a key, pages read for fresh keys that a filter took
//! for remembered ones, and the latency of a fresh claim with it and without.
//!
//! `cargo bench --bench late -- [--keys 1000000]`. The rounds of the two stores take turns, so that
//! whatever else the machine does meets both; what counts is the median of the ratios.

#![allow(missing_docs, clippy::disallowed_methods, reason = "a bench measures real time")]

use std::time::{Duration, Instant};

use oncekey::{
    ClaimRequest, DropPolicy, Durability, Key, Options, Outcome, Scope, Store, StoredResponse,
};

const THREADS: u64 = 4;
const ROUNDS: u64 = 31;
const CLAIMS: u64 = 20_000;
/// So many claims are counted for the reads of fresh keys.
const COUNTED: u64 = 500_000;

fn main() {
    let keys = std::env::args().skip_while(|arg| arg != "--keys").nth(1);
    let keys: u64 = keys.map_or(1_000_000, |keys| keys.parse().expect("a number of keys"));
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options::new().durability(Durability::Interval(Duration::from_millis(100)));
    let open = |name: &str, remember: Duration| {
        let options = options.clone().remember_late(remember);
        options.create(dir.path().join(name)).expect("a store")
    };
    let with = open("with", Duration::from_secs(24 * 3600));
    let without = open("without", Duration::ZERO);
    let pauses = [with.pause_compaction(), without.pause_compaction()];
    fill(&with, keys);
    fill(&without, keys);
    std::thread::sleep(Duration::from_secs(2));
    let pruned_in = [&with, &without].map(|store| {
        let began = Instant::now();
        store.prune().wait().expect("pruned");
        began.elapsed().as_millis()
    });
    drop(pauses);

    println!("pruned              in {} ms, without in {} ms", pruned_in[0], pruned_in[1]);
    idle(&with, keys);
    let reopened = reopen(with, &options, &dir.path().join("with"));
    let with = reopened;
    let before = with.stats();
    claim_fresh(&with, "counted", COUNTED);
    let after = with.stats();
    let reads = after.late_reads - before.late_reads;
    println!(
        "unconfirmed hits    {reads} of {COUNTED} fresh claims ({:.3}%), {} told as late",
        100.0 * reads as f64 / COUNTED as f64,
        after.late_retries - before.late_retries
    );
    compare(&with, &without);
}

/// What the keys take at once, and once the store has been idle for a minute, or takes what it
/// should before that.
fn idle(store: &Store, keys: u64) {
    let began = Instant::now();
    let each = |bytes: u64, keys: u64| bytes as f64 / keys.max(1) as f64;
    let told = |what: &str| {
        let stats = store.stats();
        let memory = each(stats.late_bytes, stats.late_keys);
        let disk = each(stats.late_disk_bytes, stats.late_keys);
        println!("{what:<20}{memory:.3} bytes of memory a key, {disk:.2} of disk");
        stats
    };
    told("just pruned");
    while began.elapsed() < Duration::from_secs(61) {
        std::thread::sleep(Duration::from_millis(50));
        let stats = store.stats();
        if each(stats.late_bytes, stats.late_keys) < 1.5 {
            break;
        }
    }
    let stats = told("idle");
    let after = began.elapsed().as_secs_f64();
    println!("keys remembered     {} of {keys}, {after:.1} s after the prune", stats.late_keys);
}

fn reopen(store: Store, options: &Options, path: &std::path::Path) -> Store {
    store.close(Duration::from_secs(10)).wait().expect("closed");
    drop(store);
    let began = Instant::now();
    let store = options.open(path).expect("it opens");
    println!("opened              in {} ms", began.elapsed().as_millis());
    store
}

fn request(round: &str, number: u64) -> ClaimRequest {
    let key = Key::new(format!("{round}-{number:020}")).expect("a key");
    ClaimRequest::new(Scope::new("acct_42").expect("a scope"), key).on_drop(DropPolicy::Release)
}

/// Completes keys whose records live for a second.
fn fill(store: &Store, keys: u64) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for number in (thread..keys).step_by(THREADS as usize) {
                    let request = request("filled", number).ttl(Duration::from_secs(1));
                    let outcome = store.claim(request).wait().expect("an outcome");
                    let Outcome::Claimed(claim) = outcome else { panic!("not fresh: {outcome:?}") };
                    claim.complete(StoredResponse::new("done")).wait().expect("completed");
                }
            });
        }
    });
}

/// Claims fresh keys and releases them; returns how long each claim took, in order.
fn claim_fresh(store: &Store, round: &str, claims: u64) -> Vec<u64> {
    let mut all: Vec<u64> = (0..claims)
        .map(|number| {
            let request = request(round, number);
            let began = Instant::now();
            let outcome = store.claim(request).wait().expect("an outcome");
            let taken = began.elapsed().as_nanos() as u64;
            let Outcome::Claimed(claim) = outcome else { panic!("not fresh: {outcome:?}") };
            claim.release().wait().expect("released");
            taken
        })
        .collect();
    all.sort_unstable();
    all
}

fn compare(with: &Store, without: &Store) {
    let mut ratios = [Vec::new(), Vec::new()];
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        let stores = if round % 2 == 0 { [with, without] } else { [without, with] };
        let mut all = stores.map(|store| claim_fresh(store, &format!("round-{round}"), CLAIMS));
        if round % 2 == 1 {
            all.swap(0, 1);
        }
        for (at, share) in [50, 99].into_iter().enumerate() {
            let [with, without] = [&all[0], &all[1]].map(|all| all[all.len() * share / 100]);
            ratios[at].push(with as f64 / without as f64);
            times[at].push((with, without));
        }
    }
    for (at, name) in ["p50", "p99"].into_iter().enumerate() {
        ratios[at].sort_by(f64::total_cmp);
        times[at].sort_unstable();
        let (with, without) = times[at][times[at].len() / 2];
        println!(
            "fresh claim {name}     {:.3} times that without (such as {with} and {without} ns)",
            ratios[at][ratios[at].len() / 2]
        );
    }
}
