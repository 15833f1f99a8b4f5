//! A simulated world for tests: a disk and a clock that outlive a store, and short ways to say what
//! a test does.

use std::sync::Arc;
use std::time::Duration;

use crate::simulation::{Environment, SimClock, SimDisk, SimRandom, Survival};
use crate::{
    Claim, ClaimRequest, DropPolicy, Key, Options, Outcome, Record, Result, Scope, Store,
    StoredResponse,
};

/// A Tuesday in 2026.
const START_MS: u64 = 1_790_000_000_000;

pub(crate) const HALF_HOUR: Duration = Duration::from_secs(1800);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) struct World {
    pub(crate) disk: Arc<SimDisk>,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) options: Options,
    seed: u64,
}

impl World {
    /// A world whose stores have the smallest segments.
    pub(crate) fn new() -> Self {
        Self {
            disk: SimDisk::new(),
            clock: Arc::new(SimClock::new(START_MS)),
            options: small(Options::new()),
            seed: 1,
        }
    }

    pub(crate) fn with(options: Options) -> Self {
        Self { options: small(options), ..Self::new() }
    }

    pub(crate) fn environment(&self) -> Environment {
        Environment {
            disk: self.disk.clone(),
            clock: self.clock.clone(),
            random: Arc::new(SimRandom::new(self.seed)),
            threads: false,
        }
    }

    pub(crate) fn open(&mut self) -> Store {
        self.try_open().expect("the store opens")
    }

    pub(crate) fn try_open(&mut self) -> Result<Store> {
        self.seed += 1;
        Store::open_in(&self.environment(), &self.options, true)
    }

    /// Opens a store with threads of its own, or without.
    pub(crate) fn open_with_threads(&mut self, threads: bool) -> Store {
        self.seed += 1;
        let environment = Environment { threads, ..self.environment() };
        Store::open_in(&environment, &self.options, true).expect("the store opens")
    }

    /// The same disk and clock, to crash them while this world goes on.
    pub(crate) fn fork(&self) -> Self {
        Self {
            disk: self.disk.clone(),
            clock: self.clock.clone(),
            options: self.options.clone(),
            seed: self.seed + 1000,
        }
    }

    /// What a power cut, or the death of the process, leaves.
    pub(crate) fn crash(&mut self, survival: Survival, seed: u64) {
        self.disk = self.disk.crash(survival, seed);
        // The monotonic clock of another life of the machine.
        self.clock = Arc::new(SimClock::new(crate::simulation::Clock::wall_ms(&*self.clock)));
    }

    pub(crate) fn advance(&self, duration: Duration) {
        self.clock.advance(duration);
    }
}

/// The smallest segments, which a few responses fill although they are compressible.
fn small(options: Options) -> Options {
    options.segment_bytes(1 << 16).compress_from_bytes(usize::MAX)
}

pub(crate) fn scope(name: &str) -> Scope {
    Scope::new(name).expect("a good scope")
}

pub(crate) fn key(name: &str) -> Key {
    Key::new(name).expect("a good key")
}

/// A request for a key of one scope, with the key as its payload.
pub(crate) fn request(name: &str) -> ClaimRequest {
    ClaimRequest::new(scope("acct"), key(name)).operation("POST /v1/charges").payload(name)
}

pub(crate) fn claim(store: &Store, name: &str) -> Claim {
    claimed(store.claim(request(name)).wait().expect("an outcome"))
}

pub(crate) fn claim_on_drop(store: &Store, name: &str, policy: DropPolicy) -> Claim {
    claimed(store.claim(request(name).on_drop(policy)).wait().expect("an outcome"))
}

pub(crate) fn claimed(outcome: Outcome) -> Claim {
    match outcome {
        Outcome::Claimed(claim) => claim,
        other => panic!("not claimed but {other:?}"),
    }
}

pub(crate) fn replayed(outcome: Outcome) -> Record {
    match outcome {
        Outcome::Replay(record) => record,
        other => panic!("not replayed but {other:?}"),
    }
}

/// Claims and completes a key.
pub(crate) fn execute(store: &Store, name: &str, body: &str) -> Record {
    claim(store, name).complete(StoredResponse::new(body)).wait().expect("completed")
}

/// Fills the log until it moves on to the next segment, and seals the last one.
pub(crate) fn fill_segment(store: &Store, name: &str) {
    let before = store.stats().segments;
    for i in 0.. {
        execute(store, &format!("{name}-{i}"), &"x".repeat(6000));
        if store.stats().segments > before {
            break;
        }
    }
    store.step_upkeep();
}

/// Claims and completes a key whose record lives so long.
pub(crate) fn execute_for(store: &Store, name: &str, ttl: Duration, body: &str) {
    let claim = claimed(store.claim(request(name).ttl(ttl)).wait().expect("an outcome"));
    claim.complete(StoredResponse::new(body)).wait().expect("completed");
}

/// Segments of which little lives, so that they are compacted once the rest has expired. For a TTL
/// of half an hour.
pub(crate) fn sparse_segments(world: &World, store: &Store) {
    for round in 0..4 {
        execute_for(store, &format!("long-{round}"), Duration::from_secs(24 * 3600), "kept");
        fill_segment(store, &format!("short-{round}"));
    }
    world.advance(Duration::from_secs(1801));
    store.step_upkeep();
    // A share of the records' spread must be over before a segment counts as mostly dead.
    world.advance(Duration::from_secs(2700));
    store.step_upkeep();
}

/// A store in which an expired record's place is used by later lives of its file, for small records
/// that live a day, while the claim that is to replace the expired record is still out. Where they
/// begin depends on `pad`; returns the claim and their names as well.
pub(crate) fn places_used_again(pad: usize, lives: usize) -> (World, Store, Claim, Vec<String>) {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    let store = world.open();
    execute(&store, "first", &"x".repeat(8000));
    execute(&store, "a", "old");
    fill_segment(&store, "x");
    world.advance(HALF_HOUR);
    let again = claim(&store, "a");
    assert!(store.step_prune());
    let mut small = Vec::new();
    for life in 0..lives {
        execute_for(&store, &format!("pad-{life}"), DAY, &"x".repeat(16 * pad));
        for i in 0..12 {
            let name = format!("small-{life}-{i}");
            execute_for(&store, &name, DAY, "kept");
            small.push(name);
        }
        fill_segment(&store, &format!("y-{life}"));
    }
    (world, store, again, small)
}

/// What a claim of the key answers now.
pub(crate) fn outcome(store: &Store, name: &str) -> Outcome {
    store.claim(request(name)).wait().expect("an outcome")
}

/// The body of the key's record, if it is completed.
pub(crate) fn body(store: &Store, name: &str) -> Option<Vec<u8>> {
    match store.get(&scope("acct"), &key(name)).wait().expect("a look") {
        Some(crate::Entry::Completed(record)) => Some(record.response().body().to_vec()),
        _ => None,
    }
}
