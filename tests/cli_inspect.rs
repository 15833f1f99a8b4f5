//! `oncekey inspect` and `oncekey verify` as a person or a script calls them, on real files.
#![cfg(feature = "cli")]
#![allow(clippy::disallowed_methods, reason = "a test is a user of the library, not its engine")]

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use oncekey::{
    Checkpoint, ClaimRequest, DropPolicy, Key, Options, Outcome, Scope, Store, StoredResponse,
};
use serde_json::Value;

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_oncekey")).args(args).output().expect("it runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

/// What it printed, if it succeeded.
fn shown(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(code(&output), 0, "{args:?}: {output:?}");
    assert!(output.stderr.is_empty(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&shown(args)).expect("one JSON value")
}

fn json_lines(args: &[&str]) -> Vec<Value> {
    shown(args).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn request(scope: &str, key: &str) -> ClaimRequest {
    ClaimRequest::new(Scope::new(scope).expect("good"), Key::new(key).expect("good"))
}

fn execute(store: &Store, scope: &str, key: &str, body: &[u8]) {
    match store.claim(request(scope, key)).wait().expect("decided") {
        Outcome::Claimed(claim) => {
            let response = StoredResponse::new(body).with_status(201);
            claim.complete(response).wait().expect("completed");
        }
        other => panic!("{key}: {other:?}"),
    }
}

/// A closed store with small segments, a hundred records and one of each kind of claim.
fn a_store(dir: &Path) -> (PathBuf, String) {
    let path = dir.join("store");
    let store = Options::new().segment_bytes(1 << 16).create(&path).expect("created");
    for i in 0..100 {
        execute(&store, "acct_1", &format!("key-{i}"), &[b'x'; 2000]);
    }
    execute(&store, "acct_2", "text", b"the \x1b[31manswer");
    execute(&store, "acct_2", "binary", b"\xff\x00\xfe");
    let unresolved = request("acct_2", "lost").on_drop(DropPolicy::Unresolved);
    drop(store.claim(unresolved).wait().expect("decided"));
    let Outcome::Claimed(held) = store.claim(request("acct_2", "held")).wait().expect("decided")
    else {
        panic!("not claimed")
    };
    held.save_checkpoint(Checkpoint::new("charged", "id=7").expect("small")).wait().expect("saved");
    drop(held);
    store.close(Duration::ZERO).wait().expect("closed");
    drop(store);
    let text = path.to_str().expect("UTF-8").to_owned();
    (path, text)
}

#[test]
fn a_closed_store_for_people_and_for_programs() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_, store) = a_store(dir.path());
    let text = shown(&["inspect", &store]);
    for part in ["nobody (closed cleanly)", "completed", "102", "log, sealed", "KiB"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let summary = json(&["inspect", &store, "--json"]);
    assert_eq!((&summary["completed"], &summary["unresolved"]), (&102.into(), &1.into()));
    assert_eq!((&summary["abandoned"], &summary["in_flight"]), (&1.into(), &0.into()));
    assert_eq!(summary["owner"]["state"], "nobody");

    assert_eq!(json_lines(&["inspect", &store, "keys", "--json"]).len(), 104);
    let few = ["inspect", &store, "keys", "--scope", "acct_1", "--limit", "7", "--json"];
    let few = json_lines(&few);
    assert_eq!(few.len(), 7);
    assert!(few.iter().all(|row| row["scope"] == "acct_1" && row["status"] == 201), "{few:?}");
    let lost = json_lines(&["inspect", &store, "keys", "--state", "unresolved", "--json"]);
    assert_eq!(lost[0]["key"], "lost");
    let table = shown(&["inspect", &store, "keys", "--limit", "5"]);
    assert!(table.contains("there are more"), "{table}");
    assert!(table.contains(" ago)") && table.contains("(in "), "{table}");

    let report = json(&["verify", &store, "--json"]);
    assert_eq!((&report["whole"], &report["manifest_copies"]), (&true.into(), &2.into()));
    assert!(report["records"].as_u64().expect("a number") >= 102);
    assert!(shown(&["verify", &store]).contains("whole"));
}

#[test]
fn either_order_of_words_is_understood() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_, store) = a_store(dir.path());
    let same = [
        ["inspect", &store, "key", "acct_2", "text"],
        ["inspect", "key", &store, "acct_2", "text"],
    ];
    assert_eq!(shown(&same[0][..]).lines().count(), shown(&same[1][..]).lines().count());
    let listed = json_lines(&["inspect", "keys", &store, "--json"]);
    assert_eq!(listed, json_lines(&["inspect", "--json", &store, "keys"]));
}

#[test]
fn bodies_are_hidden_unless_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_, store) = a_store(dir.path());
    let hidden = shown(&["inspect", &store, "key", "acct_2", "text"]);
    assert!(!hidden.contains("answer") && hidden.contains("--body"), "{hidden}");
    let text = shown(&["inspect", &store, "key", "acct_2", "text", "--body"]);
    assert!(text.contains("the \\u{1b}[31manswer"), "{text}");
    let binary = shown(&["inspect", &store, "key", "acct_2", "binary", "--body"]);
    assert!(binary.contains("hexadecimal: ff00fe"), "{binary}");

    let hidden = json(&["inspect", &store, "key", "acct_2", "text", "--json"]);
    assert_eq!((&hidden["body"], &hidden["body_bytes"]), (&Value::Null, &15.into()));
    let text = json(&["inspect", &store, "key", "acct_2", "text", "--body", "--json"]);
    assert_eq!(text["body"]["encoding"], "utf-8");
    assert_eq!(text["body"]["data"], "the \u{1b}[31manswer");
    let binary = json(&["inspect", &store, "key", "acct_2", "binary", "--body", "--json"]);
    assert_eq!(binary["body"]["encoding"], "hex");
    assert_eq!(binary["body"]["data"], "ff00fe");
    let held = json(&["inspect", &store, "key", "acct_2", "held", "--body", "--json"]);
    assert_eq!((&held["state"], &held["checkpoint"]), (&"abandoned".into(), &"charged".into()));
    assert_eq!(held["checkpoint_data"]["data"], "id=7");
}

#[test]
fn control_characters_are_escaped_everywhere_and_accepted_escaped() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("store");
    let (scope, key) = ("a\u{1b}]0;x\u{7}", "k\u{202e}\u{9b}31m\\");
    let store = Store::create(&path).expect("created");
    execute(&store, scope, key, b"x");
    let path = path.to_str().expect("UTF-8");
    let escaped_scope = "a\\u{1b}]0;x\\u{7}";
    let escaped_key = "k\\u{202e}\\u{9b}31m\\\\";
    for (scope, key) in [(scope, key), (escaped_scope, escaped_key)] {
        for more in [&[][..], &["--json"]] {
            let args = [&["inspect", path, "key", scope, key][..], more].concat();
            let text = shown(&args);
            let seen = |c: char| !c.is_control() && c != '\u{202e}' || c == '\n';
            assert!(text.chars().all(seen), "{text:?}");
        }
    }
    let table = shown(&["inspect", path, "keys"]);
    assert!(table.contains(escaped_scope) && table.contains(escaped_key), "{table}");
    let listed = json_lines(&["inspect", path, "keys", "--scope", escaped_scope, "--json"]);
    assert_eq!((&listed[0]["scope"], &listed[0]["key"]), (&scope.into(), &key.into()));
    let missing = run(&["inspect", path, "key", scope, "\u{1b}[2J"]);
    assert_eq!(code(&missing), 1);
    assert!(!missing.stderr.contains(&0x1b), "{missing:?}");
}

#[test]
fn damage_is_exit_code_1_and_no_store_is_2() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, store) = a_store(dir.path());
    let first = json_lines(&["inspect", &store, "keys", "--scope", "acct_1", "--json"]);
    let file = path.join(first[0]["file"].as_str().expect("a file"));
    let offset = first[0]["offset"].as_u64().expect("an offset") as usize;
    let mut bytes = std::fs::read(&file).expect("read");
    bytes[offset + 40] ^= 4;
    std::fs::write(&file, &bytes).expect("written");
    let verified = run(&["verify", &store, "--json"]);
    assert_eq!(code(&verified), 1, "{verified:?}");
    let report: Value = serde_json::from_slice(&verified.stdout).expect("JSON");
    assert_eq!(report["damage"][0]["file"], first[0]["file"]);
    let table = run(&["verify", &store]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("DAMAGED"), "{table:?}");
    let listed = run(&["inspect", &store, "keys", "--json"]);
    assert_eq!(code(&listed), 1);
    assert_eq!(String::from_utf8_lossy(&listed.stdout).lines().count(), 103);
    let lost = first[0]["key"].as_str().expect("a key");
    assert_eq!(code(&run(&["inspect", &store, "key", "acct_1", lost])), 1);

    std::fs::write(path.join("MANIFEST"), [0; 8192]).expect("written");
    assert_eq!(code(&run(&["verify", &store])), 1);
    let nowhere = dir.path().join("nowhere");
    let nowhere = nowhere.to_str().expect("UTF-8");
    for args in [&["inspect", nowhere][..], &["verify", nowhere], &["inspect"], &["verify"]] {
        let output = run(args);
        assert_eq!(code(&output), 2, "{args:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{args:?}");
    }
    let empty = tempfile::tempdir().expect("a directory");
    let refused = run(&["inspect", empty.path().to_str().expect("UTF-8")]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("mounted"), "{refused:?}");
}

#[test]
fn a_reader_that_has_enough_ends_it_quietly() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_, store) = a_store(dir.path());
    let mut child = Command::new(env!("CARGO_BIN_EXE_oncekey"))
        .args(["inspect", &store, "keys", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ended");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn it_leaves_no_trace() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, store) = a_store(dir.path());
    std::fs::remove_file(path.join("LOCK")).expect("removed");
    let state = || {
        let entries = std::fs::read_dir(&path).expect("listed").map(|entry| {
            let entry = entry.expect("an entry");
            let changed = entry.metadata().expect("metadata").modified().expect("a time");
            (entry.file_name(), changed)
        });
        let mut entries: Vec<_> = entries.collect();
        entries.sort();
        entries
    };
    let before = state();
    shown(&["inspect", &store]);
    shown(&["inspect", &store, "keys"]);
    shown(&["inspect", &store, "key", "acct_2", "text"]);
    shown(&["verify", &store]);
    assert_eq!(before, state());
}

#[test]
fn a_live_store_under_load_is_read_correctly() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("store");
    // Short lives, so that segments are dropped and their files used again under the reader.
    let options = Options::new().segment_bytes(1 << 16).ttl(Duration::from_millis(300));
    let store = options.create(&path).expect("created");
    let day = Duration::from_secs(24 * 3600);
    for i in 0..50 {
        match store.claim(request("kept", &format!("{i}")).ttl(day)).wait().expect("decided") {
            Outcome::Claimed(claim) => {
                claim.complete(StoredResponse::new([b'k'; 500])).wait().expect("completed")
            }
            other => panic!("{other:?}"),
        };
    }
    let Outcome::Claimed(held) = store.claim(request("held", "key")).wait().expect("decided")
    else {
        panic!("not claimed")
    };
    let path = path.to_str().expect("UTF-8");
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        for thread in 0..4 {
            let (store, done) = (&store, &done);
            threads.spawn(move || {
                for i in 0.. {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    execute(store, "load", &format!("{thread}-{i}"), &[b'l'; 4000]);
                }
            });
        }
        let looked = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let begun = Instant::now();
            // Until files have been used again, if the machine is not too slow for that.
            let recycled =
                || store.stats().dropped_segments > 40 || begun.elapsed() > Duration::from_secs(60);
            for look in 0.. {
                if look >= 20 && recycled() {
                    break;
                }
                look_at_live_store(path);
            }
        }));
        done.store(true, Ordering::Relaxed);
        looked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    assert!(store.stats().dropped_segments > 0, "nothing was pruned: {:?}", store.stats());
    drop(held);
}

fn look_at_live_store(path: &str) {
    let report = json(&["verify", path, "--json"]);
    assert_eq!((&report["whole"], &report["owner"]["state"]), (&true.into(), &"running".into()));
    let summary = json(&["inspect", path, "--json"]);
    assert!(summary["completed"].as_u64().expect("a number") >= 50, "{summary}");
    assert!(summary["in_flight"].as_u64().expect("a number") >= 1, "{summary}");
    assert_eq!(summary["damage"], Value::Array(Vec::new()));
    let mut kept: Vec<u64> = json_lines(&["inspect", path, "keys", "--scope", "kept", "--json"])
        .iter()
        .map(|row| row["key"].as_str().expect("a key").parse().expect("a number"))
        .collect();
    kept.sort_unstable();
    assert_eq!(kept, (0..50).collect::<Vec<_>>());
    assert_eq!(json(&["inspect", path, "key", "held", "key", "--json"])["state"], "in-flight");
    assert_eq!(json(&["inspect", path, "key", "kept", "7", "--json"])["state"], "completed");
}
