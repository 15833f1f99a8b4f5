//! The simulator as a test. `SEEDS` and `FROM` in the environment choose the seeds of the first.

#![allow(clippy::disallowed_methods, reason = "the tests tell how long a search took")]

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::corpus::CORPUS;
use super::profile::Profile;
use super::{Coverage, Length, Simulation, Steps};
use crate::simulation::Bug;

/// What may be missing from a few thousand runs: what is rare, and what should not happen.
const RARE: [&str; 2] = ["damage: the store stays shut", "told: another error"];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|number| number.parse().ok())
}

/// Runs seeds in two threads until one fails or all was reached that there is to reach, but at
/// least the first `least`.
fn run_all(seeds: Range<u64>, least: u64) -> Coverage {
    let (next, all) = (AtomicU64::new(seeds.start), Mutex::new(Coverage::default()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || (seed >= seeds.start + least && missing(&all.lock()).is_empty())
            {
                return;
            }
            match Simulation::new(seed).run() {
                Ok(coverage) => all.lock().merge(&coverage),
                Err(failure) => panic!("{}", failure.shrink(300)),
            }
        }
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        work();
        if let Err(panic) = other.join() {
            std::panic::resume_unwind(panic);
        }
    });
    all.into_inner()
}

fn missing(coverage: &Coverage) -> Vec<&'static str> {
    let known = coverage.groups().flat_map(|(_, counts)| counts);
    let never = known.filter(|(what, count)| *count == 0 && !RARE.contains(what));
    never.map(|(what, _)| what).collect()
}

#[test]
fn fresh_seeds_keep_every_promise_and_come_across_everything() {
    let (from, least) = (number("FROM").unwrap_or(0), number("SEEDS").unwrap_or(200));
    let begin = Instant::now();
    let coverage = run_all(from..from + least.max(4000), least);
    println!("{coverage}\n{} s", begin.elapsed().as_secs_f64());
    assert_eq!(missing(&coverage), [""; 0], "never reached");
}

#[test]
fn medium_schedules_keep_every_promise() {
    for seed in 0..2 {
        if let Err(failure) = Simulation::new(seed).length(Length::Medium).run() {
            panic!("{}", failure.shrink(100));
        }
    }
}

#[test]
fn a_long_life_keeps_every_promise() {
    let coverage = Simulation::new(1).length(Length::Long(20_000)).run();
    let coverage = coverage.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(coverage.count("clients") >= 20_000);
    assert_eq!(coverage.count("recovered"), 2, "once, and once more after its end");
}

#[test]
fn two_runs_of_a_seed_are_the_same() {
    let runs = || {
        (1000..1030).map(|seed| {
            let simulation = Simulation::new(seed);
            let coverage = simulation.run().expect("every promise is kept");
            (coverage, simulation.trace())
        })
    };
    let (here, there) = std::thread::scope(|scope| {
        let there = scope.spawn(|| runs().collect::<Vec<_>>());
        (runs().collect::<Vec<_>>(), there.join().expect("no panic"))
    });
    for ((coverage, trace), (other, other_trace)) in here.iter().zip(&there) {
        assert_eq!(coverage.digest(), other.digest());
        assert_eq!(coverage, other);
        let differs = trace.iter().zip(other_trace).find(|(line, other)| line != other);
        assert_eq!(differs, None);
        assert_eq!(trace.len(), other_trace.len());
    }
}

#[test]
fn promise_9_a_trail_changes_no_decision() {
    let is_calm = |seed: &u64| {
        let trail = Profile::draw(*seed, Length::Short).trail;
        trail.is_some_and(|trail| trail.is_calm)
    };
    // A turn looks at the clock, and one that is looked at more often leaps less far.
    let leaps = |run: &Coverage| run.count("store time: a leap is held back") > 0;
    let mut compared = 0;
    for seed in (0..).filter(is_calm).take(150) {
        let simulation = Simulation::new(seed);
        let with = simulation.run().expect("every promise is kept");
        let without = simulation.without_trail().run().expect("every promise is kept");
        assert!(with.count("trail: an opening") > 0 && without.count("trail: an opening") == 0);
        if !leaps(&with) && !leaps(&without) {
            assert_eq!(with.digest(), without.digest(), "seed {seed}");
            compared += 1;
        }
    }
    assert!(compared > 50, "{compared}");
}

#[test]
fn seeds_that_once_failed_pass() {
    for (seed, length, found) in CORPUS {
        if let Err(failure) = Simulation::new(seed).length(length).run() {
            panic!("{found}, once; now:\n{failure}");
        }
    }
}

/// The first seed that fails with a bug, and not without it.
fn hunt(bug: Bug, most: u64) -> Option<(u64, String)> {
    (0..most).find_map(|seed| {
        let failure = Simulation::new(seed).with_bug(bug).run().err()?;
        Simulation::new(seed).run().ok()?;
        Some((seed + 1, failure.broken().lines().next().unwrap_or_default().to_owned()))
    })
}

#[test]
fn every_deliberate_bug_is_found_from_fresh_seeds() {
    const MOST: u64 = 2000;
    let next = AtomicU64::new(0);
    let work = || {
        while let Some(bug) = Bug::ALL.get(next.fetch_add(1, Ordering::Relaxed) as usize).copied() {
            let begin = Instant::now();
            let (seeds, what) = hunt(bug, MOST).unwrap_or_else(|| panic!("{bug} was not found"));
            let seconds = begin.elapsed().as_secs_f64();
            println!("{bug:22} {seeds:4} seeds {seconds:5.2} s  {what:.60}");
        }
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        work();
        other.join().expect("every bug is found");
    });
}

/// The first seed whose history is wrong with a bug, nobody else judging, and right without it.
fn hunt_by_history(bug: Bug, most: u64) -> Option<u64> {
    (0..most).find(|seed| {
        let simulation = Simulation::new(*seed).judged_by_histories();
        simulation.clone().with_bug(bug).run().is_err() && simulation.run().is_ok()
    })
}

/// Each in some dozens of seeds: the others take hundreds, or no client is told of what they do.
#[test]
fn histories_alone_give_deliberate_bugs_away() {
    for bug in [
        Bug::SameToken,
        Bug::ToldBeforeDurable,
        Bug::HashForKey,
        Bug::SkippedSync,
        Bug::UndeadCopy,
        Bug::UndeadClaim,
        Bug::OldSegment,
    ] {
        assert!(hunt_by_history(bug, 2000).is_some(), "{bug} was not found");
    }
}

#[test]
fn a_failure_is_cut_down_to_the_steps_it_takes() {
    let failure = (0..100)
        .find_map(|seed| Simulation::new(seed).with_bug(Bug::SkippedSync).run().err())
        .expect("a seed that shows it");
    let shortest = failure.clone().shrink(1000);
    assert_eq!(shortest.steps(), failure.clone().shrink(1000).steps(), "the same every time");
    let steps = shortest.steps().expect("steps").clone();
    let again = |steps: Steps| {
        Simulation::new(failure.seed()).with_bug(Bug::SkippedSync).keep(steps).run().err()
    };
    let replayed = again(steps.clone()).expect("it fails again");
    assert_eq!(replayed.to_string(), shortest.to_string());
    for step in steps.iter() {
        let without = steps.iter().filter(|other| *other != step).collect();
        assert!(again(without).is_none(), "step {step} could be missed");
    }
    let told = shortest.to_string();
    let command = format!("--seed {} --bug skipped-sync --steps {steps}\n", failure.seed());
    assert!(told.ends_with(&command) && !told.contains(" disk: "), "{told}");
    assert!(format!("{shortest:#}").contains(" disk: sync "));
}
