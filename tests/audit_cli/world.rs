//! Stores with a trail, and the program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use oncekey::audit::{Audit, Privacy};
use oncekey::{Caller, Claim, ClaimRequest, Key, Options, Outcome, Scope, Store, StoredResponse};
use serde_json::Value;

/// A name that would do things to a terminal, a table, or a line.
pub(crate) const HOSTILE: &str = "ios\u{1b}[31m\u{9b}2J\n| x\t\u{202e}<b>`\u{7f}";

pub(crate) fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_oncekey")).args(args).output().expect("it runs")
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

/// What it printed, if it ended with this code and said nothing else.
pub(crate) fn shown(args: &[&str], expected: i32) -> String {
    let output = run(args);
    assert_eq!(code(&output), expected, "{args:?}: {output:?}");
    assert!(output.stderr.is_empty(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What it complained of, with exit code 2.
pub(crate) fn refused(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(code(&output), 2, "{args:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{args:?}: {output:?}");
    String::from_utf8(output.stderr).expect("UTF-8")
}

pub(crate) fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Nothing that a terminal would obey or hide.
pub(crate) fn assert_harmless(text: &str) {
    for c in text.chars() {
        assert!(c == '\n' || !c.is_control(), "{c:?} in {text:?}");
        assert!(!('\u{202a}'..='\u{202e}').contains(&c), "{c:?} in {text:?}");
    }
}

pub(crate) fn plain() -> Audit {
    let window = Duration::from_millis(5);
    Audit::new().privacy(Privacy::Plain).write_every(window)
}

pub(crate) fn create(dir: &Path, audit: Audit) -> (Store, PathBuf) {
    let path = dir.join("store");
    let options = Options::new().segment_bytes(1 << 16).audit(audit);
    (options.create(&path).expect("created"), path)
}

pub(crate) fn reopen(path: &Path, audit: Audit) -> Store {
    Options::new().audit(audit).open(path).expect("opened")
}

pub(crate) fn close(store: Store) {
    store.close(Duration::ZERO).wait().expect("closed");
}

pub(crate) fn request(key: &str, client: &str) -> ClaimRequest {
    let caller = Caller::new()
        .client(client)
        .ip("192.0.2.7".parse().expect("an address"))
        .user_agent("app/1.0")
        .request_id("req-1");
    ClaimRequest::new(Scope::new("acct_42").expect("good"), Key::new(key).expect("good"))
        .operation("POST /v1/charges")
        .payload("amount=100")
        .caller(caller)
}

pub(crate) fn ask(store: &Store, request: ClaimRequest) -> Outcome {
    store.claim(request).wait().expect("decided")
}

pub(crate) fn claim(store: &Store, key: &str) -> Claim {
    match ask(store, request(key, "ios")) {
        Outcome::Claimed(claim) => claim,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn execute(store: &Store, key: &str) {
    claim(store, key).complete(StoredResponse::new("done")).wait().expect("completed");
}

/// A closed store: `good` was executed and replayed, `reused` asked for with another payload.
pub(crate) fn a_store(dir: &Path) -> PathBuf {
    let (store, path) = create(dir, plain());
    execute(&store, "good");
    drop(ask(&store, request("good", "ios")));
    execute(&store, "reused");
    drop(ask(&store, request("reused", HOSTILE).payload("amount=200")));
    close(store);
    path
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
