//! What the audit thread does: empties the ring, makes events of drafts, and has them written and
//! synced in time.
//!
//! It is the only one that gives numbers, so the trail's order is the ring's. What was dropped
//! before it came, or is lost with a write that failed, takes numbers too: the reader sees the gap.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::EventId;
use super::draft::{Draft, Seen, Texts};
use super::known::Known;
use super::options::{Audit, Privacy};
use super::ring::Ring;
use super::trail::{Bounds, EventNames, Lost, Names, Origin, TRAIL_DIRECTORY, TrailWriter};
use crate::disk::Disk;
use crate::expiry::StoreClock;
use crate::ids::StoreTime;
use crate::sabotage::{self, Bug};
use crate::types::{Caller, Scope};

/// How often it looks for segments that are too old, though none is begun.
const AGE_ROUND_MS: u64 = 60_000;

/// What the audit has done, for the statistics.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) events: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

/// What a round hands to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writes {
    /// All that there is.
    All,
    /// All of it if the window is over; else no more than is worth a write.
    WhenDue,
    /// What was taken before, and no more: what is taken now is lost, since the store needs what
    /// room there is.
    Rest,
}

impl Counts {
    fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(crate) struct Keeper {
    disk: Arc<dyn Disk>,
    settings: Audit,
    origin: Origin,
    names: Names,
    writer: Option<TrailWriter>,
    /// The number of the next event.
    sequence: u64,
    /// How many of the ring's drops have their numbers.
    dropped: u64,
    /// Until when the disk is left alone after a failure, in monotonic milliseconds.
    rest_until_ms: u64,
    written_at_ms: u64,
    synced_at_ms: u64,
    aged_at_ms: u64,
}

impl Keeper {
    pub(crate) fn new(disk: Arc<dyn Disk>, settings: Audit, origin: Origin) -> Self {
        Self {
            disk,
            settings,
            origin,
            names: Names::default(),
            writer: None,
            sequence: 0,
            dropped: 0,
            rest_until_ms: 0,
            written_at_ms: 0,
            synced_at_ms: 0,
            aged_at_ms: 0,
        }
    }

    /// Takes what is in the ring, writes it, and syncs if that is due.
    pub(crate) fn round(
        &mut self,
        (ring, known): (&Ring, &Known),
        counts: &Counts,
        now_ms: u64,
        writes: Writes,
    ) {
        self.take((ring, known), counts, now_ms, writes);
        let is_over = |since_ms: u64, window: Duration| {
            u128::from(now_ms.saturating_sub(since_ms)) >= window.as_millis()
        };
        if writes == Writes::WhenDue && !is_over(self.written_at_ms, self.settings.write_every) {
            return;
        }
        self.written_at_ms = now_ms;
        let sync = is_over(self.synced_at_ms, self.settings.sync_every);
        let Some(writer) = &mut self.writer else { return };
        let mut done = writer.write();
        if sync && done.is_ok() {
            done = writer.sync();
            self.synced_at_ms = now_ms;
        }
        Counts::set(&counts.bytes, writer.bytes());
        self.judge_written(done, counts, now_ms);
    }

    /// The number of the opening.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn boot(&self) -> u64 {
        self.origin.boot
    }

    /// Since when something may be in memory alone.
    pub(crate) fn unwritten_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.written_at_ms)
    }

    /// Takes what is left, says that nothing comes after it, and puts all of it on stable storage.
    pub(crate) fn end(
        &mut self,
        (ring, known): (&Ring, &Known),
        counts: &Counts,
        time: &StoreClock,
    ) {
        let now_ms = time.monotonic_ms();
        self.take((ring, known), counts, now_ms, Writes::All);
        let sequence = self.sequence;
        // Also what never came to be written is told of, since it has numbers.
        if sequence > 0
            && let Err(error) = self.begin()
        {
            return self.judge(Err(Lost { events: 0, error }), counts, now_ms);
        }
        let Some(writer) = &mut self.writer else { return };
        let done = writer.end(sequence, time.latest());
        self.judge_written(done, counts, now_ms);
    }

    /// Removes what is too old, now and then.
    pub(crate) fn remove_old(&mut self, now: StoreTime, now_ms: u64, counts: &Counts) {
        if now_ms.saturating_sub(self.aged_at_ms) < AGE_ROUND_MS {
            return;
        }
        self.aged_at_ms = now_ms;
        let removed = self.writer.as_mut().map_or(Ok(()), |writer| writer.remove_old(now));
        if removed.is_err() {
            Counts::add(&counts.failures, 1);
        }
    }

    fn take(
        &mut self,
        (ring, known): (&Ring, &Known),
        counts: &Counts,
        now_ms: u64,
        writes: Writes,
    ) {
        let resting = now_ms < self.rest_until_ms || writes == Writes::Rest;
        let (mut taken, mut lost) = (0, 0);
        ring.take(|draft| {
            if sabotage::is_on(Bug::NumberedTwice) && sabotage::is_seventh() {
                self.sequence = self.sequence.saturating_sub(1);
            }
            let sequence = self.sequence;
            self.sequence += 1;
            if resting || now_ms < self.rest_until_ms {
                Counts::add(&counts.lost, 1);
                return;
            }
            let done = self.append(draft, sequence, known);
            match &done {
                Ok(()) => taken += 1,
                // Others were on their way, and had been counted.
                Err(Lost { events: events @ 1.., .. }) => lost += events - 1,
                // It is written, and no more than the sync after it failed.
                Err(_) => taken += 1,
            }
            self.judge(done, counts, now_ms);
        });
        Counts::add(&counts.events, taken);
        Counts::take_back(&counts.events, lost);
        // What found the ring full came before this: its numbers are here.
        let dropped = ring.dropped();
        if !sabotage::is_on(Bug::UntoldGap) {
            self.sequence += dropped - self.dropped;
        }
        self.dropped = dropped;
    }

    /// Judges what came of handing over events that had been counted.
    fn judge_written(&mut self, done: Result<(), Lost>, counts: &Counts, now_ms: u64) {
        let lost = done.as_ref().err().map_or(0, |failed| failed.events);
        Counts::take_back(&counts.events, lost);
        self.judge(done, counts, now_ms);
    }

    /// Counts a failure and what it has cost, and leaves the disk alone for a while.
    fn judge(&mut self, done: Result<(), Lost>, counts: &Counts, now_ms: u64) {
        if let Err(Lost { events, .. }) = done {
            Counts::add(&counts.failures, 1);
            Counts::add(&counts.lost, events);
            self.rest_until_ms = now_ms.saturating_add(TrailWriter::REST_MS);
        }
    }

    fn append(&mut self, draft: &Draft, sequence: u64, known: &Known) -> Result<(), Lost> {
        self.learn(draft, known);
        let event = draft.event(EventId::new(self.origin.boot, sequence));
        self.begin().map_err(|error| Lost { events: 1, error })?;
        let caller = draft.texts.caller.as_deref().filter(|_| self.is_plain());
        let request = caller.and_then(Caller::id);
        let names = EventNames { known: &self.names, request };
        self.writer.as_mut().map_or(Ok(()), |writer| writer.append(&event, names))
    }

    fn is_plain(&self) -> bool {
        self.settings.privacy == Privacy::Plain
    }

    /// Opens the trail, if it is not open.
    fn begin(&mut self) -> io::Result<()> {
        if self.writer.is_none() {
            let disk = self.disk.directory(TRAIL_DIRECTORY)?;
            let bounds = Bounds::of(&self.settings);
            self.writer = Some(TrailWriter::open(disk, self.origin, bounds)?);
        }
        Ok(())
    }

    /// Learns the names that a draft brings, so that they need not come again.
    fn learn(&mut self, draft: &Draft, known: &Known) {
        let Texts { caller, rare } = &draft.texts;
        if caller.is_none() && rare.is_none() {
            return;
        }
        let (caller, rare) = (caller.as_deref(), rare.as_deref());
        let is_plain = self.is_plain();
        let Seen { scope, operation, context } = draft.seen;
        let texts = [
            (scope, rare.and_then(|rare| rare.scope.as_ref()).map(Scope::as_str), is_plain),
            (operation, rare.and_then(|rare| rare.operation.as_deref()), true),
            (context.client, caller.and_then(Caller::client_name), true),
            (context.agent, caller.and_then(Caller::agent), is_plain),
        ];
        for (label, text, may_be_kept) in texts {
            if let (Some(label), Some(text), true) = (label, text, may_be_kept) {
                if self.names.keep(label, text) {
                    known.forget_all();
                }
                known.note(label);
            }
        }
    }
}

impl Counts {
    fn take_back(counter: &AtomicU64, by: u64) {
        counter.fetch_sub(by, Ordering::Relaxed);
    }

    fn set(counter: &AtomicU64, to: u64) {
        counter.store(to, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::EventKind;
    use crate::ids::StoreId;
    use crate::simulation::SimDisk;

    /// What a process's death may take: however often the ring fills, the window counts from the
    /// last write.
    #[test]
    fn what_is_taken_under_pressure_is_written_when_the_window_is_over() {
        let disk = SimDisk::new();
        disk.put_directory(TRAIL_DIRECTORY, SimDisk::new());
        let origin = Origin { store_id: StoreId([1; 16]), boot: 1, key_id: 1 };
        let mut keeper = Keeper::new(disk, Audit::new(), origin);
        let (ring, known, counts) = (Ring::new(64), Known::new(), Counts::default());
        let mut round = |now_ms: u64, writes| {
            ring.push(Draft::new(EventKind::Claimed, StoreTime(now_ms)));
            keeper.round((&ring, &known), &counts, now_ms, writes);
            (counts.bytes.load(Ordering::Relaxed), keeper.unwritten_ms(now_ms))
        };
        let (first, _) = round(1000, Writes::All);
        assert_eq!(round(1040, Writes::WhenDue), (first, 40));
        assert_eq!(round(1099, Writes::WhenDue), (first, 99), "all but a millisecond is used up");
        let (second, unwritten_ms) = round(1100, Writes::WhenDue);
        assert!(second > first && unwritten_ms == 0, "{first} {second} {unwritten_ms}");
        assert_eq!(counts.events.load(Ordering::Relaxed), 4);
    }
}
