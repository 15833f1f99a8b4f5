//! Claims and completions at a fixed modest rate, each timed: what a clean-up must not disturb.
//!
//! The schedule does not wait for the store: a cycle that starts late because the one before it
//! took long is timed from when it was due, so that a stall counts for all whom it kept waiting.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::engines::expiring::{Expiring, now_ms};
use crate::workload::Request;

/// Threads that share the rate.
const THREADS: u64 = 2;
/// The first stream of the foreground's keys.
const FIRST_STREAM: u64 = 1 << 20;
/// What it completes outlives every run.
const TTL_MS: u64 = 24 * 3600 * 1000;

/// A cycle: when it was due, and how long it took from then.
#[derive(Clone, Copy)]
pub struct Timed {
    pub due: Instant,
    pub took: Duration,
}

/// Cycles under way.
pub struct Foreground<'scope> {
    threads: Vec<ScopedJoinHandle<'scope, Vec<Timed>>>,
    stop: &'scope AtomicBool,
}

impl<'scope> Foreground<'scope> {
    /// Starts them, so many a second in all, with keys that no other round has.
    pub fn start(
        scope: &'scope thread::Scope<'scope, '_>,
        engine: &'scope dyn Expiring,
        per_second: u64,
        round: u64,
        stop: &'scope AtomicBool,
    ) -> Self {
        let every = Duration::from_secs(1) * THREADS as u32 / per_second as u32;
        let streams = (0..THREADS).map(|thread| FIRST_STREAM + round * THREADS + thread);
        let threads = streams
            .map(|stream| scope.spawn(move || cycle_until(engine, stream, every, stop)))
            .collect();
        Self { threads, stop }
    }

    /// Stops them. All cycles, in no order.
    pub fn stop(self) -> Vec<Timed> {
        self.stop.store(true, Ordering::Relaxed);
        let cycles = self.threads.into_iter().map(|thread| thread.join().expect("the foreground"));
        cycles.flatten().collect()
    }
}

fn cycle_until(
    engine: &dyn Expiring,
    stream: u64,
    every: Duration,
    stop: &AtomicBool,
) -> Vec<Timed> {
    let mut cycles = Vec::new();
    let mut scheduled = Instant::now();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        scheduled += every;
        let request = Request::nth(stream, number);
        let now = Instant::now();
        // Oversleeping is the scheduler's doing, being late is the store's.
        let due = if now < scheduled {
            thread::sleep(scheduled - now);
            Instant::now()
        } else {
            scheduled
        };
        assert!(engine.cycle(&request, now_ms() + TTL_MS), "a new key was refused");
        cycles.push(Timed { due, took: due.elapsed() });
    }
    cycles
}

/// Microseconds of the cycles that were due in a stretch of time.
#[derive(Clone, Copy)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub longest: f64,
}

impl Latency {
    pub fn between(cycles: &[Timed], from: Instant, to: Instant) -> Self {
        let inside = cycles.iter().filter(|cycle| (from..to).contains(&cycle.due));
        Self::of(inside.map(|cycle| cycle.took).collect())
    }

    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        let at = |share: f64| {
            let index = (times.len() as f64 * share) as usize;
            let time = times.get(index.min(times.len().saturating_sub(1)));
            time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
        };
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), longest: at(1.0) }
    }
}
