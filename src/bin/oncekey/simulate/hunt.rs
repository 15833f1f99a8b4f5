//! Runs of many seeds in several threads, until all are run, one fails, or somebody stops it.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use oncekey::simulation::{Coverage, Failure};

use super::args::Args;
use super::progress::Progress;

/// How many seeds a thread takes at a time.
const BLOCK: u64 = 16;
/// How many failures are kept with all that is known of them.
const FAILURES_KEPT: usize = 100;

thread_local! {
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// The seed that this thread runs, for a panic to name it.
pub(super) fn seed_of_thread() -> Option<u64> {
    SEED.get()
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// How many seeds were run.
    pub(super) seeds: u64,
    pub(super) coverage: Coverage,
    /// By seed.
    pub(super) failures: Vec<Failure>,
    pub(super) failed: u64,
    pub(super) took: Duration,
}

pub(super) struct Hunt<'a> {
    args: &'a Args,
    /// The next seed that nobody has taken.
    next: AtomicU64,
    end: u64,
    /// Somebody wants it to end.
    stop: &'a AtomicBool,
    over: AtomicBool,
    found: Mutex<Found>,
    progress: Progress,
}

impl<'a> Hunt<'a> {
    /// Runs the seeds of a command line.
    pub(super) fn run(args: &'a Args, stop: &'a AtomicBool) -> Found {
        let (next, end) = args.seeds();
        let begin = Instant::now();
        let hunt = Self {
            args,
            next: AtomicU64::new(next),
            end,
            stop,
            over: AtomicBool::new(false),
            found: Mutex::default(),
            progress: Progress::new(
                args.operations.unwrap_or(end - next),
                args.operations.is_some(),
            ),
        };
        std::thread::scope(|scope| {
            for _ in 1..args.jobs().min((end - next).div_ceil(BLOCK) as usize) {
                scope.spawn(|| hunt.work());
            }
            hunt.work();
        });
        hunt.progress.finish();
        let mut found = hunt.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.took = begin.elapsed();
        found.failures.sort_by_key(Failure::seed);
        found
    }

    fn work(&self) {
        loop {
            let from = self.next.fetch_add(BLOCK, Ordering::Relaxed);
            if from >= self.end {
                return;
            }
            let mut found = Found::default();
            for seed in from..self.end.min(from + BLOCK) {
                if self.is_over() {
                    break;
                }
                self.try_seed(seed, &mut found);
            }
            self.add(found);
            if self.is_over() {
                return;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.over.load(Ordering::Relaxed)
    }

    fn try_seed(&self, seed: u64, found: &mut Found) {
        SEED.set(Some(seed));
        let ran = self.args.simulation(seed).run_while(|step| {
            if self.args.operations.is_some() {
                self.progress.reach(step);
            }
            match self.stop.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        SEED.set(None);
        found.seeds += 1;
        match ran {
            Ok(coverage) => found.coverage.merge(&coverage),
            Err(failure) => {
                found.coverage.merge(failure.coverage());
                let what = failure.broken().lines().next().unwrap_or_default();
                self.progress.say(&format!("seed {seed}: {what}"));
                found.failed += 1;
                found.failures.push(failure);
                if !self.args.keep_going {
                    self.over.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    fn add(&self, part: Found) {
        let mut found = self.lock();
        found.seeds += part.seeds;
        found.failed += part.failed;
        found.coverage.merge(&part.coverage);
        let room = FAILURES_KEPT.saturating_sub(found.failures.len());
        found.failures.extend(part.failures.into_iter().take(room));
        if self.args.operations.is_none() {
            self.progress.reach_seeds(found.seeds, found.coverage.crashes());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
