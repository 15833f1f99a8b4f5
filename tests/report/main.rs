//! `oncekey audit report`, run as a user runs it.

#![allow(clippy::disallowed_methods, reason = "a test is a user of the library, not its engine")]

mod page;
mod store;

use std::process::{Command, Output};

fn oncekey(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oncekey"));
    command.args(["audit", "report"]).args(args).output().expect("it runs")
}

/// What it prints where it succeeds.
fn printed(args: &[&str]) -> String {
    let output = oncekey(args);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn json(args: &[&str]) -> serde_json::Value {
    let text = printed(&[args, &["--format", "json"]].concat());
    assert!(text.bytes().all(|byte| byte == b'\n' || byte >= b' '), "nothing to obey");
    serde_json::from_str(&text).expect("strict JSON")
}
