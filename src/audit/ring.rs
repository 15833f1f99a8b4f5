//! The ring between those who decide and the audit thread.
//!
//! Invariants: it is bounded, and its memory is all there from the start; handing over neither
//! waits nor allocates; what finds it full is dropped and counted. Events keep the order in which
//! they were handed over, so events that one key's lock orders stay ordered.
//!
//! Numbers are given where the ring is emptied, by the one thread that does it: a number that is
//! drawn before the push could overtake another in the ring. What was dropped takes numbers there,
//! too, so that it shows as a gap.

use std::cell::Cell;

use crossbeam_queue::ArrayQueue;

use super::draft::Draft;
use crate::sabotage::{self, Bug};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A thread looks how full the ring is once in so many pushes, beginning with its first. It is a
/// prime, so that stores that take turns on a thread all have theirs.
const LOOK_EVERY: u32 = 17;

#[derive(Debug)]
pub(crate) struct Ring {
    drafts: ArrayQueue<Draft>,
    /// From here on the thread is worth waking.
    busy_from: usize,
    dropped: AtomicU64,
    /// Whether the thread has been called and has not come yet.
    called: AtomicBool,
}

impl Ring {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self {
            drafts: ArrayQueue::new(capacity),
            busy_from: capacity.div_ceil(16),
            dropped: AtomicU64::new(0),
            called: AtomicBool::new(false),
        }
    }

    /// Hands a draft over, or drops it. Returns whether the thread is to be woken: once for each
    /// time that it comes.
    pub(crate) fn push(&self, draft: Draft) -> bool {
        if self.drafts.push(draft).is_err() && !sabotage::is_on(Bug::UncountedDrop) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        is_turn()
            && self.drafts.len() >= self.busy_from
            && !self.called.load(Ordering::Relaxed)
            && !self.called.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn pop(&self) -> Option<Draft> {
        self.drafts.pop()
    }

    /// The thread is about to look: from now on it may be called again.
    pub(crate) fn come(&self) {
        self.called.store(false, Ordering::Release);
    }

    pub(crate) fn capacity(&self) -> usize {
        self.drafts.capacity()
    }

    /// How many were dropped since the beginning.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Whether it is this thread's turn to look how full the ring is: that reads what the audit thread
/// writes with each event that it takes, and would cost as much as the push.
fn is_turn() -> bool {
    crate::sync::thread_local! {
        static PUSHES: Cell<u32> = const { Cell::new(0) };
    }
    PUSHES.with(|pushes| pushes.replace(pushes.get().wrapping_add(1))).is_multiple_of(LOOK_EVERY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::EventKind;
    use crate::ids::StoreTime;

    #[test]
    fn promise_9_a_full_ring_drops_and_counts_and_calls_once() {
        let ring = Ring::new(64);
        let push = |at| ring.push(Draft::new(EventKind::Claimed, StoreTime(at)));
        let called: Vec<bool> = (0..76).map(push).collect();
        assert_eq!(called.iter().filter(|called| **called).count(), 1, "{called:?}");
        let at = called.iter().position(|called| *called);
        assert!(at.is_some_and(|at| (3..3 + LOOK_EVERY as usize).contains(&at)), "{at:?}");
        assert_eq!(ring.dropped(), 12);
        ring.come();
        let kept: Vec<u64> = std::iter::from_fn(|| ring.pop()).map(|draft| draft.at.0).collect();
        assert_eq!(kept, (0..64).collect::<Vec<_>>(), "the first to come are kept");
        assert_eq!((50..50 + u64::from(LOOK_EVERY) + 4).filter(|at| push(*at)).count(), 1);
        assert_eq!(ring.dropped(), 12);
    }
}
