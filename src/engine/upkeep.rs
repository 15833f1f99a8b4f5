//! Upkeep: everything that is nobody's request. Segments are prepared and sealed ahead, timers go
//! off, leaps of the clock are confirmed, expired segments dropped, and dead bytes given back.
//!
//! A step does one round of it and says when the next is due. A thread calls it; so can a test.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::catalog::{Need, SPARES, Urgency};
use super::flight::{Flight, State};
use super::pace::Pace;
use super::segment::Segment;
use super::signal::Wakers;
use super::{Engine, NextSegments, TOKEN_BLOCK};
use crate::error::{Error, Result};
use crate::ids::Token;
use crate::log::{FLAG_CLEAN, Footer, SegmentKind};
use crate::options::Durability;
use crate::sabotage::{self, Bug};
use crate::telemetry::{SyncTimes, events};

/// How long upkeep may rest.
const ROUND: Duration = Duration::from_secs(1);

/// What a step of upkeep came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StepOutcome {
    /// When the next step is due, from now.
    pub(crate) rest: Duration,
}

impl Engine {
    /// The upkeep thread: a round whenever one is due or asked for, until the store stops.
    pub(crate) fn run_upkeep(&self) {
        loop {
            let outcome = self.step_upkeep();
            let mut wanted = self.upkeep.wanted.lock();
            if wanted.stop {
                return;
            }
            if !std::mem::take(&mut wanted.now) {
                self.upkeep.wake.wait_for(&mut wanted, outcome.rest);
                wanted.now = false;
            }
            if wanted.stop {
                return;
            }
        }
    }

    /// The compaction thread: one step at a time while there is something to give back.
    pub(crate) fn run_compaction(&self) {
        loop {
            let mut wanted = self.upkeep.wanted.lock();
            while !wanted.compact && !wanted.stop {
                self.upkeep.wake.wait(&mut wanted);
            }
            if wanted.stop {
                return;
            }
            wanted.compact = false;
            drop(wanted);
            while self.step_rewrite() {
                if self.upkeep.wanted.lock().stop {
                    return;
                }
            }
        }
    }

    /// Step: what the compaction thread does next, at its own pace, unless it is paused. Returns
    /// whether there was anything.
    pub(crate) fn step_rewrite(&self) -> bool {
        let mut pace = Pace::background(self);
        !self.is_paused()
            && (self.step_prune(&mut pace) > 0
                || self.step_late(&mut pace)
                || self.step_compact(pace))
    }

    /// Wakes upkeep, and on wish compaction with it.
    pub(crate) fn ask_upkeep(&self, compact: bool) {
        let mut wanted = self.upkeep.wanted.lock();
        wanted.now = true;
        wanted.compact |= compact;
        self.upkeep.wake.notify_all();
    }

    /// Ends the upkeep and compaction threads.
    pub(crate) fn stop_upkeep(&self) {
        self.upkeep.stopping.store(true, Ordering::Relaxed);
        self.upkeep.wanted.lock().stop = true;
        self.upkeep.wake.notify_all();
    }

    /// Step: one round of upkeep.
    pub(crate) fn step_upkeep(&self) -> StepOutcome {
        self.time.tick();
        self.audit_clock();
        let next_timer = self.timers.fire(self.time.monotonic_ms());
        if !self.is_poisoned() && !self.closed.load(Ordering::Acquire) {
            self.seal_left();
            self.prepare_next();
            self.sweep_flights();
            self.promise_ahead();
            self.vouch();
            self.write_time();
            self.sync_interval();
            self.tend_late();
            let is_due = || self.has_expired_segment() || self.is_run_due() || self.has_debt();
            if !self.is_paused() && is_due() {
                self.upkeep.wanted.lock().compact = true;
                self.upkeep.wake.notify_all();
            }
        }
        self.meter.publish_if_due(self);
        let round = self.round();
        let until_timer = next_timer.map(|due| due.saturating_sub(self.time.monotonic_ms()).max(1));
        StepOutcome { rest: until_timer.map_or(round, |ms| round.min(Duration::from_millis(ms))) }
    }

    /// How long upkeep may rest but for timers: in `Interval` mode, until the next sync is due.
    fn round(&self) -> Duration {
        match self.interval_ms() {
            None => ROUND,
            Some(interval_ms) => {
                let next_ms = self.until_sync_ms(interval_ms).filter(|ms| *ms > 0);
                ROUND.min(Duration::from_millis(next_ms.unwrap_or(interval_ms)))
            }
        }
    }

    pub(super) fn interval_ms(&self) -> Option<u64> {
        match self.options.durability {
            Durability::Interval(interval) => {
                Some(u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1))
            }
            Durability::Sync => None,
        }
    }

    /// How long until the interval since the last sync is over; `None` if it is.
    pub(super) fn until_sync_ms(&self, interval_ms: u64) -> Option<u64> {
        let synced_at_ms = self.upkeep.synced_at_ms.load(Ordering::Relaxed);
        let due_ms = synced_at_ms.saturating_add(interval_ms);
        due_ms.checked_sub(self.time.monotonic_ms())
    }

    /// Seals the segments that the log has left.
    fn seal_left(&self) {
        let left = std::mem::take(&mut self.next.lock().left);
        for segment in left {
            if let Err(error) = self.seal(&segment) {
                self.fail(error);
                return;
            }
        }
    }

    fn seal(&self, segment: &Segment) -> Result<()> {
        segment.seal()?;
        let records = segment.contents().records;
        self.counters.footer_bytes.add(Footer::space(records as usize) as u64);
        let sealed = self.catalog.lock().mark_sealed(segment.id, self.time.now());
        // Without room for the manifest the segment only stays unsealed there, which recovery can
        // read.
        self.unless_short(sealed)
    }

    /// Lets a shortage pass, and makes any other failure of the catalog the store's end: what the
    /// manifest on disk says is unknown then.
    pub(crate) fn unless_short(&self, result: Result<()>) -> Result<()> {
        match result {
            Err(error) if !error.is_shortage() => {
                self.fail(error.clone());
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Has the next segment ready before the log needs it, and the spare files.
    fn prepare_next(&self) {
        let is_ready = self.next.lock().prepared.is_some();
        if !is_ready || self.room.shortage.is_on() {
            // A caller may have met a shortage with the next segment ready.
            let found = if is_ready { self.find_file() } else { self.prepare() };
            match found {
                Ok(()) => {
                    self.audit.make_way(false);
                    if self.room.shortage.end() {
                        events::disk_full_ends(self.store_id);
                    }
                }
                Err(error) if error.is_shortage() => {
                    self.audit.make_way(error.is_full_disk());
                    self.room.shortage.begin(error.clone());
                    if self.room.shortage.tell() {
                        events::disk_full_begins(self.store_id, &error);
                    }
                }
                Err(error) => self.fail(error),
            }
        }
        let mut catalog = self.catalog.lock();
        catalog.top_up();
        let spares_used = catalog.files().free_count() < SPARES;
        drop(catalog);
        self.room.set_spares_used(spares_used);
        // Whoever waits for the catalog comes between.
        while self.catalog.lock().remove_surplus() {}
    }

    /// Whether all files are there that are kept for when the disk is full.
    pub(crate) fn has_spares(&self) -> bool {
        self.catalog.lock().files().free_count() >= SPARES
    }

    /// Sees to it that the log has a file beyond the spare ones.
    fn find_file(&self) -> Result<()> {
        let mut catalog = self.catalog.lock();
        if catalog.files().free_count() > SPARES { Ok(()) } else { catalog.add_file() }
    }

    /// Prepares a segment. It is offered before the catalog is let go: nobody may take a later one
    /// before it.
    fn prepare(&self) -> Result<()> {
        let mut catalog = self.catalog.lock();
        let segment = catalog.new_segment(Need::Log, SegmentKind::Log)?;
        if let Err(error) = catalog.admit(&segment, Urgency::CanWait, self.time.now()) {
            catalog.retire([segment]);
            return Err(error);
        }
        let mut next = self.next.lock();
        next.prepared = Some(segment);
        // Before anybody can take it.
        self.room.set_next(true);
        Ok(())
    }

    /// Promises tokens well before the commit path would have to.
    fn promise_ahead(&self) {
        let ceiling = self.queue.ceiling();
        if ceiling.0.saturating_sub(self.queue.next_token().0) > TOKEN_BLOCK / 4 * 3 {
            return;
        }
        let raised = Token(ceiling.0.saturating_add(TOKEN_BLOCK));
        let promised = self.catalog.lock().raise_ceiling(raised, Urgency::CanWait, self.time.now());
        match promised {
            Ok(()) => self.queue.raise_ceiling(raised),
            Err(error) => drop(self.unless_short(Err(error))),
        }
    }

    /// Ends leases of dropped claims, and forgets abandoned ones whose TTL is over.
    fn sweep_flights(&self) {
        if self.limits.in_flight() == 0 {
            return;
        }
        let (now, now_ms) = (self.time.now(), self.time.monotonic_ms());
        let mut wakers = Wakers::default();
        for shard in &self.shards {
            let mut shard = shard.lock();
            let mut expired = Vec::new();
            for flight in shard.flights_mut() {
                if is_ownerless(flight, now_ms) {
                    flight.state = State::Abandoned { at: self.time.latest() };
                }
                if let State::Abandoned { at } = flight.state
                    && at.plus_ms(flight.ttl_ms) <= now
                {
                    expired.push((flight.hash, flight.token));
                }
            }
            for (hash, token) in expired {
                if let Some(flight) = shard.remove(hash, token) {
                    self.limits.leave(&flight);
                    flight.ring(&mut wakers);
                }
            }
        }
    }

    /// On an idle store, vouches for the last batch with an empty one: damage to it can then be
    /// told from a torn write.
    fn vouch(&self) {
        if !self.queue.is_idle() {
            return;
        }
        let vouched = self.with_writer(|writer| match writer.take_idle_window() {
            true => writer.close_window(self),
            false => Ok(()),
        });
        if let Err(error) = vouched {
            self.fail(error);
        }
    }

    /// Notes that somebody was told that something has expired.
    pub(crate) fn note_expiry_told(&self) {
        self.upkeep.expiry_told.store(true, Ordering::Relaxed);
    }

    /// Writes store time down if somebody was told of an expiry: after a crash, under a wall clock
    /// that was set back, it must not be undone.
    fn write_time(&self) {
        if !self.upkeep.expiry_told.swap(false, Ordering::Relaxed) {
            return;
        }
        let written = self.with_writer(|writer| match writer.has_room_for_empty() {
            true => writer.close_window(self).map(|()| true),
            false => Ok(false),
        });
        match written {
            Ok(true) => {}
            Ok(false) => {
                let noted = self.catalog.lock().note_time(self.time.now());
                let _ = self.unless_short(noted);
            }
            Err(error) => self.fail(error),
        }
    }

    /// In `Interval` mode: syncs what was written, without keeping writers waiting, once the
    /// interval since the last time is over.
    fn sync_interval(&self) {
        let Some(interval_ms) = self.interval_ms() else { return };
        if self.until_sync_ms(interval_ms).is_some_and(|ms| ms > 0) {
            return;
        }
        let Some((segment, written)) = self.with_writer(|writer| writer.unsynced()) else { return };
        self.upkeep.synced_at_ms.store(self.time.monotonic_ms(), Ordering::Relaxed);
        let mut times = SyncTimes::default();
        let synced = times.time(&self.time, || segment.file.sync());
        self.meter.synced(times);
        match synced {
            Ok(()) => self.with_writer(|writer| writer.note_synced(written)),
            Err(error) => {
                let name = segment.slot.file_name();
                self.fail(Error::io(format_args!("syncing {name}"), error));
            }
        }
    }

    /// Waits for everything decided so far to be on stable storage.
    pub(crate) fn sync_now(&self) -> Result<()> {
        // After a failed sync the next one has nothing to write: its success would prove nothing.
        self.poison.check()?;
        if sabotage::is_on(Bug::ToldBeforeDurable) {
            // Who was told too early may ask for this while the batch's leader has the writer.
            return Ok(());
        }
        self.with_writer(|writer| writer.sync(self)).map_err(|error| {
            self.fail(error);
            self.poison.outcome_unknown()
        })
    }

    /// Refuses new claims from now on. When it returns, every claim that was let in is counted as
    /// held.
    pub(crate) fn begin_close(&self) {
        self.closing.store(true, Ordering::Release);
        self.shards.iter().for_each(|shard| drop(shard.lock()));
    }

    /// Closes the log cleanly: the claims in flight are stated at the head of a segment, everything
    /// is sealed, and the manifest says so. If the disk refuses, the next open recovers instead.
    /// Closing has begun ([`Self::begin_close`]).
    pub(crate) fn close_log(&self) -> Result<()> {
        let quiet = self.rewriting.lock();
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.end_late();
        drop(quiet);
        let last = self.queue.seal();
        self.poison.check()?;
        self.wait(last)?;
        self.with_writer(|writer| writer.roll_clean(self))?;
        let NextSegments { prepared, left } = std::mem::take(&mut *self.next.lock());
        // What was only in flight is stated again at the head of the last segment. A file without a
        // record is worth more to the next open.
        let (left, empty): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|segment| segment.contents().records > 0);
        for segment in left {
            self.seal(&segment)?;
        }
        let active = self.with_writer(|writer| writer.last_segment());
        self.seal(&active)?;
        let now = self.time.now();
        let mut catalog = self.catalog.lock();
        let unused: Vec<_> = prepared.into_iter().chain(empty).collect();
        catalog.replace(&unused, &[], now)?;
        catalog.mark_clean(self.queue.next_token(), now)?;
        // For the next open.
        let _ = catalog.keep_manifest_room();
        Ok(())
    }
}

fn is_ownerless(flight: &Flight, now_ms: u64) -> bool {
    matches!(flight.state, State::Held { dropped: true, .. }) && flight.lease_is_over(now_ms)
}

impl super::writer::Writer {
    /// Closes the log's last segment: moves to a fresh one whose head is flagged as the end.
    fn roll_clean(&mut self, engine: &Engine) -> Result<()> {
        self.roll_with(FLAG_CLEAN, &[], engine)
    }
}
