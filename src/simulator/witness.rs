//! What the clients of a run are told, written down while it happens and handed to the checker of
//! histories at the end: a second judge, who knows nothing of what the model knows.
//!
//! # What is not written down
//! The first part of a history is a history, so one that the checker could not judge to its end is
//! cut where that begins, and judged up to there:
//! - at a leap of the clock that is held back, and at an open that finds store time set back: a
//!   history has one axis of time;
//! - in `Interval` mode at the first power cut, which may take back what was told;
//! - at the first bit that flips, after which any answer may be an error;
//! - after [`MAX_CALLS`] calls, so that a long life fits into memory.

use std::cell::Cell;
use std::rc::Rc;

use super::linear::history::{Call, History, Response};
use super::linear::recorder::{CallId, End, Recorder, Told};
use super::model::{KeyId, Times};
use super::world::World;
use crate::simulation::Clock;

/// How many calls of a run are written down.
const MAX_CALLS: u64 = 20_000;

/// How many states the checker visits for each key. What takes more is not judged, and counted.
pub(crate) const WORK: usize = 20_000;

/// All clients are one process of the recorder: it lets a process have any number of calls open.
const CLIENTS: u32 = 0;

/// Where a history ends before its run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Leap,
    SetBack,
    Power,
    Damage,
    Length,
}

impl Cut {
    /// What the calls after it are counted as.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Leap => "not heard: after a leap",
            Self::SetBack => "not heard: after store time was set back",
            Self::Power => "not heard: after a power cut between syncs",
            Self::Damage => "not heard: after damage",
            Self::Length => "not heard: after too many others",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Witness {
    recorder: Recorder,
    /// Why nothing is written down any more, if that is so.
    end: Cell<Option<Cut>>,
    calls: Cell<u64>,
    /// Calls that were made after its end.
    missed: Cell<u64>,
    /// Store time minus the time of the monotonic clock, in this life.
    offset_ms: Cell<u64>,
    /// The time when the last life ended.
    ended_ms: Cell<u64>,
}

impl Witness {
    pub(crate) fn new() -> Self {
        Self {
            recorder: Recorder::new(CLIENTS + 1),
            end: Cell::new(None),
            calls: Cell::new(0),
            missed: Cell::new(0),
            offset_ms: Cell::new(0),
            ended_ms: Cell::new(0),
        }
    }

    /// Writes nothing down from here on.
    pub(crate) fn stop(&self, why: Cut) {
        self.end.set(self.end.get().or(Some(why)));
    }

    /// Notices a leap that is held back.
    pub(crate) fn see_times(&self, times: Times) {
        if times.now != times.latest {
            self.stop(Cut::Leap);
        }
    }

    /// A process ends, at this time of its monotonic clock.
    pub(crate) fn ended(&self, end: End, now_ms: u64) {
        if self.end.get().is_none() {
            self.ended_ms.set(now_ms + self.offset_ms.get());
            self.recorder.ended(end, self.ended_ms.get());
        }
    }

    /// The next one has opened the store.
    pub(crate) fn reopened(&self, times: Times) {
        let (time_ms, now_ms) = (times.now.lo, times.mono.lo);
        self.see_times(times);
        match time_ms.checked_sub(now_ms).filter(|_| time_ms >= self.ended_ms.get()) {
            Some(offset_ms) if self.end.get().is_none() => {
                self.offset_ms.set(offset_ms);
                self.recorder.reopened(time_ms);
            }
            _ => self.stop(Cut::SetBack),
        }
    }

    /// What clients were told, as far as it was written down.
    pub(crate) fn history(&self) -> History {
        self.recorder.history()
    }

    /// How many calls were not written down, and why not.
    pub(crate) fn missed(&self) -> Option<(Cut, u64)> {
        self.end.get().map(|why| (why, self.missed.get()))
    }
}

impl World {
    /// Writes down a call, just before it is made; `None` if nothing is written down.
    pub(crate) fn hear(&self, key: KeyId, call: Call) -> Option<CallId> {
        let witness = &self.witness;
        if witness.end.get().is_some() {
            witness.missed.set(witness.missed.get() + 1);
        }
        let now_ms = self.heard_at_ms()?;
        witness.calls.set(witness.calls.get() + 1);
        if witness.calls.get() >= MAX_CALLS {
            witness.stop(Cut::Length);
        }
        let key = u32::try_from(key).unwrap_or(u32::MAX);
        Some(witness.recorder.invoke(CLIENTS, key, call, now_ms))
    }

    /// Writes down what became of it.
    pub(crate) fn hear_told(&self, id: Option<CallId>, told: Told) {
        if let (Some(id), Some(now_ms)) = (id, self.heard_at_ms()) {
            self.witness.recorder.told(id, told, now_ms);
        }
    }

    /// The time, unless nothing is written down: what a dead process does was never done.
    fn heard_at_ms(&self) -> Option<u64> {
        let is_heard = !self.dead.get() && self.witness.end.get().is_none();
        is_heard.then(|| self.witness.offset_ms.get() + self.clock.borrow().monotonic_ms())
    }
}

/// A client's call that is under way. One that nobody waits for any more is dropped: it has had its
/// effect by then, or never will.
pub(crate) struct Heard {
    pub(super) world: Rc<World>,
    /// `None` if it is not written down, or not any more.
    id: Option<CallId>,
}

impl Heard {
    /// A call, just before it is made.
    pub(crate) fn begin(world: &Rc<World>, key: KeyId, call: Call) -> Self {
        Self { world: world.clone(), id: world.hear(key, call) }
    }

    pub(crate) fn told(mut self, told: Told) {
        self.world.hear_told(self.id.take(), told);
    }

    /// It did what it always does.
    pub(crate) fn done(self) {
        self.told(Told::Response(Response::Done));
    }

    /// A claim is about to be dropped before it had its outcome: the call that takes it back.
    pub(crate) fn take_back(mut self) -> Self {
        let world = self.world.clone();
        let open = self.id.take().zip(world.heard_at_ms());
        let id = open.map(|(id, now_ms)| world.witness.recorder.cancel(id, now_ms));
        Self { world, id }
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        if let (Some(id), Some(now_ms)) = (self.id.take(), self.world.heard_at_ms()) {
            self.world.witness.recorder.untold(id, now_ms);
        }
    }
}
