//! Group commit, shared by the raw log and by every peer: what queues during one sync is the next
//! batch. The peers get the same queue and the same cheap wake as the floor.
//!
//! Invariants: one batch is in flight at a time; `busy` is set exactly while somebody commits or
//! has been told to. A crowd (a previous batch of `CROWD` changes or more) makes the committer
//! yield until as many have queued again, bounded by `LINGER_YIELDS`; there are no timers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use rustix::thread::futex;

use crate::ticket::{Ticket, TicketFuture};

const CROWD: u32 = 12;
const LINGER_YIELDS: u32 = 16;

/// Makes batches durable.
pub trait Commit: Send + 'static {
    type Batch: Default + Send + 'static;

    /// Makes the batch durable and empties it. Answers one verdict per change, or an empty list
    /// if none of them could be refused.
    fn commit(&mut self, batch: &mut Self::Batch) -> Vec<bool>;
}

/// Who commits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A thread of its own, always.
    Committer,
    /// A blocking caller who finds nobody at it commits for itself and hands over to the thread
    /// what queued meanwhile.
    Leader,
}

struct Queue<B> {
    batch: B,
    ticket: Arc<Ticket>,
    len: u32,
    busy: bool,
}

struct Shared<C: Commit> {
    style: Style,
    queue: Mutex<Queue<C::Batch>>,
    /// `queue.len`, readable without the lock.
    queued: AtomicU32,
    /// Changes in the previous batch.
    previous: AtomicU32,
    /// Rung to start the thread; a futex word.
    bell: AtomicU32,
    stop: AtomicBool,
    /// The sink and the emptied batch that the next swap puts in the queue.
    sink: Mutex<(C, C::Batch)>,
}

pub struct Group<C: Commit> {
    shared: Arc<Shared<C>>,
    thread: Option<JoinHandle<()>>,
}

impl<C: Commit> Group<C> {
    pub fn new(sink: C, style: Style) -> Self {
        let queue =
            Queue { batch: C::Batch::default(), ticket: Arc::default(), len: 0, busy: false };
        let shared = Arc::new(Shared {
            style,
            queue: Mutex::new(queue),
            queued: AtomicU32::new(0),
            previous: AtomicU32::new(0),
            bell: AtomicU32::new(0),
            stop: AtomicBool::new(false),
            sink: Mutex::new((sink, C::Batch::default())),
        });
        let committer = Arc::clone(&shared);
        Self { shared, thread: Some(thread::spawn(move || committer.run())) }
    }

    /// Queues one change and blocks until it is durable; answers its verdict.
    pub fn submit(&self, push: impl FnOnce(&mut C::Batch)) -> bool {
        let (ticket, index, idle) = self.shared.enqueue(push);
        if idle && self.shared.style == Style::Leader {
            if self.shared.commit_once() {
                self.shared.ring();
            }
        } else if idle {
            self.shared.ring();
        }
        ticket.wait(self.shared.is_crowded());
        ticket.verdict(index)
    }

    /// Queues one change; the future ends when it is durable.
    pub async fn submit_async(&self, push: impl FnOnce(&mut C::Batch)) -> bool {
        let (ticket, index, idle) = self.shared.enqueue(push);
        if idle {
            self.shared.ring();
        }
        TicketFuture(Arc::clone(&ticket)).await;
        ticket.verdict(index)
    }
}

impl<C: Commit> Drop for Group<C> {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl<C: Commit> Shared<C> {
    /// Answers the ticket, the place in its batch, and whether nobody was committing: then it is
    /// the caller's turn to see to it.
    fn enqueue(&self, push: impl FnOnce(&mut C::Batch)) -> (Arc<Ticket>, usize, bool) {
        let mut queue = self.queue.lock();
        push(&mut queue.batch);
        let index = queue.len as usize;
        queue.len += 1;
        self.queued.store(queue.len, Ordering::Relaxed);
        let idle = !std::mem::replace(&mut queue.busy, true);
        (Arc::clone(&queue.ticket), index, idle)
    }

    fn is_crowded(&self) -> bool {
        self.previous.load(Ordering::Relaxed) >= CROWD
    }

    fn linger(&self) {
        let previous = self.previous.load(Ordering::Relaxed);
        for _ in 0..if previous >= CROWD { LINGER_YIELDS } else { 0 } {
            if self.queued.load(Ordering::Relaxed) >= previous {
                break;
            }
            thread::yield_now();
        }
    }

    /// Commits what is queued. True if more queued meanwhile; then the log stays busy.
    fn commit_once(&self) -> bool {
        self.linger();
        let mut sink = self.sink.lock();
        let (sink, batch) = &mut *sink;
        let ticket = {
            let mut queue = self.queue.lock();
            std::mem::swap(&mut queue.batch, batch);
            self.previous.store(queue.len, Ordering::Relaxed);
            self.queued.store(0, Ordering::Relaxed);
            queue.len = 0;
            std::mem::take(&mut queue.ticket)
        };
        ticket.finish(sink.commit(batch));
        let mut queue = self.queue.lock();
        queue.busy = queue.len > 0;
        queue.busy
    }

    fn ring(&self) {
        self.bell.store(1, Ordering::Release);
        let _ = futex::wake(&self.bell, futex::Flags::PRIVATE, 1);
    }

    fn run(&self) {
        loop {
            while self.bell.swap(0, Ordering::AcqRel) == 0 {
                let _ = futex::wait(&self.bell, futex::Flags::PRIVATE, 0, None);
            }
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            while self.commit_once() {}
        }
    }
}
