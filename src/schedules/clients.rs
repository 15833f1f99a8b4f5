//! Clients that do anything that a service could, each a thread, judged by the checker of
//! histories: what they were told can be explained by an order of their calls.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::pick;
use crate::simulation::{Clock, Environment, SimClock};
use crate::simulator::linear::recorder::Recorder;
use crate::sync::{atomic, thread};
use crate::tests::linear::client::{Client, Habits};
use crate::tests::world::World;
use crate::{Options, Store};

/// A clock at each of whose readings others may come between.
struct SteppedClock {
    sim: Arc<SimClock>,
    readings: atomic::AtomicU64,
}

impl fmt::Debug for SteppedClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SteppedClock")
    }
}

impl Clock for SteppedClock {
    fn wall_ms(&self) -> u64 {
        self.sim.wall_ms()
    }

    fn monotonic_ms(&self) -> u64 {
        self.readings.load(Ordering::SeqCst);
        self.sim.monotonic_ms()
    }

    fn monotonic_ns(&self) -> u64 {
        self.sim.monotonic_ns()
    }

    fn pause(&self, duration: Duration) {
        self.sim.pause(duration);
    }
}

/// So many clients make so many calls each, while time passes, and then `end` is done.
pub(super) fn play(count: u32, calls: u64, habits: &Habits, end: impl FnOnce(&Store)) {
    let world = World::with(Options::new());
    let readings = atomic::AtomicU64::new(0);
    let clock = Arc::new(SteppedClock { sim: world.clock.clone(), readings });
    let environment = Environment { clock, threads: true, ..world.environment() };
    let store = Store::open_in(&environment, &world.options, true).expect("a store");
    let sim = &*world.clock;
    let start_ms = store.stats().store_time.as_millis() - sim.monotonic_ms();
    let now_ms = &(|| start_ms + sim.monotonic_ms());
    let (recorder, left) = (&Recorder::new(count), &AtomicU32::new(count));
    shuttle::thread::scope(|threads| {
        for process in 0..count {
            let store = store.clone();
            threads.spawn(move || {
                let seed = pick(1 << 32);
                let mut client = Client::new(process, seed, store, (recorder, habits), now_ms);
                while client.calls < calls {
                    client.act();
                }
                client.drop_all();
                left.fetch_sub(1, Ordering::Relaxed);
            });
        }
        while left.load(Ordering::Relaxed) > 0 {
            sim.advance(Duration::from_millis(1 + pick(6)));
            store.engine().ask_upkeep(false);
            thread::yield_now();
        }
    });
    end(&store);
    recorder.history().check().assert_linearizable();
}
