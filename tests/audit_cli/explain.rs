//! `oncekey audit explain`.

use std::fs;
use std::time::Duration;

use oncekey::audit::Audit;
use oncekey::{Key, Outcome, Scope, Store, StoredResponse};
use serde_json::Value;

use crate::world::{
    HOSTILE, a_store, ask, assert_harmless, claim, close, code, create, execute, plain, refused,
    reopen, request, run, shown, text, wait_for_trail,
};

fn finding(store: &str, key: &str, more: &[&str]) -> (String, i32) {
    let args = [&["audit", "explain", store, "acct_42", key, "--json"], more].concat();
    let output = run(&args);
    let story: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    (story["conclusion"]["finding"].as_str().expect("a finding").to_owned(), code(&output))
}

fn forget(store: &Store, key: &str) {
    let (scope, key) = (Scope::new("acct_42").expect("good"), Key::new(key).expect("good"));
    assert!(store.forget(&scope, &key).wait().expect("forgotten"));
}

#[test]
fn a_story_is_told_in_words_and_ends_with_a_plain_answer() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = a_store(dir.path());
    let told = shown(&["audit", "explain", text(&path), "acct_42", "good"], 0);
    assert_harmless(&told);
    for part in [
        "key good in scope acct_42",
        "claimed the key for POST /v1/charges: claim ",
        "was completed after",
        "asked again for POST /v1/charges and was given the record of claim",
        "-> legitimate_retry (",
        "the store has the record of claim",
        "Conclusion: executed once.",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = shown(&["audit", "explain", text(&path), "acct_42", "reused"], 0);
    assert_harmless(&told);
    assert!(told.contains("with another payload than claim"), "{told}");
    assert!(told.contains("Conclusion: executed once."), "{told}");

    let told = shown(&["audit", "explain", text(&path), "acct_42", "never"], 1);
    assert!(told.contains("the trail has no event of this key"), "{told}");
    assert!(told.contains("Conclusion: nobody asked for this key."), "{told}");
    refused(&["audit", "explain", text(&path), "acct_42", ""]);
    refused(&["audit", "explain", text(&path), "acct_42"]);
}

#[test]
fn names_may_be_given_as_they_are_shown() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, path) = create(dir.path(), plain());
    let hostile = "k\u{1b}[31m\\";
    execute(&store, hostile);
    close(store);
    for given in [hostile, "k\\u{1b}[31m\\\\"] {
        let told = shown(&["audit", "explain", text(&path), "acct_42", given], 0);
        assert!(told.contains("key k\\u{1b}[31m\\\\ in scope"), "{told}");
        assert_harmless(&told);
    }
}

#[test]
fn what_may_have_been_executed_twice_is_said_and_why() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, path) = create(dir.path(), plain());
    // Taken over: its first holder may have executed it.
    let lease = Duration::from_millis(1);
    let slow = ask(&store, request("taken", "ios").lease(lease));
    let again = loop {
        match ask(&store, request("taken", HOSTILE)) {
            Outcome::Claimed(claim) => break claim,
            _ => std::thread::yield_now(),
        }
    };
    again.complete(StoredResponse::new("done")).wait().expect("completed");
    drop(slow);
    // Executed, forgotten, and executed again.
    execute(&store, "forgotten");
    forget(&store, "forgotten");
    execute(&store, "forgotten");
    // Given back, and executed.
    claim(&store, "released").release().wait().expect("released");
    execute(&store, "released");
    drop(claim(&store, "dropped"));
    let held = claim(&store, "held");
    wait_for_trail(&path);
    // Events come to the trail a little later.
    while finding(text(&path), "held", &[]) != ("in_progress".into(), 0) {}
    drop(held);
    close(store);

    let told = shown(&["audit", "explain", text(&path), "acct_42", "taken"], 1);
    assert_harmless(&told);
    for part in [
        "took the key over",
        "attempt 2",
        "Claims:",
        "; it was taken over (",
        "Conclusion: may have been executed more than once: one claim was completed, and nothing \
         says that 1 other had no effect.",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = shown(&["audit", "explain", text(&path), "acct_42", "forgotten"], 1);
    assert!(
        told.contains("Conclusion: executed more than once: 2 claims were completed."),
        "{told}"
    );
    assert_eq!(finding(text(&path), "released", &[]), ("once_on_trust".into(), 0));
    assert_eq!(finding(text(&path), "dropped", &[]), ("unsettled".into(), 1));
}

#[test]
fn a_trail_by_itself_needs_the_secret() {
    let dir = tempfile::tempdir().expect("a directory");
    let secret = *b"sixteen bytes ok";
    let (store, path) = create(dir.path(), plain().secret(secret));
    execute(&store, "a");
    close(store);
    let told = refused(&["audit", "explain", text(&path), "acct_42", "a"]);
    assert!(told.contains("another secret (Audit::secret): give it with --secret-file"), "{told}");
    let trail = path.join("audit");
    let told = refused(&["audit", "explain", text(&trail), "acct_42", "a"]);
    assert!(told.contains("give it with --secret-file, or give the store's directory"), "{told}");
    let file = dir.path().join("secret");
    fs::write(&file, secret).expect("written");
    let with = ["--secret-file", text(&file)];
    assert_eq!(finding(text(&path), "a", &with), ("once".into(), 0));
    assert_eq!(finding(text(&trail), "a", &with), ("once".into(), 0));
    fs::write(&file, "too short").expect("written");
    let args = ["audit", "explain", text(&trail), "acct_42", "a", "--secret-file", text(&file)];
    assert!(refused(&args).contains("it needs 16 bytes, or 32 hexadecimal digits"));
}

#[test]
fn what_a_changed_secret_hides_is_not_called_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, path) = create(dir.path(), plain());
    execute(&store, "a");
    claim(&store, "b").release().wait().expect("released");
    close(store);
    let store = reopen(&path, plain().secret([7; 16]));
    execute(&store, "b");
    forget(&store, "b");
    close(store);
    assert_eq!(finding(text(&path), "a", &[]), ("once".into(), 0), "its record is still there");
    let (found, code) = finding(text(&path), "b", &[]);
    assert_eq!((found.as_str(), code), ("unknown", 1));
    let output = run(&["audit", "explain", text(&path), "acct_42", "b"]);
    let told = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(told.contains("cannot be read: they were hashed with another secret"), "{told}");
    assert!(told.contains("what is there says: not executed"), "{told}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--secret-file"));
}

#[test]
fn dropped_events_make_the_answer_unknown() {
    let dir = tempfile::tempdir().expect("a directory");
    let slow = Audit::new().max_pending(2).write_every(Duration::from_secs(60));
    let (store, path) = create(dir.path(), slow);
    claim(&store, "a").release().wait().expect("released");
    // What many decide at once does not fit the ring.
    for round in 0..1000 {
        std::thread::scope(|scope| {
            for thread in 0..32 {
                let store = &store;
                scope.spawn(move || execute(store, &format!("k{round}-{thread}")));
            }
        });
        if store.stats().audit_dropped > 0 {
            break;
        }
    }
    assert!(store.stats().audit_dropped > 0);
    execute(&store, "k39");
    close(store);
    let (found, code) = finding(text(&path), "k39", &[]);
    assert!(code == 1 || found == "once", "{found}");
    let (found, code) = finding(text(&path), "a", &[]);
    assert_eq!((found.as_str(), code), ("unknown", 1));
}
