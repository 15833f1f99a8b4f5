//! What the callers of one batch wait on: one word for threads, a list of wakers for tasks.
//!
//! Invariants: `finish` is called once; every waiter that saw the word unfinished is woken by it.
//! All threads of a batch sleep on one futex word and one syscall wakes them; a condition variable
//! that requeues them onto its mutex took nearly twice the CPU a cycle.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::thread;

use parking_lot::Mutex;
use rustix::thread::futex;

const PENDING: u32 = 0;
/// Pending, and at least one thread sleeps.
const SLEEPERS: u32 = 1;
const DONE: u32 = 2;

/// How often a waiter of a crowd looks again, letting others run, before it sleeps.
const YIELDS: u32 = 8;

#[derive(Default)]
pub struct Ticket {
    state: AtomicU32,
    wakers: Mutex<Vec<Waker>>,
    verdicts: OnceLock<Vec<bool>>,
}

impl Ticket {
    /// Ends the batch: `verdicts` has one entry per change, or none if all of them held.
    pub fn finish(&self, verdicts: Vec<bool>) {
        if !verdicts.is_empty() {
            let _ = self.verdicts.set(verdicts);
        }
        if self.state.swap(DONE, Ordering::AcqRel) == SLEEPERS {
            let _ = futex::wake(&self.state, futex::Flags::PRIVATE, i32::MAX as u32);
        }
        let wakers = std::mem::take(&mut *self.wakers.lock());
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Blocks until the batch is over. In a crowd it yields first: the batch is often over before
    /// the waiter would have slept, which saves the sleep and the wake.
    pub fn wait(&self, crowd: bool) {
        for _ in 0..if crowd { YIELDS } else { 0 } {
            if self.is_done() {
                return;
            }
            thread::yield_now();
        }
        loop {
            match self.state.load(Ordering::Acquire) {
                DONE => return,
                PENDING => {
                    let _ = self.state.compare_exchange(
                        PENDING,
                        SLEEPERS,
                        Ordering::AcqRel,
                        Ordering::Acquire,
                    );
                }
                _ => {
                    let _ = futex::wait(&self.state, futex::Flags::PRIVATE, SLEEPERS, None);
                }
            }
        }
    }

    /// Whether the change at `index` held. Only once the batch is over.
    pub fn verdict(&self, index: usize) -> bool {
        debug_assert!(self.is_done(), "asked before the batch was over");
        self.verdicts.get().is_none_or(|verdicts| verdicts[index])
    }

    fn is_done(&self) -> bool {
        self.state.load(Ordering::Acquire) == DONE
    }
}

/// A task's wait for a ticket.
pub struct TicketFuture(pub Arc<Ticket>);

impl Future for TicketFuture {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0.is_done() {
            return Poll::Ready(());
        }
        let mut wakers = self.0.wakers.lock();
        // Looked at again under the lock: `finish` takes the list only after the word says done.
        if self.0.is_done() {
            return Poll::Ready(());
        }
        wakers.push(context.waker().clone());
        Poll::Pending
    }
}
