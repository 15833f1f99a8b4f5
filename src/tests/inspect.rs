//! The inspector against the store it looks into: alive, crashed, closed, pruned, compacted.

use std::collections::BTreeMap;
use std::time::Duration;

use super::world::{World, claim_on_drop, execute, key, request, scope};
use crate::simulation::{Clock, Disk, LockAttempt, Random, SimRandom, Survival};
use crate::{
    Checkpoint, Claim, DropPolicy, Entry, ErrorKind, Inspector, KeyFilter, KeyRow, KeyState,
    Options, Outcome, Resolution, Store, StoredResponse,
};

const NAMES: u64 = 60;
const TTL: Duration = Duration::from_secs(300);
const LEASE: Duration = Duration::from_secs(60);

pub(super) fn inspector(world: &World, owner_runs: bool) -> Inspector {
    Inspector::open_in(&world.environment(), owner_runs).expect("a store is there")
}

pub(super) fn rows(inspector: &Inspector) -> BTreeMap<String, KeyRow> {
    let keys = inspector.keys(KeyFilter::new()).expect("keys");
    assert!(keys.damage().is_empty(), "{:?}", keys.damage());
    let mut rows = BTreeMap::new();
    for row in keys {
        let row = row.expect("a row");
        let again = rows.insert(row.key.to_string(), row);
        assert!(again.is_none(), "told twice: {again:?}");
    }
    rows
}

/// A store at work on a few keys, in an order that a seed chooses.
struct Run {
    world: World,
    store: Option<Store>,
    held: BTreeMap<String, Claim>,
    random: SimRandom,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut world = World::with(Options::new().ttl(TTL).lease(LEASE));
        let store = Some(world.open());
        Self { world, store, held: BTreeMap::new(), random: SimRandom::new(seed) }
    }

    fn below(&self, limit: u64) -> u64 {
        self.random.next_u64().expect("random") % limit
    }

    /// Some records outlive the others, so that there is something to compact.
    fn ttl(&self) -> Duration {
        TTL * if self.below(4) == 0 { 20 } else { 1 }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("open")
    }

    fn step(&mut self) {
        let name = format!("key-{}", self.below(NAMES));
        let store = self.store().clone();
        match self.below(24) {
            0..=7 => self.finish(&name),
            8..=10 => {
                let policy = match self.below(4) {
                    0 => DropPolicy::Release,
                    1 => DropPolicy::Unresolved,
                    _ => DropPolicy::Hold,
                };
                let request = request(&name).on_drop(policy).ttl(self.ttl());
                if let Outcome::Claimed(claim) = store.claim(request).wait().expect("decided") {
                    self.held.insert(name, claim);
                }
            }
            11 => drop(self.held.remove(&name)),
            12 => {
                if let Some(claim) = self.held.remove(&name) {
                    let _ = claim.release().wait();
                }
            }
            13 => {
                if let Some(claim) = self.held.get(&name) {
                    let checkpoint = Checkpoint::new("charged", &name).expect("small");
                    let _ = claim.save_checkpoint(checkpoint).wait();
                }
            }
            14 => {
                let _ = store.forget(&scope("acct"), &key(&name)).wait();
            }
            15 => {
                let answer = Resolution::Completed(StoredResponse::new("resolved"));
                let _ = store.resolve(&scope("acct"), &key(&name), answer).wait();
            }
            16 => self.world.advance(Duration::from_secs(1 + self.below(50))),
            17..=19 => store.step_upkeep(),
            20 => {
                store.step_prune();
            }
            21 => {
                store.step_compact();
            }
            _ => {
                let body = "x".repeat(2000 + self.below(4000) as usize);
                let request = request(&name).ttl(self.ttl());
                if let Outcome::Claimed(claim) = store.claim(request).wait().expect("told") {
                    claim.complete(StoredResponse::new(body)).wait().expect("completed");
                }
            }
        }
    }

    /// Completes what is held of a key, or claims and completes it.
    fn finish(&mut self, name: &str) {
        let store = self.store().clone();
        let claim = self.held.remove(name).or_else(|| {
            match store.claim(request(name)).wait().expect("decided") {
                Outcome::Claimed(claim) => Some(claim),
                _ => None,
            }
        });
        if let Some(claim) = claim {
            // It may have been taken over.
            let _ = claim.complete(StoredResponse::new(name).with_status(201)).wait();
        }
    }

    fn close(&mut self) {
        self.held.clear();
        let store = self.store.take().expect("open");
        store.close(Duration::ZERO).wait().expect("closed");
        drop(store);
    }
}

/// What the inspector sees of every key, and what the store says.
fn compare(world: &World, store: &Store, inspector: &Inspector) {
    store.flush().wait().expect("flushed");
    let rows = rows(inspector);
    let now = world.clock.wall_ms();
    for name in (0..NAMES).map(|i| format!("key-{i}")) {
        let told = store.get(&scope("acct"), &key(&name)).wait().expect("a look");
        let seen = inspector.key(&scope("acct"), &key(&name)).expect("readable");
        assert_eq!(seen.as_ref().map(|seen| &seen.row), rows.get(&name), "{name}");
        let Some(seen) = seen else {
            assert!(told.is_none(), "{name}: not seen, and the store says {told:?}");
            continue;
        };
        let row = &seen.row;
        match (told, row.state) {
            (None, KeyState::Expired) => {}
            // The owner lets go of abandoned claims in memory.
            (None, KeyState::InFlight) => {
                assert_eq!(row.on_drop, Some(DropPolicy::Hold), "{name}");
                let gone_ms = (TTL + LEASE).as_millis() as u64;
                assert!(row.since.as_millis() + gone_ms <= now, "{name}: {row:?}");
            }
            (Some(Entry::Completed(record)), KeyState::Completed) => {
                assert_eq!(Some(record.response()), seen.response.as_ref(), "{name}");
                assert_eq!((record.token(), record.attempt()), (row.token, row.attempt), "{name}");
                assert_eq!(Some(record.expires_at()), row.expires_at, "{name}");
                assert_eq!(record.completed_at(), row.since, "{name}");
                assert_eq!(record.fingerprint(), &row.fingerprint, "{name}");
            }
            (
                Some(Entry::InFlight { token, attempt, .. }),
                KeyState::InFlight | KeyState::Abandoned,
            ) => assert_eq!((token, attempt), (row.token, row.attempt), "{name}"),
            (Some(Entry::Unresolved(unresolved)), KeyState::Unresolved) => {
                assert_eq!(unresolved.token(), row.token, "{name}");
            }
            (told, _) => panic!("{name}: {told:?} and {row:?}"),
        }
    }
    summary_adds_up(inspector, &rows);
}

fn summary_adds_up(inspector: &Inspector, rows: &BTreeMap<String, KeyRow>) {
    let summary = inspector.summary().expect("a summary");
    let count = |state| rows.values().filter(|row| row.state == state).count() as u64;
    // Footers round an expiry up by less than a second.
    let records = summary.completed + summary.expired;
    assert_eq!(records, count(KeyState::Completed) + count(KeyState::Expired));
    assert!(summary.completed >= count(KeyState::Completed));
    assert_eq!(summary.in_flight, count(KeyState::InFlight));
    assert_eq!(summary.abandoned, count(KeyState::Abandoned));
    assert_eq!(summary.unresolved, count(KeyState::Unresolved));
    assert!(summary.damage.is_empty(), "{:?}", summary.damage);
}

pub(super) fn assert_whole(inspector: &Inspector) {
    let report = inspector.verify().expect("readable");
    assert!(report.is_whole(), "{:?}", report.damage);
}

#[test]
fn sees_what_the_store_sees_at_any_moment() {
    let (mut pruned, mut compacted) = (0, 0);
    for seed in 0..12 {
        let mut run = Run::new(seed);
        for step in 0..700 {
            run.step();
            if step % 41 == 0 {
                compare(&run.world, run.store(), &inspector(&run.world, true));
                assert_whole(&inspector(&run.world, true));
            }
            if step % 97 == 0 {
                let survivals =
                    [Survival::Everything, Survival::Nothing, Survival::Random, Survival::Torn];
                for survival in survivals {
                    let mut crashed = run.world.fork();
                    crashed.crash(survival, seed * 1000 + step);
                    after_a_crash(crashed);
                }
            }
            if step % 230 == 229 {
                pruned += run.store().stats().dropped_segments;
                compacted += run.store().stats().compactions;
                run.close();
                let closed = inspector(&run.world, false);
                assert_whole(&closed);
                let before = rows(&closed);
                run.store = Some(run.world.open());
                let after = inspector(&run.world, true);
                compare(&run.world, run.store(), &after);
                let live = |rows: BTreeMap<String, KeyRow>| -> Vec<_> {
                    let live = rows.into_values().filter(|row| row.state != KeyState::Expired);
                    live.map(|row| (row.key, row.token)).collect()
                };
                assert_eq!(live(before), live(rows(&after)));
            }
        }
    }
    assert!(pruned > 20 && compacted > 3, "{pruned} pruned, {compacted} compacted");
}

/// What is seen of a crashed store before it is opened is what it says afterwards.
fn after_a_crash(mut crashed: World) {
    let dead = inspector(&crashed, false);
    assert_whole(&dead);
    let before = rows(&dead);
    let store = crashed.open();
    for name in (0..NAMES).map(|i| format!("key-{i}")) {
        let told = store.get(&scope("acct"), &key(&name)).wait().expect("a look");
        let state = before.get(&name).map(|row| row.state);
        let same = match told {
            None => matches!(state, None | Some(KeyState::Expired)),
            Some(Entry::Completed(_)) => state == Some(KeyState::Completed),
            Some(Entry::InFlight { .. }) => state == Some(KeyState::Abandoned),
            Some(Entry::Unresolved(_)) => state == Some(KeyState::Unresolved),
        };
        assert!(same, "{name}: seen as {state:?}, and the store says {told:?}");
    }
    compare(&crashed, &store, &inspector(&crashed, true));
}

#[test]
fn writes_nothing_and_takes_no_lock() {
    let mut run = Run::new(77);
    (0..300).for_each(|_| run.step());
    let look = |world: &World| {
        let before = world.disk.counters();
        let inspector = inspector(world, true);
        inspector.summary().expect("a summary");
        rows(&inspector);
        assert_whole(&inspector);
        let after = world.disk.counters();
        let changes = |c: crate::simulation::SimCounters| {
            (c.writes, c.syncs, c.dir_syncs, c.creates, c.renames, c.removes)
        };
        assert_eq!(changes(before), changes(after));
        assert!(before.reads < after.reads);
    };
    look(&run.world);
    run.close();
    look(&run.world);
    let lock = run.world.disk.try_lock().expect("a lock");
    assert!(matches!(lock, LockAttempt::Held(_)), "the inspector took the lock");
}

/// A closed store with a bit of everything, also a compacted segment.
pub(super) fn closed_store() -> World {
    let mut run = Run::new(5);
    let store = run.store().clone();
    for i in 0..80 {
        execute(&store, &format!("old-{i}"), &"x".repeat(2000));
        store.step_upkeep();
    }
    for i in (0..80).filter(|i| i % 5 > 0) {
        store.forget(&scope("acct"), &key(&format!("old-{i}"))).wait().expect("forgotten");
    }
    assert!(store.step_compact(), "nothing to compact");
    drop(store);
    (0..60).for_each(|_| run.step());
    run.close();
    run.world
}

#[test]
fn a_listing_survives_compaction_and_recycling() {
    let mut world = World::with(Options::new().ttl(Duration::from_secs(3000)));
    let store = world.open();
    for i in 0..300 {
        execute(&store, &format!("key-{i}"), &"x".repeat(1000));
        store.step_upkeep();
    }
    for i in (0..300).filter(|i| i % 10 > 0) {
        store.forget(&scope("acct"), &key(&format!("key-{i}"))).wait().expect("forgotten");
    }
    store.step_upkeep();
    let inspector = inspector(&world, true);
    let ids = || -> Vec<u64> {
        let summary = inspector.summary().expect("a summary");
        summary.segments.iter().filter(|segment| segment.sealed).map(|segment| segment.id).collect()
    };
    let before = ids();
    let mut keys = inspector.keys(KeyFilter::new()).expect("keys");
    let mut seen: Vec<String> = Vec::new();
    seen.extend(keys.by_ref().take(3).map(|row| row.expect("a row").key.to_string()));
    // Every file that the listing wanted to read gets another life.
    while store.step_compact() {}
    for i in 0..300 {
        execute(&store, &format!("later-{i}"), &"y".repeat(1000));
        store.step_upkeep();
        while store.step_compact() {}
    }
    assert!(before.len() > 3 && ids().iter().all(|id| !before.contains(id)));
    seen.extend(keys.map(|row| row.expect("a row").key.to_string()));
    seen.sort();
    let mut expected: Vec<_> = (0..300).step_by(10).map(|i| format!("key-{i}")).collect();
    expected.sort();
    assert_eq!(seen, expected);
}

#[test]
fn filters_and_states() {
    let mut world = World::new();
    let store = world.open();
    execute(&store, "done", "answer");
    let claim = claim_on_drop(&store, "held", DropPolicy::Hold);
    let checkpoint = Checkpoint::new("charged", "id=7").expect("small");
    claim.save_checkpoint(checkpoint.clone()).wait().expect("saved");
    drop(claim_on_drop(&store, "lost", DropPolicy::Unresolved));
    store.flush().wait().expect("flushed");
    let names = |owner_runs: bool, filter: KeyFilter| -> Vec<String> {
        let inspector = inspector(&world, owner_runs);
        let keys = inspector.keys(filter).expect("keys");
        keys.map(|row| row.expect("a row").key.to_string()).collect()
    };
    let only = |state| KeyFilter::new().state(state);
    assert_eq!(names(true, KeyFilter::new()), ["held", "lost", "done"]);
    assert_eq!(names(true, only(KeyState::InFlight)), ["held"]);
    assert_eq!(names(false, only(KeyState::Abandoned)), ["held"]);
    assert_eq!(names(true, only(KeyState::Unresolved)), ["lost"]);
    assert_eq!(names(true, only(KeyState::Completed)), ["done"]);
    assert_eq!(names(true, KeyFilter::new().scope(scope("other"))), [""; 0]);
    let detail = inspector(&world, true).key(&scope("acct"), &key("held")).expect("readable");
    let detail = detail.expect("held");
    assert_eq!(detail.row.checkpoint.as_deref(), Some("charged"));
    assert_eq!(detail.checkpoint, Some(checkpoint));
    world.advance(Duration::from_secs(25 * 3600));
    assert_eq!(names(true, only(KeyState::Expired)), ["done"]);
    drop(claim);
}

#[test]
fn what_is_no_store_is_refused_with_advice() {
    let world = World::new();
    let refused = Inspector::open_in(&world.environment(), false).expect_err("empty");
    assert_eq!(refused.kind(), ErrorKind::WrongStore);
    assert!(refused.to_string().contains("mounted"), "{refused}");
    world.disk.put_file("notes.txt", b"x".to_vec()).expect("put");
    let refused = Inspector::open_in(&world.environment(), false).expect_err("something else");
    assert!(refused.to_string().contains("MANIFEST"), "{refused}");
    world.disk.put_file("MANIFEST", b"x".repeat(8192)).expect("put");
    let inspector = inspector(&world, false);
    assert_eq!(inspector.summary().expect_err("no manifest").kind(), ErrorKind::WrongStore);
    assert!(!inspector.verify().expect("a report").is_whole());
}
