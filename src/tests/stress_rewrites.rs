//! Threads that claim, replay and forget against threads that prune and compact, while time runs:
//! no answer may be wrong, no record lost or damaged, and nothing executed twice. Each key has a
//! page that says what the store must know of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::chaos::{ChaosDisk, How, Numbers, within};
use super::world::{key, request, scope};
use crate::ids::StoreTime;
use crate::simulation::{Clock, Environment, SimClock, SimDisk, SimRandom};
use crate::{Durability, Entry, Options, Outcome, Record, Store, StoredResponse};

const START_MS: u64 = 1_790_000_000_000;
const KEYS: u64 = 400;
const TTL_MS: u64 = 300;

/// What is known of a key: its last record, if it was not forgotten.
type Page = Option<(Vec<u8>, StoreTime)>;

struct World {
    store: Store,
    clock: Arc<SimClock>,
    pages: Vec<Mutex<Page>>,
    operations: AtomicU64,
}

impl World {
    fn now(&self) -> StoreTime {
        StoreTime(START_MS + self.clock.monotonic_ms())
    }

    /// A record was found: it must be the one, and alive when the look began.
    fn found(&self, page: &Page, record: &Record, before: StoreTime) {
        let (body, expires_at) = page.as_ref().expect("it was forgotten");
        assert_eq!(record.response().body(), body, "another answer");
        assert!(*expires_at > before, "it had expired");
    }

    /// No record was found: there is none, or it has expired since.
    fn missed(&self, page: &Page) {
        if let Some((_, expires_at)) = page {
            assert!(*expires_at <= self.now(), "a record was lost");
        }
    }

    fn operate(&self, numbers: &mut Numbers) {
        let index = numbers.below(KEYS);
        let name = format!("key {index}");
        let mut page = self.pages[index as usize].lock().expect("no panic");
        let before = self.now();
        match numbers.below(10) {
            0 => self.forget(&name, &mut page),
            1 => match self.store.get(&scope("acct"), &key(&name)).wait().expect("a look") {
                Some(Entry::Completed(record)) => self.found(&page, &record, before),
                None => self.missed(&page),
                other => panic!("{other:?}"),
            },
            _ => match self.store.claim(self.request(&name, numbers)).wait().expect("an outcome") {
                Outcome::Replay(record) => self.found(&page, &record, before),
                Outcome::Claimed(claim) => {
                    self.missed(&page);
                    let body = vec![index as u8; numbers.below(1500) as usize];
                    let body = [format!("{index} {} ", claim.token()).as_bytes(), &body].concat();
                    let completion = claim.complete(StoredResponse::new(body.clone()));
                    if numbers.below(10) == 0 {
                        // Not waited for: it may be forgotten on its way.
                        let forgotten = self.store.forget(&scope("acct"), &key(&name));
                        completion.wait().expect("completed");
                        forgotten.wait().expect("forgotten");
                        *page = None;
                        return;
                    }
                    let record = completion.wait().expect("completed");
                    *page = Some((body, record.expires_at()));
                }
                other => panic!("{other:?}"),
            },
        }
    }

    fn request(&self, name: &str, numbers: &mut Numbers) -> crate::ClaimRequest {
        // Most live for a moment, some for long: segments become mostly dead.
        let ttl_ms = if numbers.below(8) == 0 { 4 * TTL_MS } else { 1 + numbers.below(TTL_MS) };
        request(name).ttl(Duration::from_millis(ttl_ms))
    }

    fn forget(&self, name: &str, page: &mut Page) {
        match self.store.forget(&scope("acct"), &key(name)).wait().expect("forgotten") {
            true => assert!(page.is_some(), "there was nothing to forget"),
            false => self.missed(page),
        }
        *page = None;
    }

    fn work(&self, seed: u64, operations: u64) {
        let mut numbers = Numbers(seed);
        for _ in 0..operations {
            self.operate(&mut numbers);
            self.operations.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn prune(store: &Store) {
    store.prune().wait().expect("pruned");
}

/// Not all the time, or nothing would be left to expire in its place.
fn compact(store: &Store) {
    if store.stats().segments > 8 {
        store.compact().wait().expect("compacted");
    }
}

fn forget_nothing(store: &Store) {
    let forgotten = store.forget_scope(&scope("nobody's")).wait().expect("all can be read");
    assert_eq!(forgotten, 0);
}

fn race(options: Options, operations: u64) {
    let disk = ChaosDisk::new(SimDisk::new(), How::Errors);
    let clock = Arc::new(SimClock::new(START_MS));
    let random = Arc::new(SimRandom::new(7));
    let environment = Environment { disk, clock: clock.clone(), random, threads: true };
    let options = options.segment_bytes(1 << 16).compress_from_bytes(usize::MAX).no_lease();
    let store = Store::open_in(&environment, &options, true).expect("a store");
    let pages = (0..KEYS).map(|_| Mutex::default()).collect();
    let world = World { store, clock, pages, operations: AtomicU64::new(0) };
    let over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let workers: Vec<_> = (0..4)
            .map(|seed| {
                threads.spawn({
                    let world = &world;
                    move || world.work(seed, operations)
                })
            })
            .collect();
        for step in [prune as fn(&Store), compact, forget_nothing] {
            let (world, over) = (&world, &over);
            threads.spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    step(&world.store);
                    std::thread::yield_now();
                }
            });
        }
        let (world, over) = (&world, &over);
        threads.spawn(move || {
            // Time goes with the work, or what is slow would find everything expired.
            let mut seen = 0;
            while !over.load(Ordering::SeqCst) {
                let done = world.operations.load(Ordering::SeqCst);
                world.clock.advance(Duration::from_millis((done - seen).div_ceil(4)));
                seen = done;
                std::thread::yield_now();
            }
        });
        let ended: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        over.store(true, Ordering::SeqCst);
        ended.into_iter().for_each(|ended| ended.expect("no panic"));
    });
    let stats = world.store.stats();
    assert!(stats.compactions > 0 && stats.pruned > 0, "{stats:?}");
    let World { store, clock, pages, operations } = world;
    drop(store);
    let store = Store::open_in(&environment, &options, false).expect("the store");
    let world = World { store, clock, pages, operations };
    assert!(world.store.recovery().clean);
    for (index, page) in world.pages.iter().enumerate() {
        let page = page.lock().expect("no panic");
        let before = world.now();
        match world.store.get(&scope("acct"), &key(&format!("key {index}"))).wait() {
            Ok(Some(Entry::Completed(record))) => world.found(&page, &record, before),
            Ok(None) => world.missed(&page),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_segment_that_a_batch_has_left_is_not_pruned_before_the_batch_is_published() {
    within(Duration::from_secs(20), || {
        let disk = ChaosDisk::new(SimDisk::new(), How::Errors);
        let clock = Arc::new(SimClock::new(START_MS));
        let random = Arc::new(SimRandom::new(7));
        let (chaos, time) = (disk.clone(), clock.clone());
        let environment = Environment { disk, clock, random, threads: false };
        let options = Options::new().segment_bytes(1 << 16).ttl(Duration::from_millis(1));
        let store = Store::open_in(&environment, &options, true).expect("a store");
        let names: Vec<_> = (0..12).map(|i| format!("{i}")).collect();
        let claims: Vec<_> = names.iter().map(|name| super::world::claim(&store, name)).collect();
        let body = vec![0; 8000];
        let complete = |claim: crate::Claim| claim.complete(StoredResponse::new(body.clone()));
        let completions: Vec<_> = claims.into_iter().map(complete).collect();
        let busy = store.clone();
        chaos.before_each_sync(move || {
            time.advance(Duration::from_millis(2));
            let (told, done) = std::sync::mpsc::channel();
            let store = busy.clone();
            std::thread::spawn(move || {
                store.step_upkeep();
                while store.step_prune() {}
                let _ = told.send(());
            });
            // It may have to wait for the batch.
            let _ = done.recv_timeout(Duration::from_millis(50));
        });
        assert!(store.step_commit());
        chaos.before_each_sync(|| {});
        completions.into_iter().for_each(|call| drop(call.wait().expect("completed")));
        for name in &names {
            let told = store.claim(request(name)).wait().expect("an outcome");
            super::world::claimed(told).release().wait().expect("released");
        }
    });
}

#[test]
fn promises_3_4_and_6_hold_while_segments_are_pruned_and_compacted() {
    within(Duration::from_secs(120), || race(Options::new(), 8000));
}

#[test]
fn promises_3_4_and_6_hold_while_segments_are_rewritten_in_interval_mode() {
    let interval = Durability::Interval(Duration::from_millis(2));
    within(Duration::from_secs(120), move || race(Options::new().durability(interval), 8000));
}
