//! Moments at which somebody must look again: wait limits and lease ends.
//!
//! A timer only notifies; whoever waits decides by the clock what it means. Timers are not
//! cancelled: one that nobody needs any more goes off unheard.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use event_listener::Event;
use parking_lot::Mutex;

#[derive(Debug, Default)]
pub(crate) struct Timers {
    pending: Mutex<BinaryHeap<Timer>>,
}

#[derive(Debug)]
struct Timer {
    due_ms: u64,
    event: Arc<Event>,
}

impl Timers {
    /// Notifies `event` once the monotonic clock reaches `due_ms`. Returns whether this is now the
    /// earliest timer.
    pub(crate) fn add(&self, due_ms: u64, event: Arc<Event>) -> bool {
        let mut pending = self.pending.lock();
        let earliest = pending.peek().is_none_or(|timer| due_ms < timer.due_ms);
        pending.push(Timer { due_ms, event });
        earliest
    }

    /// Notifies everything that is due; returns when the next timer is.
    pub(crate) fn fire(&self, now_ms: u64) -> Option<u64> {
        let mut due = Vec::new();
        let mut pending = self.pending.lock();
        while pending.peek().is_some_and(|timer| timer.due_ms <= now_ms) {
            due.extend(pending.pop());
        }
        let next = pending.peek().map(|timer| timer.due_ms);
        drop(pending);
        for timer in due {
            timer.event.notify(usize::MAX);
        }
        next
    }

    /// Notifies everything, due or not: the store is poisoned or closed.
    pub(crate) fn fire_all(&self) {
        self.fire(u64::MAX);
    }
}

// The heap's greatest is the earliest timer.
impl Ord for Timer {
    fn cmp(&self, other: &Self) -> Ordering {
        other.due_ms.cmp(&self.due_ms)
    }
}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.due_ms == other.due_ms
    }
}

impl Eq for Timer {}
