//! SIGKILL under load (promises 1, 2, 5 and 7): a child process works on a store and says what it
//! was told, line by line; it is killed in the middle of it, and everything it had said must be
//! found.
//!
//! The child is this test again, with the store's directory in its environment.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use common::{Numbers, claimed, outcome, replayed};
use oncekey::{Durability, Options, Outcome, Store, StoredResponse};

const DIRECTORY: &str = "ONCEKEY_KILL_TEST_DIRECTORY";
const MODE: &str = "ONCEKEY_KILL_TEST_MODE";
const ROUND: &str = "ONCEKEY_KILL_TEST_ROUND";
const ROUNDS: u64 = 10;
const THREADS: u64 = 4;

fn options(mode: &str) -> Options {
    let durability = match mode {
        "sync" => Durability::Sync,
        _ => Durability::Interval(Duration::from_millis(3)),
    };
    Options::new().durability(durability).segment_bytes(1 << 18)
}

fn body(name: &str) -> String {
    format!("answer of {name} {}", "x".repeat(name.len() * 13 % 400))
}

/// The child: claims and completes, and says so once it was told. It never ends by itself.
#[test]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let mode = std::env::var(MODE).expect("a mode");
    let round = std::env::var(ROUND).expect("a round");
    let store = options(&mode).open_or_create(Path::new(&directory)).expect("the store");
    let told = Mutex::new(());
    let say = |line: String| {
        let _one_at_a_time = told.lock().expect("no panic");
        let mut out = std::io::stderr().lock();
        // The parent may be gone: then so is the need to go on.
        out.write_all(line.as_bytes()).unwrap_or_else(|_| std::process::exit(1));
    };
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let (store, say, round) = (&store, &say, &round);
            threads.spawn(move || {
                for i in 0.. {
                    work(store, &format!("{round}-{thread}-{i}"), i, say);
                }
            });
        }
    });
}

fn work(store: &Store, name: &str, i: u64, say: &impl Fn(String)) {
    let claim = claimed(outcome(store, name));
    say(format!("claimed {name} {}\n", claim.token()));
    match i {
        // Kept for ever: the kill ends it.
        _ if i.is_multiple_of(40) => std::mem::forget(claim),
        _ if i % 5 == 1 => {
            claim.release().wait().expect("released");
            say(format!("released {name}\n"));
        }
        _ => {
            claim.complete(StoredResponse::new(body(name))).wait().expect("completed");
            say(format!("completed {name}\n"));
        }
    }
}

/// What the children said, over all rounds.
#[derive(Default)]
struct Said {
    claimed: BTreeSet<String>,
    released: BTreeSet<String>,
    completed: BTreeSet<String>,
    highest: u64,
}

impl Said {
    fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["claimed", name, token] => {
                let token = token.parse().expect("a token");
                self.claimed.insert(name.to_owned());
                self.highest = self.highest.max(token);
            }
            ["released", name] => drop(self.released.insert(name.to_owned())),
            ["completed", name] => drop(self.completed.insert(name.to_owned())),
            _ => panic!("the child says {line:?}"),
        }
    }
}

/// Runs a child until it has said enough, and kills it there.
fn run_and_kill(directory: &Path, mode: &str, round: u64, lines: u64, said: &mut Said) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .env(MODE, mode)
        .env(ROUND, round.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut out = BufReader::new(child.stderr.take().expect("its voice"));
    let mut line = String::new();
    let mut count = 0;
    // Also what it said between the kill's call and its death is true. A cut line was never said.
    while out.read_line(&mut line).expect("text") > 0 && line.ends_with('\n') {
        if line == "\n" {
            let mut rest = String::new();
            out.read_to_string(&mut rest).expect("text");
            panic!("the child panicked: {rest}");
        }
        said.note(line.trim_end());
        line.clear();
        count += 1;
        if count == lines {
            child.kill().expect("killed");
        }
    }
    assert!(count >= lines, "the child ended by itself: {:?}", child.wait());
    child.wait().expect("dead");
}

fn check(store: &Store, said: &Said) {
    assert!(store.recovery().damage.is_empty());
    for name in &said.completed {
        assert_eq!(replayed(outcome(store, name)).response().body(), body(name).as_bytes());
    }
}

/// Nobody may be told that he is the first, of a claim that was told and never released.
fn check_claims(store: &Store, said: &Said) {
    let open: BTreeMap<_, _> = said
        .claimed
        .iter()
        .filter(|name| !said.completed.contains(*name) && !said.released.contains(*name))
        .map(|name| (name, outcome(store, name)))
        .collect();
    for (name, told) in open {
        match told {
            Outcome::Claimed(claim) => {
                // Its release may have been durable and not been said.
                let may_be_new = name.ends_with(['1', '6']);
                assert!(claim.attempt() >= 2 || may_be_new, "{name} runs as if it were new");
                assert!(claim.token().get() > said.highest);
                claim.release().wait().expect("released");
            }
            Outcome::Replay(record) => assert_eq!(record.response().body(), body(name).as_bytes()),
            other => panic!("{name}: {other:?}"),
        }
    }
    for name in &said.released {
        let claim = claimed(outcome(store, name));
        assert_eq!(claim.attempt(), 1);
        claim.release().wait().expect("released");
    }
}

fn kill_again_and_again(mode: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store");
    let mut numbers = Numbers(mode.len() as u64);
    let mut said = Said::default();
    for round in 0..ROUNDS {
        let lines = 1 + numbers.below(800);
        run_and_kill(&path, mode, round, lines, &mut said);
        // Every other time the next child recovers, rather than this process.
        if round % 2 == 1 {
            let store = options(mode).open(&path).expect("the store opens after a kill");
            check(&store, &said);
        }
    }
    let store = options(mode).open(&path).expect("the store opens after a kill");
    assert!(!store.recovery().clean || ROUNDS.is_multiple_of(2));
    check(&store, &said);
    check_claims(&store, &said);
    assert!(said.completed.len() > 100 && said.released.len() > 50);
}

#[test]
fn promise_2_a_killed_process_loses_nothing_it_was_told_synced() {
    kill_again_and_again("sync");
}

#[test]
fn promise_2_a_killed_process_loses_nothing_it_was_told_in_intervals() {
    kill_again_and_again("interval");
}
