//! `oncekey audit tail`.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::world::{
    HOSTILE, a_store, ask, assert_harmless, close, create, execute, lines, plain, refused, reopen,
    request, shown, text,
};

#[test]
fn the_newest_events_are_shown_with_their_verdicts() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = a_store(dir.path());
    let all = shown(&["audit", "tail", text(&path)], 0);
    assert_harmless(&all);
    assert_eq!(all.lines().count(), 6, "a hostile name is no line of its own: {all}");
    for part in
        ["-> legitimate_retry (", "-> key_reuse (", "another payload", "network 192.0.2.0/24"]
    {
        assert!(all.contains(part), "{part}: {all}");
    }
    assert!(all.contains("by ios\\u{1b}[31m\\u{9b}2J\\n| x"), "{all}");
    assert_eq!(shown(&["audit", "tail", text(&path), "-n", "1"], 0), last_line(&all));
    assert_eq!(shown(&["audit", "tail", text(&path), "-n", "0"], 0), "");
    let coloured = shown(&["audit", "tail", text(&path), "--color", "always"], 0);
    assert!(coloured.contains("\u{1b}[1;31m"), "{coloured}");
}

fn last_line(text: &str) -> String {
    format!("{}\n", text.lines().last().expect("a line"))
}

#[test]
fn sorts_of_events_may_be_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = a_store(dir.path());
    let kinds = |only: &[&str]| {
        let mut args = vec!["audit", "tail", text(&path), "--json"];
        args.extend(only.iter().flat_map(|only| ["--only", only]));
        let events = lines(&shown(&args, 0));
        events.iter().map(|event| event["kind"].as_str().expect("a kind").to_owned()).collect()
    };
    let shown: Vec<String> = kinds(&["collisions"]);
    assert_eq!(shown, ["replayed", "mismatch"]);
    let shown: Vec<String> = kinds(&["key_reuse"]);
    assert_eq!(shown, ["mismatch"]);
    let shown: Vec<String> = kinds(&["completed", "legitimate_retry"]);
    assert_eq!(shown, ["completed", "replayed", "completed"]);
    let told = refused(&["audit", "tail", text(&path), "--only", "everything"]);
    assert!(told.contains("suspicious_replay"), "{told}");
}

/// Waits until a live store has begun its trail.
fn wait_for_trail(path: &Path) {
    let first = path.join("audit/trail-0000000001");
    while !first.exists() {
        std::thread::yield_now();
    }
}

fn follow(path: &str, more: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oncekey"));
    command.args(["audit", "tail", path, "--follow", "--json"]).args(more);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs")
}

#[test]
fn a_live_trail_is_followed_to_its_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, path) = create(dir.path(), plain());
    execute(&store, "a");
    wait_for_trail(&path);
    let mut child = follow(text(&path), &[]);
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut next = || {
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        serde_json::from_str::<serde_json::Value>(&line).expect("JSON")
    };
    assert_eq!(
        (next()["kind"].as_str(), next()["kind"].as_str()),
        (Some("claimed"), Some("completed"))
    );
    drop(ask(&store, request("a", HOSTILE)));
    let replayed = next();
    assert_eq!(replayed["caller"]["client"]["name"], HOSTILE);
    assert!(replayed["judgement"]["verdict"].is_string());
    close(store);
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("the end");
    assert_eq!(rest, "");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    let mut told = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut told).expect("read");
    assert!(told.contains("the store was closed"), "{told}");
}

#[test]
fn a_signal_ends_it_and_a_reopened_store_is_followed_if_asked() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, path) = create(dir.path(), plain());
    execute(&store, "a");
    wait_for_trail(&path);
    let mut child = follow(text(&path), &["--reopen"]);
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut seen = Vec::new();
    let mut wait_for = |key_count: usize| {
        while seen.len() < key_count {
            let mut line = String::new();
            assert!(output.read_line(&mut line).expect("a line") > 0, "it ended: {seen:?}");
            seen.push(line);
        }
    };
    wait_for(2);
    close(store);
    let store = reopen(&path, plain());
    execute(&store, "b");
    wait_for(4);
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.expect("it runs").success());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    close(store);
}
