//! Commit tickets, driven through whole stores: a ticket is told once its batch is on disk, as a
//! success or a failure, to threads and tasks alike, on every path on which a batch can end; and
//! the lead is never lost: what is queued reaches the disk, also where nobody waits for it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::{expect_found, explore, pick};
use crate::block_on::block_on;
use crate::disk::Disk;
use crate::log::SEGMENT_HEADER;
use crate::simulation::{Environment, SimDisk, Survival};
use crate::slip::Slip;
use crate::sync::thread::{self, Thread};
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
        self.execute("k1", "answer 1")
    }

    fn second_thread(&self) -> Result<()> {
        self.execute("k4", "answer 4")
    }

    fn execute(&self, name: &str, body: &str) -> Result<()> {
        let claimed = claimed(self.assert_told(self.store.claim(request(name)).wait(), name)?);
        let done = claimed.complete(StoredResponse::new(body)).wait();
        self.assert_told(done.map_err(Into::into), body).map(drop)
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

    /// A task whose waker is a stranger's: it calls the store, and waits for it, or panics.
    fn stranger(&self) -> Result<()> {
        let store = self.store.clone();
        let stranger = Stranger { store, task: thread::current(), panics: pick(2) == 0 };
        let waker = Waker::from(Arc::new(stranger));
        let mut cx = Context::from_waker(&waker);
        let mut calling = pin!(self.store.claim(request("k5")));
        loop {
            match calling.as_mut().poll(&mut cx) {
                Poll::Ready(told) => return self.assert_told(told, "k5").map(drop),
                Poll::Pending => thread::park(),
            }
        }
    }

    /// All of these at once; what became of them. A panic of the disk's is nobody's answer.
    fn play(self: &Arc<Self>, cast: &Cast) -> Vec<Result<()>> {
        let play = |role: Role| {
            let scene = self.clone();
            thread::spawn(move || catch_unwind(AssertUnwindSafe(|| role(&scene))))
        };
        let told = cast.roles.map(play).into_iter().map(|thread| thread.join().expect("caught"));
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

type Role = fn(&Scene) -> Result<()>;

/// Who plays, and whether the store has threads of its own.
struct Cast {
    roles: [Role; 3],
    threads: bool,
    /// Whether one of them goes away.
    walks: bool,
}

const ALL: Cast =
    Cast { roles: [Scene::thread, Scene::task, Scene::walker], threads: true, walks: true };
/// Without a committer somebody would have to commit for tasks.
const THREADS: Cast = Cast {
    roles: [Scene::thread, Scene::second_thread, Scene::walker],
    threads: false,
    walks: true,
};
const STRANGERS: Cast =
    Cast { roles: [Scene::thread, Scene::stranger, Scene::task], threads: true, walks: false };

struct Stranger {
    store: Store,
    task: Thread,
    panics: bool,
}

impl Wake for Stranger {
    fn wake(self: Arc<Self>) {
        self.task.unpark();
        if self.panics {
            // As a panic, but for the hook that tells of it.
            resume_unwind(Box::new("a waker's"));
        }
        let _ = self.store.claim(request("k6")).wait();
    }
}

fn all_goes_well(options: Options, cast: &Cast) {
    let scene = Arc::new(Scene::with(options, cast.threads, How::Errors));
    for told in scene.play(cast) {
        told.expect("told as a success");
    }
    if cast.threads {
        scene.settle();
        let synced = matches!(scene.store.engine().options.durability, Durability::Sync);
        let done = !cast.walks || Scene::is_durable(&scene.disk, "answer 3");
        assert!(!synced || done, "it stays queued");
    }
}

fn one_batch_fails(cast: &Cast, how: How) {
    let scene = Arc::new(Scene::with(Options::new(), cast.threads, how));
    scene.chaos.fail_after(pick(14));
    for told in scene.play(cast) {
        let kind = told.err().map(|error| error.kind());
        let known = [None, Some(ErrorKind::OutcomeUnknown), Some(ErrorKind::Poisoned)];
        assert!(known.contains(&kind), "{kind:?}");
    }
    if cast.threads {
        scene.settle();
    }
}

fn with_a_committer() {
    all_goes_well(Options::new(), &ALL);
}

#[test]
fn promise_2_a_ticket_is_told_after_its_batch() {
    explore("tickets, with a committer", with_a_committer);
}

#[test]
fn promise_2_a_ticket_is_told_after_its_batch_without_a_committer() {
    explore("tickets, without a committer", || all_goes_well(Options::new(), &THREADS));
}

#[test]
fn a_ticket_is_told_where_batches_are_not_synced() {
    explore("tickets, not synced", || {
        let interval = Durability::Interval(Duration::from_secs(1));
        all_goes_well(Options::new().durability(interval), &ALL);
    });
}

#[test]
fn promise_8_a_ticket_is_told_when_its_batch_fails() {
    explore("tickets, a failed batch", || one_batch_fails(&ALL, How::Errors));
}

#[test]
fn promise_8_a_ticket_is_told_when_its_batch_fails_without_a_committer() {
    explore("tickets, a failed batch, no committer", || one_batch_fails(&THREADS, How::Errors));
}

#[test]
fn promise_8_a_ticket_is_told_when_the_leader_panics() {
    explore("tickets, a panic", || one_batch_fails(&ALL, How::Panics));
}

#[test]
fn a_ticket_is_told_beside_wakers_that_wait_or_panic() {
    explore("tickets, strangers' wakers", || all_goes_well(Options::new(), &STRANGERS));
}

#[test]
fn promise_8_a_ticket_is_told_beside_strange_wakers_when_its_batch_fails() {
    explore("tickets, strangers' wakers, a failed batch", || {
        one_batch_fails(&STRANGERS, How::Errors);
    });
}

#[test]
fn a_waiter_that_sleeps_without_a_second_look_is_found() {
    expect_found(Slip::SleepUnchecked, 10_000, with_a_committer);
}
