//! How fast trails are merged: events a second through a merge of several stores on one core, told
//! in their order and shuffled within a window, and how much of memory's bounds is used.
//!
//! `cargo bench --bench merge --features report,synth`; `-- --test` runs it once, small.

#![allow(clippy::disallowed_methods, reason = "a bench measures time")]

use std::time::Instant;

use oncekey::StoreId;
use oncekey::audit::merge::{Merge, MergeOptions, Producer, Snapshot, Told};
use oncekey::audit::report::Summary;
use oncekey::audit::synth::{Set, Synth};
use oncekey::audit::{Classifier, Event, Origin, Rules};

const STORES: u8 = 4;
/// So far apart an event and its place may be when they are shuffled.
const WINDOW: usize = 64;

fn main() {
    let is_test = std::env::args().any(|arg| arg == "--test");
    let events = if is_test { 20_000 } else { 1_000_000 };
    let trails: Vec<Vec<Event>> = (1..=STORES)
        .map(|seed| {
            Synth::new(u64::from(seed), Set::Tuning).take(events).map(|made| made.event).collect()
        })
        .collect();
    for rounds in 0..if is_test { 1 } else { 5 } {
        for is_shuffled in [false, true] {
            let (merged, seconds, most) = merge(&trails, is_shuffled);
            assert_eq!(merged, events * STORES as usize);
            println!(
                "round {rounds} {}: {:.2} million events a second, at most {most} waited",
                if is_shuffled { "shuffled" } else { "in order" },
                merged as f64 / seconds / 1e6,
            );
        }
    }
    snapshot(&trails);
}

/// How many events came out, in how many seconds, and how many waited at most.
fn merge(trails: &[Vec<Event>], is_shuffled: bool) -> (usize, f64, usize) {
    let begun = Instant::now();
    let mut merge = Merge::new(MergeOptions::new());
    let sources: Vec<_> = (1..=STORES).map(|store| merge.source(store.to_string())).collect();
    let (mut merged, mut most) = (0, 0);
    let len = trails.first().map_or(0, Vec::len);
    for from in (0..len).step_by(WINDOW) {
        for ((store, source), trail) in (1..=STORES).zip(&sources).zip(trails) {
            let id = StoreId::parse(&format!("{store:02x}").repeat(16)).expect("32 digits");
            let part = &trail[from..len.min(from + WINDOW)];
            for at in 0..part.len() {
                let at = if is_shuffled { at * 37 % WINDOW } else { at };
                if let Some(event) = part.get(at) {
                    merge.tell(*source, Origin::new(id, 1), Told::Event(*event));
                }
            }
        }
        most = most.max(merge.waiting());
        merged += merge.by_ref().count();
    }
    merge.finish();
    merged += merge.by_ref().count();
    (merged, begun.elapsed().as_secs_f64(), most)
}

/// How long a summary is as a message.
fn snapshot(trails: &[Vec<Event>]) {
    let (mut classifier, mut summary) = (Classifier::new(Rules::new()), Summary::new(None));
    for mut event in trails.iter().flatten().copied() {
        let judgement = classifier.observe(&mut event);
        summary.observe(&event, judgement.as_ref());
    }
    let store = StoreId::parse(&"01".repeat(16)).expect("32 digits");
    let mut snapshot = Snapshot::new(Producer::new(store, 1), 1, summary);
    snapshot.next = trails.iter().map(Vec::len).sum::<usize>() as u64;
    println!("a snapshot has {} bytes", snapshot.to_json().expect("JSON").len());
}
