//! What recovery finds to have expired, and how it comes to be remembered.
//!
//! No record that has expired goes into the index at open. Those that no newer one of their key
//! replaced and none was forgotten are handed to the memory instead, a piece at a time, before the
//! manifest of this opening lets go of any segment. As a rule most are known there already.

use std::sync::Arc;

use super::report::{DamageReport, RecoveryReport};
use crate::disk::Disk;
use crate::engine::late::Late;
use crate::engine::shard::LockedShard;
use crate::error::{Error, Result};
use crate::ids::StoreTime;
use crate::late::{Journal, LateEntry, LateFaults, LateMemory, Opened, RunFault};
use crate::log::Manifest;
use crate::sync::Mutex;

/// So many times what a store at work has pending become a run, rather than be kept in memory.
const MUCH: usize = 8;

/// Where recovery puts what has expired.
#[derive(Debug)]
pub(crate) struct Expired {
    held: Mutex<Held>,
    /// What expired by then is told of no more.
    pub(crate) since: StoreTime,
    now: StoreTime,
    is_on: bool,
    max_held: usize,
}

#[derive(Debug)]
struct Held {
    memory: LateMemory,
    journal: Journal,
    /// What is in no run.
    entries: Vec<LateEntry>,
    /// Whether the journal says something else.
    is_news: bool,
    lost: u64,
    failures: u64,
}

/// What the memory came to.
pub(crate) struct Remembered {
    pub(crate) late: Late,
    pub(crate) lost: u64,
    pub(crate) failures: u64,
}

impl Expired {
    /// Opens the memory. What is wrong with it is reported, and keeps no store shut.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        manifest: &Manifest,
        (remember_ms, max_pending): (u64, usize),
        now: StoreTime,
        report: &mut RecoveryReport,
    ) -> Result<Self> {
        let store = (manifest.store_id, manifest.base);
        let opened = LateMemory::open(disk.clone(), store, remember_ms, now)
            .map_err(|error| Error::io("listing the directory", error))?;
        let is_on = opened.memory.is_on();
        let since = if is_on { StoreTime(now.0.saturating_sub(remember_ms)) } else { now };
        let (held, faults) = Held::of(opened);
        report_faults(faults, report);
        Ok(Self { held: Mutex::new(held), since, now, is_on, max_held: MUCH * max_pending })
    }

    #[cfg(test)]
    pub(super) fn off(disk: Arc<dyn Disk>, now: StoreTime) -> Self {
        let store = (crate::ids::StoreId([0; 16]), StoreTime(0));
        let (held, _) = Held::of(LateMemory::open(disk, store, 0, now).expect("an empty disk"));
        Self { held: Mutex::new(held), since: now, now, is_on: false, max_held: 1 }
    }

    /// Whether a key that expired then, as footers round it, is to be remembered.
    pub(super) fn remembers(&self, expired_at: StoreTime) -> bool {
        self.is_on && expired_at > self.since
    }

    /// Takes in what a group of shards has of it.
    pub(super) fn take(&self, mut entries: Vec<LateEntry>) {
        if entries.is_empty() {
            return;
        }
        let mut held = self.held.lock();
        entries.sort_unstable();
        held.memory.runs().retain_news(&mut entries);
        held.is_news |= !entries.is_empty();
        held.entries.append(&mut entries);
        if held.entries.len() >= self.max_held {
            held.write_run(self.now);
        }
    }

    /// Hands what is in no run to the shards, with it on disk; or not, if the disk refuses.
    pub(crate) fn finish(self, shards: &[LockedShard], remember_ms: u64) -> Remembered {
        let Held { memory, mut journal, mut entries, is_news, lost, mut failures } =
            self.held.into_inner();
        entries.sort_unstable();
        entries.dedup();
        if is_news {
            failures += u64::from(journal.rewrite(&entries).is_err());
        }
        let (runs, mut pending) = (memory.runs(), 0);
        // Fresh shards know of no runs.
        let has_runs = runs.entries() > 0;
        for shard in shards.iter().filter(|_| has_runs) {
            shard.lock().late.publish(runs.clone(), &[]);
        }
        for entry in entries {
            if let Some(shard) = shards.get(entry.hash().shard()) {
                pending += u64::from(shard.lock().late.add(entry));
            }
        }
        let late = Late::new((memory, journal), remember_ms, (pending, self.now));
        Remembered { late, lost, failures }
    }
}

impl Held {
    fn of(opened: Opened) -> (Self, LateFaults) {
        let Opened { memory, journal, pending: entries, faults } = opened;
        (Self { memory, journal, entries, is_news: false, lost: 0, failures: 0 }, faults)
    }

    fn write_run(&mut self, now: StoreTime) {
        self.entries.sort_unstable();
        self.entries.dedup();
        if self.memory.write_run(&self.entries, now, &mut |_| Ok(())).is_err() {
            self.failures += 1;
            self.lost += self.entries.len() as u64;
        }
        self.entries.clear();
    }
}

fn report_faults(faults: LateFaults, report: &mut RecoveryReport) {
    for (name, fault) in faults.runs {
        let (offset, what) = match fault {
            RunFault::Damaged(offset, what) => (offset, what.to_owned()),
            RunFault::Io(error) => (0, format!("it cannot be read: {error}")),
        };
        let what = format!("{what}; late retries of keys that are in it may go unnoticed");
        report.late_damage.push(DamageReport { file: name.file_name(), offset, bytes: 0, what });
    }
    // After an unclean stop a damaged last record cannot be told from one that was cut short.
    let (list, what) = match report.clean {
        false => (&mut report.torn, "a write that was cut short"),
        true => (&mut report.late_damage, "late retries of keys that are in it may go unnoticed"),
    };
    list.extend(faults.journal.into_iter().map(|fault| {
        let (offset, bytes) = (fault.offset, fault.bytes);
        DamageReport { file: fault.name.file_name(), offset, bytes, what: what.into() }
    }));
}
