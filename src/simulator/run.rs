//! One run: a schedule of steps from a seed, played on a world.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::client::Client;
use super::coverage::Coverage;
use super::dice::derive;
use super::interlude::within;
use super::profile::Profile;
use super::simulation::Simulation;
use super::step::{Action, Advance, End, HOUR_MS, next};
use super::witness::WORK;
use super::world::World;
use crate::Store;
use crate::index::with_masked_hashes;
use crate::reached;
use crate::simulation::{Disk, Fault, Survival};

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) broken: Option<String>,
    pub(crate) coverage: Coverage,
    pub(crate) trace: Vec<String>,
}

/// Whether a step is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Play,
    Skip,
    /// Neither this step nor any after it.
    Stop,
}

/// Plays those steps of a simulation's schedule that `turn` names.
pub(crate) fn play(
    simulation: &Simulation,
    traced: bool,
    turn: &mut dyn FnMut(u64) -> Turn,
) -> Played {
    let seed = simulation.seed;
    let mut profile = Profile::draw(seed, simulation.length);
    profile.trail.take_if(|_| simulation.without_trail);
    with_masked_hashes(profile.hash_mask, || {
        drop(reached::take());
        let world = World::new(profile, traced);
        world.only_histories.set(simulation.only_histories);
        if let Some(tape) = &simulation.tape {
            world.dice.set_tape(tape);
        }
        let played = within(&world, || catch_unwind(AssertUnwindSafe(|| world.play(seed, turn))));
        if let Err(panic) = played {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or(panic.downcast_ref::<&str>().copied()).unwrap_or("something");
            world.break_promise(format!("the store panics: {said}"));
        }
        world.check_history();
        world.dead.set(true);
        world.clients.clear();
        world.set_store(None);
        let mut coverage = world.coverage.take();
        coverage.add("simulated hours", world.passed_ms.get() / HOUR_MS);
        reached::take().into_iter().for_each(|(state, count)| coverage.add(state, count));
        coverage.set_digest(world.digest());
        Played { broken: world.take_broken(), coverage, trace: world.take_trace() }
    })
}

impl World {
    fn play(self: &Rc<Self>, seed: u64, turn: &mut dyn FnMut(u64) -> Turn) {
        self.dice.reseed(derive(seed, 2));
        self.say(|| format!("{:?}", self.profile));
        self.create(seed);
        for step in 1..=self.profile.steps {
            if self.is_broken() || self.store().is_none() {
                return;
            }
            let clients = self.coverage.borrow().count("clients");
            if clients >= self.profile.operations || self.dice.is_tape_over() {
                break;
            }
            match turn(step) {
                Turn::Play => {}
                Turn::Skip => continue,
                Turn::Stop => break,
            }
            self.begin_step(step, derive(seed, step + 2));
            let action = next(&self.dice, &self.profile);
            self.say(|| format!("{action:?}"));
            self.act(action);
            self.run_clients();
            self.coverage.borrow_mut().hit("steps");
        }
        if self.is_broken() || self.store().is_none() {
            return;
        }
        self.begin_step(u64::MAX, derive(seed, 3));
        self.finish();
    }

    fn act(self: &Rc<Self>, action: Action) {
        match action {
            Action::Clients(count) => {
                for _ in 0..count {
                    self.welcome();
                }
            }
            Action::Cancel => {
                if self.clients.cancel_one(&self.dice) {
                    self.hit("a client goes away");
                }
            }
            Action::Commit => self.commit(),
            Action::Upkeep => self.upkeep(),
            Action::Rewrite => {
                self.rewrite();
            }
            Action::Advance(Advance::Ms(ms)) => self.advance(ms),
            Action::Advance(Advance::ToDeadline(beside)) => self.advance_to_deadline(beside),
            Action::StepWall(ms) => {
                self.hit("the wall clock is set");
                self.clock.borrow().step_wall(ms);
            }
            Action::End(End::Close) => self.close(),
            Action::End(End::Crash(calls, survival)) => self.crash_within(calls, survival),
            Action::Fault(calls) => {
                let (disk, fault) = (self.disk(), self.any_fault());
                self.trouble.set(true);
                self.hit(name_of(fault));
                disk.fail_at(disk.calls() + calls, fault);
            }
            Action::Room(room) => self.set_room(room),
            Action::Rot if self.dice.percent(30) => {
                let disk = self.disk();
                disk.fail_at(disk.calls() + self.dice.below(30), Fault::Misdirected);
            }
            Action::Rot => self.rot(),
        }
    }

    /// A new client, if there is room for one.
    fn welcome(self: &Rc<Self>) {
        let Some(store) = self.store() else { return };
        if self.clients.len() < self.profile.max_clients {
            self.hit("clients");
            self.clients.spawn(Client::new(self.clone(), store).live());
        }
    }

    fn run_clients(&self) {
        for _ in 0..self.dice.below(self.profile.polls + 1) {
            if self.dead.get() || self.is_broken() {
                break;
            }
            if self.dice.percent(20) {
                self.commit();
            } else if !self.clients.poll_one(&self.dice) {
                break;
            }
        }
        if self.dead.get() && !self.is_broken() {
            self.crash(self.dice.pick(&CUTS, Survival::Nothing));
        }
    }

    fn commit(&self) {
        if self.store().is_some_and(|store| store.step_commit()) {
            self.hit("committed");
        }
    }

    /// Prunes, or else compacts; now and then as a caller or the store itself would. It is counted
    /// and not drawn, for the draws of a schedule to stay what they are. False if there was nothing
    /// to give back, or if it was asked for in another way.
    pub(crate) fn rewrite(&self) -> bool {
        let Some(store) = self.store() else { return false };
        self.hit("rewrites");
        let count = self.coverage.borrow().count("rewrites");
        let asks = count * 37 % 100 < self.profile.asks_to_prune;
        let pause = match count % 16 {
            3 => Some(store.pause_compaction()),
            turn if turn == 7 || asks => {
                self.hit("asked to prune");
                drop(store.prune());
                return false;
            }
            11 => {
                self.hit("asked to compact");
                drop(store.compact());
                return false;
            }
            15 => None,
            _ => return self.rewrite_once(&store),
        };
        let rewrote = store.step_rewrite();
        if rewrote && pause.is_some() {
            self.break_promise("a paused store rewrites by itself".into());
        }
        rewrote
    }

    fn rewrite_once(&self, store: &Store) -> bool {
        if store.step_prune() {
            self.hit("pruned a segment");
            return true;
        }
        if store.step_late() {
            self.hit("made a run of expired keys");
            return true;
        }
        let (grown, ended) = (reached::count(GROWTH), self.coverage.borrow().count("completed"));
        let compacted = store.step_compact();
        if compacted {
            self.hit("compacted");
            if self.coverage.borrow().count("completed") > ended {
                self.hit("compacted while claims ended");
            }
            if reached::count(GROWTH) > grown {
                self.hit("compacted while a shard grew");
            }
        }
        compacted
    }

    pub(crate) fn upkeep(&self) {
        self.in_upkeep.set(true);
        self.round_of_upkeep();
        self.in_upkeep.set(false);
    }

    fn round_of_upkeep(&self) {
        let Some(store) = self.store() else { return };
        let begin = self.times(&store);
        let (logged, told) = {
            let model = self.model.borrow();
            (model.logged(), model.told_so_far())
        };
        let due = store.engine().is_sync_due();
        self.tell_model(|model| model.begin_sweep(begin));
        store.step_upkeep();
        if self.dead.get() {
            return;
        }
        let end = self.times(&store);
        let alone = self.model.borrow().logged() == logged && begin.mono == end.mono;
        if store.engine().is_poisoned() {
            self.hit("poisoned");
            if !self.trouble.get() && !self.is_rotten() {
                self.break_promise(format!("poisoned: {:?}", store.engine().failure()));
            }
            return;
        }
        self.judge(|model| {
            model.end_sweep(begin, end, alone);
            if due {
                model.synced(told);
            }
            Ok(())
        });
    }

    /// The process dies in the middle of what happens next, so many disk calls from now.
    fn crash_within(self: &Rc<Self>, calls: u64, survival: Survival) {
        let disk = self.disk();
        self.off_at.set(disk.calls() + calls);
        disk.crash_at(self.off_at.get());
        for _ in 0..4 {
            self.welcome();
        }
        for _ in 0..40 {
            if self.dead.get() || self.is_broken() {
                break;
            }
            match self.dice.below(10) {
                0 => self.upkeep(),
                1 => {
                    self.rewrite();
                }
                2..=4 => self.commit(),
                _ => {
                    self.clients.poll_one(&self.dice);
                }
            }
            self.audit_turn_meanwhile();
        }
        self.off_at.set(u64::MAX);
        if !self.is_broken() {
            self.crash(survival);
        }
    }

    /// Leaves so much room on the disk.
    fn set_room(&self, room: Option<u64>) {
        let disk = self.disk();
        let names = disk.list().unwrap_or_default();
        let used: usize = names.iter().filter_map(|name| disk.file(name)).map(|f| f.len()).sum();
        disk.set_capacity(room.map_or(u64::MAX, |room| used as u64 + room));
        self.trouble.set(true);
        self.hit(if room.is_some() { "the disk fills up" } else { "the disk has room again" });
    }

    /// Lets time pass to close to the next deadline.
    fn advance_to_deadline(&self, beside: i64) {
        let Some(store) = self.store() else { return };
        let times = self.times(&store);
        let next = self.model.borrow().next_deadline(times);
        if let Some(ms) = next.and_then(|ms| ms.checked_add_signed(beside)) {
            self.hit("time passes to a deadline");
            self.advance(ms);
            // Before or after it is not the same to one who drops what has expired.
            if self.dice.percent(50) {
                self.rewrite();
            }
        }
    }

    /// Runs everything to its end, then closes and opens the store once more.
    fn finish(&self) {
        self.disk().clear_faults();
        self.disk().set_capacity(u64::MAX);
        self.calm_trail();
        self.wake_paused(u64::MAX);
        for _ in 0..100 {
            self.settle_down();
            if self.is_broken() || self.dead.get() || self.clients.len() == 0 {
                break;
            }
            // Those who wait for a lease or a limit.
            self.advance(30_000);
            self.upkeep();
        }
        if self.is_broken() || self.dead.get() {
            return;
        }
        if self.clients.len() > 0 {
            let count = self.clients.len();
            return self.break_promise(format!("promise 8: {count} clients wait for ever"));
        }
        self.check_counts();
        self.close();
    }

    /// What clients were told can be explained.
    fn check_history(&self) {
        if self.is_broken() {
            return;
        }
        let history = self.witness.history();
        {
            let mut coverage = self.coverage.borrow_mut();
            coverage.add("heard", history.len() as u64);
            if let Some((why, calls)) = self.witness.missed() {
                coverage.add(why.name(), calls);
            }
        }
        let verdict = history.check_within(WORK);
        self.only_histories.set(false);
        if verdict.is_wrong() {
            self.break_promise(verdict.to_string());
        } else if !verdict.is_linearizable() {
            self.hit("a history takes too much work");
        }
    }

    /// What the store counts is what there is.
    fn check_counts(&self) {
        let Some(store) = self.store() else { return };
        let (stats, unresolved) = (store.stats(), store.unresolved().len() as u64);
        if stats.unresolved != unresolved {
            let counted = stats.unresolved;
            self.break_promise(format!("{unresolved} are unresolved and {counted} counted"));
        }
    }

    /// Polls and commits until there is nothing left to do.
    fn settle_down(&self) {
        loop {
            let polled = self.clients.poll_one(&self.dice);
            if self.is_broken() || self.dead.get() {
                return;
            }
            let committed = self.store().is_some_and(|store| store.step_commit());
            if !polled && !committed {
                return;
            }
        }
    }
}

fn name_of(fault: Fault) -> &'static str {
    match fault {
        Fault::Io => "fault: an input or output error",
        Fault::Full => "fault: the disk is full once",
        Fault::TooManyFiles => "fault: too many open files",
        Fault::ShortWrite => "fault: a write is cut short",
        Fault::ShortRead => "fault: a read falls short",
        Fault::FailedSync => "fault: a sync fails",
        _ => "fault: another",
    }
}

/// What the index says when a shard of it grows.
const GROWTH: &str = "the index: a shard grows";

/// What a crash may leave that came in the middle of something else.
const CUTS: [Survival; 5] = [
    Survival::Nothing,
    Survival::Everything,
    Survival::Random,
    Survival::Torn,
    Survival::Reordered,
];
