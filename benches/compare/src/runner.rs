//! Runs cycles: a fresh directory, new keys each time, engines interleaved round by round.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::engines::{Engine, Variant};
use crate::meter::{Meter, Spent};
use crate::workload::Request;

/// Who calls.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    Threads(usize),
    /// Tasks on a runtime with two worker threads.
    Tasks(usize),
}

/// One engine's run in one round.
pub struct Sample {
    pub cycles: u64,
    /// Cycles of the whole run, before and after the counters ran too.
    pub total: u64,
    pub spent: Spent,
    /// Syncs of an engine that counts its own.
    pub syncs: Option<u64>,
}

/// A run during which others kept more cores busy than this is disturbed, and is run again: what
/// they take changes a result threefold. Judged by their CPU alone, never by the result.
pub const DISTURBED_CORES: f64 = 0.25;
const ATTEMPTS: usize = 5;

/// Before the counters start: files get allocated, caches filled.
const WARM_UP: Duration = Duration::from_millis(150);
const WORKER_THREADS: usize = 2;

/// Every stream is used once in a process, so that no key ever repeats.
static NEXT_STREAM: AtomicU64 = AtomicU64::new(1);

/// Runs each variant `rounds` times, interleaved; a sample per round for each of them.
pub fn measure(
    variants: &[Variant],
    callers: Callers,
    rounds: usize,
    length: Duration,
    dir: &Path,
) -> Vec<Vec<Sample>> {
    let mut samples: Vec<Vec<Sample>> = variants.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for turn in 0..variants.len() {
            let index = (round + turn) % variants.len();
            eprint!("\rround {} of {rounds}: {:<30}", round + 1, variants[index].name);
            samples[index].push(run_quietly(&variants[index], callers, length, dir));
        }
    }
    eprint!("\r{:<60}\r", "");
    samples
}

/// The first undisturbed run of a few, or else the least disturbed.
fn run_quietly(variant: &Variant, callers: Callers, length: Duration, dir: &Path) -> Sample {
    let mut best: Option<Sample> = None;
    for _ in 0..ATTEMPTS {
        let sample = run_once(variant, callers, length, dir);
        let others = sample.spent.others_cores;
        if best.as_ref().is_none_or(|best| others < best.spent.others_cores) {
            best = Some(sample);
        }
        if others <= DISTURBED_CORES {
            break;
        }
    }
    best.expect("at least one attempt")
}

/// One run in a fresh directory, which is removed afterwards.
pub fn run_once(variant: &Variant, callers: Callers, length: Duration, dir: &Path) -> Sample {
    let dir = dir.join("run");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("create the run's directory");
    let engine = (variant.open)(&dir);
    settle(&dir);
    let sample = match callers {
        Callers::Threads(count) => run_threads(&engine, count, length),
        Callers::Tasks(count) => run_tasks(&engine, count, length),
    };
    drop(engine);
    fs::remove_dir_all(&dir).expect("remove the run's directory");
    sample
}

/// Lets the filesystem finish with what earlier runs wrote and deleted (discards of freed blocks
/// hold up the syncs of whoever comes next).
fn settle(dir: &Path) {
    let dir = File::open(dir).expect("open the run's directory");
    rustix::fs::syncfs(dir).expect("sync the filesystem");
}

/// What the callers of a run share.
#[derive(Default)]
struct Progress {
    stop: AtomicBool,
    cycles: AtomicU64,
}

impl Progress {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn count(&self) {
        self.cycles.fetch_add(1, Ordering::Relaxed);
    }
}

/// Warms up, then counts for `length`; the callers are told to stop, not waited for.
fn watch(engine: &Arc<dyn Engine>, progress: &Progress, length: Duration) -> Sample {
    thread::sleep(WARM_UP);
    let (meter, syncs) = (Meter::start(), engine.syncs());
    let cycles = progress.cycles.load(Ordering::Relaxed);
    thread::sleep(length);
    let spent = meter.stop();
    let cycles = progress.cycles.load(Ordering::Relaxed) - cycles;
    let syncs = engine.syncs().zip(syncs).map(|(after, before)| after - before);
    progress.stop.store(true, Ordering::Relaxed);
    Sample { cycles, total: 0, spent, syncs }
}

fn run_threads(engine: &Arc<dyn Engine>, count: usize, length: Duration) -> Sample {
    let progress = Progress::default();
    let mut sample = thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                let stream = NEXT_STREAM.fetch_add(1, Ordering::Relaxed);
                for number in 0.. {
                    let request = Request::nth(stream, number);
                    assert!(engine.cycle(&request), "a new key was refused");
                    progress.count();
                    if !progress.goes_on() {
                        break;
                    }
                }
            });
        }
        watch(engine, &progress, length)
    });
    sample.total = progress.cycles.into_inner();
    sample
}

fn run_tasks(engine: &Arc<dyn Engine>, count: usize, length: Duration) -> Sample {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .build()
        .expect("build the runtime");
    let progress = Arc::new(Progress::default());
    let tasks: Vec<_> = (0..count)
        .map(|_| runtime.spawn(cycle_forever(Arc::clone(engine), Arc::clone(&progress))))
        .collect();
    let mut sample = watch(engine, &progress, length);
    runtime.block_on(async {
        for task in tasks {
            task.await.expect("a task failed");
        }
    });
    sample.total = progress.cycles.load(Ordering::Relaxed);
    sample
}

async fn cycle_forever(engine: Arc<dyn Engine>, progress: Arc<Progress>) {
    let tasks = engine.tasks().expect("the engine has calls for tasks");
    let stream = NEXT_STREAM.fetch_add(1, Ordering::Relaxed);
    for number in 0.. {
        let request = Request::nth(stream, number);
        assert!(tasks.cycle(&request).await, "a new key was refused");
        progress.count();
        if !progress.goes_on() {
            break;
        }
    }
}
