//! Stores of several regions with one secret, and the program that merges and ships their trails.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::disallowed_methods, reason = "a test is a user of the library, not its engine")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use oncekey::audit::{Audit, Privacy};
use oncekey::{
    Caller, ClaimRequest, Durability, Key, Options, Outcome, Scope, Store, StoredResponse,
};
use serde_json::Value;

pub const SECRET: [u8; 16] = *b"shared by stores";

pub fn oncekey(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_oncekey")).args(args).output().expect("it runs")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// What `audit merge --json` says of these sources, and its exit code.
pub fn merge(sources: &[&str]) -> (Value, i32) {
    let args = [&["audit", "merge", "--json"], sources].concat();
    let output = oncekey(&args);
    let view = serde_json::from_slice(&output.stdout);
    (view.unwrap_or_else(|_| panic!("{output:?}")), output.status.code().expect("a code"))
}

/// The same without what depends on the moment and on where it was read from.
pub fn essence(view: &Value) -> Value {
    let mut view = view.clone();
    for store in view["stores"].as_array_mut().expect("stores") {
        let store = store.as_object_mut().expect("a store");
        for name in ["sources", "lag_ms", "duplicates", "complete_to_ms", "waited_for", "late"] {
            store.remove(name);
        }
    }
    for name in ["complete_to_ms", "forced", "silent_sources"] {
        view.as_object_mut().expect("an object").remove(name);
    }
    view
}

pub fn create(path: &Path, secret: [u8; 16], privacy: Privacy) -> Store {
    let audit = Audit::new().secret(secret).privacy(privacy);
    let options = Options::new()
        .audit(audit.write_every(Duration::from_millis(5)))
        .durability(Durability::Interval(Duration::from_secs(1)))
        .segment_bytes(4 << 20);
    options.open_or_create(path).expect("a store")
}

/// Claims a key, and completes it if nobody had it.
pub fn charge(store: &Store, scope: &str, key: &str) {
    let request = ClaimRequest::new(Scope::new(scope).expect("a scope"), Key::new(key).expect("k"))
        .operation("POST /v1/charges")
        .payload("amount=100")
        .caller(Caller::new().client("ios-app").ip([192, 0, 2, 7].into()));
    if let Outcome::Claimed(claim) = store.claim(request).wait().expect("an outcome") {
        claim.complete(StoredResponse::new("charged")).wait().expect("it completes");
    }
}

/// Two regions: each with keys of its own, some that both executed, and some that were asked for
/// again.
pub fn two_regions(root: &Path, keys: usize) -> (PathBuf, PathBuf) {
    let places = ["region-a", "region-b"].map(|name| root.join(name));
    for place in &places {
        let store = create(place, SECRET, Privacy::Reduced);
        let name = place.file_name().and_then(|name| name.to_str()).expect("a name");
        for number in 0..keys {
            charge(&store, "acct_42", &format!("{name}-{number}"));
            charge(&store, "acct_42", &format!("{name}-{}", number / 2));
        }
        for number in 0..3 {
            charge(&store, "acct_42", &format!("both-{number}"));
        }
    }
    let [a, b] = places;
    (a, b)
}

pub fn str(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The ids of events in a file of lines, with each as often as it is there.
pub fn ids(lines: &str) -> Vec<(String, String)> {
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let events = lines.filter(|line| line.get("id").is_some());
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    events.map(|event| (text(&event["store"]), text(&event["id"]))).collect()
}
