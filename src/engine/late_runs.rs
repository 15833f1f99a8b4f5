//! How keys that are remembered become a run: when, by whom, and how fast.
//!
//! The compaction thread does it, at its own pace, from what is pending: once that is much, or once
//! it has been pending for a while and is worth it beside what is in runs. Nobody else writes runs
//! but one who would make more pending than may be.
//!
//! The journal turns to a new file first, and then what is pending is looked at: so all that older
//! files say is in the run, and they go once it is there. What enters meanwhile is in the new file.

use std::io;
use std::sync::atomic::Ordering;

use super::Engine;
use super::pace::Pace;
use crate::late::{LateEntry, LateMemory, Progress, WORTH};
use crate::reached;
use crate::sync::MutexGuard;

/// Entries of a run that weigh as much as one that leaves the index: no lock of a key is held for
/// them, and where others want the core each breath may last as long as thousands of them.
const ENTRIES_A_BREATH: usize = 16;
/// How long, in store time, what is worth a run may be pending.
const PENDING_MS: u64 = 30_000;
/// Of so many that would be a run at once, one is worth a run after a while.
const MUCH_MORE: u64 = 128;
/// How long to wait after a run that failed.
const RETRY_MS: u64 = 10_000;
/// So many bytes of journal an entry of what may be pending are a long journal: forgets of one key
/// may be noted again and again.
const LONG_JOURNAL: u64 = 32;

impl Engine {
    /// Whether what is pending should become a run.
    pub(super) fn is_run_due(&self) -> bool {
        if self.is_journal_long() || self.emptied.lock().is_waiting() {
            return true;
        }
        let (pending, much) = (self.late.pending(), self.much_pending());
        let since_ms = self.late.pending_since_ms.load(Ordering::Relaxed);
        let is_old = || self.time.now().0.saturating_sub(since_ms) >= PENDING_MS;
        let least = self.worth().max(self.options.late_pending as u64 / MUCH_MORE).max(1);
        pending >= much || pending >= least && is_old()
    }

    /// So many pending entries are worth a run at once.
    pub(super) fn much_pending(&self) -> u64 {
        self.worth().max(self.options.late_pending as u64)
    }

    /// With fewer a run costs more than it gives.
    fn worth(&self) -> u64 {
        self.late.runs.lock().entries() / WORTH
    }

    fn is_journal_long(&self) -> bool {
        self.late.journal_bytes() > LONG_JOURNAL * self.options.late_most as u64
    }

    /// Step: makes a run of what is pending, if that is due. Returns whether it did.
    pub(crate) fn step_late(&self, pace: &mut Pace) -> bool {
        let is_over = || self.is_poisoned() || self.check_open().is_err();
        if !self.late.is_on || is_over() || !self.is_run_due() {
            return false;
        }
        let is_early = self.time.monotonic_ms() < self.late.retry_at_ms.load(Ordering::Relaxed);
        // Whoever waits for something else has the core first.
        if is_early || !pace.is_hurried() && self.upkeep.is_hurried() {
            return false;
        }
        // Else one is being written.
        self.late.memory.try_lock().is_some_and(|memory| self.write_run(memory, pace))
    }

    /// Sees to it that no more is pending than may be: makes a run of it, or waits for one.
    pub(super) fn relieve(&self, pace: &mut Pace) {
        let most = self.options.late_most as u64;
        while self.late.pending() >= most {
            // Without threads it is this one that writes the run.
            let memory = match self.has_threads {
                true => self.late.memory.lock(),
                false => match self.late.memory.try_lock() {
                    Some(memory) => memory,
                    None => return,
                },
            };
            if self.late.pending() < most {
                return;
            }
            reached::note("late retries: more is pending than may be");
            if !self.write_run(memory, pace) {
                if self.late.pending() >= 2 * most {
                    self.forget_pending();
                }
                return;
            }
        }
    }

    /// Waits until nobody writes a run.
    pub(super) fn wait_for_run(&self) {
        if self.has_threads {
            drop(self.late.memory.lock());
        }
    }

    /// Makes a run of all that is pending; whether that worked.
    fn write_run(&self, mut memory: MutexGuard<'_, LateMemory>, pace: &mut Pace) -> bool {
        let (now, staying) = (self.time.now(), self.emptied.lock().staying());
        let mut journal = self.late.journal.lock();
        let noted = self.late.change_journal(&mut journal, |journal| journal.turn());
        drop(journal);
        let Ok(pending) = self.pending_entries() else { return false };
        let mut keys = 0_usize;
        let mut step = |progress: Progress<'_>| match progress {
            Progress::Key => {
                keys += 1;
                pace.breathe(usize::from(keys.is_multiple_of(ENTRIES_A_BREATH)));
                Ok(())
            }
            Progress::Written(bytes, file) => pace.rest_after(self, bytes, || file.sync()),
        };
        if let Err(error) = memory.write_run(&pending, now, &mut step) {
            if error.kind() != io::ErrorKind::Interrupted {
                self.counters.late_failures.add(1);
                let retry_at_ms = self.time.monotonic_ms().saturating_add(RETRY_MS);
                self.late.retry_at_ms.store(retry_at_ms, Ordering::Relaxed);
                if !staying.is_empty() {
                    reached::note("late retries: segments are kept for a run that fails");
                }
                self.keep_no_longer(&staying);
            }
            return false;
        }
        self.publish_runs(&memory, &pending);
        self.emptied.lock().finish(&staying);
        self.late.pending_since_ms.store(now.0, Ordering::Relaxed);
        let mut journal = self.late.journal.lock();
        self.late.change_journal(&mut journal, |journal| journal.release(noted));
        true
    }

    /// Tells every shard of the runs that there are, and which entries, in order, are in them.
    pub(super) fn publish_runs(&self, memory: &LateMemory, written: &[LateEntry]) {
        let runs = memory.runs();
        self.late.runs.lock().clone_from(&runs);
        let mut rest = written;
        for (number, shard) in self.shards.iter().enumerate() {
            let own = rest.partition_point(|entry| entry.hash().shard() <= number);
            let (own, others) = rest.split_at_checked(own).unwrap_or_default();
            rest = others;
            let mut shard = shard.lock();
            let before = shard.late.entries().len();
            shard.late.publish(runs.clone(), own);
            let gone = before - shard.late.entries().len();
            self.late.pending.fetch_sub(gone as u64, Ordering::Relaxed);
        }
    }

    /// Bounds what is pending while the disk takes nothing.
    fn forget_pending(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            let before = shard.late.entries().len();
            shard.late.keep_marks();
            let gone = (before - shard.late.entries().len()) as u64;
            self.late.pending.fetch_sub(gone, Ordering::Relaxed);
            self.counters.late_lost.add(gone);
        }
    }

    /// Whether somebody writes to the journal of what is remembered.
    #[cfg(any(test, feature = "simulation"))]
    pub(super) fn is_noting_late(&self) -> bool {
        self.late.journal.try_lock().is_none()
    }
}
