//! The power goes at every disk call of a run in which keys expire, are pruned, claimed late and
//! forgotten: by no crash is a late retry lost, and none is told of what was forgotten.

use std::collections::BTreeMap;
use std::time::Duration;

use super::sweep::{is_full, sweep};
use super::world::{DAY, HALF_HOUR, World, key, request, scope};
use crate::simulation::Survival;
use crate::{Error, Options, Outcome, Result, Store, StoredResponse};

/// What a claim of a key must be told once all is expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Must {
    BeLate,
    NotBeLate,
    /// It was about to change when the power went.
    BeEither,
}

struct Run {
    world: World,
    keys: BTreeMap<String, Must>,
    /// Runs that were seen, and segments that were dropped.
    did: (bool, bool),
}

impl Run {
    fn new() -> Self {
        let mut world = World::with(Options::new().ttl(HALF_HOUR));
        world.options.late_pending = 3;
        world.options.late_most = 12;
        Self { world, keys: BTreeMap::new(), did: (false, false) }
    }

    fn play(&mut self) -> Result<()> {
        let store = self.world.try_open()?;
        for i in 0..4 {
            self.execute(&store, &format!("a-{i}"), 20)?;
        }
        self.fill(&store, "one")?;
        self.forget(&store, "a-0")?;
        self.age(&store);
        self.forget(&store, "a-1")?;
        self.come_late(&store, "a-2")?;
        store.prune().wait()?;
        store.step_late();
        self.come_late(&store, "a-2")?;
        self.forget(&store, "a-3")?;
        self.execute(&store, "a-3", 20)?;
        for name in ["two", "three", "four", "five"] {
            let long = store.claim(request(&format!("long-{name}")).ttl(20 * DAY)).wait()?;
            let Outcome::Claimed(long) = long else { return Ok(()) };
            long.complete(StoredResponse::new("long")).wait().map_err(Error::from)?;
            self.fill(&store, name)?;
        }
        self.age(&store);
        self.age(&store);
        while store.step_prune() || store.step_late() || store.step_compact() {}
        self.did = (store.stats().late_disk_bytes > 8192, store.stats().compactions > 0);
        drop(store);
        let store = self.world.try_open()?;
        self.forget(&store, "one-1")?;
        self.execute(&store, "a-2", 20)?;
        self.fill(&store, "six")?;
        self.age(&store);
        store.prune().wait()?;
        self.forget(&store, "six-1")?;
        store.step_late();
        store.step_upkeep();
        Ok(())
    }

    fn age(&self, store: &Store) {
        self.world.advance(HALF_HOUR + Duration::from_secs(1));
        store.step_upkeep();
    }

    fn fill(&mut self, store: &Store, name: &str) -> Result<()> {
        for i in 0..11 {
            self.execute(store, &format!("{name}-{i}"), 6000)?;
        }
        store.step_upkeep();
        Ok(())
    }

    fn execute(&mut self, store: &Store, name: &str, size: usize) -> Result<()> {
        let Outcome::Claimed(claim) = store.claim(request(name)).wait()? else { return Ok(()) };
        self.change(name, Must::BeLate, || {
            let response = StoredResponse::new("x".repeat(size));
            claim.complete(response).wait().map(|_| ()).map_err(Error::from)
        })
    }

    fn forget(&mut self, store: &Store, name: &str) -> Result<()> {
        self.change(name, Must::NotBeLate, || {
            store.forget(&scope("acct"), &key(name)).wait().map(|_| ())
        })
    }

    fn change(&mut self, name: &str, to: Must, make: impl FnOnce() -> Result<()>) -> Result<()> {
        let known = self.keys.entry(name.into()).or_insert(Must::NotBeLate);
        if *known != to {
            *known = Must::BeEither;
        }
        make()?;
        *known = to;
        Ok(())
    }

    fn come_late(&self, store: &Store, name: &str) -> Result<()> {
        let Outcome::Claimed(claim) = store.claim(request(name)).wait()? else { return Ok(()) };
        assert!(claim.late_retry().is_some(), "{name} is not late");
        claim.release().wait()
    }

    /// Checks all keys once their time is over.
    fn check(&self, world: &World, store: &Store) {
        for _ in 0..2 {
            self.age_in(world, store);
        }
        for (name, must) in &self.keys {
            let Outcome::Claimed(claim) = store.claim(request(name)).wait().expect("an outcome")
            else {
                panic!("{name} must have expired")
            };
            let is_late = claim.late_retry().is_some();
            let fits = match must {
                Must::BeLate => is_late,
                Must::NotBeLate => !is_late,
                Must::BeEither => true,
            };
            assert!(fits, "{name} must {must:?}, late: {is_late}");
            claim.release().wait().expect("released");
        }
    }

    fn age_in(&self, world: &World, store: &Store) {
        world.advance(HALF_HOUR + Duration::from_secs(1));
        store.step_upkeep();
    }
}

#[test]
fn p7_no_crash_loses_a_late_retry_or_tells_of_what_was_forgotten() {
    let mut whole = Run::new();
    whole.play().expect("no error");
    assert_eq!(whole.did, (true, true), "runs and compactions");
    let calls = whole.world.disk.calls();
    let step = if is_full() { 1 } else { 3 };
    let cases: Vec<u64> = (0..calls).step_by(step).collect();
    let survivals = [Survival::Nothing, Survival::Everything, Survival::Torn, Survival::Random];
    sweep(
        &format!("crash sweep of late retries, at {} of {calls} calls", cases.len()),
        &cases,
        |call| format!("call {call}"),
        |&call| {
            let mut run = Run::new();
            run.world.disk.crash_at(call);
            let _ = run.play();
            for survival in survivals {
                let mut world = run.world.fork();
                world.crash(survival, call);
                let store = world.open();
                assert!(store.recovery().late_damage.is_empty(), "{:?}", store.recovery());
                let mut next = world.fork();
                next.crash(Survival::Nothing, 7);
                run.check(&world, &store);
                // Whatever was pruned meanwhile, in this process and in the next.
                store.prune().wait().expect("pruned");
                while store.step_late() {}
                run.check(&world, &store);
                drop(store);
                run.check(&world, &world.fork().open());
                run.check(&next, &next.fork().open());
            }
            4 * survivals.len()
        },
    );
}
