//! What the engine remembers of keys that expired: which enter, and when that is on disk.
//!
//! A key enters under its shard's lock, in the same moment in which its record leaves the index: no
//! claim and no forget comes between. It is in the journal, on disk, before the segment goes. What
//! the disk refuses is never waited for: the segment goes all the same, the key stays in memory,
//! and the journal is written anew when it can be; if the process ends before that, such keys are
//! forgotten early (and those that were forgotten on request may be told again, if an older record
//! of theirs was on disk).
//!
//! A forget is different: nobody is told that it is done before the mark is on disk. It waits for
//! the journal, and for nothing else.
//!
//! Left to others: how what is pending becomes a run ([`super::late_runs`]).

use std::io;
use std::sync::Arc;

use super::Engine;
use super::claim::LateRecord;
use super::pace::Pace;
use crate::error::{Error, Result};
use crate::ids::{KeyHash, StoreTime};
use crate::late::{Ask, Journal, LateEntry, LateMemory, Pending, Runs, moment};
use crate::log::FooterEntry;
use crate::reached;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

/// So many entries are gathered before they are written.
const MUCH: usize = 1 << 15;

#[derive(Debug)]
pub(crate) struct Late {
    /// Held while a run is written; the journal and shards are locked under it.
    pub(super) memory: Mutex<LateMemory>,
    /// Held over its I/O; shards are locked under it, and it under no shard.
    pub(super) journal: Mutex<Journal>,
    /// What the memory's runs are, for those who do not wait for one that is written.
    pub(super) runs: Mutex<Arc<Runs>>,
    pub(super) is_on: bool,
    remember_ms: u64,
    /// Entries in all shards.
    pub(super) pending: AtomicU64,
    /// When the first of them entered, in milliseconds of store time.
    pub(super) pending_since_ms: AtomicU64,
    journal_bytes: AtomicU64,
    /// Until when no run is tried again after one that failed, in monotonic milliseconds.
    pub(super) retry_at_ms: AtomicU64,
}

/// Keys that have entered and are not on disk yet.
#[derive(Debug, Default)]
pub(crate) struct Entered {
    /// Those that are not in the journal.
    entries: Vec<LateEntry>,
    /// Whether none of them has to be: a footer says the same until they are in a run.
    is_said: bool,
    /// Whether others of them are, which was not synced.
    is_unsynced: bool,
}

impl Entered {
    /// Of a segment that is kept until a run is made.
    pub(super) fn kept() -> Self {
        Self { is_said: true, ..Self::default() }
    }
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
    pub(crate) fn new(
        (memory, journal): (LateMemory, Journal),
        remember_ms: u64,
        (pending, now): (u64, StoreTime),
    ) -> Self {
        Self {
            is_on: memory.is_on(),
            runs: Mutex::new(memory.runs()),
            memory: Mutex::new(memory),
            journal_bytes: AtomicU64::new(journal.bytes()),
            journal: Mutex::new(journal),
            remember_ms,
            pending: AtomicU64::new(pending),
            pending_since_ms: AtomicU64::new(now.0),
            retry_at_ms: AtomicU64::new(0),
        }
    }

    /// What expired by then is not told any more.
    fn since(&self, now: StoreTime) -> StoreTime {
        StoreTime(now.0.saturating_sub(self.remember_ms))
    }

    pub(super) fn pending(&self) -> u64 {
        self.pending.load(Ordering::Relaxed)
    }

    pub(super) fn journal_bytes(&self) -> u64 {
        self.journal_bytes.load(Ordering::Relaxed)
    }

    fn count_entered(&self, entered: u64, now: StoreTime) {
        if entered > 0 && self.pending.fetch_add(entered, Ordering::Relaxed) == 0 {
            self.pending_since_ms.store(now.0, Ordering::Relaxed);
        }
    }

    /// Does something to the journal, which is locked.
    pub(super) fn change_journal<T>(
        &self,
        journal: &mut Journal,
        change: impl FnOnce(&mut Journal) -> T,
    ) -> T {
        let result = change(journal);
        self.journal_bytes.store(journal.bytes(), Ordering::Relaxed);
        result
    }
}

impl Engine {
    /// What a confirmed look may tell of a key.
    pub(super) fn remembered(&self, ask: &Ask) -> Option<LateRecord> {
        let now = self.time.now();
        let told = ask.confirm().expired_s(0)?;
        reached::note("late retries: one is told from memory");
        let expired_at = moment(told, self.base);
        (expired_at > self.late.since(now))
            .then_some(LateRecord { completed_at: None, expired_at: expired_at.min(now) })
    }

    /// What of a footer's entry is remembered, if anything is: of a record that leaves the index,
    /// or of a forget that is about to go.
    pub(super) fn to_remember(&self, entry: &FooterEntry, now: StoreTime) -> Option<LateEntry> {
        if !self.late.is_on || entry.expires_at(self.base) <= self.late.since(now) {
            return None;
        }
        match entry.forget {
            true => Some(LateEntry::mark(entry.hash, entry.expires_s)),
            false => LateEntry::expired(entry.hash, entry.expires_s),
        }
    }

    /// Takes entries in, with the shard locked that they are of: expiries, or marks.
    pub(super) fn enter(
        &self,
        pending: &mut Pending,
        mut entries: Vec<LateEntry>,
        now: StoreTime,
        entered: &mut Entered,
    ) {
        entries.sort_unstable();
        let before = entered.entries.len();
        pending.add_all(&entries, &mut entered.entries);
        self.late.count_entered((entered.entries.len() - before) as u64, now);
        if entries.first().is_some_and(|entry| entry.is_mark()) {
            // A forget may have left the same mark a moment ago, and not have noted it yet.
            entered.entries.truncate(before);
            entered.entries.append(&mut entries);
        }
    }

    /// Writes what has entered once it is much, and sees to it that no more is pending than may be.
    /// No lock of a shard is held.
    pub(super) fn note_much(&self, entered: &mut Entered, pace: &mut Pace) {
        if entered.entries.len() >= MUCH.min(self.options.late_pending) {
            self.write_entered(entered);
            self.relieve(pace);
        }
    }

    /// Puts what has entered on disk. What is refused stays in memory, and is counted.
    pub(super) fn note_entered(&self, entered: &mut Entered, pace: &mut Pace) {
        self.write_entered(entered);
        if std::mem::take(&mut entered.is_unsynced) {
            let mut journal = self.late.journal.lock();
            let noted = self.sync_journal(&mut journal);
            drop(journal);
            self.counters.late_failures.add(u64::from(noted.is_err()));
            self.relieve(pace);
        }
    }

    fn write_entered(&self, entered: &mut Entered) {
        if entered.is_said {
            entered.entries.clear();
        }
        if entered.entries.is_empty() {
            return;
        }
        if self.sync_before_noting().is_err() {
            return;
        }
        let mut journal = self.late.journal.lock();
        // A journal in doubt is written anew by the sync, with all that is pending.
        if !journal.is_in_doubt() {
            let written =
                self.late.change_journal(&mut journal, |journal| journal.write(&entered.entries));
            self.counters.late_failures.add(u64::from(written.is_err()));
        }
        entered.entries.clear();
        entered.is_unsynced = true;
    }

    /// Makes sure that all that has entered is on disk.
    fn sync_journal(&self, journal: &mut Journal) -> io::Result<()> {
        if !journal.is_in_doubt() {
            return self.late.change_journal(journal, Journal::sync);
        }
        self.rewrite_journal(journal)
    }

    /// Makes the journal, which is locked, anew of all that is pending.
    pub(super) fn rewrite_journal(&self, journal: &mut Journal) -> io::Result<()> {
        let pending = self.pending_entries()?;
        self.late.change_journal(journal, |journal| journal.rewrite(&pending))
    }

    /// All pending entries, in order: shards are in the order of their hashes. They may be written:
    /// no power cut takes back what they say.
    pub(super) fn pending_entries(&self) -> io::Result<Vec<LateEntry>> {
        let mut all = Vec::new();
        self.shards.iter().for_each(|shard| all.extend_from_slice(shard.lock().late.entries()));
        self.sync_before_noting().map_err(io::Error::other)?;
        Ok(all)
    }

    /// Where the log is synced every so often: syncs it, since a power cut must not take back what
    /// the memory says.
    fn sync_before_noting(&self) -> Result<()> {
        match self.interval_ms() {
            Some(_) => self.sync_now(),
            None => Ok(()),
        }
    }

    /// Hides what is remembered of a key, for good: it is on disk when this returns.
    pub(super) fn hide_remembered(&self, hash: KeyHash, expired_s: u32) -> Result<()> {
        reached::note("late retries: a forget is marked");
        let mark = LateEntry::mark(hash, expired_s);
        let mut shard = self.shard(hash).lock();
        let is_new = shard.late.add(mark);
        self.late.count_entered(u64::from(is_new), self.time.now());
        drop(shard);
        let mut journal = self.late.journal.lock();
        // The directory may be another process's once the store is closed.
        self.check_writable()?;
        if !journal.is_in_doubt() {
            // If it fails that is what the sync finds.
            let _ = self.late.change_journal(&mut journal, |journal| journal.write(&[mark]));
        }
        let noted = self.sync_journal(&mut journal);
        noted.map_err(|error| {
            self.counters.late_failures.add(1);
            Error::io("noting that an expired key is forgotten", error)
        })
    }

    /// A round of upkeep: what is remembered for long enough goes, and what could not be written is
    /// tried again. A long write by somebody else is not waited for.
    pub(super) fn tend_late(&self) {
        if !self.late.is_on {
            return;
        }
        if let Some(mut memory) = self.late.memory.try_lock()
            && memory.drop_old(self.time.now())
        {
            self.publish_runs(&memory, &[]);
        }
        if let Some(mut journal) = self.late.journal.try_lock()
            && journal.is_in_doubt()
        {
            let rewritten = self.sync_journal(&mut journal);
            self.counters.late_failures.add(u64::from(rewritten.is_err()));
        }
    }

    /// Waits for whoever writes to the journal; nobody does once the store is closed.
    pub(super) fn end_late(&self) {
        drop(self.late.journal.lock());
    }

    /// Counts keys that expired and that nothing can be remembered of.
    pub(super) fn lose_late(&self, keys: u64) {
        if self.late.is_on {
            self.counters.late_lost.add(keys);
        }
    }

    pub(super) fn late_stats(&self) -> LateStats {
        let runs = self.late.runs.lock().clone();
        let counts = runs.counts();
        let mut stats = LateStats {
            keys: runs.entries(),
            bytes: runs.memory_bytes(),
            disk_bytes: runs.disk_bytes() + self.late.journal_bytes(),
            reads: counts.hits.load(Ordering::Relaxed),
            confirmed: counts.confirmed.load(Ordering::Relaxed),
            unreadable: counts.unreadable.load(Ordering::Relaxed),
        };
        for shard in &self.shards {
            let shard = shard.lock();
            stats.keys += shard.late.entries().len() as u64;
            stats.bytes += shard.late.memory_bytes() as u64;
        }
        stats
    }
}
