//! What the audit costs: claims and completions with and without it, in rounds that take turns; and
//! how fast a trail is read.
//!
//! ```sh
//! cargo bench --bench audit                 # in a directory of the system's for temporary files
//! TMPDIR=/path cargo bench --bench audit    # on the disk that matters
//! cargo bench --bench audit -- --stalled    # with the trail on a filesystem that is frozen (root)
//! ```
//!
//! Each request has a key, a scope, an operation and a caller of its own, as a service's would.

#![allow(clippy::disallowed_methods, reason = "a bench measures time")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use oncekey::audit::{Audit, Trail, TrailItem};
use oncekey::{Caller, ClaimRequest, Key, Options, Outcome, Scope, Store, StoredResponse};

const ROUNDS: u64 = 15;
const THREADS: u64 = 64;
const TASKS: u64 = 1000;
/// How long a round lasts.
const ROUND: Duration = Duration::from_millis(1500);

/// What one round came to.
struct Round {
    a_second: f64,
    p99_us: f64,
}

fn request(round: u64, worker: u64, number: u64) -> ClaimRequest {
    let scope = Scope::new(format!("acct_{}", number % 997)).expect("a scope");
    let key = Key::new(format!("{round:04x}{worker:04x}-aaaa-4bbb-8ccc-{number:012x}"));
    let caller = Caller::new()
        .client("ios-app")
        .ip([198, 51, (worker % 250) as u8, (number % 250) as u8].into())
        .user_agent("ios-app/7.1 (iPhone)")
        .request_id(format!("{worker:08x}{number:08x}"));
    ClaimRequest::new(scope, key.expect("a key")).operation("POST /v1/charges").caller(caller)
}

fn tell(begin: Instant, mut latencies_us: Vec<f64>) -> Round {
    let a_second = latencies_us.len() as f64 / begin.elapsed().as_secs_f64();
    latencies_us.sort_by(f64::total_cmp);
    Round { a_second, p99_us: latencies_us[latencies_us.len() * 99 / 100] }
}

fn threads(store: &Store, round: u64) -> Round {
    let begin = Instant::now();
    let worker = |worker| {
        let mut latencies = Vec::new();
        for number in 0.. {
            let started = Instant::now();
            if started - begin > ROUND {
                break;
            }
            let outcome = store.claim(request(round, worker, number)).wait().expect("an outcome");
            let Outcome::Claimed(claim) = outcome else { panic!("not claimed") };
            claim.complete(StoredResponse::new("charged")).wait().expect("completed");
            latencies.push(started.elapsed().as_secs_f64() * 1e6);
        }
        latencies
    };
    let latencies = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|n| scope.spawn(move || worker(n))).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
    });
    tell(begin, latencies)
}

fn tasks(store: &Store, round: u64, runtime: &tokio::runtime::Runtime) -> Round {
    let begin = Instant::now();
    let worker = |store: Store, worker| async move {
        let mut latencies = Vec::new();
        for number in 0.. {
            let started = Instant::now();
            if started - begin > ROUND {
                break;
            }
            let outcome = store.claim(request(round, worker, number)).await.expect("an outcome");
            let Outcome::Claimed(claim) = outcome else { panic!("not claimed") };
            claim.complete(StoredResponse::new("charged")).await.expect("completed");
            latencies.push(started.elapsed().as_secs_f64() * 1e6);
        }
        latencies
    };
    let latencies = runtime.block_on(async {
        let workers: Vec<_> =
            (0..TASKS).map(|n| tokio::spawn(worker(store.clone(), 5000 + n))).collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.await.expect("no panic"));
        }
        all
    });
    tell(begin, latencies)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn compare(what: &str, stores: &[Store; 2], mut run: impl FnMut(&Store, u64) -> Round) {
    let mut rounds = [Vec::new(), Vec::new()];
    // The first round of each is not counted.
    for round in 0..=ROUNDS {
        // Whoever goes first changes, too.
        for at in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let done = run(&stores[at], round);
            if round > 0 {
                rounds[at].push(done);
            }
        }
    }
    let [off, on] = &rounds;
    let ratio = |value: fn(&Round) -> f64| {
        median(on.iter().zip(off).map(|(on, off)| value(on) / value(off)))
    };
    let of = |rounds: &[Round], value: fn(&Round) -> f64| median(rounds.iter().map(value));
    println!(
        "{what}: {:.0} a second off, {:.0} on: {:.3}; p99 {:.0} us off, {:.0} on: {:.3}",
        of(off, |round| round.a_second),
        of(on, |round| round.a_second),
        ratio(|round| round.a_second),
        of(off, |round| round.p99_us),
        of(on, |round| round.p99_us),
        ratio(|round| round.p99_us),
    );
    let stats = stores[1].stats();
    let (events, dropped) = (stats.audit_events, stats.audit_dropped);
    let bytes = stats.audit_bytes;
    println!("  {events} events, {dropped} dropped; the trail has {bytes} bytes");
}

fn read_back(path: &Path) {
    let begin = Instant::now();
    let mut events = 0_u64;
    for item in Trail::of_store(path).expect("a trail") {
        events += u64::from(matches!(item.expect("read"), TrailItem::Event(_)));
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("read {events} events, {:.1} million a second", events as f64 / seconds / 1e6);
}

/// A filesystem of its own that the trail lies on, and that can be frozen: whoever writes to it
/// then waits until it is thawed.
struct Freezer {
    image: PathBuf,
    mount: PathBuf,
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) {
    let status = Command::new(program).args(arguments).status();
    let is_done = status.as_ref().is_ok_and(std::process::ExitStatus::success);
    assert!(is_done, "{program}: {status:?} (a stalled trail needs root, and loop devices)");
}

impl Freezer {
    fn new(dir: &Path, store: &Path) -> Self {
        let (image, mount) = (dir.join("image"), store.join("audit"));
        let file = std::fs::File::create(&image).expect("an image");
        file.set_len(1 << 30).expect("its length");
        std::fs::create_dir_all(&mount).expect("a place to mount it");
        run("mkfs.ext4", &["-q".as_ref(), image.as_ref()]);
        run("mount", &["-o".as_ref(), "loop".as_ref(), image.as_ref(), mount.as_ref()]);
        Self { image, mount }
    }

    fn freeze(&self) -> Frozen<'_> {
        run("fsfreeze", &["-f".as_ref(), self.mount.as_ref()]);
        Frozen(&self.mount)
    }
}

/// It is thawed when this is dropped.
struct Frozen<'a>(&'a Path);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        run("fsfreeze", &["-u".as_ref(), self.0.as_ref()]);
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        run("umount", &["-l".as_ref(), self.mount.as_ref()]);
        std::fs::remove_file(&self.image).expect("removed");
    }
}

fn main() {
    let dir = tempfile::tempdir().expect("a directory");
    let is_stalled = std::env::args().any(|argument| argument == "--stalled");
    let [off, on] = ["off", "on"].map(|name| dir.path().join(name));
    let freezer = is_stalled.then(|| Freezer::new(dir.path(), &on));
    let open = |path: &Path, audit: Audit| {
        let options = Options::new().ttl(Duration::from_secs(60)).audit(audit);
        options.open_or_create(path).expect("a store")
    };
    let stores = [open(&off, Audit::off()), open(&on, Audit::new().max_bytes(1 << 30))];
    // It is thawed before the stores are closed, which waits for what is left.
    let frozen = freezer.as_ref().map(|freezer| {
        // One event, so that there is a segment to be frozen.
        drop(stores[1].claim(request(u64::MAX, 0, 0)).wait().expect("an outcome"));
        std::thread::sleep(Duration::from_millis(500));
        freezer.freeze()
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().build().expect("a runtime");
    compare("64 threads", &stores, threads);
    compare("1,000 tasks", &stores, |store, round| tasks(store, round, &runtime));
    drop(frozen);
    drop(stores);
    if freezer.is_none() {
        read_back(&on);
    }
}
