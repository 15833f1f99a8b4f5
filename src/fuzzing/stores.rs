//! A few stores as their files: what an attack begins with.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::audit::Audit;
use crate::log::{Manifest, manifest};
use crate::simulation::{Disk, Environment, SimClock, SimDisk, SimRandom, Survival};
use crate::{
    ClaimRequest, DropPolicy, Key, Options, Outcome, Scope, Store, StoreId, StoredResponse,
};

/// A Tuesday in 2026.
pub(super) const START_MS: u64 = 1_790_000_000_000;
pub(super) const TTL: Duration = Duration::from_secs(1800);

/// A directory, as it was left.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    /// The name of a file, with `audit/` before those of the trail, and its bytes.
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) store_id: StoreId,
    /// The response of each key that is completed and lives.
    pub(super) records: BTreeMap<String, Vec<u8>>,
    /// Whether it was closed, rather than killed.
    pub(super) is_clean: bool,
    pub(super) now_ms: u64,
}

pub(super) fn options() -> Options {
    let options = Options { late_pending: 4, ..Options::new() };
    options.ttl(TTL).segment_bytes(1 << 16).compress_from_bytes(512).audit(Audit::new())
}

pub(super) fn scope() -> Scope {
    Scope::new("acct").expect("a scope")
}

pub(super) fn key(name: &str) -> Key {
    Key::new(name).expect("a key")
}

pub(super) fn request(name: &str) -> ClaimRequest {
    ClaimRequest::new(scope(), key(name)).operation("POST /v1/charges").payload(name)
}

pub(super) fn environment(disk: Arc<SimDisk>, clock: Arc<SimClock>, seed: u64) -> Environment {
    Environment { disk, clock, random: Arc::new(SimRandom::new(seed)), threads: false }
}

/// All of them: a small one and one with a past, each closed and killed.
pub(super) fn all() -> &'static [Stored] {
    static ALL: OnceLock<Vec<Stored>> = OnceLock::new();
    ALL.get_or_init(|| {
        let kinds = [(false, true), (false, false), (true, true), (true, false)];
        kinds.into_iter().map(|(has_past, is_clean)| make(has_past, is_clean)).collect()
    })
}

fn make(has_past: bool, is_clean: bool) -> Stored {
    let (disk, trail) = (SimDisk::new(), SimDisk::new());
    disk.put_directory("audit", trail.clone());
    let clock = Arc::new(SimClock::new(START_MS));
    let world = environment(disk.clone(), clock.clone(), 7);
    let store = Store::open_in(&world, &options(), true).expect("a store");
    if has_past {
        live(&store, &clock);
    }
    let mut records = BTreeMap::new();
    for number in 0..6 {
        let name = format!("k{number}");
        let body = format!("answer {number} ").repeat(1 + 20 * number);
        complete(&store, &name, TTL * 100, body.as_bytes());
        records.insert(name, body.into_bytes());
    }
    complete(&store, "forgotten", TTL, b"answer");
    assert!(store.forget(&scope(), &key("forgotten")).wait().expect("forgotten"));
    drop(store.claim(request("held")).wait().expect("a claim"));
    drop(store.claim(request("asked").on_drop(DropPolicy::Unresolved)).wait().expect("a claim"));
    store.flush().wait().expect("flushed");
    store.step_audit();
    if is_clean {
        store.close(Duration::ZERO).wait().expect("closed");
    }
    // What is written is there, as after a kill.
    let (disk, trail) = (disk.crash(Survival::Everything, 0), trail.crash(Survival::Everything, 0));
    let (read, _) = manifest::read(&*disk).expect("a disk").expect("a manifest");
    let Manifest { store_id, .. } = read;
    let mut files = files_of(&disk, "");
    files.extend(files_of(&trail, "audit/"));
    let now_ms = crate::simulation::Clock::wall_ms(&*clock);
    Stored { files, store_id, records, is_clean, now_ms }
}

fn files_of(disk: &Arc<SimDisk>, prefix: &str) -> BTreeMap<String, Vec<u8>> {
    let names = disk.list().expect("names");
    names
        .into_iter()
        .map(|name| (format!("{prefix}{name}"), disk.file(&name).expect("a file")))
        .collect()
}

fn complete(store: &Store, name: &str, ttl: Duration, body: &[u8]) {
    let outcome = store.claim(request(name).ttl(ttl)).wait().expect("an outcome");
    let Outcome::Claimed(claim) = outcome else { panic!("{outcome:?}") };
    claim.complete(StoredResponse::new(body)).wait().expect("completed");
}

/// Segments that were filled, sealed, compacted and used again, and keys that expired.
fn live(store: &Store, clock: &Arc<SimClock>) {
    let noise = |seed: u64| {
        let step = |state: &mut u64| {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            Some((*state >> 56) as u8)
        };
        std::iter::successors(Some(seed), |last| Some(last + 1))
            .scan(seed, move |state, _| step(state))
            .take(6000)
            .collect::<Vec<u8>>()
    };
    for round in 0..3 {
        complete(store, &format!("long-{round}"), TTL * 100, b"kept");
        let before = store.stats().segments;
        for number in 0..20 {
            complete(store, &format!("short-{round}-{number}"), TTL, &noise(round * 100 + number));
            if store.stats().segments > before {
                break;
            }
        }
        store.step_upkeep();
    }
    for _ in 0..2 {
        clock.advance(TTL * 2);
        store.step_upkeep();
        while store.step_prune() || store.step_late() || store.step_compact() {}
    }
}
