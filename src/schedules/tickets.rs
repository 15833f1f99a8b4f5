//! Commit tickets, driven through whole stores: a ticket is told once its batch is on disk, as a
//! success or a failure, to threads and tasks alike, on every path on which a batch can end; and
//! the lead is never lost: what is queued reaches the disk, also where nobody waits for it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use super::{expect_found, explore, pick};
use crate::block_on::block_on;
use crate::disk::Disk;
use crate::log::SEGMENT_HEADER;
use crate::simulation::{Environment, SimDisk, Survival};
use crate::slip::Slip;
use crate::sync::thread;
use crate::tests::chaos::{ChaosDisk, How};
use crate::tests::world::{World, claimed, request};
use crate::{Durability, ErrorKind, Options, Result, Store, StoredResponse};

/// Behind the header of a segment: all frames of these tests are here.
const FRAMES_BYTES: usize = 2048;

/// A store of this world, and the disk under it.
struct Scene {
    disk: Arc<SimDisk>,
    chaos: Arc<ChaosDisk>,
    store: Store,
}

impl Scene {
    fn with(options: Options, threads: bool, how: How) -> Self {
        let world = World::with(options);
        let chaos = ChaosDisk::new(world.disk.clone(), how);
        let environment = Environment { disk: chaos.clone(), threads, ..world.environment() };
        let store = Store::open_in(&environment, &world.options, true).expect("the store opens");
        Self { disk: world.disk, chaos, store }
    }

    /// Whether a power cut now would leave a text in some file.
    fn is_durable(disk: &SimDisk, text: &str) -> bool {
        let left = disk.crash(Survival::Nothing, 0);
        left.list().expect("names").iter().any(|name| {
            let file = left.open(name).expect("a file");
            let mut frames = [0; FRAMES_BYTES];
            let count =
                crate::disk::read(&*file, &mut frames, SEGMENT_HEADER as u64).expect("a reading");
            frames[..count].windows(text.len()).any(|part| part == text.as_bytes())
        })
    }

    /// What was told is on disk.
    fn assert_told<T>(&self, told: Result<T>, text: &str) -> Result<T> {
        let told = told?;
        let synced = matches!(self.store.engine().options.durability, Durability::Sync);
        assert!(!synced || Self::is_durable(&self.disk, text), "{text} was told too early");
        Ok(told)
    }

    /// A thread that waits.
    fn thread(&self) -> Result<()> {
        let claimed = claimed(self.assert_told(self.store.claim(request("k1")).wait(), "k1")?);
        let done = claimed.complete(StoredResponse::new("answer 1")).wait();
        self.assert_told(done.map_err(Into::into), "answer 1").map(drop)
    }

    /// A task that awaits.
    fn task(&self) -> Result<()> {
        block_on(async {
            let claimed = claimed(self.assert_told(self.store.claim(request("k2")).await, "k2")?);
            let done = claimed.complete(StoredResponse::new("answer 2")).await;
            self.assert_told(done.map_err(Into::into), "answer 2").map(drop)
        })
    }

    /// A task that goes away in the middle of a call, or before it.
    fn walker(&self) -> Result<()> {
        let mut cx = Context::from_waker(Waker::noop());
        {
            let mut calling = pin!(self.store.claim(request("k0")));
            let _ = calling.as_mut().poll(&mut cx);
        }
        let claimed = claimed(self.assert_told(self.store.claim(request("k3")).wait(), "k3")?);
        let calling = claimed.complete(StoredResponse::new("answer 3"));
        if pick(2) == 0 {
            let _ = pin!(calling).as_mut().poll(&mut cx);
        }
        Ok(())
    }

    /// All three at once; what became of them. A panic of the disk's is nobody's answer.
    fn play(self: Arc<Self>) -> Vec<Result<()>> {
        let roles: [fn(&Self) -> Result<()>; 3] = [Self::thread, Self::task, Self::walker];
        let play = |role: fn(&Self) -> Result<()>| {
            let scene = self.clone();
            thread::spawn(move || catch_unwind(AssertUnwindSafe(|| role(&scene))))
        };
        let playing = roles.map(play);
        let told = playing.map(|thread| thread.join().expect("caught")).into_iter();
        told.filter_map(|told| match told {
            Ok(told) => Some(told),
            Err(panic) if panic.downcast_ref() == Some(&"the disk's") => None,
            Err(panic) => resume_unwind(panic),
        })
        .collect()
    }

    /// Nobody calls any more: what is queued reaches the disk all the same.
    fn settle(&self) {
        let engine = self.store.engine();
        let last = engine.everything();
        while engine.fate(last).is_none() {
            thread::yield_now();
        }
    }
}

fn all_goes_well(options: Options, threads: bool) {
    let scene = Arc::new(Scene::with(options, threads, How::Errors));
    for told in scene.clone().play() {
        told.expect("told as a success");
    }
    if threads {
        scene.settle();
        let synced = matches!(scene.store.engine().options.durability, Durability::Sync);
        assert!(!synced || Scene::is_durable(&scene.disk, "answer 3"), "it stays queued");
    }
}

fn one_batch_fails(threads: bool, how: How) {
    let scene = Arc::new(Scene::with(Options::new(), threads, how));
    scene.chaos.fail_after(pick(14));
    for told in scene.clone().play() {
        let kind = told.err().map(|error| error.kind());
        let known = [None, Some(ErrorKind::OutcomeUnknown), Some(ErrorKind::Poisoned)];
        assert!(known.contains(&kind), "{kind:?}");
    }
    if threads {
        scene.settle();
    }
}

fn with_a_committer() {
    all_goes_well(Options::new(), true);
}

#[test]
fn promise_2_a_ticket_is_told_after_its_batch() {
    explore("tickets, with a committer", with_a_committer);
}

#[test]
fn promise_2_a_ticket_is_told_after_its_batch_without_a_committer() {
    explore("tickets, without a committer", || all_goes_well(Options::new(), false));
}

#[test]
fn a_ticket_is_told_where_batches_are_not_synced() {
    explore("tickets, not synced", || {
        let interval = Durability::Interval(Duration::from_secs(1));
        all_goes_well(Options::new().durability(interval), true);
    });
}

#[test]
fn promise_8_a_ticket_is_told_when_its_batch_fails() {
    explore("tickets, a failed batch", || one_batch_fails(true, How::Errors));
}

#[test]
fn promise_8_a_ticket_is_told_when_its_batch_fails_without_a_committer() {
    explore("tickets, a failed batch, no committer", || one_batch_fails(false, How::Errors));
}

#[test]
fn promise_8_a_ticket_is_told_when_the_leader_panics() {
    explore("tickets, a panic", || one_batch_fails(true, How::Panics));
}

#[test]
fn a_waiter_that_sleeps_without_a_second_look_is_found() {
    expect_found(Slip::SleepUnchecked, 10_000, with_a_committer);
}
