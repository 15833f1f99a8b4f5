//! Threads of the store in many schedules: what its own synchronisation promises holds in each.
//!
//! Shuttle runs the threads of a test one at a time and decides, at each step of a lock, an atomic
//! or a sleep, who goes on. Half of the schedules are drawn step by step; half by priorities that
//! change at few places (PCT), which finds what takes a long run of one thread. Nobody is left
//! asleep for ever: that is a deadlock, and fails the test. Memory is sequentially consistent here,
//! whatever an atomic's ordering says.
//!
//! `ONCEKEY_SCHEDULES` says how many schedules each test takes, `ONCEKEY_SCHEDULES_SEED` which.
//! Built with `RUSTFLAGS="--cfg oncekey_shuttle"` alone; docs/testing.md says how to run them.

mod clients;
mod clock;
mod flights;
mod index;
mod pins;
mod ring;
mod stores;
mod tickets;
mod waiters;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shuttle::rand::Rng;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use crate::slip::Slip;
use crate::sync::thread::JoinHandle;

/// As many where nobody says how many.
const SCHEDULES: u64 = 1000;
/// The places of a schedule at which priorities change.
const DEPTH: usize = 3;
/// A thread's stack: the engine's frames are larger than shuttle reckons with.
const STACK_BYTES: usize = 256 << 10;
/// A schedule that takes so many steps waits for what will not come.
const MAX_STEPS: usize = 100_000;

fn setting(name: &str, otherwise: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.map_or(otherwise, |value| value.parse().expect("a number"))
}

fn seed() -> u64 {
    setting("ONCEKEY_SCHEDULES_SEED", 1)
}

fn config(failures: FailurePersistence) -> Config {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.failure_persistence = failures;
    config.max_steps = MaxSteps::FailAfter(MAX_STEPS);
    config.silence_warnings = true;
    config
}

fn run(scheduler: impl Scheduler + 'static, failures: FailurePersistence, test: fn()) -> usize {
    Runner::new(scheduler, config(failures)).run(test)
}

/// Runs a test in as many schedules as are asked for.
#[allow(clippy::disallowed_methods, reason = "it says how long it took")]
fn explore(name: &str, test: fn()) {
    let count = setting("ONCEKEY_SCHEDULES", SCHEDULES) as usize;
    let start = std::time::Instant::now();
    let drawn = RandomScheduler::new_from_seed(seed(), count.div_ceil(2));
    let drawn = run(drawn, FailurePersistence::Print, test);
    let by_priority = PctScheduler::new_from_seed(seed(), DEPTH, count / 2);
    let by_priority = run(by_priority, FailurePersistence::Print, test);
    let seconds = start.elapsed().as_secs_f64();
    println!("schedules: {name}: {drawn} drawn and {by_priority} by priority in {seconds:.1} s");
    assert_eq!(drawn + by_priority, count);
}

/// Waits for threads that must not panic.
fn join_all(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().expect("a thread without a panic"));
}

/// A number below `limit`, that the schedule decides.
fn pick(limit: u64) -> u64 {
    shuttle::rand::thread_rng().gen_range(0..limit)
}

/// Runs a test that must fail, since a mistake is made on purpose, within so many schedules of one
/// kind or the other; says within how many.
fn expect_found(slip: Slip, limit: usize, test: fn()) {
    slip.run(|| look_for(&format!("{slip:?}"), limit, test));
}

fn look_for(name: &str, limit: usize, test: fn()) {
    let counted = |run_all: &dyn Fn(Arc<AtomicU64>)| {
        let begun = Arc::new(AtomicU64::new(0));
        let found = catch_unwind(AssertUnwindSafe(|| run_all(begun.clone()))).is_err();
        found.then(|| begun.load(Ordering::Relaxed))
    };
    let scheduled = |scheduler: Box<dyn Scheduler + Send>, begun: Arc<AtomicU64>| {
        Runner::new(scheduler, config(FailurePersistence::None)).run(move || {
            begun.fetch_add(1, Ordering::Relaxed);
            test();
        });
    };
    let drawn = counted(&|begun| {
        scheduled(Box::new(RandomScheduler::new_from_seed(seed(), limit)), begun);
    });
    let by_priority = counted(&|begun| {
        scheduled(Box::new(PctScheduler::new_from_seed(seed(), DEPTH, limit)), begun);
    });
    let told = |count: Option<u64>| count.map_or("never".to_owned(), |count| count.to_string());
    println!(
        "schedules: {name}: found after {} drawn, {} by priority",
        told(drawn),
        told(by_priority)
    );
    assert!(drawn.or(by_priority).is_some(), "not found within {limit} schedules of either kind");
}
