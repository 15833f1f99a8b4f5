//! A run that does everything a store can do, told step by step to a [`Ledger`], on a disk that may
//! fail at any call.

use std::collections::BTreeMap;
use std::time::Duration;

use super::api_poll::ByHand;
use super::ledger::{Known, Ledger};
use super::world::{DAY, HALF_HOUR, World, key, request, scope};
use crate::simulation::{Clock, Survival};
use crate::{
    Checkpoint, Claim, DropPolicy, Durability, Error, ErrorKind, FlightCall, Options, Outcome,
    Resolution, Store, StoredResponse,
};

const LEASE: Duration = Duration::from_secs(60);

/// A key that is claimed for longer than the run lasts.
const WATCHED: &str = "watched";

/// Of the worlds that sync every so often.
pub(crate) const INTERVAL: Duration = Duration::from_millis(1);

/// A store at work, and what it has told so far.
pub(crate) struct Run {
    pub(crate) world: World,
    pub(crate) ledger: Ledger,
    /// Every error, in order.
    pub(crate) errors: Vec<Error>,
    /// Whether the run ends with the first error, or goes on with what is still possible.
    stop_at_error: bool,
    /// How often segments were given back.
    pub(crate) prunes: u32,
    pub(crate) compactions: u32,
    /// What became of the stores of the run.
    pub(crate) ends: Ends,
    /// From which call of the disk on the run was at what.
    phases: Vec<(u64, Phase)>,
    /// How often the log of this store has been synced, as of the last change that was settled.
    syncs: u64,
    store: Option<Store>,
    claims: BTreeMap<String, Claim>,
    /// Waits for a key that nobody completes.
    watcher: Option<ByHand<FlightCall>>,
}

/// What a run is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Open,
    /// Requests.
    Serve,
    /// Rounds of upkeep.
    Upkeep,
    /// Dropping and compacting segments.
    CleanUp,
    Close,
}

/// What became of the stores of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) open_refused: bool,
    pub(crate) poisoned: bool,
    pub(crate) close_refused: bool,
    /// A store that was not poisoned, and took no claim after a round of upkeep.
    pub(crate) claim_refused: bool,
}

/// The run cannot go on.
pub(crate) struct Over;

type Step = std::result::Result<(), Over>;

impl Run {
    pub(crate) fn new(world: World, stop_at_error: bool) -> Self {
        Self {
            world,
            ledger: Ledger::default(),
            errors: Vec::new(),
            stop_at_error,
            prunes: 0,
            compactions: 0,
            ends: Ends::default(),
            phases: Vec::new(),
            syncs: 0,
            store: None,
            claims: BTreeMap::new(),
            watcher: None,
        }
    }

    /// A run in a world that syncs every so often.
    pub(crate) fn in_intervals(stop_at_error: bool) -> Self {
        // Without a cache of records, which the other scripts have.
        let options =
            Options::new().durability(Durability::Interval(INTERVAL)).record_cache_bytes(0);
        Self::new(World::with(options), stop_at_error)
    }

    /// Checks what the next process finds after an end of this one.
    pub(crate) fn check(&self, store: &Store, survival: Survival) -> Vec<(String, Known)> {
        let loses = matches!(self.world.options.durability, Durability::Interval(_));
        match survival {
            Survival::Everything => self.ledger.check(store),
            _ if loses => self.ledger.check_synced(store),
            _ => self.ledger.check(store),
        }
    }

    /// Runs the script to its end, or to where it cannot go on; the store is gone then, closed or
    /// not.
    pub(crate) fn play(&mut self) {
        let _ = self.script();
        self.part();
        self.claims.clear();
        self.enter(Phase::Close);
        self.store = None;
    }

    /// Without a fault: a sweep of a script that leaves something out proves nothing of it.
    pub(crate) fn assert_did_everything(&self) {
        assert!(self.errors.is_empty(), "without a fault: {:?}", self.errors);
        assert!(self.prunes > 0, "no segment was dropped");
        assert!(self.compactions > 0, "no segment was compacted");
    }

    /// What the run is at when the disk has had so many calls.
    pub(crate) fn phase_at(&self, call: u64) -> Phase {
        let phase = self.phases.iter().rev().find(|(from, _)| *from <= call);
        phase.map_or(Phase::Open, |(_, phase)| *phase)
    }

    fn enter(&mut self, phase: Phase) {
        self.phases.push((self.world.disk.calls(), phase));
    }

    /// A look at the store before it goes. Nobody is left asleep by one that is poisoned, every
    /// change is refused, and what can be read is right (promise 8).
    fn part(&mut self) {
        let watcher = self.watcher.take();
        let Some(store) = self.store.clone() else { return };
        if !store.stats().poisoned {
            self.try_claim(&store);
        }
        if !store.stats().poisoned {
            return;
        }
        self.ends.poisoned = true;
        if let Some(watcher) = watcher {
            let told = watcher.ready();
            assert_eq!(told.expect_err("no success").kind(), ErrorKind::Poisoned);
        }
        let refused = store.claim(request("after-the-end")).wait().expect_err("no claim");
        assert_eq!(refused.kind(), ErrorKind::Poisoned, "{refused}");
        for (_, claim) in std::mem::take(&mut self.claims) {
            let refused = claim.release().wait().expect_err("no change");
            let kinds = [ErrorKind::Poisoned, ErrorKind::LeaseLost];
            assert!(kinds.contains(&refused.kind()), "{refused}");
        }
    }

    fn script(&mut self) -> Step {
        self.open()?;
        self.lives()?;
        self.volume("old", 14, HALF_HOUR, DAY)?;
        self.forget("old-0")?;
        self.forget("first")?;
        self.crowd("crowd", 12)?;
        self.volume("more", 11, HALF_HOUR, HALF_HOUR)?;
        // What lives for half an hour has expired then, and compaction counts it as such. A longer
        // step would be a leap, which expires nothing.
        for _ in 0..3 {
            self.advance(Duration::from_secs(1900))?;
            self.upkeep()?;
        }
        self.clean_up()?;
        self.execute("first", 20, DAY)?;
        self.volume("new", 14, DAY, DAY)?;
        self.forget("crowd-3")?;
        self.clean_up()?;
        self.reopen()?;
        self.execute("last", 300, DAY)?;
        self.claim("last-held", DropPolicy::Hold, DAY)
    }

    /// One key for each way a claim can go.
    fn lives(&mut self) -> Step {
        self.watch()?;
        self.execute("first", 100, DAY)?;
        self.claim("held", DropPolicy::Hold, DAY)?;
        self.checkpoint("held")?;
        self.claim("released", DropPolicy::Hold, DAY)?;
        self.release("released")?;
        self.claim("lost", DropPolicy::Unresolved, DAY)?;
        self.let_go("lost")?;
        self.claim("settled", DropPolicy::Unresolved, DAY)?;
        self.let_go("settled")?;
        self.resolve("settled")?;
        self.claim("dropped", DropPolicy::Release, DAY)?;
        self.let_go("dropped")?;
        self.claim("taken-over", DropPolicy::Hold, DAY)?;
        self.let_go("taken-over")?;
        self.claim("careful", DropPolicy::Unresolved, DAY)?;
        self.advance(Duration::from_secs(61))?;
        self.claim("taken-over", DropPolicy::Hold, DAY)?;
        self.checkpoint("taken-over")?;
        self.upkeep()?;
        self.complete("taken-over", 50)
    }

    /// Claims a key in a store that should take claims.
    fn try_claim(&mut self, store: &Store) {
        store.step_upkeep();
        let name = format!("try-{}", self.world.disk.calls());
        let told = self.errors.len();
        let _ = self.claim(&name, DropPolicy::Hold, DAY);
        self.ends.claim_refused |= self.errors.len() > told;
    }

    /// Claims a key for good, and waits for it.
    fn watch(&mut self) -> Step {
        self.claim(WATCHED, DropPolicy::Hold, DAY)?;
        let Some(store) = &self.store else { return Ok(()) };
        if let Ok(Outcome::InFlight(flight)) = store.claim(request(WATCHED)).wait() {
            self.watcher = Some(ByHand::begun(flight.wait(DAY)));
        }
        Ok(())
    }

    /// Enough records to fill segments: most live as long as `ttl`, one in six as long as `other`.
    fn volume(&mut self, name: &str, count: usize, ttl: Duration, other: Duration) -> Step {
        for i in 0..count {
            let ttl = if i % 6 == 5 { other } else { ttl };
            self.execute(&format!("{name}-{i}"), 6000, ttl)?;
            if i % 4 == 3 {
                self.upkeep()?;
            }
        }
        Ok(())
    }

    /// Completions that share one batch, which is larger than a segment.
    fn crowd(&mut self, name: &str, count: usize) -> Step {
        let names: Vec<_> = (0..count).map(|i| format!("{name}-{i}")).collect();
        for (i, name) in names.iter().enumerate() {
            let policy = if i % 2 == 0 { DropPolicy::Hold } else { DropPolicy::Unresolved };
            self.claim(name, policy, crowd_ttl(i))?;
        }
        let mut calls = Vec::new();
        for (i, name) in names.iter().enumerate() {
            let Some(claim) = self.claims.remove(name) else { continue };
            self.ledger.perhaps(name, self.done(name, 7000, crowd_ttl(i)));
            calls.push((name, claim.complete(StoredResponse::new(bytes(name, 7000)))));
        }
        for (name, call) in calls {
            let told = call.wait().map(|_| ()).map_err(Error::from);
            self.settle(name, told)?;
        }
        Ok(())
    }

    fn clean_up(&mut self) -> Step {
        self.enter(Phase::CleanUp);
        let Some(store) = &self.store else { return Ok(()) };
        for _ in 0..20 {
            if store.step_prune() {
                self.prunes += 1;
            } else if store.step_compact() {
                self.compactions += 1;
            } else {
                break;
            }
        }
        self.enter(Phase::Serve);
        self.check_alive()
    }

    fn execute(&mut self, name: &str, size: usize, ttl: Duration) -> Step {
        self.claim(name, DropPolicy::Hold, ttl)?;
        self.complete_for(name, size, ttl)
    }

    fn claim(&mut self, name: &str, policy: DropPolicy, ttl: Duration) -> Step {
        let Some(store) = self.store.clone() else { return Ok(()) };
        let attempt = match self.ledger.last(name) {
            Known::Held { attempt, .. } => attempt + 1,
            _ => 1,
        };
        let until_ms = self.world.clock.wall_ms() + ttl.as_millis() as u64;
        self.ledger.perhaps(name, Known::Held { attempt, policy, until_ms });
        let lease = if name == WATCHED { DAY } else { LEASE };
        let call = store.claim(request(name).on_drop(policy).ttl(ttl).lease(lease));
        match call.wait() {
            Ok(Outcome::Claimed(claim)) => {
                assert_eq!(claim.attempt(), attempt, "{name}");
                self.ledger.told_token(claim.token().get());
                self.claims.insert(name.to_owned(), claim);
                self.settle(name, Ok(()))
            }
            Ok(other) => {
                // The release or the forget before it was refused.
                assert!(!self.stop_at_error, "{name} is told {other:?}");
                self.ledger.never(name);
                Ok(())
            }
            Err(error) => self.settle(name, Err(error)),
        }
    }

    fn complete(&mut self, name: &str, size: usize) -> Step {
        self.complete_for(name, size, DAY)
    }

    fn complete_for(&mut self, name: &str, size: usize, ttl: Duration) -> Step {
        let Some(claim) = self.claims.remove(name) else { return Ok(()) };
        self.ledger.perhaps(name, self.done(name, size, ttl));
        let told = claim.complete(StoredResponse::new(bytes(name, size))).wait();
        self.settle(name, told.map(|_| ()).map_err(Error::from))
    }

    fn release(&mut self, name: &str) -> Step {
        let Some(claim) = self.claims.remove(name) else { return Ok(()) };
        self.ledger.perhaps(name, Known::Free);
        let told = claim.release().wait();
        self.settle(name, told)
    }

    /// Drops a claim, and waits for what its policy makes of it.
    fn let_go(&mut self, name: &str) -> Step {
        let (Some(claim), Known::Held { attempt, policy, until_ms }) =
            (self.claims.remove(name), self.ledger.last(name))
        else {
            return Ok(());
        };
        self.ledger.perhaps(
            name,
            match policy {
                DropPolicy::Hold => Known::Held { attempt, policy, until_ms },
                DropPolicy::Release => Known::Free,
                DropPolicy::Unresolved => Known::Unresolved { attempt },
            },
        );
        drop(claim);
        let told = self.store.as_ref().map_or(Ok(()), |store| store.flush().wait());
        let synced = told.is_ok();
        self.settle(name, told)?;
        if synced {
            self.ledger.synced();
        }
        Ok(())
    }

    fn resolve(&mut self, name: &str) -> Step {
        let Some(store) = self.store.clone() else { return Ok(()) };
        if !matches!(self.ledger.last(name), Known::Unresolved { .. }) {
            return Ok(());
        }
        self.ledger.perhaps(name, self.done(name, 10, DAY));
        let response = StoredResponse::new(bytes(name, 10));
        let told = store.resolve(&scope("acct"), &key(name), Resolution::Completed(response));
        self.settle(name, told.wait())
    }

    fn forget(&mut self, name: &str) -> Step {
        let Some(store) = self.store.clone() else { return Ok(()) };
        if !matches!(self.ledger.last(name), Known::Done { .. }) {
            return Ok(());
        }
        self.ledger.perhaps(name, Known::Free);
        let told = store.forget(&scope("acct"), &key(name)).wait().map(|_| ());
        self.settle(name, told)
    }

    fn checkpoint(&mut self, name: &str) -> Step {
        let Some(claim) = self.claims.get(name) else { return Ok(()) };
        let state = self.ledger.last(name);
        let told = claim.save_checkpoint(Checkpoint::new("half", "way").expect("small")).wait();
        self.ledger.perhaps(name, state);
        self.settle(name, told)
    }

    fn advance(&mut self, duration: Duration) -> Step {
        self.world.advance(duration);
        Ok(())
    }

    fn upkeep(&mut self) -> Step {
        // In `Interval` mode the next sync is due by then.
        self.world.advance(INTERVAL);
        self.enter(Phase::Upkeep);
        if let Some(store) = &self.store {
            store.step_upkeep();
            if !store.stats().poisoned {
                self.ledger.synced();
            }
        }
        self.enter(Phase::Serve);
        self.check_alive()
    }

    fn reopen(&mut self) -> Step {
        self.part();
        self.claims.clear();
        self.enter(Phase::Close);
        if let Some(store) = self.store.take() {
            let poisoned = store.stats().poisoned;
            let closed = store.close(Duration::ZERO).wait();
            if let Err(error) = closed {
                self.ends.close_refused = true;
                self.failed(error)?;
            } else {
                assert!(!poisoned, "a poisoned store is closed");
            }
        }
        self.open()
    }

    fn open(&mut self) -> Step {
        self.enter(Phase::Open);
        match self.world.try_open() {
            Ok(store) => {
                self.syncs = store.stats().syncs;
                self.store = Some(store);
                self.enter(Phase::Serve);
                self.ledger.synced();
                self.check_alive()
            }
            Err(error) => {
                self.ends.open_refused = true;
                self.errors.push(error);
                Err(Over)
            }
        }
    }

    fn done(&self, name: &str, size: usize, ttl: Duration) -> Known {
        let until_ms = self.world.clock.wall_ms() + ttl.as_millis() as u64;
        Known::Done { body: bytes(name, size), until_ms }
    }

    /// What became of the newest change.
    fn settle(&mut self, name: &str, told: crate::Result<()>) -> Step {
        let poisoned = self.store.as_ref().is_some_and(|store| store.stats().poisoned);
        match told {
            Ok(()) => {
                assert!(!poisoned, "{name}: success from a poisoned store");
                self.note_syncs();
                self.ledger.surely(name);
                Ok(())
            }
            Err(error) => {
                if error.kind() != ErrorKind::OutcomeUnknown {
                    self.ledger.never(name);
                } else {
                    assert!(poisoned, "{name}: unknown, and the store goes on: {error}");
                }
                self.failed(error)
            }
        }
    }

    /// Moving on to the next segment syncs what was written before: all that was settled, and of
    /// what is about to be some.
    fn note_syncs(&mut self) {
        let syncs = self.store.as_ref().map_or(0, |store| store.stats().syncs);
        if syncs > self.syncs {
            self.ledger.synced();
        }
        self.syncs = syncs;
    }

    fn failed(&mut self, error: Error) -> Step {
        self.errors.push(error);
        if self.stop_at_error { Err(Over) } else { Ok(()) }
    }

    fn check_alive(&mut self) -> Step {
        let poisoned = self.store.as_ref().is_some_and(|store| store.stats().poisoned);
        if poisoned && self.stop_at_error { Err(Over) } else { Ok(()) }
    }
}

/// One of a crowd outlives the others.
fn crowd_ttl(i: usize) -> Duration {
    if i == 3 { DAY } else { HALF_HOUR }
}

/// A body that says whose it is.
fn bytes(name: &str, size: usize) -> Vec<u8> {
    name.bytes().cycle().take(size).collect()
}
