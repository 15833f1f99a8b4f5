//! `oncekey audit check`: its answers, its exit codes, and the examples of the documentation.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::world::{
    HOSTILE, a_store, assert_harmless, close, create, execute, plain, refused, reopen, shown, text,
};

#[test]
fn rules_hold_or_fail() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = a_store(dir.path());
    let check = ["audit", "check", text(&path), "--fail-on"];
    let told = shown(&[&check[..], &["late_retries > 0"]].concat(), 0);
    assert!(told.contains("ok") && told.contains("passed (1 rules)"), "{told}");
    let rules = ["key_reuse_rate>0.1%", "--fail-on", "late_retries>0"];
    let told = shown(&[&check[..], &rules].concat(), 1);
    for part in ["FAILED", "25%", "0.1%", "failed (1 of 2 rules)"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let args = [&check[..], &rules, &["--format", "json"]].concat();
    let outcome: Value = serde_json::from_str(&shown(&args, 1)).expect("JSON");
    assert_eq!((&outcome["passed"], &outcome["complete"]), (&false.into(), &true.into()));
    assert_eq!(outcome["rules"][0]["state"], "failed");
    assert_eq!(outcome["rules"][0]["value"], 0.25);
    assert_eq!(outcome["rules"][1]["state"], "holds");
    assert_eq!(outcome["figures"]["requests"], 4.0);
    let told = shown(&[&check[..], &["ttl_9999_ms>24h", "--until", "2020-01-01"]].concat(), 0);
    assert!(told.contains("no data") && told.contains("There are no events."), "{told}");
}

#[test]
fn what_cannot_be_checked_is_wrong_usage() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = a_store(dir.path());
    let check = ["audit", "check", text(&path)];
    assert!(refused(&check).contains("no rules: give --fail-on"));
    let told = refused(&[&check[..], &["--fail-on", "late_retry>0"]].concat());
    assert!(told.contains("there is no figure"), "{told}");
    let told = refused(&[&check[..], &["--fail-on", "races>baseline"]].concat());
    assert!(told.contains("needs --baseline"), "{told}");
    let last = dir.path().join("last.json");
    let baseline = ["--fail-on", "races>baseline", "--baseline", text(&last)];
    let told = refused(&[&check[..], &baseline].concat());
    assert!(told.contains("--save makes one"), "{told}");
    shown(&[&check[..], &baseline, &["--allow-no-baseline"]].concat(), 0);
    for rubbish in
        ["", "{}", "[]", r#"{"format":9,"stores":[],"from_ms":0,"to_ms":0,"figures":{}}"#]
    {
        fs::write(&last, rubbish).expect("written");
        let told = refused(&[&check[..], &baseline].concat());
        assert!(told.contains("reading the baseline"), "{rubbish}: {told}");
    }
    for rules in
        ["fail-on = 'x'", "fail-on = ['x>1']", "[[rule]]\nwhy = 'x'", "failon = []", "\u{1b}"]
    {
        let file = dir.path().join("rules.toml");
        fs::write(&file, rules).expect("written");
        let told = refused(&[&check[..], &["--rules", text(&file)]].concat());
        assert_harmless(&told);
        assert!(told.contains("reading the rules"), "{rules}: {told}");
    }
}

#[test]
fn a_baseline_is_saved_and_compared_with() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = a_store(dir.path());
    let (last, now) = (dir.path().join("last.json"), dir.path().join("now.json"));
    let args = ["audit", "check", text(&path), "--fail-on", "races>0", "--save", text(&last)];
    shown(&args, 0);
    let saved = fs::read_to_string(&last).expect("saved");
    let store = reopen(&path, plain());
    for key in 0..6 {
        execute(&store, &format!("more-{key}"));
    }
    close(store);
    let compare = |rule: &str, expected| {
        let save = ["--baseline", text(&last), "--save", text(&now)];
        let args = [&["audit", "check", text(&path), "--fail-on", rule][..], &save].concat();
        shown(&args, expected)
    };
    compare("key_reuse_rate>baseline", 0);
    compare("requests>baseline*2.4", 1);
    compare("requests>baseline*2.5", 0);
    let told = compare("requests>=baseline+6", 1);
    assert!(told.contains("10") && told.contains("4"), "{told}");
    assert_eq!(fs::read_to_string(&last).expect("there"), saved, "a baseline is read only");
    let now: Value = serde_json::from_slice(&fs::read(&now).expect("saved")).expect("JSON");
    assert_eq!(now["figures"]["requests"], 10.0);
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 3, "no leftovers");
}

#[test]
fn missing_events_fail_unless_they_are_allowed() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, path) = create(dir.path(), plain());
    for key in 0..50 {
        execute(&store, &format!("k{key}"));
    }
    close(store);
    let first = path.join("audit/trail-0000000001");
    let mut bytes = fs::read(&first).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&first, bytes).expect("written");
    let store = reopen(&path, plain());
    execute(&store, "last");
    close(store);
    let check = ["audit", "check", text(&path), "--fail-on", "key_reuse>0"];
    let told = shown(&check, 1);
    assert!(told.contains("Incomplete: ") && told.contains("failed: events are missing"), "{told}");
    let told = shown(&[&check[..], &["--allow-gaps"]].concat(), 0);
    assert!(told.contains("Incomplete, which was allowed: "), "{told}");
    shown(&[&check[..], &["--allow-gaps=0.0001%"]].concat(), 1);
    refused(&[&check[..], &["--allow-gaps=much"]].concat());
    let rules = dir.path().join("rules.toml");
    fs::write(&rules, "fail-on = ['key_reuse>0']\nallow-gaps = '100%'").expect("written");
    shown(&["audit", "check", text(&path), "--rules", text(&rules)], 0);
}

#[test]
fn markdown_is_a_table_whatever_is_in_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = a_store(dir.path());
    let rules = dir.path().join("rules.toml");
    let why: String = HOSTILE.chars().map(|c| format!("\\U{:08x}", u32::from(c))).collect();
    let file = format!("[[rule]]\nfail-on = \"key_reuse > 0\"\nwhy = \"{why}\"\n");
    fs::write(&rules, file).expect("written");
    let args = ["audit", "check", text(&path), "--rules", text(&rules), "--format", "markdown"];
    let told = shown(&args, 1);
    assert_harmless(&told);
    assert!(told.starts_with("### Idempotency audit: failed (1 of 1 rules)\n"), "{told}");
    assert!(told.contains("| **failed** | key\\_reuse &gt; 0 | 1 | 0 | - |"), "{told}");
    assert!(told.contains("&lt;b&gt;\\`") && !told.contains("<b>"), "{told}");
}

/// The commands of `docs/checks.md`, run as they are written.
#[test]
fn the_documented_commands_run() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/checks.md");
    let document = fs::read_to_string(document).expect("a document");
    let dir = tempfile::tempdir().expect("a directory");
    let (store, path) = create(dir.path(), plain());
    for key in 0..20 {
        execute(&store, &format!("k{key}"));
    }
    close(store);
    fs::rename(&path, dir.path().join("STORE")).expect("moved");
    fs::write(dir.path().join("rules.toml"), block(&document, "```toml")).expect("written");
    let program = Path::new(env!("CARGO_BIN_EXE_oncekey")).parent().expect("a folder");
    let search = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    let script = block(&document, "```sh");
    assert!(script.contains("oncekey audit check"), "{script}");
    let workflow = block(&document, "```yaml");
    let step = workflow.split_once("run: |\n").expect("a step").1;
    for (script, summary) in [(script, "unused"), (step, "summary.md")] {
        // Twice: the second time there is a baseline.
        for _ in 0..2 {
            let output = Command::new("bash")
                .args(["-euo", "pipefail", "-c", script])
                .current_dir(dir.path())
                .env("PATH", &search)
                .env("GITHUB_STEP_SUMMARY", summary)
                .output();
            let output = output.expect("it runs");
            assert!(output.status.success(), "{script}: {output:?}");
        }
    }
    let summary = fs::read_to_string(dir.path().join("summary.md")).expect("a summary");
    assert!(summary.contains("### Idempotency audit: passed"), "{summary}");
    assert!(dir.path().join("last.json").exists());
}

/// The first block of a language.
fn block<'a>(document: &'a str, fence: &str) -> &'a str {
    let after = document.split_once(&format!("{fence}\n")).expect("a block").1;
    after.split_once("```").expect("its end").0
}
