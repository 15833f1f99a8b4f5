//! SIGKILL under load, round after round (promises 1, 2, 5 and 7): threads of a child fight for the
//! same keys and say what they were told. Nobody holds a key that another holds; what ran is run
//! again only as a later attempt, or after somebody said that it may.
//!
//! The first letter of a key is its manner: `H` is held until its process dies (`Hold`, a long
//! lease), `S` until a short lease is over, `U` becomes unresolved.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use oncekey::{
    Claim, ClaimRequest, DropPolicy, Durability, ErrorKind, Options, Outcome, Resolution, Store,
    StoredResponse,
};

use crate::book::body;
use crate::child::{self, say};
use crate::common::{Numbers, key, request, scope};
use crate::{chosen, pause};

const THREADS: u64 = 8;
/// So many keys of each manner are new in a round, and so many are fought for at one time.
const NEW_KEYS: u64 = 60;
const KEYS: u64 = 150;
const MAX_LINES: u64 = 1500;

fn options(round: u64) -> Options {
    let durability = match round % 3 {
        0 => Durability::Interval(Duration::from_millis(3)),
        _ => Durability::Sync,
    };
    Options::new().durability(durability).segment_bytes(1 << 20)
}

/// The child: it never ends by itself.
#[test]
fn child() {
    let Some((directory, round)) = child::orders() else { return };
    let store = options(round).open_or_create(&directory).expect("the store opens");
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let store = &store;
            threads.spawn(move || {
                let mut dice = Numbers(round << 8 | thread);
                loop {
                    fight(store, round, &mut dice);
                }
            });
        }
    });
}

fn asked(name: &str) -> ClaimRequest {
    let (policy, lease) = match name.as_bytes()[0] {
        b'H' => (DropPolicy::Hold, Duration::from_secs(600)),
        b'S' => (DropPolicy::Hold, Duration::from_millis(20)),
        _ => (DropPolicy::Unresolved, Duration::from_secs(600)),
    };
    request(name).on_drop(policy).lease(lease)
}

fn fight(store: &Store, round: u64, dice: &mut Numbers) {
    let manner = ["H", "S", "U"][dice.below(3) as usize];
    let name = format!("{manner}{}", round * NEW_KEYS + dice.below(KEYS));
    match store.claim(asked(&name)).wait().expect("an outcome") {
        Outcome::Claimed(claim) => hold(claim, &name, dice),
        Outcome::Replay(record) => {
            let attempt = record.response().status();
            assert_eq!(record.response().body(), body(&name, attempt), "{name}");
            say(&format!("replay {name} {}", record.token()));
        }
        Outcome::InFlight(_) => {}
        Outcome::Unresolved(_) if dice.below(4) > 0 => {}
        Outcome::Unresolved(found) => {
            say(&format!("settling {name} {}", found.token()));
            let resolution = Resolution::NotExecuted;
            match store.resolve(&scope(), &key(&name), resolution).wait() {
                Ok(()) => {}
                // Another was faster.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InFlight) => {
                }
                Err(error) => panic!("{name}: {error}"),
            }
            say(&format!("settled {name} {}", found.token()));
        }
        other => panic!("{name}: {other:?}"),
    }
}

fn hold(claim: Claim, name: &str, dice: &mut Numbers) {
    let (token, attempt) = (claim.token(), claim.attempt());
    say(&format!("held {name} {token} {attempt}"));
    pause(Duration::from_micros(dice.below(300)));
    match dice.below(10) {
        0 => {
            say(&format!("letting {name} {token}"));
            drop(claim);
        }
        1 => {
            say(&format!("freeing {name} {token}"));
            lost_or(claim.release().wait(), name);
        }
        _ => {
            say(&format!("ending {name} {token}"));
            let response = StoredResponse::new(body(name, attempt)).with_status(attempt);
            match claim.complete(response).wait() {
                Ok(_) => say(&format!("done {name} {token}")),
                Err(error) => lost_or(Err(error.error().clone()), name),
            }
        }
    }
}

/// Whoever is slow may lose a short lease.
fn lost_or(result: oncekey::Result<()>, name: &str) {
    match result {
        Err(error) if error.kind() != ErrorKind::LeaseLost || !name.starts_with('S') => {
            panic!("{name}: {error}");
        }
        _ => {}
    }
}

/// What was said of a key.
#[derive(Debug, Default)]
struct Page {
    /// Who holds it in this life and has not said otherwise.
    holder: Option<u64>,
    last: Option<(u64, u32)>,
    done: Option<u64>,
    /// Tokens whose holders have said that they complete.
    ending: Vec<u64>,
    /// Somebody has said since the last claim that it may run as if it were new.
    free: bool,
    settlers: u64,
}

#[derive(Debug, Default)]
struct Judge {
    pages: BTreeMap<String, Page>,
    /// The highest token, of earlier lives and of all.
    before: u64,
    highest: u64,
    lines: u64,
    claims: u64,
    again: u64,
}

impl Judge {
    fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let [what, name, token, ..] = words[..] else { panic!("the child says {line:?}") };
        let token: u64 = token.parse().unwrap_or_else(|_| panic!("the child says {line:?}"));
        self.lines += 1;
        if what == "held" {
            return self.held(name, token, words[3].parse().expect("an attempt"));
        }
        let page = self.pages.entry(name.to_owned()).or_default();
        match what {
            "letting" => page.holder = None,
            "freeing" => (page.holder, page.free) = (None, true),
            "ending" => page.ending.push(token),
            "settling" => (page.settlers, page.free) = (page.settlers + 1, true),
            "settled" => (page.settlers, page.free) = (page.settlers - 1, true),
            "done" | "replay" => {
                assert!(page.ending.contains(&token), "{name}: {token} never completed: {page:?}");
                let first = *page.done.get_or_insert(token);
                assert_eq!(first, token, "{name} was completed twice");
                page.holder = None;
            }
            _ => panic!("the child says {line:?}"),
        }
    }

    /// A claim was told.
    fn held(&mut self, name: &str, token: u64, attempt: u32) {
        self.claims += 1;
        self.again += u64::from(attempt > 1);
        assert!(token > self.before, "{name}: token {token} is of an earlier life");
        self.highest = self.highest.max(token);
        let page = self.pages.entry(name.to_owned()).or_default();
        assert_eq!(page.done, None, "{name} was completed, and is claimed");
        // A holder with a short lease may lose it before it has said a word.
        let is_short = name.starts_with('S');
        if let Some((last, last_attempt)) = page.last {
            if is_short && token < last {
                return;
            }
            assert!(token > last, "{name}: token {token} after {last}");
            let marked = attempt > last_attempt && !name.starts_with('U');
            assert!(marked || page.free, "{name} runs again as attempt {attempt}: {page:?}");
        }
        assert!(page.holder.is_none() || is_short, "{name} has two holders: {page:?}");
        (page.last, page.holder) = (Some((token, attempt)), Some(token));
        page.free = page.settlers > 0;
    }

    /// The process is dead: nobody holds anything.
    fn end_life(&mut self) {
        self.before = self.highest;
        for page in self.pages.values_mut() {
            page.holder = None;
            page.settlers = 0;
        }
    }

    /// What was said to be done is there. What nobody will ask for again is ended.
    fn check(&mut self, directory: &Path, round: u64, from: u64) {
        let store = options(round).open(directory).expect("the store opens after a kill");
        assert!(store.recovery().damage.is_empty(), "{:?}", store.recovery());
        let number = |name: &str| name[1..].parse::<u64>().expect("a number");
        self.pages.retain(|name, page| {
            let stays = page.done.is_some() || number(name) >= round * NEW_KEYS;
            if !stays {
                end(&store, name);
            }
            stays
        });
        for (name, page) in &self.pages {
            let Some(token) = page.done.filter(|_| number(name) >= from) else { continue };
            match store.claim(asked(name)).wait().expect("an outcome") {
                Outcome::Replay(record) => {
                    assert_eq!(record.token().get(), token, "{name}");
                    let attempt = record.response().status();
                    assert_eq!(record.response().body(), body(name, attempt), "{name}");
                }
                other => panic!("{name} was completed: {other:?}"),
            }
        }
    }
}

/// Ends what was left behind, whatever it is.
fn end(store: &Store, name: &str) {
    match store.claim(asked(name)).wait().expect("an outcome") {
        Outcome::Claimed(claim) => claim.release().wait().expect("released"),
        Outcome::Unresolved(_) => {
            let resolution = Resolution::NotExecuted;
            store.resolve(&scope(), &key(name), resolution).wait().expect("resolved");
        }
        // Its completion had not been told.
        Outcome::Replay(_) => {}
        other => panic!("{name}: {other:?}"),
    }
}

/// One child: killed after so many lines, or so long after its start.
fn run_and_kill(directory: &Path, round: u64, judge: &mut Judge, dice: &mut Numbers) {
    let mut voice = child::Voice::of(child::command(&[], "kills::child", directory, round));
    let lines = match dice.below(5) {
        0 => {
            pause(Duration::from_micros(dice.below(40_000)));
            voice.child.kill().expect("killed");
            u64::MAX
        }
        _ => 1 + dice.below(MAX_LINES),
    };
    let mut count = 0;
    while let Some(line) = voice.line() {
        // A panic begins with an empty line.
        assert!(!line.is_empty(), "the child panicked: {:?}", voice.line());
        judge.note(&line);
        count += 1;
        if count == lines {
            voice.child.kill().expect("killed");
        }
    }
    assert!(count >= lines || lines == u64::MAX, "the child of round {round} ended by itself");
    judge.end_life();
}

/// `ONCEKEY_KILLS` rounds.
#[test]
#[ignore = "takes minutes"]
fn promise_1_killed_processes_leave_no_two_holders_and_no_unmarked_attempt() {
    let begin = Instant::now();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store");
    // So that the first child may be killed while it opens.
    drop(options(0).create(&path).expect("a store"));
    let rounds = chosen("ONCEKEY_KILLS", 20);
    let mut judge = Judge::default();
    let mut dice = Numbers(chosen("ONCEKEY_SEED", 1));
    for round in 1..=rounds {
        run_and_kill(&path, round, &mut judge, &mut dice);
        if round % 10 == 0 {
            judge.check(&path, round, round.saturating_sub(12) * NEW_KEYS);
        }
    }
    judge.check(&path, rounds, 0);
    let Judge { lines, claims, again, pages, .. } = &judge;
    let done = pages.values().filter(|page| page.done.is_some()).count();
    println!(
        "{rounds} kills in {} s: {lines} lines, {claims} claims ({again} as a later attempt), \
         {done} keys completed",
        begin.elapsed().as_secs()
    );
    assert!(*again > 0 && done > 0);
}
