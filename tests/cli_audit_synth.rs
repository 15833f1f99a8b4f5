//! `oncekey audit synth`, run as a user runs it.

#![cfg(feature = "cli")]

use std::process::{Command, Output};

fn oncekey(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_oncekey")).args(args).output().expect("it runs")
}

#[test]
fn lines_are_json_in_the_order_of_time_and_the_same_for_the_same_seed() {
    let args = ["audit", "synth", "--seed", "5", "--events", "2000", "--out", "-"];
    let output = oncekey(&args);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, oncekey(&args).stdout, "one seed, one traffic");

    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 2000);
    let times: Vec<_> = lines.iter().map(|line| line["at_ms"].as_u64().expect("a time")).collect();
    assert!(times.is_sorted());
    for (sequence, (line, json)) in text.lines().zip(&lines).enumerate() {
        let parsed = oncekey::audit::parse_event(line).expect("as an export");
        assert_eq!(parsed.event.id.sequence, sequence as u64, "dense");
        let line = json;
        assert_eq!(line["key_hash"].as_str().expect("a hash").len(), 16);
        assert!(line["scenario"].is_string());
    }
    for truth in ["legitimate_retry", "race", "key_reuse"] {
        let found = lines.iter().any(|line| line["truth"] == truth);
        assert!(found, "no {truth}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_told() {
    let out = "/nowhere/at/all.jsonl";
    let output = oncekey(&["audit", "synth", "--events", "1", "--out", out]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(told.contains(out), "{told}");
}
