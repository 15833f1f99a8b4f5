//! Committing: leading a batch to disk and into the index, and waiting for one.

use std::collections::HashSet;
use std::sync::Arc;
use std::task::Waker;

use super::batch::Ticket;
use super::catalog::{Need, Urgency};
use super::flight::Flight;
use super::queue::{Next, Turn};
use super::segment::Segment;
use super::signal::Wakers;
use super::writer::{Placed, Surroundings, Writer};
use super::{Engine, TOKEN_BLOCK, WriterState};
use crate::error::{Error, ErrorKind, Result};
use crate::expiry::StoreClock;
use crate::ids::{StoreTime, Token};
use crate::log::{Frame, SegmentKind};
use crate::sabotage::{self, Bug};

/// Fails all waiters if a leader leaves without having told them: a panic must not leave anyone
/// asleep.
struct Leadership<'a> {
    engine: &'a Engine,
    told: bool,
}

impl Drop for Leadership<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.engine.fail(Error::new(ErrorKind::Io, "the thread that wrote the batch panicked"));
        }
    }
}

impl Engine {
    /// The fate of a ticket, as an outcome; `None` while it is open.
    pub(crate) fn fate(&self, ticket: Ticket) -> Option<Result<()>> {
        self.queue.fate(ticket).map(|fate| fate.map_err(|()| self.poison.outcome_unknown()))
    }

    /// Waits, on this thread, until a ticket's batch is on disk. Leads if nobody does.
    pub(crate) fn wait(&self, ticket: Ticket) -> Result<()> {
        loop {
            if let Some(fate) = self.fate(ticket) {
                return fate;
            }
            if self.queue.sleep_or_lead(ticket) == Turn::Lead {
                self.lead(false);
            }
        }
    }

    /// Asks to be woken when a ticket's fate is known; false if it is by now.
    pub(crate) fn register(&self, ticket: Ticket, waker: &Waker) -> bool {
        self.queue.register(ticket, waker)
    }

    /// Sees to it that what was queued reaches the disk although its caller has gone.
    pub(crate) fn nudge(&self) {
        self.queue.nudge();
    }

    /// A ticket for everything decided so far.
    pub(crate) fn everything(&self) -> Ticket {
        self.queue.everything()
    }

    /// The committer thread: leads whenever it is called, until the store stops.
    pub(crate) fn run_committer(&self) {
        while self.queue.wait_for_call() {
            loop {
                if self.lead(true) == Next::Nobody {
                    break;
                }
            }
        }
    }

    pub(crate) fn stop_committer(&self) {
        self.queue.stop();
    }

    /// Step, for a store without threads: commits what is queued, if anything is and nobody else
    /// does.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn step_commit(&self) -> bool {
        let lead = self.queue.try_lead();
        if lead {
            self.lead(false);
        }
        lead
    }

    /// Writes the filling batch and tells its waiters. The caller has won `leading`.
    fn lead(&self, is_committer: bool) -> Next {
        let mut leadership = Leadership { engine: self, told: false };
        self.queue.linger();
        let mut state = self.writer.lock();
        let mut batch = self.queue.take_filling();
        if sabotage::is_on(Bug::ToldBeforeDurable) {
            self.queue.tell_untrue(batch.number);
        }
        let WriterState { writer, placed, ended } = &mut *state;
        placed.clear();
        let written = self
            .promise_tokens(batch.sequence)
            .and_then(|()| self.poison.check())
            .and_then(|()| writer.write(&mut batch, self, placed));
        self.room.set_active(writer.room());
        self.queue.note_written();
        if let Err(error) = written {
            drop(state);
            if sabotage::is_on(Bug::PoisonToldAsSuccess) {
                self.queue.tell_untrue(batch.number);
            }
            leadership.told = true;
            self.fail(error);
            return Next::Nobody;
        }
        let mut wakers = Wakers::default();
        for completion in placed.iter() {
            ended.extend(self.publish(completion, &mut wakers));
        }
        self.spares.keep(ended);
        self.hand_over(writer);
        let sync_times = writer.sync_times.take();
        let (frames, bytes) = (batch.frames, batch.bytes.len());
        drop(state);
        let next = self.queue.tell_done(batch, is_committer, wakers);
        leadership.told = true;
        self.meter.batch(frames, bytes);
        self.meter.synced(sync_times);
        next
    }

    /// Poisons the store and tells everyone.
    pub(crate) fn fail(&self, cause: Error) {
        let is_first = self.poison.set(cause.clone());
        self.queue.tell_failed();
        let mut wakers = Wakers::default();
        for shard in &self.shards {
            shard.lock().flights().for_each(|flight| flight.ring(&mut wakers));
        }
        drop(wakers);
        self.timers.fire_all();
        self.ask_upkeep(false);
        if is_first {
            self.tell_poisoned(&cause);
        }
    }

    /// Puts a completion that is on disk into the index, and ends its flight, which it returns.
    fn publish(&self, completion: &Placed, wakers: &mut Wakers) -> Option<Box<Flight>> {
        let Placed { hash, token, location } = *completion;
        let mut shard = self.shard(hash).lock();
        // A record that was forgotten on its way has no flight any more.
        let flight = shard.remove(hash, token)?;
        let old = flight.replaces.filter(|old| self.lives(*old)).map(|old| old.location);
        let replaced = old.filter(|old| shard.index.replace(self.geometry, hash, *old, location));
        if replaced.is_none() {
            shard.index.insert(self.geometry, hash, location);
        }
        drop(shard);
        self.limits.leave(&flight);
        flight.ring(wakers);
        if let Some(old) = replaced {
            self.note_dead(old, flight.reserve());
        }
        Some(flight)
    }

    fn take_prepared(&self) -> Option<Arc<Segment>> {
        let prepared = self.next.lock().prepared.take()?;
        self.table.put(prepared.clone());
        self.ask_upkeep(false);
        Some(prepared)
    }

    /// Raises the ceiling of tokens before it is reached.
    fn promise_tokens(&self, next: Token) -> Result<()> {
        let ceiling = self.queue.ceiling();
        if ceiling.0.saturating_sub(next.0) > TOKEN_BLOCK / 2 {
            return Ok(());
        }
        let raised = Token(ceiling.0.saturating_add(TOKEN_BLOCK));
        self.catalog.lock().raise_ceiling(raised, Urgency::CannotWait, self.time.now())?;
        self.queue.raise_ceiling(raised);
        Ok(())
    }

    /// Runs something with the writer while nobody commits.
    pub(crate) fn with_writer<T>(&self, run: impl FnOnce(&mut Writer) -> T) -> T {
        let mut state = self.writer.lock();
        let result = run(&mut state.writer);
        self.room.set_active(state.writer.room());
        self.hand_over(&mut state.writer);
        let sync_times = state.writer.sync_times.take();
        drop(state);
        self.meter.synced(sync_times);
        result
    }

    /// Has the segments sealed that the log has left. Not before the records in them are in the
    /// index: what is not there is dead to prune and compaction.
    fn hand_over(&self, writer: &mut Writer) {
        if !writer.left.is_empty() {
            let mut next = self.next.lock();
            next.left.append(&mut writer.left);
            self.room.set_next(next.prepared.is_some());
            drop(next);
            self.ask_upkeep(false);
        }
    }
}

impl Surroundings for Engine {
    fn time(&self) -> &StoreClock {
        &self.time
    }

    fn now(&self) -> StoreTime {
        self.time.now()
    }

    fn draw_sequence(&self) -> Token {
        self.queue.draw_sequence()
    }

    fn next_segment(&self) -> Result<Arc<Segment>> {
        if let Some(prepared) = self.take_prepared() {
            return Ok(prepared);
        }
        // Upkeep was too slow, or the disk is full. What is queued was admitted, so the spare files
        // are used for it.
        let mut catalog = self.catalog.lock();
        // One that upkeep was preparing has the lower id, and the log must take segments in the
        // order of their ids.
        if let Some(prepared) = self.take_prepared() {
            return Ok(prepared);
        }
        let segment = match catalog.new_segment(Need::Log, SegmentKind::Log) {
            Ok(segment) => segment,
            Err(error) => {
                self.room.set_spares_used(true);
                if error.is_shortage() {
                    self.room.shortage.begin(error);
                }
                catalog.new_segment(Need::Open, SegmentKind::Log)?
            }
        };
        catalog.admit(&segment, Urgency::CannotWait, self.time.now())?;
        drop(catalog);
        self.table.put(segment.clone());
        Ok(segment)
    }

    fn restate(&self, placed: &[Placed], out: &mut Vec<u8>) -> Result<()> {
        let over: HashSet<Token> = placed.iter().map(|placed| placed.token).collect();
        for shard in &self.shards {
            let shard = shard.lock();
            for flight in shard.flights().filter(|flight| !over.contains(&flight.token)) {
                Frame::Claim(flight.restate()).encode(self.base, out).map_err(|_| {
                    Error::new(ErrorKind::LimitExceeded, "a claim frame would be 16 MiB or more")
                })?;
            }
        }
        Ok(())
    }
}
