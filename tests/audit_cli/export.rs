//! `oncekey audit export`.

use std::fs;

use oncekey::audit::{EventKind, ParsedItem, Verdict, parse_item};

use crate::world::{
    HOSTILE, a_store, assert_harmless, close, create, execute, lines, plain, refused, reopen, run,
    shown, text,
};

#[test]
fn every_line_is_an_event_that_can_be_read_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = a_store(dir.path());
    let exported = shown(&["audit", "export", text(&path)], 0);
    assert!(exported.bytes().all(|byte| byte == b'\n' || (0x20..0x7f).contains(&byte)));
    let mut kinds = Vec::new();
    for (sequence, line) in (0..).zip(exported.lines()) {
        let Ok(ParsedItem::Event(parsed)) = parse_item(line) else { panic!("{line}") };
        assert_eq!(parsed.event.id.sequence, sequence);
        assert!(parsed.origin.is_some());
        kinds.push((parsed.event.kind, parsed.judgement.map(|judgement| judgement.verdict)));
    }
    assert_eq!(
        kinds,
        [
            (EventKind::Claimed, None),
            (EventKind::Completed, None),
            (EventKind::Replayed, Some(Verdict::LegitimateRetry)),
            (EventKind::Claimed, None),
            (EventKind::Completed, None),
            (EventKind::Mismatch, Some(Verdict::KeyReuse)),
        ]
    );
    let reuse = &lines(&exported)[5];
    assert_eq!(reuse["caller"]["client"]["name"], HOSTILE);
    assert_eq!(reuse["differs"], "payload");
    assert_eq!(reuse["judgement"]["against"], lines(&exported)[3]["id"]);
    // The trail by itself is the same.
    assert_eq!(shown(&["audit", "export", text(&path.join("audit"))], 0), exported);
}

#[test]
fn a_window_and_a_file_may_be_given() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = a_store(dir.path());
    let out = dir.path().join("events.jsonl");
    let export = |more: &[&str]| {
        let args = [&["audit", "export", text(&path), "-o", text(&out)], more].concat();
        assert!(shown(&args, 0).is_empty());
        fs::read_to_string(&out).expect("written").lines().count()
    };
    assert_eq!(export(&[]), 6);
    assert_eq!(export(&["--last", "1h", "--format", "jsonl"]), 6);
    assert_eq!(export(&["--until", "2020-01-01"]), 0);
    assert_eq!(export(&["--since", "2100-01-01T00:00:00Z"]), 0);
    assert_eq!(export(&["--since", "2020-01-01"]), 6);
    for bad in [["--since", "yesterday"], ["--last", "1"], ["--format", "csv"]] {
        refused(&[&["audit", "export", text(&path)][..], &bad].concat());
    }
    refused(&["audit", "export", text(&path), "--since", "2020-01-01", "--last", "1h"]);
    let nowhere = dir.path().join("no/where.jsonl");
    let told = refused(&["audit", "export", text(&path), "-o", text(&nowhere)]);
    assert!(told.contains("where.jsonl"), "{told}");
}

#[test]
fn a_store_without_a_trail_is_told_what_to_try() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, path) = create(dir.path(), oncekey::audit::Audit::off());
    close(store);
    for command in ["export", "tail", "explain"] {
        let mut args = vec!["audit", command, text(&path)];
        if command == "explain" {
            args.extend(["acct_42", "good"]);
        }
        let told = refused(&args);
        assert!(told.contains("was it opened with Options::audit?"), "{told}");
    }
    let told = refused(&["audit", "export", text(&dir.path().join("nothing"))]);
    assert!(told.contains("does not exist"), "{told}");
    let told = refused(&["audit", "export", text(dir.path())]);
    assert!(told.contains("neither a store's directory nor that of a trail"), "{told}");
    let hostile = dir.path().join("a\u{1b}[31m");
    fs::create_dir(&hostile).expect("made");
    assert_harmless(&refused(&["audit", "export", text(&hostile)]));
}

#[test]
fn what_is_missing_and_damaged_is_a_line_of_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, path) = create(dir.path(), plain());
    for key in 0..50 {
        execute(&store, &format!("first-{key}"));
    }
    close(store);
    let store = reopen(&path, plain());
    execute(&store, "second");
    close(store);
    let first = path.join("audit/trail-0000000001");
    let mut bytes = fs::read(&first).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&first, bytes).expect("written");
    let output = run(&["audit", "export", text(&path)]);
    let items = lines(&String::from_utf8(output.stdout).expect("UTF-8"));
    assert!(items.iter().any(|item| item["damage"]["bytes"].as_u64() > Some(0)), "{items:?}");
    assert!(items.iter().any(|item| item["gap"].is_object()), "{items:?}");
    assert!(items.iter().any(|item| item["kind"] == "completed"), "{items:?}");
}
