//! What the engine remembers of keys that expired: which enter, and when that is on disk.
//!
//! A key enters under its shard's lock, in the same moment in which its record leaves the index: no
//! claim and no forget comes between. It is noted on disk before the segment goes. What the disk
//! refuses is never waited for: the segment goes all the same, the key stays in memory, and the
//! journal is written anew when it can be; if the process ends before that, such keys are forgotten
//! early (and those that were forgotten on request may be told again, if an older record of theirs
//! was on disk).
//!
//! A forget is different: nobody is told that it is done before the mark is on disk.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Engine;
use super::claim::LateRecord;
use super::pace::Pace;
use crate::error::{Error, Result};
use crate::ids::{KeyHash, StoreTime};
use crate::late::{Ask, LateEntry, LateMemory, moment};
use crate::log::FooterEntry;

/// Entries of a run that weigh as much as one that leaves the index: no lock of a key is held for
/// them, and where others want the core each breath may last as long as thousands of them.
const ENTRIES_A_BREATH: usize = 16;

#[derive(Debug)]
pub(crate) struct Late {
    /// Held over I/O; shards are locked under it, and it under none.
    memory: Mutex<LateMemory>,
    is_on: bool,
    remember_ms: u64,
    /// Entries in all shards.
    pending: AtomicU64,
}

/// Keys that have entered and are not on disk yet.
#[derive(Debug, Default)]
pub(crate) struct Entered {
    entries: Vec<LateEntry>,
}

/// What the memory holds and has done.
#[derive(Debug, Default)]
pub(crate) struct LateStats {
    pub(crate) keys: u64,
    pub(crate) bytes: u64,
    pub(crate) disk_bytes: u64,
    pub(crate) reads: u64,
    pub(crate) confirmed: u64,
    pub(crate) unreadable: u64,
}

impl Late {
    pub(crate) fn new(memory: LateMemory, remember_ms: u64, pending: u64) -> Self {
        Self {
            is_on: memory.is_on(),
            memory: Mutex::new(memory),
            remember_ms,
            pending: AtomicU64::new(pending),
        }
    }

    /// What expired by then is not told any more.
    fn since(&self, now: StoreTime) -> StoreTime {
        StoreTime(now.0.saturating_sub(self.remember_ms))
    }
}

impl Engine {
    /// What a confirmed look may tell of a key.
    pub(super) fn remembered(&self, ask: &Ask) -> Option<LateRecord> {
        let now = self.time.now();
        let told = ask.confirm().expired_s(0)?;
        let expired_at = moment(told, self.base);
        (expired_at > self.late.since(now))
            .then_some(LateRecord { completed_at: None, expired_at: expired_at.min(now) })
    }

    /// Takes an entry of a footer in, with its shard locked, whose record has just left the index,
    /// or whose forget is about to go.
    pub(super) fn enter(
        &self,
        pending: &mut crate::late::Pending,
        entry: &FooterEntry,
        now: StoreTime,
        entered: &mut Entered,
    ) {
        if !self.late.is_on || entry.expires_at(self.base) <= self.late.since(now) {
            return;
        }
        let remembered = match entry.forget {
            true => Some(LateEntry::mark(entry.hash, entry.expires_s)),
            false => LateEntry::expired(entry.hash, entry.expires_s),
        };
        if let Some(remembered) = remembered.filter(|remembered| pending.add(*remembered)) {
            self.late.pending.fetch_add(1, Ordering::Relaxed);
            entered.entries.push(remembered);
        }
    }

    /// Puts what has entered on disk once it is much.
    pub(super) fn note_much(&self, entered: &mut Entered, pace: &mut Pace) {
        if entered.entries.len() >= self.options.late_pending / 2 {
            self.note_entered(entered, pace);
        }
    }

    /// Puts what has entered on disk. What is refused stays in memory, and is counted.
    pub(super) fn note_entered(&self, entered: &mut Entered, pace: &mut Pace) {
        if entered.entries.is_empty() {
            return;
        }
        // Where the log is synced every so often, a power cut must not take back what this says.
        if self.interval_ms().is_some() && self.sync_now().is_err() {
            return;
        }
        let mut memory = self.late.memory.lock();
        let max = self.options.late_pending as u64;
        let is_much = self.late.pending.load(Ordering::Relaxed) >= max;
        if !(is_much && self.write_run(&mut memory, pace)) {
            let noted = match memory.is_in_doubt() {
                true => memory.rewrite_journal(&self.pending_entries()),
                false => memory.note(&entered.entries),
            };
            self.counters.late_failures.add(u64::from(noted.is_err()));
            if self.late.pending.load(Ordering::Relaxed) >= 2 * max {
                self.forget_pending();
            }
        }
        entered.entries.clear();
    }

    /// Makes a run of all that is pending; whether that worked.
    fn write_run(&self, memory: &mut LateMemory, pace: &mut Pace) -> bool {
        let (pending, now) = (self.pending_entries(), self.time.now());
        let mut merged = 0_usize;
        let breathe = || {
            merged += 1;
            pace.breathe(usize::from(merged.is_multiple_of(ENTRIES_A_BREATH)));
        };
        if memory.write_run(&pending, now, breathe).is_err() {
            self.counters.late_failures.add(1);
            return false;
        }
        self.publish_runs(memory, &pending);
        // What came meanwhile is noted by whoever brought it, in a journal without the rest.
        let rewritten = memory.rewrite_journal(&self.pending_entries());
        self.counters.late_failures.add(u64::from(rewritten.is_err()));
        true
    }

    /// Tells every shard of the runs that there are, and which entries, in order, are in them.
    fn publish_runs(&self, memory: &LateMemory, written: &[LateEntry]) {
        let runs = memory.runs();
        let mut rest = written;
        for (number, shard) in self.shards.iter().enumerate() {
            let own = rest.partition_point(|entry| entry.hash.shard() <= number);
            let (own, others) = rest.split_at_checked(own).unwrap_or_default();
            rest = others;
            let mut shard = shard.lock();
            let before = shard.late.entries().len();
            shard.late.publish(runs.clone(), own);
            let gone = before - shard.late.entries().len();
            self.late.pending.fetch_sub(gone as u64, Ordering::Relaxed);
        }
    }

    /// All pending entries, in order: shards are in the order of their hashes.
    fn pending_entries(&self) -> Vec<LateEntry> {
        let mut all = Vec::new();
        self.shards.iter().for_each(|shard| all.extend_from_slice(shard.lock().late.entries()));
        all
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

    /// Hides what is remembered of a key, for good: it is on disk when this returns.
    pub(super) fn hide_remembered(&self, hash: KeyHash, expired_s: u32) -> Result<()> {
        let mark = LateEntry::mark(hash, expired_s);
        if self.shard(hash).lock().late.add(mark) {
            self.late.pending.fetch_add(1, Ordering::Relaxed);
        }
        let mut memory = self.late.memory.lock();
        let noted = match memory.is_in_doubt() {
            true => memory.rewrite_journal(&self.pending_entries()),
            false => memory.note(&[mark]),
        };
        noted.map_err(|error| {
            self.counters.late_failures.add(1);
            Error::io("noting that an expired key is forgotten", error)
        })
    }

    /// A round of upkeep: what is remembered for long enough goes, and what could not be written is
    /// tried again. A long write by somebody else is not waited for.
    pub(super) fn tend_late(&self) {
        let Some(mut memory) = self.late.memory.try_lock().filter(|_| self.late.is_on) else {
            return;
        };
        if memory.drop_old(self.time.now()) {
            self.publish_runs(&memory, &[]);
        }
        if memory.is_in_doubt() && self.late.pending.load(Ordering::Relaxed) > 0 {
            let rewritten = memory.rewrite_journal(&self.pending_entries());
            self.counters.late_failures.add(u64::from(rewritten.is_err()));
        }
    }

    /// Whether somebody writes what is remembered.
    #[cfg(any(test, feature = "simulation"))]
    pub(super) fn is_noting_late(&self) -> bool {
        self.late.memory.try_lock().is_none()
    }

    /// Counts keys that expired and that nothing can be remembered of.
    pub(super) fn lose_late(&self, keys: u64) {
        if self.late.is_on {
            self.counters.late_lost.add(keys);
        }
    }

    pub(super) fn late_stats(&self) -> LateStats {
        let memory = self.late.memory.lock();
        let (entries, bytes) = memory.runs().sizes();
        let counts = memory.counts();
        let mut stats = LateStats {
            keys: entries,
            bytes,
            disk_bytes: memory.disk_bytes(),
            reads: counts.hits.load(Ordering::Relaxed),
            confirmed: counts.confirmed.load(Ordering::Relaxed),
            unreadable: counts.unreadable.load(Ordering::Relaxed) + memory.damaged_pages,
        };
        drop(memory);
        for shard in &self.shards {
            let shard = shard.lock();
            stats.keys += shard.late.entries().len() as u64;
            stats.bytes += shard.late.memory_bytes() as u64;
        }
        stats
    }
}
