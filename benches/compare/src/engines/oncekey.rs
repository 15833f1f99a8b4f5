//! The store itself, through the calls a service makes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oncekey::{
    ClaimRequest, Durability, Entry, Fingerprint, Key, Options, Outcome, Scope, Store,
    StoredResponse,
};

use super::{Answer, Engine, Mode, Role, Tasks, Variant};
use crate::workload::Request;

pub const VARIANTS: [Variant; 5] = [
    Variant {
        name: "oncekey",
        role: Role::Store,
        mode: Mode::Durable,
        lookups: true,
        has_tasks: true,
        open: |dir| Arc::new(Oncekey::open(dir, Options::new())),
    },
    Variant {
        name: "oncekey steady",
        role: Role::Store,
        mode: Mode::Durable,
        lookups: false,
        has_tasks: true,
        open: |dir| Arc::new(Oncekey::steady(dir)),
    },
    Variant {
        name: "oncekey interval",
        role: Role::Store,
        mode: Mode::Interval,
        lookups: false,
        has_tasks: false,
        open: |dir| Arc::new(Oncekey::open(dir, interval())),
    },
    Variant {
        name: "oncekey (no record cache)",
        role: Role::Store,
        mode: Mode::Lookup,
        lookups: true,
        has_tasks: false,
        open: |dir| Arc::new(Oncekey::open(dir, Options::new().record_cache_bytes(0))),
    },
    Variant {
        name: "oncekey (1 GiB record cache)",
        role: Role::Store,
        mode: Mode::Lookup,
        lookups: true,
        has_tasks: false,
        open: |dir| Arc::new(Oncekey::open(dir, Options::new().record_cache_bytes(1 << 30))),
    },
];

const INTERVAL: Duration = Duration::from_millis(100);
/// What the steady store keeps a record for, and the size of its segments: small enough that its
/// log is on recycled segments after a few seconds.
const STEADY_TTL: Duration = Duration::from_millis(250);
const STEADY_SEGMENT_BYTES: u32 = 16 << 20;
/// The stream of the keys that nobody measures.
const WARM_UP_STREAM: u64 = (1 << 24) - 2;
/// Segments that must have been dropped before the steady store is measured.
const LAPS: u64 = 6;
/// Callers of a load: enough to share syncs.
const LOADERS: usize = 64;

fn interval() -> Options {
    Options::new().durability(Durability::Interval(INTERVAL))
}

struct Oncekey {
    store: Store,
}

impl Oncekey {
    fn open(dir: &Path, options: Options) -> Self {
        Self { store: options.open_or_create(dir.join("store")).expect("open the store") }
    }

    /// A store that has filled, dropped and recycled segments: no zeros are written any more.
    fn steady(dir: &Path) -> Self {
        let options = Options::new().ttl(STEADY_TTL).segment_bytes(STEADY_SEGMENT_BYTES);
        let steady = Self::open(dir, options);
        let mut number = 0;
        while steady.store.stats().dropped_segments < LAPS {
            steady.load(&mut (number..number + 6400).map(|n| Request::nth(WARM_UP_STREAM, n)));
            number += 6400;
        }
        steady
    }
}

fn scope(request: &Request) -> Scope {
    Scope::new(&request.scope).expect("a valid scope")
}

fn key(request: &Request) -> Key {
    Key::new(&request.key).expect("a valid key")
}

pub fn claim_request(request: &Request) -> ClaimRequest {
    let fingerprint = Fingerprint::from_bytes(request.fingerprint);
    ClaimRequest::new(scope(request), key(request)).fingerprint(fingerprint)
}

impl Engine for Oncekey {
    fn claim(&self, _request: &Request) -> bool {
        unreachable!("a claim is completed through its handle: see cycle")
    }

    fn complete(&self, _request: &Request) {
        unreachable!("a claim is completed through its handle: see cycle")
    }

    fn cycle(&self, request: &Request) -> bool {
        let outcome = self.store.claim(claim_request(request)).wait().expect("claim");
        let Outcome::Claimed(claim) = outcome else { return false };
        claim.complete(StoredResponse::new(request.response)).wait().expect("complete");
        true
    }

    fn timed_claim(&self, request: &Request) -> Duration {
        let started = Instant::now();
        let outcome = self.store.claim(claim_request(request)).wait().expect("claim");
        let took = started.elapsed();
        let Outcome::Claimed(claim) = outcome else { panic!("a new key was refused") };
        claim.complete(StoredResponse::new(request.response)).wait().expect("complete");
        took
    }

    fn replay(&self, request: &Request) -> Option<Vec<u8>> {
        let found = self.store.get(&scope(request), &key(request)).wait().expect("read the store");
        let Some(Entry::Completed(record)) = found else { return None };
        (*record.fingerprint().as_bytes() == request.fingerprint)
            .then(|| record.response().body().to_vec())
    }

    fn load(&self, requests: &mut dyn Iterator<Item = Request>) {
        loop {
            let batch: Vec<_> = requests.take(LOADERS * 100).collect();
            if batch.is_empty() {
                break;
            }
            std::thread::scope(|scope| {
                for share in batch.chunks(100) {
                    scope.spawn(move || {
                        for request in share {
                            assert!(Engine::cycle(self, request), "a new key was refused");
                        }
                    });
                }
            });
        }
    }

    fn tasks(&self) -> Option<&dyn Tasks> {
        Some(self)
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.store.stats().syncs)
    }
}

impl Tasks for Oncekey {
    fn claim<'a>(&'a self, _request: &'a Request) -> Answer<'a> {
        unreachable!("a claim is completed through its handle: see cycle")
    }

    fn complete<'a>(&'a self, _request: &'a Request) -> Answer<'a> {
        unreachable!("a claim is completed through its handle: see cycle")
    }

    fn cycle<'a>(&'a self, request: &'a Request) -> Answer<'a> {
        Box::pin(async move {
            let outcome = self.store.claim(claim_request(request)).await.expect("claim");
            let Outcome::Claimed(claim) = outcome else { return false };
            claim.complete(StoredResponse::new(request.response)).await.expect("complete");
            true
        })
    }
}
