//! The story of a key never says "once" of what was executed twice: real stores on simulated disks,
//! with takeovers, expiries, crashes and lost events, against what their clients did.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::chaos::Numbers;
use super::world::{DAY, World, key, request, scope};
use crate::audit::story::{Attempt, Finding, Present, Step, Story, Storyteller};
use crate::audit::{Audit, Event, Trail};
use crate::simulation::{SimDisk, Survival};
use crate::{
    Claim, DropPolicy, Durability, Inspector, Options, Outcome, Resolution, Store, StoredResponse,
};

const KEYS: [&str; 3] = ["a", "b", "c"];

/// What a client did that was given a claim.
#[derive(Debug, Clone, Copy)]
struct Deed {
    at_ms: u64,
    token: u64,
    is_executed: bool,
    /// Whether letting go of the claim says that nothing was executed.
    gives_back: bool,
}

/// A store, what is done with it, and what truly happened.
struct Tale {
    world: World,
    trail: Arc<SimDisk>,
    store: Option<Store>,
    held: Vec<(&'static str, Claim)>,
    deeds: BTreeMap<&'static str, Vec<Deed>>,
    /// Keys of which somebody said what is not true.
    lies: Vec<&'static str>,
    /// Keys of which an attempt was settled as executed, which a later claim does not show.
    settled: Vec<&'static str>,
    is_synced: bool,
    numbers: Numbers,
}

impl Tale {
    fn new(seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let pending = if numbers.below(3) == 0 { 6 } else { 1 << 10 };
        let audit = Audit::new().max_pending(pending).write_every(Duration::from_millis(1));
        let ttl = Duration::from_secs([60, 1800, 24 * 3600][numbers.below(3) as usize]);
        let mut options = Options::new().audit(audit).ttl(ttl);
        let is_synced = numbers.below(2) == 0;
        if !is_synced {
            options = options.durability(Durability::Interval(Duration::from_millis(50)));
        }
        if numbers.below(4) == 0 {
            options = options.remember_late(Duration::ZERO);
        }
        let trail = SimDisk::new();
        let mut world = World::with(options);
        world.disk.put_directory("audit", trail.clone());
        let store = Some(world.open());
        Self {
            world,
            trail,
            store,
            held: Vec::new(),
            deeds: BTreeMap::new(),
            lies: Vec::new(),
            settled: Vec::new(),
            is_synced,
            numbers,
        }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("it is open")
    }

    fn now_ms(&self) -> u64 {
        crate::simulation::Clock::wall_ms(&*self.world.clock)
    }

    fn some_key(&mut self) -> &'static str {
        KEYS[self.numbers.below(KEYS.len() as u64) as usize]
    }

    fn deed(&mut self, name: &str, token: u64) -> Option<&mut Deed> {
        self.deeds.get_mut(name)?.iter_mut().find(|deed| deed.token == token)
    }

    fn step(&mut self) {
        self.world.advance(Duration::from_millis(1 + self.numbers.below(5)));
        match self.numbers.below(100) {
            0..40 => self.claim(),
            40..64 => self.end_one(),
            64..68 => self.forget(),
            68..72 => self.resolve(),
            72..80 => {
                let spans = [Duration::from_secs(5), Duration::from_secs(61), DAY, 2 * DAY];
                let span = spans[self.numbers.below(4) as usize];
                self.world.advance(span);
            }
            80..92 => self.store().step_audit(),
            92..95 => {
                self.store().step_upkeep();
                while self.store().step_prune() || self.store().step_compact() {}
            }
            95..97 => self.reopen(),
            _ => self.crash(),
        }
    }

    fn claim(&mut self) {
        let name = self.some_key();
        let policies = [DropPolicy::Hold, DropPolicy::Release, DropPolicy::Unresolved];
        let policy = policies[self.numbers.below(3) as usize];
        let claimed = self.store().claim(request(name).on_drop(policy)).wait();
        if let Ok(Outcome::Claimed(claim)) = claimed {
            let is_executed = self.numbers.below(4) > 0;
            let token = claim.token().get();
            let gives_back = policy == DropPolicy::Release;
            let deed = Deed { at_ms: self.now_ms(), token, is_executed, gives_back };
            self.deeds.entry(name).or_default().push(deed);
            self.held.push((name, claim));
        }
    }

    /// A client ends its claim, or lets go of it.
    fn end_one(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let at = self.numbers.below(self.held.len() as u64) as usize;
        let (name, claim) = self.held.swap_remove(at);
        let is_executed = self.deed(name, claim.token().get()).is_some_and(|deed| deed.is_executed);
        let is_liar = self.numbers.below(20) == 0;
        if is_executed == is_liar {
            // Whoever executed nothing gives it back, and so does who lies.
            if is_liar {
                self.lies.push(name);
            }
            drop(claim.release().wait());
        } else if self.numbers.below(5) > 0 && is_executed {
            drop(claim.complete(StoredResponse::new("done")).wait().map_err(drop));
        } else {
            self.let_go(name, claim);
        }
    }

    /// The claim's policy says what that means: `Release` is a lie of who has executed.
    fn let_go(&mut self, name: &'static str, claim: Claim) {
        let deed = self.deed(name, claim.token().get());
        if deed.is_some_and(|deed| deed.is_executed && deed.gives_back) {
            self.lies.push(name);
        }
        drop(claim);
    }

    fn forget(&mut self) {
        let name = self.some_key();
        drop(self.store().forget(&scope("acct"), &key(name)).wait());
    }

    /// An operator says whether an unresolved attempt was executed, mostly rightly.
    fn resolve(&mut self) {
        let name = self.some_key();
        let row = self.store().unresolved().into_iter().find(|row| row.key().as_str() == name);
        let Some(row) = row else { return };
        let truth = self.deed(name, row.token().get()).is_some_and(|deed| deed.is_executed);
        let said = truth != (self.numbers.below(10) == 0);
        if said != truth {
            self.lies.push(name);
        }
        self.settled.extend(said.then_some(name));
        let resolution = match said {
            true => Resolution::Completed(StoredResponse::new("it was")),
            false => Resolution::NotExecuted,
        };
        drop(self.store().resolve(&scope("acct"), &key(name), resolution).wait());
    }

    fn reopen(&mut self) {
        self.store().close(Duration::ZERO).wait().expect("closed");
        for (name, claim) in std::mem::take(&mut self.held) {
            self.let_go(name, claim);
        }
        self.store = None;
        self.store = Some(self.world.open());
    }

    fn crash(&mut self) {
        let survivals = [Survival::Nothing, Survival::Everything, Survival::Random, Survival::Torn];
        let seed = self.numbers.below(u64::MAX);
        let (one, other) = (self.numbers.below(4) as usize, self.numbers.below(4) as usize);
        self.world.crash(survivals[one], seed);
        self.trail = self.trail.crash(survivals[other], seed);
        self.world.disk.put_directory("audit", self.trail.clone());
        // What the dead process does reaches nothing.
        self.held.clear();
        self.store = None;
        self.store = Some(self.world.open());
    }

    fn story(&mut self, name: &str, with_store: bool) -> Story {
        if self.numbers.below(4) > 0 {
            self.store().step_audit();
        }
        let inspector = Inspector::open_in(&self.world.environment(), true).expect("a store");
        let hasher = inspector.key_hasher().expect("a manifest");
        let hash = hasher.hash(&scope("acct"), &key(name));
        let mut teller = Storyteller::new(vec![(hasher.key_id(), hash)]);
        if !self.is_synced {
            teller = teller.may_lose_the_latest();
        }
        let mut trail = Trail::on(self.trail.clone());
        while let Some(item) = trail.next() {
            teller.take(trail.key_id(), &item.expect("read"), None);
        }
        let found = inspector.key(&scope("acct"), &key(name)).expect("a look");
        let present = found.filter(|_| with_store).map(|detail| Present::of(&detail.row));
        teller.finish(trail.is_ended(), present)
    }

    /// Whether a conclusion agrees with what was done.
    fn check(&self, name: &str, story: &Story) -> Result<(), String> {
        let conclusion = &story.conclusion;
        let no_deeds = Vec::new();
        let deeds = self.deeds.get(name).unwrap_or(&no_deeds);
        let since = conclusion.reach.since.map_or(0, |time| time.as_millis());
        let until = conclusion.reach.until.map_or(u64::MAX, |time| time.as_millis());
        let is_told = |deed: &Deed| {
            let told = |attempt: &Attempt| attempt.token.get() == deed.token;
            (since..=until).contains(&deed.at_ms) || story.attempts.iter().any(told)
        };
        let is_meant = |deed: &&Deed| deed.is_executed && is_told(deed);
        let executed = deeds.iter().filter(is_meant).count();
        let all = deeds.iter().filter(|deed| deed.is_executed).count();
        let is_true = !self.lies.contains(&name);
        let holds = match conclusion.finding {
            // An operator's word may be all that is left of how it ended.
            Finding::Once => executed == 1 || (executed == 0 && !is_true),
            Finding::InProgress | Finding::Unsettled => executed <= 1 || !is_true,
            Finding::OnceOnTrust => executed == 1 || !is_true || self.settled.contains(&name),
            Finding::NotExecuted => executed == 0 || !is_true,
            Finding::NotSeen => executed == 0,
            Finding::Twice => all >= 2 || !is_true,
            Finding::MaybeTwice | Finding::Unknown => true,
        };
        if holds { Ok(()) } else { Err(format!("{executed} of {all}: {deeds:?}")) }
    }
}

/// What is needed to see what went wrong.
fn shown(story: &Story) -> String {
    let steps = story.steps.iter().map(|step| match step {
        Step::Event(event, _) => {
            let Event { id, kind, token, attempt, at, .. } = event;
            format!("\n{} {id} {kind} {token:?} attempt {attempt}", at.as_millis())
        }
        other => format!("\n{other:?}"),
    });
    let attempts = story.attempts.iter().map(|attempt| format!("\n{attempt}"));
    let all: String = steps.chain(attempts).collect();
    format!("{all}\n{:?}", story.conclusion)
}

#[test]
fn once_is_never_said_of_what_was_executed_twice() {
    let mut found: BTreeMap<Finding, u32> = BTreeMap::new();
    let mut wrong = Vec::new();
    for seed in 0..1500 {
        let mut tale = Tale::new(seed);
        let steps = 4 + tale.numbers.below(60);
        for _ in 0..steps {
            tale.step();
        }
        for name in KEYS {
            for with_store in [false, true] {
                let story = tale.story(name, with_store);
                *found.entry(story.conclusion.finding).or_default() += 1;
                if let Err(truth) = tale.check(name, &story) {
                    let what = format!("seed {seed}, key {name}, {with_store}: {truth}");
                    wrong.push(format!("{what}{}", shown(&story)));
                }
            }
        }
    }
    println!("{found:?}");
    assert!(
        wrong.is_empty(),
        "{} are wrong:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(6)].join("\n\n")
    );
    // Not by saying nothing.
    for finding in Finding::ALL {
        assert!(found.get(&finding).is_some_and(|count| *count >= 20), "{finding}: {found:?}");
    }
}
