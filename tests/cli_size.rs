//! `oncekey size`: its answers, and the formula against stores that ran.
#![cfg(all(feature = "cli", feature = "simulation"))]
#![allow(clippy::disallowed_methods, reason = "a test is a user of the library, not its engine")]

#[path = "../src/bin/oncekey/size/estimate.rs"]
mod estimate;

use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use estimate::{Class, Load};
use oncekey::simulation::{Environment, SimClock, SimDisk, SimRandom};
use oncekey::{ClaimRequest, Key, Options, Outcome, Scope, Store, StoredResponse};
use serde_json::Value;

fn run(line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oncekey"));
    command.arg("size").args(line.split_whitespace()).output().expect("it runs")
}

#[test]
fn what_the_documentation_asks_is_answered() {
    let output = run("--rate 500/s --ttl 24h --response 2KiB --json");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["records"], 43_200_000);
    let (disk, live) = (answer["disk_bytes"].as_f64(), answer["live_bytes"].as_f64());
    let ratio = disk.expect("a number") / live.expect("a number");
    assert!((1.0..1.3).contains(&ratio), "{ratio}");
    assert_eq!(answer["late_memory_bytes"], 97_200_000, "a byte and a half of a day and a half");
    let off = run("--rate 500/s --ttl 24h --response 2KiB --remember-late 0s --json");
    let off: Value = serde_json::from_slice(&off.stdout).expect("JSON");
    assert_eq!((&off["late_memory_bytes"], &off["late_disk_bytes"]), (&0.into(), &0.into()));
    let text = String::from_utf8(run("--rate 500/s --ttl 24h --response 2KiB").stdout);
    assert!(text.expect("UTF-8").contains("ulimit -n"), "1,600 files are many");
}

#[test]
fn what_cannot_be_is_refused() {
    for bad in [
        "--rate 500 --ttl 24h --response 2KiB",
        "--rate 500/s --response 2KiB",
        "--rate 500/s --ttl 24h:50% --response 2KiB",
        "--rate 500/s --ttl 24h --ttl 7d --response 2KiB",
        "--rate 500/s --ttl 24h --ttl 7d:60% --ttl 8d:60% --response 2KiB",
        "--rate 500/s --ttl 24h --response lots",
    ] {
        let output = run(bad);
        assert_eq!(output.status.code(), Some(2), "{bad}: {output:?}");
        assert!(!output.stderr.is_empty());
    }
}

/// Runs a load for three times its longest TTL, and returns the largest size of the disk in the
/// last third.
fn measured(load: &Load, steps: u64) -> f64 {
    let clock = Arc::new(SimClock::new(1_790_000_000_000));
    let environment = Environment {
        disk: SimDisk::new(),
        clock: clock.clone(),
        random: Arc::new(SimRandom::new(1)),
        threads: false,
    };
    let options = Options::new().segment_bytes(load.segment_bytes as u32);
    let store = Store::open_in(&environment, &options.compress_from_bytes(usize::MAX), true);
    let store = store.expect("a store");
    let mut largest = 0;
    for step in 0..steps {
        // Evenly spread: every so many requests have each TTL.
        let at = (step * 37 % 100) as f64 / 100.0;
        let mut below = 0.0;
        let class = load.classes.iter().find(|class| {
            below += class.share;
            at < below - 1e-9
        });
        let ttl = Duration::from_secs_f64(class.expect("a class").ttl_s);
        let key = Key::new(format!("{step:036}")).expect("a key");
        let request = ClaimRequest::new(Scope::new("0123456789abcdef").expect("a scope"), key);
        let Ok(Outcome::Claimed(claim)) =
            store.claim(request.payload(step.to_le_bytes()).ttl(ttl)).wait()
        else {
            panic!("not claimed");
        };
        let response = vec![b'x'; load.response_bytes as usize];
        claim.complete(StoredResponse::new(response)).wait().expect("completed");
        clock.advance(Duration::from_secs_f64(1.0 / load.requests_per_s));
        store.step_upkeep();
        while store.step_prune() || store.step_compact() {}
        if step > steps * 2 / 3 {
            largest = largest.max(store.stats().disk_bytes);
        }
    }
    largest as f64
}

#[test]
fn the_formula_is_near_what_stores_take() {
    let day = 86_400.0;
    let class = |ttl_s: f64, share: f64| Class { ttl_s, share };
    let mixes =
        [vec![class(day, 1.0)], vec![class(day, 0.89), class(7.0 * day, 0.1), class(60.0, 0.01)]];
    for classes in mixes {
        for response_bytes in [256.0, 1024.0] {
            let longest = classes.iter().map(|class| class.ttl_s).fold(0.0, f64::max);
            let load = Load {
                requests_per_s: 4000.0 / day,
                classes: classes.clone(),
                scope_bytes: 16.0,
                key_bytes: 36.0,
                response_bytes,
                frames_per_batch: 1.0,
                segment_bytes: 65_536.0,
                remember_s: day,
            };
            let estimate = load.estimate();
            let steps = (3.0 * longest * load.requests_per_s) as u64;
            let ratio = measured(&load, steps) / estimate.disk_bytes;
            println!("{classes:?}, {response_bytes} bytes: {ratio:.3} of the estimate");
            assert!((0.8..1.1).contains(&ratio), "{load:?}: {ratio}");
        }
    }
}
