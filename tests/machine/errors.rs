//! A disk that fails under real files (promise 8): strace answers chosen system calls of a child
//! with an error. From then on nothing is told as a success; what was told before is there when the
//! store is opened again.

use std::path::Path;
use std::process::Command;

use oncekey::audit::Audit;
use oncekey::{Error, ErrorKind, Options, Outcome, Store, StoredResponse};

use crate::book::body;
use crate::child::{self, say};
use crate::chosen;
use crate::common::{outcome, replayed, request};

const KEYS: u64 = 120;

fn options() -> Options {
    Options::new().segment_bytes(1 << 16).audit(Audit::new())
}

/// The child: claims and completes until an error, and looks whether the store behaves after it.
#[test]
fn child() {
    let Some((directory, _)) = child::orders() else { return };
    let store = match options().open(&directory) {
        Ok(store) => store,
        Err(error) => return say(&format!("open {:?} {error}", error.kind())),
    };
    let mut told = Vec::new();
    for number in 0..KEYS {
        let name = format!("key-{number}");
        if let Err(error) = execute(&store, &name) {
            say(&format!("error {:?} {error}", error.kind()));
            if matches!(error.kind(), ErrorKind::OutcomeUnknown | ErrorKind::Poisoned) {
                poisoned(&store, &told);
            }
            return;
        }
        told.push(name);
    }
    match store.close(std::time::Duration::from_secs(60)).wait() {
        Ok(_) => say("closed"),
        Err(error) => say(&format!("close {:?} {error}", error.kind())),
    }
}

fn execute(store: &Store, name: &str) -> Result<(), Error> {
    let claim = match store.claim(request(name)).wait()? {
        Outcome::Claimed(claim) => claim,
        other => panic!("{name}: {other:?}"),
    };
    say(&format!("claimed {name} {}", claim.token()));
    let response = StoredResponse::new(body(name, 1));
    claim.complete(response).wait().map_err(|error| error.error().clone())?;
    say(&format!("completed {name}"));
    Ok(())
}

/// Every change is refused, and reads go on.
fn poisoned(store: &Store, told: &[String]) {
    for name in ["another", "and-another"] {
        let error = store.claim(request(name)).wait().expect_err("nothing is told as a success");
        assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
    }
    for name in told {
        let found = store.get(&crate::common::scope(), &crate::common::key(name)).wait();
        let Ok(Some(oncekey::Entry::Completed(record))) = found else {
            panic!("{name}: {found:?}")
        };
        assert_eq!(record.response().body(), body(name, 1));
    }
    assert!(store.stats().poisoned);
    say("poisoned");
}

/// What one run of a child came to.
#[derive(Debug, Default)]
struct Said {
    claimed: Vec<(String, u64)>,
    completed: Vec<String>,
    end: String,
    poisoned: bool,
}

fn run(directory: &Path, inject: &str) -> Said {
    let call = inject.split(':').next().expect("a call");
    let (trace, inject) = (format!("trace={call}"), format!("inject={inject}"));
    let strace =
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", trace.as_str(), "-e", inject.as_str()];
    let mut voice = child::Voice::of(child::command(&strace, "errors::child", directory, 0));
    let mut said = Said::default();
    while let Some(line) = voice.line() {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        match words[..] {
            ["claimed", name, token] => {
                said.claimed.push((name.to_owned(), token.parse().expect("a token")));
            }
            ["completed", name] => said.completed.push(name.to_owned()),
            ["poisoned"] => said.poisoned = true,
            // The program itself was not loaded.
            _ if line.contains("loading shared libraries") => said.end = "closed".into(),
            ["closed"] | ["open" | "error" | "close", ..] => said.end = line.clone(),
            _ => panic!("{inject}: the child says {line:?} {:?}", voice.line()),
        }
    }
    said
}

/// What was told is there.
fn check(directory: &Path, inject: &str, said: &Said) {
    let store = options().open(directory);
    let store = store.unwrap_or_else(|error| panic!("{inject}: it does not open again: {error}"));
    assert!(store.recovery().damage.is_empty(), "{inject}: {:?}", store.recovery());
    for name in &said.completed {
        let record = replayed(outcome(&store, name));
        assert_eq!(record.response().body(), body(name, 1), "{inject}");
    }
    for (name, token) in said.claimed.iter().filter(|(name, _)| !said.completed.contains(name)) {
        match outcome(&store, name) {
            Outcome::Claimed(claim) => {
                assert!(
                    claim.attempt() == 2 && claim.token().get() > *token,
                    "{inject}: {claim:?}"
                );
            }
            // Its completion may have reached the disk.
            Outcome::Replay(record) => assert_eq!(record.response().body(), body(name, 1)),
            other => panic!("{inject}: {name}: {other:?}"),
        }
    }
}

/// The `n`th of these calls in a thread fails, and maybe all after it.
fn sweep(calls: &[&str], errno: &str) {
    if let Err(error) = Command::new("strace").arg("-V").output() {
        return println!("skipped: strace: {error}");
    }
    let (mut runs, mut poisoned, mut refused, mut unharmed) = (0, 0, 0, 0);
    for n in self::calls() {
        for (call, more) in calls.iter().flat_map(|call| [(call, ""), (call, "+")]) {
            let inject = format!("{call}:error={errno}:when={n}{more}");
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("store");
            drop(options().create(&path).expect("a store"));
            let said = run(&path, &inject);
            let is_poisoned =
                ["OutcomeUnknown", "Poisoned"].iter().any(|kind| said.end.contains(kind));
            assert!(!said.end.is_empty(), "{inject}: it ended without a word: {said:?}");
            let is_unknown = said.end.starts_with("error") && is_poisoned;
            assert_eq!(said.poisoned, is_unknown, "{inject}: {said:?}");
            runs += 1;
            match said.end.as_str() {
                "closed" => unharmed += 1,
                _ if is_poisoned => poisoned += 1,
                _ => refused += 1,
            }
            check(&path, &inject, &said);
        }
    }
    println!(
        "{errno} under {}: {runs} runs: {poisoned} poisoned, {refused} refused before anything \
         was decided, {unharmed} unharmed",
        calls.join(", ")
    );
}

/// Up to the `ONCEKEY_ERRORS`th call of a thread, or some of them.
fn calls() -> Vec<u64> {
    match chosen("ONCEKEY_ERRORS", 0) {
        0 => vec![1, 5, 25, 125],
        last => (1..=last).collect(),
    }
}

#[test]
#[ignore = "takes strace and minutes"]
fn promise_8_syncs_and_writes_that_fail_poison() {
    sweep(&["fdatasync", "fsync", "pwrite64"], "EIO");
}

#[test]
#[ignore = "takes strace and minutes"]
fn promise_8_reads_names_and_room_that_fail_lose_nothing() {
    sweep(&["pread64", "renameat", "fallocate"], "EIO");
    sweep(&["pwrite64", "fallocate"], "ENOSPC");
}
