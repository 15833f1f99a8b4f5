//! The writing side of the memory: the runs that there are, and when which become one.
//!
//! Time is cut into windows of half of what is remembered. Keys that enter in one window are in at
//! most two runs, a large one and a small one that grows beside it; when the window is over they
//! become one. So there are at most two runs of windows that are over, and two of the present one:
//! a fresh key is taken for a late one by a filter, and a page is read for nothing, four times in
//! 1,024 at most. A run is dropped when the last of its keys has been remembered for long enough.
//!
//! What a run is made of is worth at least a [`WORTH`]th of all that is in runs. A small run joins
//! the large one when it has a sixteenth of its entries; so each entry is written some 48 times at
//! most: 16 as part of a large run that small ones join, and 32 as part of a small one.
//!
//! Runs are numbered. One that stands for others says from which number on; where a crash leaves
//! those beside it, they go at the next open.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::entry::{LateEntry, Told, seconds_before};
use super::journal::{Journal, JournalFault, JournalName};
use super::merge::merge;
use super::run::{Progress, RUN_TMP, Run, RunFault, RunName, RunWriter};
use crate::disk::Disk;
use crate::ids::{KeyHash, StoreId, StoreTime};
use crate::reached;

/// The most runs there are.
pub(crate) const MAX_RUNS: usize = 4;
/// A small run stays beside the large one of its window while it is more than so many times
/// smaller.
const MUCH_SMALLER: u64 = 16;
/// What is pending becomes a run when it is at least so small a part of what is in runs.
pub(crate) const WORTH: u64 = 1024;

/// Looks that found something, and looks for nothing.
#[derive(Debug, Default)]
pub(crate) struct LookCounts {
    /// Pages read because a filter said that a key may be known.
    pub(crate) hits: AtomicU64,
    /// Those that knew the key.
    pub(crate) confirmed: AtomicU64,
    /// Those that could not be read.
    pub(crate) unreadable: AtomicU64,
}

/// The runs at one moment, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    runs: Vec<Arc<Run>>,
    counts: Arc<LookCounts>,
}

impl Runs {
    /// Whether any of them may know a hash.
    pub(super) fn may_know(&self, hash: KeyHash) -> bool {
        self.runs.iter().any(|run| run.may_know(hash))
    }

    /// What they know of it, from disk; and whether all of it could be read.
    pub(super) fn look(&self, hash: KeyHash) -> (Told, bool) {
        let (mut told, mut is_whole) = (Told::default(), true);
        for run in self.runs.iter().filter(|run| run.may_know(hash)) {
            self.counts.hits.fetch_add(1, Ordering::Relaxed);
            match run.look(hash) {
                Ok(found) if found == Told::default() => {}
                Ok(found) => {
                    self.counts.confirmed.fetch_add(1, Ordering::Relaxed);
                    told = told.and(found);
                }
                Err(_) => {
                    self.counts.unreadable.fetch_add(1, Ordering::Relaxed);
                    is_whole = false;
                }
            }
        }
        (told, is_whole)
    }

    /// Leaves those entries, which are in order, that are news to them.
    pub(crate) fn retain_news(&self, entries: &mut Vec<LateEntry>) {
        for run in &self.runs {
            let mut last = None;
            entries.retain(|entry| {
                if !run.may_know(entry.hash()) {
                    return true;
                }
                run.look_on(entry.hash(), &mut last).map_or(true, |told| !told.covers(*entry))
            });
        }
    }

    /// How many entries are in them.
    pub(crate) fn entries(&self) -> u64 {
        self.runs.iter().map(|run| run.head.entries).sum()
    }

    /// Bytes of memory that they take.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.memory_bytes() as u64).sum()
    }

    /// Bytes of their files.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.disk_bytes()).sum()
    }

    pub(crate) fn counts(&self) -> &LookCounts {
        &self.counts
    }
}

/// What opening the memory found wrong.
#[derive(Debug, Default)]
pub(crate) struct LateFaults {
    pub(crate) runs: Vec<(RunName, RunFault)>,
    pub(crate) journal: Vec<JournalFault>,
}

/// The memory of an open store, but for what is pending in the shards.
#[derive(Debug)]
pub(crate) struct LateMemory {
    disk: Arc<dyn Disk>,
    store: StoreId,
    base: StoreTime,
    remember_ms: u64,
    runs: Vec<Arc<Run>>,
    next: RunName,
    counts: Arc<LookCounts>,
}

/// What opening the memory finds.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) memory: LateMemory,
    pub(crate) journal: Journal,
    /// What is in the journal.
    pub(crate) pending: Vec<LateEntry>,
    pub(crate) faults: LateFaults,
}

impl LateMemory {
    /// Opens the memory. What cannot be used of it is gone, and said. Without a time to remember
    /// for, whatever is there is removed.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        (store, base): (StoreId, StoreTime),
        remember_ms: u64,
        now: StoreTime,
    ) -> io::Result<Opened> {
        let mut names = disk.list()?;
        if names.iter().any(|name| name == RUN_TMP) {
            disk.remove(RUN_TMP)?;
        }
        if remember_ms == 0 {
            let is_of_it = |name: &String| {
                let journal = JournalName::from_file_name(name);
                journal.is_some() || RunName::from_file_name(name).is_some()
            };
            names.iter().filter(|name| is_of_it(name)).for_each(|name| drop(disk.remove(name)));
            names.clear();
        }
        let mut numbers: Vec<_> =
            names.iter().filter_map(|name| RunName::from_file_name(name)).collect();
        numbers.sort_unstable();
        let mut memory = Self {
            next: RunName(numbers.last().map_or(1, |last| last.0.saturating_add(1))),
            disk: disk.clone(),
            store,
            base,
            remember_ms,
            runs: Vec::new(),
            counts: Arc::default(),
        };
        let mut faults = LateFaults::default();
        memory.open_runs(numbers, now, &mut faults);
        let (journal, pending, bad) = Journal::take_over(disk, store, &names);
        faults.journal = bad;
        Ok(Opened { memory, journal, pending, faults })
    }

    /// Newest first: each says which older ones it stands for.
    fn open_runs(&mut self, numbers: Vec<RunName>, now: StoreTime, faults: &mut LateFaults) {
        let mut from = RunName(u64::MAX);
        for number in numbers.into_iter().rev() {
            let opened = match number < from {
                true => Some(Run::open(&*self.disk, self.store, number)),
                false => None,
            };
            match opened {
                Some(Ok((run, found))) if run.head.latest_s > self.since_s(now) => {
                    faults.runs.extend(found.into_iter().map(|fault| (number, fault)));
                    from = run.head.from;
                    self.runs.push(Arc::new(run));
                }
                // It may be read the next time.
                Some(Err(fault @ RunFault::Io(_))) => faults.runs.push((number, fault)),
                Some(Err(fault)) => {
                    faults.runs.push((number, fault));
                    let _ = self.disk.remove(&number.file_name());
                }
                // Leftovers: if they cannot be removed now they are when the store is next opened.
                Some(Ok((run, _))) => {
                    reached::note("late retries: an opening drops a run");
                    from = run.head.from;
                    let _ = self.disk.remove(&number.file_name());
                }
                None => drop(self.disk.remove(&number.file_name())),
            }
        }
        self.runs.reverse();
    }

    /// Whether anything is remembered at all.
    pub(crate) fn is_on(&self) -> bool {
        self.remember_ms > 0
    }

    /// What expired by then is not told any more.
    pub(crate) fn since_s(&self, now: StoreTime) -> u32 {
        let since = StoreTime(now.0.saturating_sub(self.remember_ms));
        seconds_before(since, self.base)
    }

    /// The runs as they are now.
    pub(crate) fn runs(&self) -> Arc<Runs> {
        Arc::new(Runs { runs: self.runs.clone(), counts: self.counts.clone() })
    }

    /// Makes a run of all that is pending, which is in order, and of runs that it belongs with.
    /// `step` is told how far it has come, and may end it.
    pub(crate) fn write_run(
        &mut self,
        pending: &[LateEntry],
        now: StoreTime,
        step: &mut dyn FnMut(Progress<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let (start, opened) = self.plan(pending.len() as u64, now);
        let old = self.runs.split_off(start);
        let written = self.write_of(&old, pending, (opened, now), step);
        let run = match written {
            Ok(run) => run,
            Err(error) => {
                // What was made of it would only keep others from the room.
                let _ = self.disk.remove(RUN_TMP);
                self.runs.extend(old);
                return Err(error);
            }
        };
        self.next = RunName(self.next.0 + 1);
        self.runs.extend(run.map(Arc::new));
        reached::note(match (old.is_empty(), self.runs.len()) {
            (false, _) => "late retries: a run becomes one with others",
            (true, 0 | 1) => "late retries: a first run",
            (true, _) => "late retries: a run beside others",
        });
        old.iter().for_each(|run| drop(self.disk.remove(&run.head.number.file_name())));
        Ok(())
    }

    fn write_of(
        &mut self,
        old: &[Arc<Run>],
        pending: &[LateEntry],
        (opened, now): (StoreTime, StoreTime),
        step: &mut dyn FnMut(Progress<'_>) -> io::Result<()>,
    ) -> io::Result<Option<Run>> {
        let from = old.first().map_or(self.next, |first| first.head.from);
        let entries = old.iter().map(|run| run.head.entries).sum::<u64>() + pending.len() as u64;
        let names = (from, self.next);
        let mut writer = RunWriter::begin(&*self.disk, self.store, names, opened, entries)?;
        let damaged = merge(old, pending, self.since_s(now), &mut writer, step)?;
        self.counts.unreadable.fetch_add(damaged, Ordering::Relaxed);
        writer.finish(step)
    }

    /// Which runs so many new entries become one with: those from this one on. And when the window
    /// began that they are in.
    fn plan(&self, entries: u64, now: StoreTime) -> (usize, StoreTime) {
        let all = self.runs.len();
        let Some(last) = self.runs.last() else { return (0, now) };
        let opened = last.head.opened;
        let window = self.runs.iter().position(|run| run.head.opened == opened).unwrap_or(0);
        let is_over = now.ms_since(opened) >= (self.remember_ms / 2).max(1);
        let large = self.runs.get(window).map_or(0, |run| run.head.entries);
        let small: u64 = self.runs.iter().skip(window + 1).map(|run| run.head.entries).sum();
        let (start, opened) = match all - window {
            // One run is left of it, which stays what it is.
            1 if is_over => (all, now),
            1 if entries < large / MUCH_SMALLER => (all, opened),
            1 => (window, opened),
            _ if !is_over && small + entries < large / MUCH_SMALLER => (window + 1, opened),
            _ => (window, opened),
        };
        match start >= MAX_RUNS {
            false => (start, opened),
            true => {
                (MAX_RUNS - 1, self.runs.get(MAX_RUNS - 1).map_or(opened, |run| run.head.opened))
            }
        }
    }

    /// Drops the runs of which nothing is told any more; whether there were any.
    pub(crate) fn drop_old(&mut self, now: StoreTime) -> bool {
        let since_s = self.since_s(now);
        let (kept, old): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.runs).into_iter().partition(|run| run.head.latest_s > since_s);
        self.runs = kept;
        // One that stays is dropped by the next open.
        old.iter().for_each(|run| drop(self.disk.remove(&run.head.number.file_name())));
        if !old.is_empty() {
            reached::note("late retries: a window leaves");
        }
        !old.is_empty()
    }
}

#[cfg(test)]
mod tests;
