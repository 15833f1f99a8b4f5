//! From one process to the next: crashes, what they leave, and what the next process must find.

use std::sync::Arc;

use super::dice::derive;
use super::interlude::InterludeDisk;
use super::linear::answer;
use super::linear::history::Call;
use super::linear::recorder::End;
use super::model::{Bound, Found, Seen};
use super::profile::Weather;
use super::witness::Cut;
use super::world::World;
use crate::simulation::{Clock, Disk, Environment, Fault, SimClock, SimRandom, Survival};
use crate::{ErrorKind, Store};

/// How often a recovery may be crashed before it is left alone.
const MAX_CRASHES: u64 = 3;

impl World {
    fn environment(&self, seed: u64) -> Environment {
        Environment {
            disk: Arc::new(InterludeDisk::of_store(self.disk())),
            clock: self.clock.borrow().clone(),
            random: Arc::new(SimRandom::new(seed)),
            threads: false,
        }
    }

    /// Begins the first life.
    pub(crate) fn create(&self, seed: u64) {
        self.open(derive(seed, 1), Bound::Told);
    }

    /// The process dies: nothing it does from now on counts, and the next one begins.
    pub(crate) fn crash(&self, survival: Survival) {
        let disk = self.disk();
        self.dead.set(true);
        self.note_astray();
        self.witness.ended(End::Crash, self.clock.borrow().monotonic_ms());
        disk.crash_at(disk.calls());
        self.turn_trail_off();
        self.bury();
        self.note([20, survival as u64, 0], || format!("crash: {survival:?}"));
        self.hit(match survival {
            Survival::Nothing => "crash: nothing unsynced survives",
            Survival::Everything => "crash: everything written survives",
            Survival::Random => "crash: random sectors survive",
            Survival::Torn => "crash: a torn write survives",
            _ => "crash: one write of many survives",
        });
        let next = disk.crash(survival, self.dice.roll());
        *self.disk.borrow_mut() = next;
        self.end_trail(survival, None);
        if survival != Survival::Everything {
            self.reboot();
        }
        let bound = match survival {
            Survival::Everything => Bound::Told,
            _ => Bound::Durable,
        };
        self.open(self.dice.roll(), bound);
    }

    /// Lets go of all that the dead process held.
    fn bury(&self) {
        self.dismiss_clients();
        self.set_store(None);
    }

    /// The monotonic clock of another life of the machine; the wall clock may have been set.
    fn reboot(&self) {
        let wall = self.clock.borrow().wall_ms();
        let off_ms = self.dice.pick(&[0, 10_000, 600_000], 0);
        *self.clock.borrow_mut() = Arc::new(SimClock::new(wall + off_ms));
    }

    /// Closes the store, with or without claims out, and opens it again.
    pub(crate) fn close(&self) {
        let Some(store) = self.store() else { return };
        if self.dice.percent(50) {
            self.dismiss_clients();
        }
        self.closing.set(true);
        let timeout = std::time::Duration::from_millis(self.dice.pick(&[0, 500], 0));
        let closed = store.close(timeout).wait();
        let remain = closed.as_ref().map_or(0, |closed| closed.remaining);
        self.note([21, remain as u64, 0], || format!("closed: {closed:?}"));
        if self.dead.get() {
            return;
        }
        match closed {
            Ok(closed) if closed.remaining == 0 => self.hit("closed cleanly"),
            // It closes when the last claim is gone.
            Ok(_) => self.hit("closed with claims out"),
            Err(error) => self.check_error("closing", &error),
        }
        self.dismiss_clients();
        let engine = store.engine().clone();
        drop(store);
        self.set_store(None);
        let is_whole = engine.failure().is_none();
        let counts = engine.audit.counts();
        drop(engine);
        if self.is_broken() || self.dead.get() {
            return;
        }
        let logged = self.model.borrow().logged();
        let mut end = End::Crash;
        if is_whole && !self.trouble.get() {
            self.tell_model(|model| model.synced(logged));
            end = End::Close;
        }
        self.note_astray();
        self.witness.ended(end, self.clock.borrow().monotonic_ms());
        let disk = self.disk().crash(Survival::Everything, 0);
        *self.disk.borrow_mut() = disk;
        self.end_trail(Survival::Everything, Some(counts.dropped));
        self.read_trail(false, Some(counts));
        if self.dice.percent(30) {
            self.clock.borrow().step_wall(-((self.dice.below(100_000_000)) as i64));
        }
        self.open(self.dice.roll(), Bound::Told);
    }

    /// Opens the store, as often as it takes, and judges what is found.
    fn open(&self, seed: u64, mut bound: Bound) {
        self.dead.set(false);
        self.closing.set(false);
        self.trouble.set(false);
        self.recovering.set(true);
        let mut again = false;
        for attempt in 0.. {
            self.arm(attempt);
            let accepts = self.is_rotten();
            let opened = self.try_open(derive(seed, attempt), accepts);
            let off = self.dead.replace(false);
            self.off_at.set(u64::MAX);
            if !off {
                self.disk().clear_faults();
            }
            if self.is_broken() {
                break;
            }
            match opened {
                Ok(store) if !off => {
                    self.recovering.set(false);
                    self.found(store, bound, again);
                    break;
                }
                opened => {
                    again = true;
                    if off {
                        self.hit("crash during recovery");
                        drop(opened);
                        bound = self.crash_again(bound);
                    } else if let Err(error) = opened
                        && !self.may_retry(&error, accepts)
                    {
                        break;
                    }
                }
            }
        }
        self.recovering.set(false);
    }

    /// Prepares for what may go wrong while the store opens.
    fn arm(&self, attempt: u64) {
        let disk = self.disk();
        disk.clear_faults();
        disk.set_capacity(u64::MAX);
        if attempt >= MAX_CRASHES {
            return;
        }
        if self.dice.percent(20) {
            self.off_at.set(disk.calls() + self.dice.below(60));
            disk.crash_at(self.off_at.get());
        } else if self.profile.weather == Weather::Faults && self.dice.percent(30) {
            self.trouble.set(true);
            disk.fail_at(disk.calls() + self.dice.below(60), self.any_fault());
        } else if self.profile.weather == Weather::Rot && self.dice.percent(10) {
            disk.fail_at(disk.calls() + self.dice.below(60), Fault::Misdirected);
        }
    }

    fn try_open(&self, seed: u64, accept_damage: bool) -> crate::Result<Store> {
        let options = self.profile.options().accept_damage(accept_damage);
        Store::open_in(&self.environment(seed), &options, true)
    }

    /// The recovery itself is cut short.
    fn crash_again(&self, bound: Bound) -> Bound {
        let survival = self.dice.pick(&[Survival::Nothing, Survival::Random], Survival::Everything);
        let survival = if self.dice.percent(40) { Survival::Everything } else { survival };
        self.note_astray();
        let next = self.disk().crash(survival, self.dice.roll());
        *self.disk.borrow_mut() = next;
        self.crash_trail(survival);
        self.say(|| format!("crash during recovery: {survival:?}"));
        match survival {
            // What a process that died found in the page cache may not be on stable storage.
            Survival::Everything => bound,
            _ => {
                self.reboot();
                if bound == Bound::Told { Bound::Durable } else { bound }
            }
        }
    }

    /// Whether an open that failed is worth another attempt.
    fn may_retry(&self, error: &crate::Error, accepted: bool) -> bool {
        self.say(|| format!("open fails: {error:?}"));
        if self.is_rotten() && !accepted {
            self.hit("open fails and is tried again");
            return true;
        }
        if self.is_rotten() && !self.trouble.get() {
            self.hit("damage: the store stays shut");
            let told = [ErrorKind::Corrupt, ErrorKind::VersionTooNew, ErrorKind::WrongStore];
            if !told.contains(&error.kind()) {
                self.break_promise(format!("a damaged store is shut without a word: {error:?}"));
            }
            return false;
        }
        if !self.trouble.get() {
            self.break_promise(format!("promise 7: open fails: {error:?}"));
            return false;
        }
        self.hit("open fails and is tried again");
        self.trouble.set(false);
        true
    }

    /// Judges a store that was just opened.
    fn found(&self, store: Store, mut bound: Bound, again: bool) {
        let report = store.recovery();
        self.say(|| format!("opened: {report:?}"));
        self.hit("recovered");
        if !report.torn.is_empty() {
            self.hit("recovered: a torn tail was cut");
        }
        if !report.damage.is_empty() {
            self.hit("recovered: damage was reported");
            if !self.is_rotten() {
                return self.break_promise(format!("damage without a cause: {report:?}"));
            }
            bound = Bound::Anything;
        } else if self.is_rotten() && (again || self.astray.get() || !report.torn.is_empty()) {
            // A damaged last batch is cut like a torn one, perhaps by a recovery before this; one
            // that is not where it should be was never written, as far as anybody can tell.
            bound = Bound::Anything;
        }
        self.astray.set(false);
        let begin = self.times(&store);
        if self.profile.interval.is_some() && bound != Bound::Told {
            self.witness.stop(Cut::Power);
        }
        self.witness.reopened(begin);
        let Some(seen) = self.see_all(&store) else { return };
        let times = begin.until(self.times(&store));
        for (key, seen) in seen.iter().enumerate() {
            self.note([22, key as u64, code(seen)], || format!("key {key} is found: {seen:?}"));
        }
        let found = Found { seen: &seen, times, bound, again };
        self.judge(|model| model.recover(&found));
        let is_claim =
            |seen: &Seen| matches!(seen, Seen::InFlight { .. } | Seen::Unresolved { .. });
        if bound == Bound::Anything && seen.iter().any(is_claim) {
            self.hit("damage: claims are out");
        }
        self.read_trail(false, None);
        self.begin_trail(&store);
        self.set_store(Some(store));
    }

    /// Looks at every key.
    fn see_all(&self, store: &Store) -> Option<Vec<Seen>> {
        let mut all = Vec::with_capacity(self.profile.keys);
        for key in 0..self.profile.keys {
            let (scope, name) = Self::name(key)?;
            let heard = self.hear(key, Call::Get);
            let told = store.get(&scope, &name).wait();
            self.hear_told(heard, answer::get(&told));
            match told {
                Ok(entry) => all.push(Seen::new(entry.as_ref())),
                Err(error) if self.is_rotten() && error.kind() == ErrorKind::Corrupt => {
                    self.hit("damage: a record cannot be read");
                    all.push(Seen::Unreadable);
                }
                Err(error) if self.trouble.get() => {
                    self.say(|| format!("{error:?}"));
                    self.trouble.set(false);
                    self.disk().clear_faults();
                    return self.see_all(store);
                }
                Err(error) => {
                    self.break_promise(format!("key {key} cannot be read: {error:?}"));
                    return None;
                }
            }
        }
        Some(all)
    }

    /// A fault, any.
    pub(crate) fn any_fault(&self) -> Fault {
        let faults = [
            Fault::Io,
            Fault::Full,
            Fault::TooManyFiles,
            Fault::ShortRead,
            Fault::ShortWrite,
            Fault::FailedSync,
        ];
        self.dice.pick(&faults, Fault::Io)
    }

    /// Whether files are damaged: a bit has flipped, or a write landed in the wrong place.
    pub(crate) fn is_rotten(&self) -> bool {
        self.note_astray();
        self.rotten.get()
    }

    /// Takes in whether a write landed in the wrong place, before the disk is another one.
    fn note_astray(&self) {
        if !self.astray.get() && self.disk().counters().misdirected > 0 {
            self.astray.set(true);
            self.rotten.set(true);
            self.witness.stop(Cut::Damage);
            self.hit("damage: a write goes astray");
        }
    }

    /// Flips a bit of some file.
    pub(crate) fn rot(&self) {
        let disk = self.disk();
        let mut names = disk.list().unwrap_or_default();
        names.retain(|name| name.starts_with("segment-") || self.dice.percent(20));
        let Some(name) = names.get(self.dice.index(names.len())) else { return };
        let bytes = disk.file(name).unwrap_or_default();
        let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes.get(*at) != Some(&0)).collect();
        let Some(at) = used.get(self.dice.index(used.len())) else { return };
        if !self.flipped.borrow_mut().insert((name.clone(), *at)) {
            return;
        }
        if disk.flip_bit(name, *at as u64, self.dice.below(8) as u8).is_ok() {
            self.rotten.set(true);
            self.witness.stop(Cut::Damage);
            self.hit("damage: a bit flips");
            self.say(|| format!("a bit of byte {at} of {name} flips"));
        }
    }
}

fn code(seen: &Seen) -> u64 {
    match seen {
        Seen::Nothing => 0,
        Seen::Unreadable => 4,
        Seen::InFlight { token, .. } => token << 2 | 1,
        Seen::Unresolved { token, .. } => token << 2 | 2,
        Seen::Done(shown) => shown.token << 2 | 3,
    }
}
