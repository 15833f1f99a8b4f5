//! The world a simulated store lives in: its disk and clock, its clients, and the model that judges
//! it. One world is one run; it outlives the processes that open its store.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::coverage::Coverage;
use super::dice::Dice;
use super::executor::Executor;
use super::interlude::Call;
use super::model::{Model, Span, Times, Verdict};
use super::profile::{Profile, Weather};
use super::trail::TrailSide;
use super::witness::Witness;
use crate::simulation::{SimClock, SimDisk};
use crate::{Error, ErrorKind, Key, Scope, Store};

/// A Tuesday in 2026.
const START_MS: u64 = 1_790_000_000_000;

/// How deep disk calls may be nested in each other.
const MAX_DEPTH: u32 = 3;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) profile: Profile,
    pub(crate) dice: Dice,
    pub(crate) clients: Executor,
    pub(crate) model: RefCell<Model>,
    pub(crate) witness: Witness,
    pub(crate) coverage: RefCell<Coverage>,
    pub(crate) disk: RefCell<Arc<SimDisk>>,
    pub(crate) clock: RefCell<Arc<SimClock>>,
    pub(crate) trail: Option<TrailSide>,
    store: RefCell<Option<Store>>,
    /// Whether only the checker of histories says what is broken.
    pub(crate) only_histories: Cell<bool>,
    /// Time that has passed in all lives, in milliseconds.
    pub(crate) passed_ms: Cell<u64>,
    /// The first broken promise.
    broken: RefCell<Option<String>>,
    /// Whether the process is dead: nothing it does counts any more.
    pub(crate) dead: Cell<bool>,
    /// The disk call at which the machine goes off.
    pub(crate) off_at: Cell<u64>,
    /// Whether calls of the disk may have failed in this life.
    pub(crate) trouble: Cell<bool>,
    /// Whether files were damaged.
    pub(crate) rotten: Cell<bool>,
    /// Whether a write landed in the wrong place since the last recovery.
    pub(crate) astray: Cell<bool>,
    /// Which bytes of which files: one that flips twice is whole again.
    pub(crate) flipped: RefCell<BTreeSet<(String, usize)>>,
    pub(crate) closing: Cell<bool>,
    pub(crate) recovering: Cell<bool>,
    /// Whether a round of upkeep is under way: there is one thread for it.
    pub(crate) in_upkeep: Cell<bool>,
    depth: Cell<u32>,
    step: Cell<u64>,
    paused: RefCell<Vec<(u64, Waker)>>,
    pub(crate) next_number: Cell<u64>,
    digest: Cell<u64>,
    trace: RefCell<Option<Vec<String>>>,
}

impl World {
    pub(crate) fn new(profile: Profile, traced: bool) -> Rc<Self> {
        let model = Model::new(profile.rules());
        let world = Rc::new(Self {
            trail: profile.trail.map(TrailSide::new),
            profile,
            dice: Dice::new(0),
            clients: Executor::default(),
            model: RefCell::new(model),
            witness: Witness::new(),
            coverage: RefCell::default(),
            disk: RefCell::new(SimDisk::new()),
            clock: RefCell::new(Arc::new(SimClock::new(START_MS))),
            store: RefCell::new(None),
            only_histories: Cell::new(false),
            passed_ms: Cell::new(0),
            broken: RefCell::new(None),
            dead: Cell::new(false),
            off_at: Cell::new(u64::MAX),
            trouble: Cell::new(false),
            rotten: Cell::new(false),
            astray: Cell::new(false),
            flipped: RefCell::default(),
            closing: Cell::new(false),
            recovering: Cell::new(false),
            in_upkeep: Cell::new(false),
            depth: Cell::new(0),
            step: Cell::new(0),
            paused: RefCell::default(),
            next_number: Cell::new(0),
            digest: Cell::new(0),
            trace: RefCell::new(traced.then(Vec::new)),
        });
        world.mount_trail();
        world
    }

    // ---- the store ------------------------------------------------------------------------------

    pub(crate) fn store(&self) -> Option<Store> {
        self.store.borrow().clone()
    }

    /// Whether a store takes no more changes.
    pub(crate) fn is_closed(&self, store: &Store) -> bool {
        !store.engine().takes_changes()
    }

    pub(crate) fn set_store(&self, store: Option<Store>) {
        let old = self.store.replace(store);
        drop(old);
    }

    pub(crate) fn times(&self, store: &Store) -> Times {
        let time = &store.engine().time;
        let moment = time.moment();
        let now = Span::at(time.now().as_millis());
        let latest = Span::at(moment.latest.as_millis());
        let times = Times { now, latest, mono: Span::at(moment.monotonic_ms) };
        self.witness.see_times(times);
        times
    }

    pub(crate) fn disk(&self) -> Arc<SimDisk> {
        self.disk.borrow().clone()
    }

    pub(crate) fn advance(&self, ms: u64) {
        self.passed_ms.set(self.passed_ms.get() + ms);
        self.clock.borrow().advance(Duration::from_millis(ms));
    }

    // ---- verdicts -------------------------------------------------------------------------------

    /// Notes a broken promise. What follows the first one proves nothing.
    pub(crate) fn break_promise(&self, what: String) {
        self.say(|| format!("BROKEN: {what}"));
        if !self.only_histories.get() {
            self.broken.borrow_mut().get_or_insert(what);
        }
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.borrow().is_some()
    }

    pub(crate) fn take_broken(&self) -> Option<String> {
        self.broken.borrow_mut().take()
    }

    /// Runs a check of the model, unless the process is dead.
    pub(crate) fn judge<T>(&self, check: impl FnOnce(&mut Model) -> Verdict<T>) -> Option<T> {
        if self.dead.get() || self.is_broken() {
            return None;
        }
        let verdict = check(&mut self.model.borrow_mut());
        match verdict {
            Ok(value) => Some(value),
            Err(what) => {
                self.break_promise(what);
                None
            }
        }
    }

    /// Tells the model what happened, unless the process is dead.
    pub(crate) fn tell_model(&self, tell: impl FnOnce(&mut Model)) {
        if !self.dead.get() && !self.is_broken() {
            tell(&mut self.model.borrow_mut());
        }
    }

    /// Judges an error that says nothing about the key: it needs a reason.
    pub(crate) fn check_error(&self, during: &'static str, error: &Error) {
        if self.dead.get() {
            return;
        }
        self.say(|| format!("{during}: {error:?}"));
        self.hit(match error.kind() {
            ErrorKind::OutcomeUnknown => "told: outcome unknown",
            ErrorKind::Poisoned => "told: poisoned",
            ErrorKind::DiskFull => "told: disk full",
            ErrorKind::Corrupt => "told: corrupt",
            ErrorKind::Closed => "told: closed",
            _ => "told: another error",
        });
        let allowed = match error.kind() {
            ErrorKind::Closed => self.closing.get(),
            ErrorKind::DiskFull => self.profile.weather == Weather::Full || self.trouble.get(),
            // A disk that lets no more files be open, where a note of a forget needs one.
            ErrorKind::LimitExceeded => self.trouble.get(),
            ErrorKind::OutcomeUnknown | ErrorKind::Poisoned | ErrorKind::Io => {
                self.trouble.get() || self.is_rotten()
            }
            ErrorKind::Corrupt => self.is_rotten() || self.trouble.get(),
            _ => false,
        };
        let poisoned = self.store().is_none_or(|store| store.engine().is_poisoned());
        if !allowed {
            self.break_promise(format!("{during} fails for no reason: {error:?}"));
        } else if error.kind() == ErrorKind::OutcomeUnknown && !poisoned {
            self.break_promise(format!("{during} is unknown and the store not poisoned: {error}"));
        }
    }

    // ---- what happened --------------------------------------------------------------------------

    pub(crate) fn hit(&self, what: &'static str) {
        self.coverage.borrow_mut().hit(what);
    }

    /// Notes an event: in the digest by its numbers, and in the trace in words.
    pub(crate) fn note(&self, numbers: [u64; 3], words: impl FnOnce() -> String) {
        let mut digest = self.digest.get();
        for number in numbers {
            digest = super::dice::derive(digest, number);
        }
        self.digest.set(digest);
        self.say(words);
    }

    pub(crate) fn say(&self, words: impl FnOnce() -> String) {
        if let Some(trace) = &mut *self.trace.borrow_mut() {
            let indent = "  ".repeat(self.depth.get() as usize);
            trace.push(format!("{:>6} {indent}{}", self.step.get(), words()));
        }
    }

    /// A number that depends on all that happened.
    pub(crate) fn digest(&self) -> u64 {
        self.digest.get()
    }

    pub(crate) fn take_trace(&self) -> Vec<String> {
        self.trace.borrow_mut().take().unwrap_or_default()
    }

    // ---- steps and interludes -------------------------------------------------------------------

    pub(crate) fn depth(&self) -> u32 {
        self.depth.get()
    }

    /// A step begins: those who paused until now go on.
    pub(crate) fn begin_step(&self, step: u64, seed: u64) {
        self.step.set(step);
        self.dice.reseed(seed);
        self.step_trail(step, seed);
        self.wake_paused(step);
    }

    /// All clients go away, in the middle of whatever they do.
    pub(crate) fn dismiss_clients(&self) {
        self.clients.clear();
        self.paused.borrow_mut().clear();
    }

    pub(crate) fn wake_paused(&self, until: u64) {
        let mut paused = self.paused.borrow_mut();
        let (due, rest) = paused.drain(..).partition(|(due, _)| *due <= until);
        *paused = rest;
        drop(paused);
        let due: Vec<(u64, Waker)> = due;
        due.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Waits for this many steps, as a client that is busy elsewhere.
    pub(crate) async fn pause(&self, steps: u64) {
        let due = self.step.get().saturating_add(steps);
        std::future::poll_fn(|cx| {
            if self.step.get() >= due {
                return Poll::Ready(());
            }
            self.paused.borrow_mut().push((due, cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// Called before each disk call of the store.
    pub(crate) fn during_disk_call(&self, call: Call) {
        if !self.dead.get()
            && !self.recovering.get()
            && !self.is_broken()
            && self.may_go_deeper()
            && self.dice.percent(self.profile.interludes)
        {
            self.deeper(|| self.interlude(call));
        }
        if !self.dead.get() && self.disk.borrow().calls() >= self.off_at.get() {
            self.say(|| "the machine goes off".into());
            self.dead.set(true);
            self.turn_trail_off();
        }
    }

    /// Whether something may happen in the middle of what happens.
    pub(crate) fn may_go_deeper(&self) -> bool {
        self.depth.get() < MAX_DEPTH
    }

    pub(crate) fn deeper(&self, happen: impl FnOnce()) {
        self.depth.set(self.depth.get() + 1);
        happen();
        self.depth.set(self.depth.get() - 1);
    }

    /// Commits, if nobody is in the middle of that.
    pub(crate) fn commit_at_rest(&self) {
        if self.store().is_some_and(|store| store.engine().is_at_rest() && store.step_commit()) {
            self.hit("interlude: commit");
        }
    }

    fn interlude(&self, call: Call) {
        if call == Call::Sync && self.dice.percent(30) {
            self.hit("interlude: slow sync");
            self.advance(self.dice.between(1, 3000));
        }
        for _ in 0..self.dice.below(self.profile.meanwhile + 1) {
            if !self.clients.poll_one(&self.dice) {
                break;
            }
            self.hit("interlude: client");
        }
        let Some(store) = self.store() else { return };
        let engine = store.engine();
        if self.dice.percent(30) {
            self.commit_at_rest();
        }
        self.audit_turn_meanwhile();
        if self.dice.percent(10) && !self.in_upkeep.get() && engine.is_at_rest() {
            self.hit("interlude: upkeep");
            self.upkeep();
        }
        // What a reader is about to read moves, or its file is used again.
        let rewrites = if call == Call::Read { 25 } else { 5 };
        if self.dice.percent(rewrites) && engine.may_rewrite() && self.rewrite() {
            self.hit("interlude: prune or compaction");
        }
    }

    // ---- names ----------------------------------------------------------------------------------

    /// Keys of three scopes, of which some are called alike.
    pub(crate) fn name(key: usize) -> Option<(Scope, Key)> {
        let scope = Scope::new(["acct_1", "acct_2", "acct_3"][key % 3]).ok()?;
        Some((scope, Key::new(format!("key-{}", key / 3)).ok()?))
    }
}
