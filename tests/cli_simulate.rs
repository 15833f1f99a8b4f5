//! `oncekey simulate` as a person or a script calls it.
#![cfg(all(feature = "cli", feature = "simulation"))]
#![allow(clippy::disallowed_methods, reason = "a test is a user of the library, not its engine")]

use std::process::{Command, Output};

use serde_json::Value;

fn run(line: &str) -> Output {
    let args = line.split_whitespace();
    let mut command = Command::new(env!("CARGO_BIN_EXE_oncekey"));
    command.arg("simulate").args(args).output().expect("it runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("one JSON value")
}

#[test]
fn the_same_seeds_have_the_same_digest_in_any_number_of_threads() {
    let reports = [1, 3].map(|jobs| {
        let output = run(&format!("--from 20 --seeds 40 --jobs {jobs} --json"));
        assert_eq!(code(&output), 0, "{output:?}");
        assert!(output.stderr.is_empty(), "progress is for terminals: {output:?}");
        json(&output)
    });
    let [one, other] = reports;
    for field in ["seeds", "digest", "coverage", "crash_recoveries", "clients"] {
        assert_eq!(one[field], other[field], "{field}");
    }
    assert_eq!((&one["ok"], &one["seeds"]), (&Value::Bool(true), &Value::from(40)));
    assert!(one["coverage"]["outcomes of claims"]["outcome: replay"].as_u64() > Some(0));
}

#[test]
fn a_failure_ends_with_the_command_that_replays_it() {
    let found = run("--bug skipped-sync --jobs 1");
    assert_eq!(code(&found), 1, "{found:?}");
    let text = String::from_utf8(found.stdout).expect("UTF-8");
    let command = text.lines().find_map(|line| line.strip_prefix("replay: ")).expect("a command");
    let (cargo, args) = command.split_once(" simulate ").expect("the subcommand");
    assert_eq!(cargo, "cargo run --release --features cli,simulation --");

    let replayed = run(&format!("{args} --json"));
    assert_eq!(code(&replayed), 1, "{replayed:?}");
    let failure = &json(&replayed)["failures"][0];
    assert_eq!(failure["command"], command);
    assert!(text.contains(failure["broken"].as_str().expect("words")), "{text}");
    let traced = run(&format!("{args} --trace"));
    assert_eq!(code(&traced), 1);
    assert!(String::from_utf8_lossy(&traced.stdout).contains(" disk: sync "), "{traced:?}");

    // The store without the bug keeps its promises in the same schedule.
    let sound = args.replace(" --bug skipped-sync", "");
    assert_eq!(code(&run(&sound)), 0);
}

#[test]
fn one_long_schedule_is_one_life() {
    let report = json(&run("--operations 5000 --json"));
    assert_eq!(report["ok"], true, "{report}");
    // It is opened, and once more after its end.
    assert_eq!(
        (&report["seeds"], &report["coverage"]["runs"]["recovered"]),
        (&1.into(), &2.into())
    );
    assert!(report["clients"].as_u64() >= Some(5000), "{report}");
}

#[test]
fn a_wrong_command_line_is_refused() {
    for line in
        ["--bug none", "--steps 2", "--seed 1 --steps 5-2", "--seed 1 --seeds 2", "--jobs 0"]
    {
        assert_eq!(code(&run(line)), 2, "{line}");
    }
}
