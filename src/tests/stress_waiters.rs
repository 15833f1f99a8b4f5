//! Whoever waits is woken: threads and tasks that wait, give up and let go at random moments, on
//! disks that fail or panic at random calls. A test that ends has passed; one that hangs has lost a
//! wake-up.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use super::chaos::{ChaosDisk, How, Numbers, within};
use super::world::{key, request, scope};
use crate::simulation::{Disk, Environment, SimDisk, SimRandom};
use crate::{Claim, DropPolicy, Durability, Options, Outcome, Store, StoredResponse};

const LIMIT: Duration = Duration::from_secs(120);
const LONG: Duration = Duration::from_secs(3600);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Awaits a future as a task would; gives up after a random poll, or before the first.
fn task<F: Future>(future: F, numbers: &mut Numbers) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if numbers.below(12) == 0 {
            return None;
        }
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(value);
        }
        if numbers.below(8) == 0 {
            return None;
        }
        std::thread::park();
    }
}

/// Somebody who works with the store, as a thread or as a task, for some operations.
struct Worker {
    store: Store,
    numbers: Numbers,
    is_task: bool,
}

/// Waits for a value in the worker's way; `None` if it gave up or was refused.
macro_rules! told {
    ($worker:expr, $call:expr) => {{
        let call = $call;
        if $worker.is_task {
            task(call, &mut $worker.numbers).and_then(Result::ok)
        } else {
            call.wait().ok()
        }
    }};
}

impl Worker {
    fn work(mut self, operations: u64) {
        for _ in 0..operations {
            // A disk that panics under a leader is the leader's panic.
            let worked = catch_unwind(AssertUnwindSafe(|| self.operate()));
            if worked.is_err() {
                return;
            }
        }
    }

    fn operate(&mut self) {
        let name = format!("{}", self.numbers.below(3));
        let policy = match self.numbers.below(3) {
            0 => DropPolicy::Hold,
            1 => DropPolicy::Release,
            _ => DropPolicy::Unresolved,
        };
        match self.numbers.below(10) {
            0 => {
                let _ = told!(self, self.store.get(&scope("acct"), &key(&name)));
            }
            1 => {
                let _ = told!(self, self.store.forget(&scope("acct"), &key(&name)));
            }
            2 => {
                let _ = told!(self, self.store.flush());
            }
            3 => {
                let response = crate::Resolution::NotExecuted;
                let _ = told!(self, self.store.resolve(&scope("acct"), &key(&name), response));
            }
            _ => {
                let request = request(&name).on_drop(policy).lease(Duration::from_millis(3));
                match told!(self, self.store.claim(request)) {
                    Some(Outcome::Claimed(claim)) => self.end(claim),
                    Some(Outcome::InFlight(flight)) => {
                        let limit = [LONG, Duration::from_millis(1)];
                        let limit = limit[self.numbers.below(2) as usize];
                        if let Some(Outcome::Claimed(claim)) = told!(self, flight.wait(limit)) {
                            self.end(claim);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    fn end(&mut self, claim: Claim) {
        match self.numbers.below(5) {
            0 => drop(claim),
            1 => {
                let _ = told!(self, claim.release());
            }
            2 => {
                let _ = told!(self, claim.save_checkpoint(checkpoint()));
            }
            _ => drop(told!(self, claim.complete(StoredResponse::new("x")))),
        }
    }
}

fn checkpoint() -> crate::Checkpoint {
    crate::Checkpoint::new("half", "way").expect("a checkpoint")
}

/// Has threads and tasks work with a store until all are done, and lets go of it.
/// Without threads of its own the store is served by one of the test.
fn crowd(store: Store, seed: u64, operations: u64, has_threads: bool) {
    let over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let workers: Vec<_> = (0..4)
            .map(|number| {
                let numbers = Numbers(seed * 16 + number);
                let worker = Worker { store: store.clone(), numbers, is_task: number % 2 == 0 };
                // The last of them shuts the store.
                threads.spawn(move || worker.work(operations))
            })
            .collect();
        if has_threads {
            return drop(store);
        }
        let over = &over;
        threads.spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let _ = catch_unwind(AssertUnwindSafe(|| {
                    store.step_commit();
                    store.step_upkeep();
                }));
                std::thread::yield_now();
            }
        });
        workers.into_iter().for_each(|worker| worker.join().expect("no panic"));
        over.store(true, Ordering::SeqCst);
    });
}

/// Time that goes on by itself, for leases to run out.
fn clock() -> Arc<dyn crate::simulation::Clock> {
    Arc::new(crate::clock::RealClock)
}

fn options(seed: u64) -> Options {
    let options = Options::new().segment_bytes(1 << 16);
    match seed % 3 {
        0 => options.durability(Durability::Interval(Duration::from_millis(2))),
        _ => options,
    }
}

fn rounds_on(how: How, disk: fn() -> Arc<dyn Disk>, rounds: u64) {
    within(LIMIT, move || {
        for seed in 0..rounds {
            let mut numbers = Numbers(seed);
            let chaos = ChaosDisk::new(disk(), how);
            let environment = Environment {
                disk: chaos.clone(),
                clock: clock(),
                random: Arc::new(SimRandom::new(seed)),
                threads: seed % 5 != 4,
            };
            let store = Store::open_in(&environment, &options(seed), true).expect("a store");
            if seed % 8 != 0 {
                chaos.fail_after(numbers.below(60));
            }
            crowd(store, seed, 12, environment.threads);
        }
    });
}

#[test]
fn promise_8_whoever_waits_is_woken_wherever_the_disk_fails() {
    rounds_on(How::Errors, || SimDisk::new(), 1200);
}

#[test]
fn promise_8_whoever_waits_is_woken_wherever_a_leader_panics() {
    rounds_on(How::Panics, || SimDisk::new(), 1200);
}

#[test]
fn whoever_waits_on_a_real_disk_is_woken() {
    within(LIMIT, || {
        for seed in 0..6 {
            let dir = tempfile::tempdir().expect("a directory");
            let store = options(seed).create(dir.path().join("store")).expect("a store");
            crowd(store, seed, 1500, true);
        }
    });
}
