//! Threads that do anything they like to a few keys, on a store with threads of its own: what they
//! were told can be explained.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use super::client::{Client, Habits};
use super::{assert_linearizable, histories};
use crate::clock::RealClock;
use crate::simulation::{Clock, Environment, SimClock, SimDisk, SimRandom};
use crate::simulator::linear::history::History;
use crate::simulator::linear::recorder::Recorder;
use crate::tests::chaos::{ChaosDisk, How};
use crate::{Options, Store};

const THREADS: u32 = 8;
/// How many calls each of them makes, at least: a history has a thousand.
const CALLS: u64 = 125;
const START_MS: u64 = 1_790_000_000_000;

/// A history of a thousand calls, or a few more.
fn run(seed: u64, clock: Arc<dyn Clock>, habits: &Habits, pass: &(dyn Fn() + Sync)) -> History {
    let environment = Environment {
        // Its syncs let other threads run.
        disk: ChaosDisk::new(SimDisk::new(), How::Errors),
        clock: clock.clone(),
        random: Arc::new(SimRandom::new(seed)),
        threads: true,
    };
    let options = Options::new().segment_bytes(1 << 16);
    let store = Store::open_in(&environment, &options, true).expect("a store");
    let start_ms = start_of_store_time(&store, &*clock);
    let now_ms = move || start_ms + clock.monotonic_ms();
    let recorder = Recorder::new(THREADS);
    let start = Barrier::new(THREADS as usize);
    std::thread::scope(|threads| {
        for process in 0..THREADS {
            let (store, recorder, now_ms) = (store.clone(), &recorder, &now_ms);
            let start = &start;
            threads.spawn(move || {
                let seed = (seed << 8) + u64::from(process);
                let mut client = Client::new(process, seed, store, (recorder, habits), now_ms);
                start.wait();
                while client.calls < CALLS {
                    client.act();
                    if client.numbers.below(8) == 0 {
                        pass();
                    }
                }
                client.drop_all();
            });
        }
    });
    recorder.history()
}

/// Store time minus monotonic time: the same as long as a store is open, and no clock leaps.
fn start_of_store_time(store: &Store, clock: &dyn Clock) -> u64 {
    loop {
        let before_ms = clock.monotonic_ms();
        let time_ms = store.stats().store_time.as_millis();
        if clock.monotonic_ms() == before_ms {
            return time_ms - before_ms;
        }
    }
}

/// A clock that others move. Now and then a reading lets them run, so that much may happen between
/// it and what was done before.
#[derive(Debug)]
struct BusyClock {
    sim: SimClock,
    readings: AtomicU64,
}

impl Clock for BusyClock {
    fn wall_ms(&self) -> u64 {
        self.sim.wall_ms()
    }

    fn monotonic_ms(&self) -> u64 {
        let readings = self.readings.fetch_add(1, Ordering::Relaxed);
        // More at a time than one after the other, for others to come to the end of a call.
        if readings.is_multiple_of(5) {
            (0..6).for_each(|_| std::thread::yield_now());
        }
        self.sim.monotonic_ms()
    }

    fn monotonic_ns(&self) -> u64 {
        self.sim.monotonic_ns()
    }

    fn pause(&self, duration: Duration) {
        self.sim.pause(duration);
    }
}

#[test]
fn threads_on_a_clock_that_is_moved_are_linearizable() {
    let habits = Habits {
        keys: 4,
        ttls_ms: vec![2, 30, 3_600_000],
        leases_ms: vec![5, 40, 60_000],
        forgets: 1,
        patience_ms: 0,
    };
    for seed in 0..histories(20) {
        let clock = Arc::new(SimClock::new(START_MS));
        let pass = || clock.advance(Duration::from_millis(1 + seed % 7));
        assert_linearizable(&run(seed, clock.clone(), &habits, &pass).check(), seed);
    }
}

#[test]
fn threads_on_the_clock_of_the_machine_are_linearizable() {
    let habits = Habits {
        keys: 4,
        ttls_ms: vec![1, 5, 3_600_000],
        leases_ms: vec![1, 3, 60_000],
        forgets: 1,
        patience_ms: 2,
    };
    for seed in 0..histories(20) {
        let history = run(seed, Arc::new(RealClock), &habits, &std::thread::yield_now);
        assert_linearizable(&history.check(), seed);
    }
}

/// A forget meets whatever else ends a record or a claim: expiries, takeovers, other forgets.
#[test]
fn threads_that_forget_what_is_ending_are_linearizable() {
    let habits =
        Habits { keys: 3, ttls_ms: vec![3, 8], leases_ms: vec![1, 4], forgets: 5, patience_ms: 0 };
    for seed in 0..histories(20) {
        let clock =
            Arc::new(BusyClock { sim: SimClock::new(START_MS), readings: AtomicU64::new(0) });
        let pass = || clock.sim.advance(Duration::from_millis(1));
        assert_linearizable(&run(seed, clock.clone(), &habits, &pass).check(), seed);
    }
}
