//! A load: clients that claim, save, complete, release, forget, let go, take over and settle, with
//! TTLs so short that segments expire, are compacted and used again all the time.

use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use oncekey::audit::Audit;
use oncekey::{
    Caller, Checkpoint, Claim, ClaimRequest, DropPolicy, Durability, Entry, Options, Outcome,
    Resolution, Store, StoredResponse,
};

use crate::book::{Book, Done, Held, State, body};
use crate::common::{Numbers, key, scope};
use crate::judge::MIN_TTL_MS;
use crate::{now_ms, pause};

/// The windows of the trail: what a power cut may take of it.
pub const TRAIL_WRITE: Duration = Duration::from_millis(50);
pub const TRAIL_SYNC: Duration = Duration::from_millis(200);

/// Longer than any of these tests, but for the one that takes an hour.
const LONG: Duration = Duration::from_secs(3600);
/// A client lets no more keys than these wait for a takeover or a resolution.
const MAX_HANGING: usize = 12;
const MAX_PAUSE_US: u64 = 8000;

pub fn options(durability: Durability) -> Options {
    let audit = Audit::new().max_bytes(1 << 20).write_every(TRAIL_WRITE).sync_every(TRAIL_SYNC);
    Options::new()
        .durability(durability)
        .segment_bytes(1 << 17)
        .remember_late(Duration::from_secs(5))
        .audit(audit)
}

/// A request as each client makes it for a key.
pub fn request(name: &str) -> ClaimRequest {
    let address = Ipv4Addr::new(10, 0, name.len() as u8, 1);
    let caller = Caller::new().client("machine").ip(address.into()).user_agent("load/1");
    ClaimRequest::new(scope(), key(name)).operation("POST /v1/charges").payload(name).caller(caller)
}

/// The clients, their books, and when they are to stop.
#[derive(Debug)]
pub struct Load {
    pub books: Vec<Mutex<Book>>,
    /// The TTL of what is let go or forgotten.
    long: Duration,
    stop: AtomicBool,
    pub claims: AtomicU64,
    pub completions: AtomicU64,
    pub other: AtomicU64,
}

impl Load {
    pub fn new(clients: usize) -> Self {
        Self {
            books: (0..clients).map(|_| Mutex::default()).collect(),
            long: LONG,
            stop: AtomicBool::new(false),
            claims: AtomicU64::new(0),
            completions: AtomicU64::new(0),
            other: AtomicU64::new(0),
        }
    }

    /// The same, where nothing lives longer than this.
    pub fn living_for(self, long: Duration) -> Self {
        Self { long, ..self }
    }

    /// How much each client was told.
    pub fn told(&self) -> Vec<u64> {
        self.books.iter().map(|book| book.lock().expect("no panic").told_count()).collect()
    }

    /// The books as they are.
    pub fn copy(&self) -> Vec<Book> {
        self.books.iter().map(|book| book.lock().expect("no panic").clone()).collect()
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// After a stop, before it is run again and before anybody asks whether it is stopped.
    pub fn begin(&self) {
        self.stop.store(false, Ordering::Relaxed);
    }

    /// Runs the clients until they are stopped. Names begin with the life's number.
    pub fn run(&self, store: &Store, life: u64) {
        std::thread::scope(|threads| {
            for (number, book) in self.books.iter().enumerate() {
                threads.spawn(move || {
                    // A client that panics ends the load, so that somebody notices.
                    let _end = StopOnPanic(self);
                    Client::new(self, store, book, life, number).run();
                });
            }
        });
    }
}

struct StopOnPanic<'a>(&'a Load);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

struct Client<'a> {
    load: &'a Load,
    store: &'a Store,
    book: &'a Mutex<Book>,
    dice: Numbers,
    prefix: String,
    count: u64,
    /// Held, and let go by their holder.
    hanging: Vec<String>,
    /// Completed with a short TTL, the oldest first.
    short: std::collections::VecDeque<String>,
}

impl<'a> Client<'a> {
    fn new(load: &'a Load, store: &'a Store, book: &'a Mutex<Book>, life: u64, no: usize) -> Self {
        let pages = &book.lock().expect("no panic").pages;
        let held = pages.iter().filter(|(_, page)| matches!(page.last(), State::Held(_)));
        let hanging = held.map(|(name, _)| name.clone()).collect();
        Self {
            load,
            store,
            book,
            dice: Numbers(life << 8 | no as u64),
            prefix: format!("{life}-{no}"),
            count: 0,
            hanging,
            short: std::collections::VecDeque::new(),
        }
    }

    fn run(mut self) {
        while !self.load.is_stopped() {
            self.errand();
            self.count += 1;
            if self.count.is_multiple_of(64) {
                self.book().tidy(now_ms());
            }
            pause(Duration::from_micros(self.dice.below(MAX_PAUSE_US)));
        }
    }

    fn book(&self) -> std::sync::MutexGuard<'a, Book> {
        self.book.lock().expect("no panic")
    }

    fn errand(&mut self) {
        let dice = self.dice.below(100);
        if self.hanging.len() >= MAX_HANGING || (dice < 6 && !self.hanging.is_empty()) {
            return self.end_hanging();
        }
        let fresh = format!("{}-{}", self.prefix, self.count);
        match dice {
            0..62 => self.execute(&fresh, false),
            62..72 => self.execute(&fresh, true),
            72..79 => self.release(&fresh),
            79..86 => self.forget(&fresh),
            86..91 => self.hang(fresh, DropPolicy::Hold),
            91..94 => self.hang(fresh, DropPolicy::Unresolved),
            94..97 => self.ask_again(),
            _ => self.come_late(),
        }
    }

    /// Most are short, so that their segments expire; some live on, and have to be moved.
    fn ttl(&mut self) -> Duration {
        match self.dice.below(50) {
            0 => Duration::from_secs(15),
            _ => Duration::from_millis(MIN_TTL_MS + self.dice.below(2000)),
        }
    }

    fn claim(&mut self, request: ClaimRequest, name: &str, policy: DropPolicy) -> Option<Claim> {
        let (attempt, checkpoint) = match self.book().pages.get(name).map(|page| page.last()) {
            Some(State::Held(held)) => (held.attempt + 1, held.checkpoint),
            _ => (1, None),
        };
        let unresolved = policy == DropPolicy::Unresolved;
        let mut held = Held { token: None, attempt, unresolved, checkpoint };
        self.book().begin(name, State::Held(held.clone()));
        match self.store.claim(request.on_drop(policy)).wait().expect("an outcome") {
            Outcome::Claimed(claim) => {
                assert_eq!(claim.attempt(), attempt, "{name}");
                held.token = Some(claim.token().get());
                self.book().tell(name, State::Held(held));
                self.load.claims.fetch_add(1, Ordering::Relaxed);
                Some(claim)
            }
            // The lease of whoever let it go is not over. Nothing has changed.
            Outcome::InFlight(_) => {
                self.book().take_back(name);
                None
            }
            other => panic!("{name}: {other:?}"),
        }
    }

    fn complete(&mut self, claim: Claim, name: &str) {
        let (token, attempt) = (Some(claim.token().get()), claim.attempt());
        self.book().begin(name, State::Done(Done::begun(token, attempt)));
        let response = StoredResponse::new(body(name, attempt)).with_status(attempt);
        let record = claim.complete(response).wait().expect("completed");
        self.book().tell(name, State::Done(Done::told(attempt, &record)));
        self.load.completions.fetch_add(1, Ordering::Relaxed);
    }

    fn save(&mut self, claim: &Claim, name: &str) {
        let number = self.dice.below(1 << 20);
        let State::Held(mut held) = self.book().pages[name].last().clone() else { unreachable!() };
        held.checkpoint = Some(number);
        self.book().begin(name, State::Held(held.clone()));
        let checkpoint = Checkpoint::new("charged", number.to_le_bytes()).expect("a good one");
        claim.save_checkpoint(checkpoint).wait().expect("saved");
        self.book().tell(name, State::Held(held));
        self.load.other.fetch_add(1, Ordering::Relaxed);
    }

    fn execute(&mut self, name: &str, saves: bool) {
        let ttl = self.ttl();
        let request = request(name).ttl(ttl);
        let claim = self.claim(request, name, DropPolicy::Hold).expect("nobody holds it");
        if saves {
            self.save(&claim, name);
        }
        self.complete(claim, name);
        if ttl < Duration::from_secs(4) {
            self.short.push_back(name.to_owned());
        }
        if self.short.len() > 1000 {
            self.short.pop_front();
        }
    }

    fn release(&mut self, name: &str) {
        let claim = self.claim(request(name), name, DropPolicy::Hold).expect("nobody holds it");
        self.book().begin(name, State::Absent);
        claim.release().wait().expect("released");
        self.book().tell(name, State::Absent);
        self.load.other.fetch_add(1, Ordering::Relaxed);
    }

    fn forget(&mut self, name: &str) {
        let request = request(name).ttl(self.load.long);
        let claim = self.claim(request, name, DropPolicy::Hold).expect("nobody holds it");
        self.complete(claim, name);
        self.book().begin(name, State::Absent);
        assert!(self.store.forget(&scope(), &key(name)).wait().expect("forgotten"));
        self.book().tell(name, State::Absent);
        self.load.other.fetch_add(1, Ordering::Relaxed);
    }

    /// Claims a key and lets go of it without an end.
    fn hang(&mut self, name: String, policy: DropPolicy) {
        let request = request(&name).ttl(self.load.long).lease(Duration::from_millis(100));
        let claim = self.claim(request, &name, policy).expect("nobody holds it");
        if self.dice.below(2) == 0 {
            self.save(&claim, &name);
        }
        drop(claim);
        self.hanging.push(name);
    }

    /// Takes a key over that somebody let go, or settles one whose effect is unknown.
    fn end_hanging(&mut self) {
        let at = self.dice.below(self.hanging.len() as u64) as usize;
        let name = self.hanging.swap_remove(at);
        let State::Held(held) = self.book().pages[&name].last().clone() else { unreachable!() };
        if held.unresolved {
            return self.resolve(&name, &held);
        }
        let ttl = self.ttl();
        match self.claim(request(&name).ttl(ttl), &name, DropPolicy::Hold) {
            Some(claim) => self.complete(claim, &name),
            None => self.hanging.push(name),
        }
    }

    fn resolve(&mut self, name: &str, held: &Held) {
        self.load.other.fetch_add(1, Ordering::Relaxed);
        if self.dice.below(2) == 0 {
            self.book().begin(name, State::Absent);
            let done = self.store.resolve(&scope(), &key(name), Resolution::NotExecuted);
            done.wait().expect("resolved");
            return self.book().tell(name, State::Absent);
        }
        self.book().begin(name, State::Done(Done::begun(None, held.attempt)));
        let response = StoredResponse::new(body(name, held.attempt)).with_status(held.attempt);
        let resolution = Resolution::Completed(response);
        self.store.resolve(&scope(), &key(name), resolution).wait().expect("resolved");
        let entry = self.store.get(&scope(), &key(name)).wait().expect("an answer");
        let Some(Entry::Completed(record)) = entry else { panic!("{name}: {entry:?}") };
        self.book().tell(name, State::Done(Done::told(held.attempt, &record)));
    }

    /// A retry gets the same bytes.
    fn ask_again(&mut self) {
        let Some(name) = self.short.back() else { return };
        let State::Done(done) = self.book().pages[name].last().clone() else { return };
        // Whoever comes too late is somebody else's case.
        if done.expires_ms.is_none_or(|ms| ms < now_ms() + 500) {
            return;
        }
        match self.store.claim(request(name)).wait().expect("an outcome") {
            Outcome::Replay(record) => {
                assert_eq!(record.response().body(), body(name, done.attempt), "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }

    /// A retry after the record's expiry is executed anew.
    fn come_late(&mut self) {
        let Some(name) = self.short.pop_front() else { return };
        let expired = match self.book().pages.get(&name).map(|page| page.last()) {
            Some(State::Done(done)) => done.expires_ms.is_some_and(|ms| ms + 100 < now_ms()),
            _ => false,
        };
        if expired {
            self.execute(&name, false);
        }
    }
}
