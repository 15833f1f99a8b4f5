//! The audit trail of a simulated store: a disk of its own, whose troubles must never be the
//! store's (promise 9), a thread whose turns the schedule takes, and readers.
//!
//! It has dice of its own: a run decides the same with a calm trail as without one.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::dice::{Dice, derive};
use super::interlude::{Call, InterludeDisk};
use super::model::{Decision, KeyId, Ledger, Said, TrailEnd, TrailFacts};
use super::profile::{TrailProfile, Weather};
use super::world::World;
use crate::audit::{AuditCounts, EventKind, Trail, TrailItem};
use crate::simulation::{Clock, Disk, Fault, SimDisk, Survival};
use crate::{Caller, Error, ErrorKind, Store};

/// The part of a step's seed that the trail's dice are thrown from.
const OWN: u64 = 7;
/// In a long run the trail is read once in so many steps.
const LONG_READ: u64 = 20_000;

/// Those who say who they are.
const CLIENTS: [&str; 3] = ["ios", "web", "batch"];

/// The trail's part of a world.
#[derive(Debug)]
pub(crate) struct TrailSide {
    pub(crate) profile: TrailProfile,
    disk: RefCell<Arc<SimDisk>>,
    dice: Dice,
    ledger: RefCell<Ledger>,
    /// Whether the audit thread has its turn: there is one of it.
    in_turn: Cell<bool>,
    rotten: Cell<bool>,
    /// Whether little room is left on the disk, also for those who open the store later.
    is_full: Cell<bool>,
    /// When events were written and synced last, in this life, by the monotonic clock.
    written_at_ms: Cell<u64>,
    synced_at_ms: Cell<u64>,
}

impl TrailSide {
    pub(crate) fn new(profile: TrailProfile) -> Self {
        Self {
            profile,
            disk: RefCell::new(SimDisk::new()),
            dice: Dice::new(0),
            ledger: RefCell::default(),
            in_turn: Cell::new(false),
            rotten: Cell::new(false),
            is_full: Cell::new(false),
            written_at_ms: Cell::new(0),
            synced_at_ms: Cell::new(0),
        }
    }

    fn disk(&self) -> Arc<SimDisk> {
        self.disk.borrow().clone()
    }
}

/// What is told of a claim that met something.
const MET: [EventKind; 6] = [
    EventKind::Replayed,
    EventKind::Waited,
    EventKind::Mismatch,
    EventKind::MetUnresolved,
    EventKind::Claimed,
    EventKind::TakenOver,
];

/// What is told of a claim that was let go of.
const LEFT: [EventKind; 3] = [EventKind::Dropped, EventKind::Released, EventKind::LeftUnresolved];

impl World {
    // ---- decisions ------------------------------------------------------------------------------

    /// Has the trail's model know of a decision, which is surely told, or may be.
    fn tell_ledger(&self, key: KeyId, kinds: &'static [EventKind], claim: Named, is_sure: bool) {
        let (Some(trail), Some(store)) = (&self.trail, self.store()) else { return };
        let Some((scope, name)) = Self::name(key) else { return };
        let hash = store.engine().hash(scope.as_bytes(), name.as_bytes()).0;
        let Named(token, attempt) = claim;
        trail.ledger.borrow_mut().decided(Decision { hash, kinds, token, attempt, is_sure });
    }

    /// A claim was decided; or another's was waited for.
    pub(crate) fn tell_ledger_of_claim(&self, key: KeyId, said: &Said, waits: bool) {
        use EventKind::{
            Claimed, Expired, InFlight, LateRetry, MetUnresolved, Mismatch, Replayed, TakenOver,
            Waited,
        };
        let (kinds, claim): (&'static [EventKind], _) = match said {
            Said::Claimed { token, attempt, late, .. } => {
                let kinds: &[_] = match (late, attempt) {
                    (Some(_), _) => &[LateRetry],
                    (None, 1) => &[Claimed],
                    (None, _) => &[TakenOver],
                };
                (kinds, Named(Some(*token), Some(*attempt)))
            }
            Said::Replay(shown) => {
                let kinds: &[_] = if waits { &[Waited] } else { &[Replayed] };
                (kinds, Named(Some(shown.token), Some(shown.attempt)))
            }
            Said::InFlight { attempt } => {
                let kinds: &[_] = if waits { &[Waited] } else { &[InFlight] };
                (kinds, Named(None, Some(*attempt)))
            }
            Said::Mismatch { .. } => (&[Mismatch], Named(None, None)),
            Said::Unresolved { token, attempt } => {
                (&[MetUnresolved], Named(Some(*token), Some(*attempt)))
            }
            Said::Expired(_) => (&[Expired], Named(None, Some(0))),
        };
        self.tell_ledger(key, kinds, claim, true);
    }

    /// A claim was refused before it was decided.
    pub(crate) fn tell_ledger_of_refusal(&self, key: KeyId, error: &Error) {
        match error.kind() {
            ErrorKind::LimitExceeded | ErrorKind::DiskFull => {
                self.tell_ledger(key, &[EventKind::Limited], Named(None, Some(0)), false);
            }
            // It rests on something that never came to disk, whatever it was.
            ErrorKind::OutcomeUnknown | ErrorKind::Poisoned => {
                self.tell_ledger(key, &MET, Named(None, None), false);
            }
            _ => {}
        }
    }

    /// A call of a holder, or of one who resolves or forgets, came to this at once.
    pub(crate) fn tell_ledger_of_end(
        &self,
        key: KeyId,
        kinds: &'static [EventKind],
        token: Option<u64>,
        told: Result<(), ErrorKind>,
    ) {
        match told {
            Ok(()) if !kinds.is_empty() => {
                self.tell_ledger(key, kinds, Named(token, None), true);
            }
            Err(ErrorKind::LeaseLost) if token.is_some() => {
                self.tell_ledger(key, &[EventKind::StaleHolder], Named(token, None), true);
            }
            // It may have been decided.
            Err(ErrorKind::OutcomeUnknown) if !kinds.is_empty() => {
                self.tell_ledger(key, kinds, Named(token, None), false);
            }
            _ => {}
        }
    }

    /// A claim was let go of, one way or the other.
    pub(crate) fn tell_ledger_of_drop(&self, key: KeyId, token: u64) {
        self.tell_ledger(key, &LEFT, Named(Some(token), None), false);
    }

    /// Who makes a request, if he says so.
    pub(crate) fn caller(&self) -> Option<Caller> {
        let trail = self.trail.as_ref().filter(|trail| !trail.profile.is_calm)?;
        let dice = &trail.dice;
        let name = dice.pick(&CLIENTS, "web");
        let caller = Caller::new().client(name).user_agent(format!("{name}/{}", dice.below(3)));
        Some(match dice.percent(50) {
            true => caller.request_id(format!("req-{}", dice.below(1000))),
            false => caller,
        })
    }

    // ---- lives ----------------------------------------------------------------------------------

    /// Puts the trail's directory into the store's.
    pub(crate) fn mount_trail(&self) {
        if let Some(trail) = &self.trail {
            let disk = Arc::new(InterludeDisk::of_trail(trail.disk()));
            self.disk().put_directory("audit", disk);
        }
    }

    /// The machine is off for the trail's disk, too.
    pub(crate) fn turn_trail_off(&self) {
        if let Some(trail) = &self.trail {
            let disk = trail.disk();
            disk.crash_at(disk.calls());
        }
    }

    /// What is left of the trail when the process dies, or the power goes. `counted` is what a
    /// store that was closed had counted as dropped.
    pub(crate) fn end_trail(&self, survival: Survival, counted: Option<u64>) {
        let Some(trail) = &self.trail else { return };
        let is_hurt = self.trouble.get() || self.is_rotten();
        let mut ledger = trail.ledger.borrow_mut();
        ledger.poisoned |= is_hurt;
        ledger.end(match (counted, survival) {
            (Some(dropped), _) => TrailEnd::Closed(dropped),
            (None, Survival::Everything) => TrailEnd::Killed,
            (None, _) => TrailEnd::PowerCut,
        });
        drop(ledger);
        self.crash_trail(survival);
    }

    /// The same, while nobody has the store open.
    pub(crate) fn crash_trail(&self, survival: Survival) {
        let Some(trail) = &self.trail else { return };
        if survival != Survival::Everything {
            trail.ledger.borrow_mut().power_cut();
        }
        self.note_trail_astray();
        let next = trail.disk().crash(survival, trail.dice.roll());
        *trail.disk.borrow_mut() = next;
        self.mount_trail();
    }

    /// The store was opened.
    pub(crate) fn begin_trail(&self, store: &Store) {
        let Some(trail) = &self.trail else { return };
        trail.written_at_ms.set(0);
        trail.synced_at_ms.set(0);
        trail.ledger.borrow_mut().open(store.engine().audit.boot().unwrap_or_default());
        if trail.is_full.get() {
            trail.ledger.borrow_mut().trouble();
        }
        self.hit("trail: an opening");
    }

    fn note_trail_astray(&self) {
        let Some(trail) = &self.trail else { return };
        if trail.disk().counters().misdirected > 0 && !trail.rotten.replace(true) {
            self.hit("trail: a write goes astray");
        }
    }

    // ---- turns and trouble ----------------------------------------------------------------------

    /// The trail's part of a step.
    pub(crate) fn step_trail(&self, step: u64, seed: u64) {
        let Some(trail) = &self.trail else { return };
        trail.dice.reseed(derive(seed, OWN));
        if trail.dice.percent(15) {
            self.trouble_trail(trail);
        }
        if trail.dice.percent(trail.profile.turns) {
            self.audit_turn(trail.dice.percent(25));
        }
        let is_read = match self.profile.operations {
            u64::MAX => trail.dice.percent(3),
            _ => step.is_multiple_of(LONG_READ),
        };
        if is_read {
            let before = trail.ledger.borrow().decisions();
            self.audit_turn(false);
            // What was decided in the middle of the turn may wait for the next.
            let is_live = trail.ledger.borrow().decisions() == before;
            self.read_trail(is_live, None);
        }
    }

    fn trouble_trail(&self, trail: &TrailSide) {
        let (disk, dice) = (trail.disk(), &trail.dice);
        match trail.profile.weather {
            Weather::Fair => return,
            Weather::Rot if dice.percent(30) => {
                disk.fail_at(disk.calls() + dice.below(8), Fault::Misdirected);
                return;
            }
            Weather::Rot => return self.rot_trail(trail),
            Weather::Faults => {
                let faults = [
                    Fault::Io,
                    Fault::Full,
                    Fault::TooManyFiles,
                    Fault::ShortWrite,
                    Fault::FailedSync,
                ];
                let (at, fault) = (disk.calls() + dice.below(6), dice.pick(&faults, Fault::Io));
                match dice.below(4) {
                    0 => disk.clear_faults(),
                    1 => disk.fail_from(at, fault),
                    _ => disk.fail_at(at, fault),
                }
            }
            Weather::Full => {
                let names = disk.list().unwrap_or_default();
                let files = names.iter().filter_map(|name| disk.file(name));
                let used: usize = files.map(|file| file.len()).sum();
                let room = dice.percent(60).then(|| used as u64 + dice.below(400));
                disk.set_capacity(room.unwrap_or(u64::MAX));
                trail.is_full.set(room.is_some());
            }
        }
        self.hit("trail: its disk fails");
        trail.ledger.borrow_mut().trouble();
    }

    /// Nothing of the trail's disk fails any more.
    pub(crate) fn calm_trail(&self) {
        if let Some(trail) = &self.trail {
            let disk = trail.disk();
            disk.clear_faults();
            disk.set_capacity(u64::MAX);
            trail.is_full.set(false);
        }
    }

    fn rot_trail(&self, trail: &TrailSide) {
        let (disk, dice) = (trail.disk(), &trail.dice);
        let names = disk.list().unwrap_or_default();
        let Some(name) = names.get(dice.index(names.len())) else { return };
        let len = disk.file(name).map_or(0, |bytes| bytes.len());
        if len > 0 && disk.flip_bit(name, dice.below(len as u64), dice.below(8) as u8).is_ok() {
            trail.rotten.set(true);
            self.hit("trail: a bit flips");
        }
    }

    /// The audit thread has a turn: at the end of its window, or since it `is_called`.
    pub(crate) fn audit_turn(&self, is_called: bool) {
        let (Some(trail), Some(store)) = (&self.trail, self.store()) else { return };
        if self.dead.get() || self.recovering.get() || trail.in_turn.replace(true) {
            return;
        }
        self.hit("trail: turns");
        let audit = &store.engine().audit;
        let (before, now_ms) = (audit.counts(), self.clock.borrow().monotonic_ms());
        let is_over =
            |since: &Cell<u64>, window_ms| now_ms.saturating_sub(since.get()) >= window_ms;
        let writes = !is_called || is_over(&trail.written_at_ms, trail.profile.write_every_ms);
        let syncs = writes && is_over(&trail.synced_at_ms, trail.profile.sync_every_ms);
        self.say(|| format!("the audit thread's turn: it writes: {writes}, it syncs: {syncs}"));
        match is_called {
            true => store.step_audit_called(),
            false => store.step_audit(),
        }
        trail.in_turn.set(false);
        if self.dead.get() {
            return;
        }
        let after = audit.counts();
        if after.dropped > before.dropped {
            self.hit("trail: a full ring drops");
        }
        if after.failures > before.failures {
            self.hit("trail: a write fails");
            if !trail.ledger.borrow().is_in_trouble() {
                return self.break_promise("the trail fails without a cause".into());
            }
        }
        // Before the first event there is nothing to sync, and that is not called a sync.
        let synced = syncs && after.events > 0;
        if writes {
            trail.written_at_ms.set(now_ms);
            trail.ledger.borrow_mut().written(after.events, synced);
        }
        if synced {
            trail.synced_at_ms.set(now_ms);
        }
    }

    /// The audit thread has its turn in the middle of what the store does.
    pub(crate) fn audit_turn_meanwhile(&self) {
        if let Some(trail) = self.trail.as_ref().filter(|trail| trail.dice.percent(20)) {
            self.audit_turn(trail.dice.percent(25));
        }
    }

    /// Called before each call of the trail's disk: the audit thread stands still in it, and nobody
    /// else does.
    pub(crate) fn during_trail_call(&self, call: Call) {
        let Some(trail) = &self.trail else { return };
        if self.dead.get() || self.recovering.get() || self.is_broken() {
            return;
        }
        let dice = &trail.dice;
        if !trail.profile.is_calm && self.may_go_deeper() && dice.percent(20) {
            self.hit("trail: its disk stands still");
            self.deeper(|| {
                if call == Call::Sync {
                    self.advance(dice.below(500));
                }
                for _ in 0..dice.below(20) {
                    if !self.clients.poll_one(dice) {
                        break;
                    }
                    if dice.percent(20) {
                        self.commit_at_rest();
                    }
                }
            });
        }
        // The machine goes off in the middle of a call of either disk.
        if !trail.profile.is_calm && self.off_at.get() != u64::MAX && dice.percent(20) {
            self.say(|| "the machine goes off".into());
            self.hit("trail: the machine goes off while it is written");
            let disk = self.disk();
            disk.crash_at(disk.calls());
            self.dead.set(true);
        }
        if self.dead.get() {
            self.turn_trail_off();
        }
    }

    // ---- readers --------------------------------------------------------------------------------

    /// Reads the trail from its beginning, and judges it. An open store that `is_live` has just
    /// had all written that it had decided; one that was `closed` has counted so much.
    pub(crate) fn read_trail(&self, is_live: bool, closed: Option<AuditCounts>) {
        let Some(trail) = &self.trail else { return };
        if self.dead.get() || self.is_broken() {
            return;
        }
        self.note_trail_astray();
        // Of a copy, whose calls are not those that are to fail.
        let mut reader = Trail::on(trail.disk().copy());
        let mut items = Vec::new();
        while let Some(item) = reader.next() {
            match item {
                Ok(item) => {
                    let boot = reader.expected().map_or(0, |id| id.boot);
                    items.push((item, boot));
                }
                Err(error) => return self.break_promise(format!("reading the trail: {error:?}")),
            }
        }
        self.hit("trail: read");
        self.count_items(&items, &reader);
        let counts = self.store().filter(|_| is_live);
        let counts = counts.map(|store| store.engine().audit.counts());
        let is_hurt = self.trouble.get() || self.is_rotten();
        let mut ledger = trail.ledger.borrow_mut();
        ledger.poisoned |= is_hurt;
        let facts = TrailFacts {
            is_ended: reader.is_ended(),
            rotten: trail.rotten.get(),
            keeps_all: trail.profile.keeps_all(),
            dropped: counts.map(|counts| counts.dropped),
            events: counts.or(closed).map(|counts| counts.events),
        };
        let verdict = ledger.judge(&items, facts);
        drop(ledger);
        if let Err(what) = verdict {
            items.iter().for_each(|(item, _)| self.say(|| words_of(item)));
            self.break_promise(what);
        }
    }

    fn count_items(&self, items: &[(TrailItem, u64)], reader: &Trail) {
        for (item, _) in items {
            match item {
                TrailItem::Event(event) => {
                    let named = event.context.client.and_then(|label| reader.name(label));
                    if named.is_some_and(|name| !CLIENTS.contains(&&*name)) {
                        self.break_promise(format!("promise 9: nobody is called so: {event:?}"));
                    }
                }
                TrailItem::Gap(gap) => self.hit(match gap.lost {
                    Some(_) => "trail: a gap of so many is told",
                    None => "trail: a gap of an unknown length is told",
                }),
                TrailItem::Damage(_) => self.hit("trail: damage is told"),
            }
        }
    }
}

/// Which claim is meant, as far as that is known: its token and its attempt.
struct Named(Option<u64>, Option<u32>);

fn words_of(item: &TrailItem) -> String {
    match item {
        TrailItem::Event(event) => {
            let token = event.token.map_or(0, |token| token.get());
            format!(
                "trail: {} {} of {:016x}, token {token}, attempt {}",
                event.id, event.kind, event.key_hash, event.attempt
            )
        }
        TrailItem::Gap(gap) => format!("trail: {gap}"),
        TrailItem::Damage(damage) => format!("trail: {damage}"),
    }
}
