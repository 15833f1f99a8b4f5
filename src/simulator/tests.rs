//! The simulator as a test.

use super::profile::Length;
use super::run::{Turn, play};

#[test]
fn fresh_seeds_keep_every_promise() {
    let count: u64 = std::env::var("SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    let from: u64 = std::env::var("FROM").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut coverage = super::coverage::Coverage::default();
    let mut bad = 0;
    for seed in from..from + count {
        let played = play(seed, Length::Short, false, &mut |_| Turn::Play);
        coverage.merge(&played.coverage);
        if let Some(broken) = played.broken {
            println!("seed {seed}: {broken}");
            bad += 1;
            if bad > 5 {
                break;
            }
        }
    }
    println!("{coverage}");
    assert_eq!(bad, 0);
}

#[test]
fn trace_of_a_seed() {
    let Some(seed) = std::env::var("SEED").ok().and_then(|n| n.parse().ok()) else { return };
    let played = play(seed, Length::Short, true, &mut |_| Turn::Play);
    for line in played.trace {
        println!("{line}");
    }
    println!("{:?}", played.broken);
}
