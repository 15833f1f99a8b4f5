//! A trail as an outbox: every event at least once, whenever the shipper is killed.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use oncekey::audit::Privacy;

use super::support::{
    SECRET, charge, create, essence, ids, merge, oncekey, str, text, two_regions,
};

fn ship(store: &Path, to: &str, cursor: &str, more: &[&str]) -> std::process::Output {
    let args = ["audit", "ship", str(store), "--to", to, "--cursor", cursor];
    oncekey(&[&args[..], more].concat())
}

#[test]
fn a_trail_is_shipped_once_and_then_what_is_new() {
    let root = tempfile::tempdir().expect("a directory");
    let place = root.path().join("a");
    let lines = root.path().join("lines.jsonl");
    let to = format!("file:{}", str(&lines));
    let mut expected = 0;
    for round in 0..3 {
        let store = create(&place, SECRET, Privacy::Reduced);
        for number in 0..50 {
            charge(&store, "acct_42", &format!("{round}-{number}"));
        }
        drop(store);
        expected += 100;
        let output = ship(&place, &to, "log", &[]);
        assert!(output.status.success(), "{output:?}");
        let shipped = ids(&std::fs::read_to_string(&lines).expect("lines"));
        assert_eq!(shipped.len(), expected, "each once, as nothing went wrong");
    }
    let (of_file, _) = merge(&[str(&lines)]);
    let (of_store, _) = merge(&[str(&place)]);
    assert_eq!(essence(&of_file), essence(&of_store));

    // Another sink needs another cursor.
    let output = ship(&place, "stdout", "log", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("each sink needs a cursor of its own"), "{output:?}");
    let output = ship(&place, "stdout", str(&root.path().join("elsewhere")), &[]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(ids(&text(&output.stdout)).len(), expected);
    assert!(root.path().join("elsewhere.cursor").exists());
    // The store opens as before, with cursors beside its trail.
    charge(&create(&place, SECRET, Privacy::Reduced), "acct_42", "last");
}

#[test]
fn a_shipper_that_is_killed_at_any_moment_loses_nothing() {
    let root = tempfile::tempdir().expect("a directory");
    let place = root.path().join("a");
    let lines = root.path().join("lines.jsonl");
    let to = format!("file:{}", str(&lines));
    let store = create(&place, SECRET, Privacy::Reduced);
    for round in 0..20_u64 {
        let args = ["audit", "ship", str(&place), "--to", &to, "--cursor", "log", "--follow"];
        let mut shipper = Command::new(env!("CARGO_BIN_EXE_oncekey"))
            .args(args)
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        for number in 0..round * 13 % 120 {
            charge(&store, "acct_42", &format!("{round}-{number}"));
        }
        shipper.kill().expect("it is killed");
        shipper.wait().expect("it is gone");
        if round % 3 == 0 {
            // The machine lost the end of the file, which it had not acknowledged.
            let file = std::fs::OpenOptions::new().append(true).open(&lines);
            if let Ok(mut file) = file {
                std::io::Write::write_all(&mut file, b"{\"id\":\"1.1\",\"st").expect("written");
            }
        }
    }
    drop(store);
    let output = ship(&place, &to, "log", &[]);
    assert!(output.status.success(), "{output:?}");
    let (of_file, code) = merge(&[str(&lines)]);
    assert_eq!(code, 0, "every line is whole");
    let (of_store, _) = merge(&[str(&place)]);
    assert_eq!(essence(&of_file), essence(&of_store));
    let shipped = ids(&std::fs::read_to_string(&lines).expect("lines"));
    let once: BTreeSet<_> = shipped.iter().collect();
    assert_eq!(once.len() as u64, of_store["stores"][0]["events"].as_u64().expect("a number"));
}

#[test]
fn a_reader_that_goes_away_ends_it_in_peace() {
    let root = tempfile::tempdir().expect("a directory");
    let (a, _) = two_regions(root.path(), 400);
    let args = ["audit", "ship", str(&a), "--to", "stdout", "--cursor", "pipe"];
    let mut shipper = Command::new(env!("CARGO_BIN_EXE_oncekey"))
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut output = shipper.stdout.take().expect("piped");
    let mut first = [0; 1000];
    output.read_exact(&mut first).expect("it writes");
    drop(output);
    let output = shipper.wait_with_output().expect("it ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

/// A merge that follows tells a finding when it comes, and how far the stores are.
#[test]
fn a_merge_that_follows_tells_findings_as_they_come() {
    let root = tempfile::tempdir().expect("a directory");
    let places = ["a", "b"].map(|name| root.path().join(name));
    let stores = places.each_ref().map(|place| create(place, SECRET, Privacy::Reduced));
    for (store, place) in stores.iter().zip(&places) {
        charge(store, "acct_42", str(place));
        while !place.join("audit/trail-0000000001").exists() {
            std::thread::yield_now();
        }
    }
    let args = ["audit", "merge", "--follow", "--json", "--every", "1h", "--max-skew", "1s"];
    let mut following = Command::new(env!("CARGO_BIN_EXE_oncekey"))
        .args(args)
        .args(&places)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    for store in &stores {
        charge(store, "acct_42", "k1");
    }
    let output = std::io::BufReader::new(following.stdout.take().expect("piped"));
    let found = std::io::BufRead::lines(output).find_map(|line| {
        let line: serde_json::Value =
            serde_json::from_str(&line.expect("a line")).expect("one value a line");
        line.get("finding").cloned()
    });
    following.kill().expect("it is killed");
    following.wait().expect("it is gone");
    let kind = found.expect("a finding")["kind"].clone();
    assert!(kind == "executed_twice" || kind == "maybe_executed_twice", "{kind}");
}

#[test]
fn wrong_usage_is_told() {
    let root = tempfile::tempdir().expect("a directory");
    let place = root.path().join("a");
    charge(&create(&place, SECRET, Privacy::Reduced), "acct_42", "k1");
    let wrong = [
        ("file:", "which file"),
        ("kafka://x/y", "none of file:PATH"),
        ("file:/nowhere/at/all/x", "/nowhere/at/all/x"),
    ];
    for (to, said) in wrong {
        let output = ship(&place, to, "c", &[]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains(said), "{output:?}");
    }
    let output = ship(&place, "stdout", "a b", &[]);
    assert!(text(&output.stderr).contains("cannot name a cursor"), "{output:?}");
    let busy = root.path().join("busy");
    let held = oncekey::audit::sink::FileSink::open(&busy).expect("a file");
    let output = ship(&place, &format!("file:{}", str(&busy)), "c", &[]);
    assert!(text(&output.stderr).contains("another process"), "{output:?}");
    drop(held);
}

/// Summaries of two regions add up, and count once however often they are delivered.
#[test]
fn summaries_count_once() {
    let root = tempfile::tempdir().expect("a directory");
    let (a, b) = two_regions(root.path(), 30);
    let lines = root.path().join("summaries.jsonl");
    let to = format!("file:{}", str(&lines));
    for round in 0..3 {
        for place in [&a, &b] {
            let output = oncekey(&["audit", "ship", str(place), "--to", &to, "--summaries"]);
            assert!(output.status.success(), "{output:?}");
        }
        charge(&create(&a, SECRET, Privacy::Reduced), "acct_42", &format!("later-{round}"));
    }
    let (of_summaries, code) = merge(&[str(&lines)]);
    assert_eq!(code, 0);
    // The last event of a claim of each round but the last is in them.
    let totals = &of_summaries["summaries"]["totals"];
    let (of_stores, _) = merge(&[str(&a), str(&b)]);
    let stores = of_stores["stores"].as_array().expect("stores").iter();
    let events: u64 = stores.map(|store| store["events"].as_u64().expect("a number")).sum();
    assert_eq!(totals["events"].as_u64(), Some(events - 2), "{totals}");
    let shown = text(&oncekey(&["audit", "merge", str(&lines)]).stdout);
    assert!(shown.contains("POST /v1/charges"), "{shown}");
}
