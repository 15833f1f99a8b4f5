//! A day of load in an hour: a store whose whole content expires every few seconds, so that in an
//! hour it is replaced more often than in years of a TTL of a day. Memory, descriptors, threads and
//! disk must be as in the beginning.

use std::path::Path;
use std::time::{Duration, Instant};

use oncekey::{Durability, Store};

use crate::load::{self, Load};
use crate::{child, chosen, pause};

const CLIENTS: usize = 6;
const SAMPLES: u64 = 180;
/// What a fitted line may rise by over the time that is judged, of its mean.
const MAX_RISE: f64 = 0.05;

/// Nothing lives longer, so that what is judged is as full as it will get.
const LONGEST: Duration = Duration::from_secs(60);

/// What is watched: each with its name, and what it may always rise by.
const WATCHED: [(&str, f64); 6] = [
    ("memory (KiB)", 4096.0),
    ("descriptors", 4.0),
    ("threads", 0.5),
    ("disk (KiB)", 2048.0),
    ("index (KiB)", 64.0),
    ("late keys", 2000.0),
];

type Sample = [f64; WATCHED.len()];

fn status(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
    line.trim_matches([':', '\t', ' ']).trim_end_matches(" kB").parse().expect("a number")
}

fn disk_bytes(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(facts) if facts.is_dir() => disk_bytes(&entry.path()),
        Ok(facts) => facts.len(),
        // It went meanwhile.
        Err(_) => 0,
    });
    sizes.sum()
}

fn sample(store: &Store, directory: &Path) -> Sample {
    let stats = store.stats();
    let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    [
        status("VmRSS"),
        descriptors as f64,
        status("Threads"),
        disk_bytes(directory) as f64 / 1024.0,
        stats.index_bytes as f64 / 1024.0,
        stats.late_keys as f64,
    ]
}

/// The child: it is alone in its process, so that what is seen is the store's.
#[test]
fn child() {
    let Some((directory, seconds)) = child::orders() else { return };
    let store = load::options(Durability::Sync).create(&directory).expect("a store");
    let load = Load::new(CLIENTS).living_for(LONGEST);
    std::thread::scope(|threads| {
        threads.spawn(|| load.run(&store, 1));
        let begin = Instant::now();
        for number in 1..=SAMPLES {
            let at = Duration::from_millis(seconds * 1000 * number / SAMPLES);
            pause(at.saturating_sub(begin.elapsed()));
            assert!(!load.is_stopped(), "a client panicked");
            let values = sample(&store, &directory).map(|value| value.to_string());
            child::say(&format!("sample {}", values.join(" ")));
        }
        load.stop();
    });
    let stats = store.stats();
    child::say(&format!(
        "end {} completions, {} expired, {} segments dropped, {} compacted, {} batches",
        stats.completions,
        stats.pruned,
        stats.dropped_segments,
        stats.compacted_segments,
        stats.batches
    ));
}

/// By how much the line through the values rises from their first to their last.
fn rise(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let middle = (count - 1.0) / 2.0;
    let at = |index: usize| index as f64 - middle;
    let up: f64 = values.iter().enumerate().map(|(i, value)| at(i) * (value - mean)).sum();
    let across: f64 = (0..values.len()).map(|i| at(i) * at(i)).sum();
    up / across * (count - 1.0)
}

/// `ONCEKEY_LEAK_SECONDS` of it; an hour is 3600.
#[test]
#[ignore = "takes as long as it is told to"]
fn promise_10_a_day_of_load_leaves_memory_descriptors_and_disk_as_they_were() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store");
    let seconds = chosen("ONCEKEY_LEAK_SECONDS", 12);
    let mut voice = child::Voice::of(child::command(&[], "leaks::child", &path, seconds));
    let (mut samples, mut end) = (Vec::<Sample>::new(), None);
    while let Some(line) = voice.line() {
        match line.split_once(' ') {
            Some(("sample", values)) => {
                let values: Vec<f64> =
                    values.split(' ').map(|value| value.parse().expect("a number")).collect();
                samples.push(values.try_into().expect("all of them"));
            }
            Some(("end", text)) => end = Some(text.to_owned()),
            _ => panic!("the child says {line:?} {:?}", voice.line()),
        }
    }
    println!("{seconds} s: {}", end.expect("it ends well"));
    let mut faults = Vec::new();
    println!("                   at 1/3     at 2/3 at the end       rise");
    for (at, (name, always)) in WATCHED.into_iter().enumerate() {
        let values: Vec<f64> = samples.iter().map(|sample| sample[at]).collect();
        // The first third is for tables and caches to fill.
        let judged = &values[values.len() / 3..];
        let (rise, mean) = (rise(judged), judged.iter().sum::<f64>() / judged.len() as f64);
        let third = |part: usize| values[(values.len() * part / 3).min(values.len() - 1)];
        println!(
            "{name:>14} {:>10.0} {:>10.0} {:>10.0} {rise:>10.1}",
            third(1),
            third(2),
            third(3)
        );
        if rise > (mean * MAX_RISE).max(always) {
            faults.push(format!("{name} rises by {rise:.0} from a mean of {mean:.0}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("; "));
}
