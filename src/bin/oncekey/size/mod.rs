//! `oncekey size`: how much disk and memory a store will take, before there is one.

mod args;
pub(crate) mod estimate;

use std::process::ExitCode;

pub(crate) use args::Args;
use estimate::{Estimate, Load};
use serde::Serialize;

use crate::words::{conclude, facts, json, print, size};

/// How many files a process may have open, as a rule.
const FILES_AS_A_RULE: f64 = 1000.0;

/// Prints what a load will take.
pub(crate) fn run(args: Args) -> ExitCode {
    let load = match args.load() {
        Ok(load) => load,
        Err(wrong) => {
            eprintln!("oncekey: {wrong}");
            return ExitCode::from(2);
        }
    };
    let estimate = load.estimate();
    let shown = if args.json { json(&Json::of(&estimate), true) } else { text(&load, &estimate) };
    conclude(print(shown), ExitCode::SUCCESS)
}

fn text(load: &Load, estimate: &Estimate) -> String {
    let bytes = |bytes: f64| size(bytes as u64);
    let share = estimate.disk_bytes / estimate.live_bytes.max(1.0);
    let lines = [
        ("records", format!("{:.0} that have not expired", estimate.records)),
        ("disk", format!("{} ({share:.2} times the records)", bytes(estimate.disk_bytes))),
        ("files", format!("{:.0} of {}", estimate.files, bytes(load.segment_bytes))),
        ("memory", format!("{} for the index", bytes(estimate.index_bytes))),
        ("late retries", late(estimate)),
        ("written", format!("{} for each request", bytes(estimate.bytes_per_request))),
        ("open", format!("up to {:.1} s after a crash, on two busy cores", estimate.open_ms / 1e3)),
    ];
    let mut text = format!("{}\n", facts(lines));
    if estimate.files > FILES_AS_A_RULE {
        text += "\nThe store keeps each segment file open: raise the limit of open files \
                 (ulimit -n), or choose larger segments (--segment).\n";
    }
    text
}

/// What the memory of expired keys takes beside all else.
fn late(estimate: &Estimate) -> String {
    let bytes = |bytes: f64| size(bytes as u64);
    let (memory, disk) = (bytes(estimate.late_memory_bytes), bytes(estimate.late_disk_bytes));
    format!("up to {memory} more of memory and {disk} of disk (--remember-late)")
}

#[derive(Debug, Serialize)]
struct Json {
    records: u64,
    live_bytes: u64,
    bytes_per_request: u64,
    disk_bytes: u64,
    files: u64,
    index_bytes: u64,
    late_memory_bytes: u64,
    late_disk_bytes: u64,
    open_ms: u64,
}

impl Json {
    fn of(estimate: &Estimate) -> Self {
        Self {
            records: estimate.records as u64,
            live_bytes: estimate.live_bytes as u64,
            bytes_per_request: estimate.bytes_per_request as u64,
            disk_bytes: estimate.disk_bytes as u64,
            files: estimate.files as u64,
            index_bytes: estimate.index_bytes as u64,
            late_memory_bytes: estimate.late_memory_bytes as u64,
            late_disk_bytes: estimate.late_disk_bytes as u64,
            open_ms: estimate.open_ms as u64,
        }
    }
}
