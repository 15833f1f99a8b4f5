//! Moments at which somebody must look again: wait limits and lease ends.
//!
//! A timer only rings; whoever waits decides by the clock what it means. Each belongs to a waiter
//! and goes with it, so there are never more timers than waiters.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::signal::{Signal, Wakers};
use crate::sync::Mutex;

#[derive(Debug, Default)]
pub(crate) struct Timers {
    pending: Mutex<Pending>,
}

/// When a timer is due, and which of those that are due then.
type Moment = (u64, u64);

#[derive(Debug, Default)]
struct Pending {
    timers: BTreeMap<Moment, Arc<Signal>>,
    next_number: u64,
}

/// A timer of somebody who waits. It is cancelled when this is dropped.
#[derive(Debug)]
pub(crate) struct Timer {
    timers: Arc<Timers>,
    moment: Moment,
}

impl Timers {
    /// Rings once the monotonic clock reaches `due_ms`. Returns whether this is now the earliest
    /// timer.
    pub(crate) fn add(self: &Arc<Self>, due_ms: u64, signal: Arc<Signal>) -> (Timer, bool) {
        let mut pending = self.pending.lock();
        let moment = (due_ms, pending.next_number);
        pending.next_number += 1;
        pending.timers.insert(moment, signal);
        let earliest = pending.timers.first_key_value().is_some_and(|(first, _)| *first == moment);
        drop(pending);
        (Timer { timers: self.clone(), moment }, earliest)
    }

    /// Rings everything that is due; returns when the next timer is.
    pub(crate) fn fire(&self, now_ms: u64) -> Option<u64> {
        let mut wakers = Wakers::default();
        let mut pending = self.pending.lock();
        while let Some(first) = pending.timers.first_entry()
            && first.key().0 <= now_ms
        {
            first.remove().ring(&mut wakers);
        }
        let next = pending.timers.first_key_value().map(|((due_ms, _), _)| *due_ms);
        drop(pending);
        next
    }

    /// Rings everything, due or not: the store is poisoned or closed.
    pub(crate) fn fire_all(&self) {
        self.fire(u64::MAX);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.pending.lock().timers.len()
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let signal = self.timers.pending.lock().timers.remove(&self.moment);
        drop(signal);
    }
}
