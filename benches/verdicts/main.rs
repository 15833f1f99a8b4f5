//! How right the audit's verdicts are, and how fast: precision and recall of each verdict on
//! traffic whose truth is known, with policies and seeds that no threshold was chosen on.
//!
//! `cargo bench --bench verdicts --features synth -- [--seeds 8] [--events 1000000] [--tuning]
//! [--misses] [--test]`. With `--misses` it says which scenarios the wrong verdicts came from;
//! with `--tuning` it measures what the thresholds were chosen on. It exits with 1 if a bar is
//! missed. `--test` is short, and judges no speed.

#![allow(missing_docs, clippy::disallowed_methods, reason = "a bench measures real time")]

mod table;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use oncekey::audit::synth::{Labelled, Scenario, Score, Set, Synth};
use oncekey::audit::{Classifier, Event, Rules, Verdict};

/// Seeds of the two sets do not meet: their generators are salted as well.
const FIRST_HELD_OUT: u64 = 3000;

/// What must be reached on the held-out set: precision and recall.
const BARS: [(Verdict, f64, f64); 4] = [
    (Verdict::LegitimateRetry, 0.99, 0.99),
    (Verdict::Race, 0.99, 0.99),
    (Verdict::KeyReuse, 0.99, 0.99),
    (Verdict::SuspiciousReplay, 0.95, 0.90),
];
const EVENTS_PER_S: f64 = 1e6;

type Misses = BTreeMap<(Verdict, Verdict, Scenario), u64>;

struct Args {
    seeds: u64,
    events: usize,
    set: Set,
    misses: bool,
    test: bool,
}

impl Args {
    fn read() -> Self {
        let args: Vec<String> = std::env::args().collect();
        let has = |name: &str| args.iter().any(|arg| arg == name);
        let number = |name: &str, otherwise: u64| {
            let at = args.iter().position(|arg| arg == name);
            let text = at.and_then(|at| args.get(at + 1));
            text.map_or(otherwise, |text| text.parse().expect("a number"))
        };
        let test = has("--test");
        Self {
            seeds: number("--seeds", if test { 4 } else { 8 }),
            events: number("--events", if test { 250_000 } else { 1_000_000 }) as usize,
            set: if has("--tuning") { Set::Tuning } else { Set::HeldOut },
            misses: has("--misses"),
            test,
        }
    }
}

fn main() -> ExitCode {
    let args = Args::read();
    let first = if args.set == Set::HeldOut { FIRST_HELD_OUT } else { 1 };
    let mut score = Score::new();
    let mut misses = Misses::new();
    let mut rates = Vec::new();
    for seed in first..first + args.seeds {
        let events: Vec<_> = Synth::new(seed, args.set).take(args.events).collect();
        judge(&events, &mut score, &mut misses);
        rates.push(events_per_s(&events));
    }
    rates.sort_by(f64::total_cmp);
    let rate = rates.get(rates.len() / 2).copied().unwrap_or(0.0);

    println!("{} seeds of {} events, {:?} set\n", args.seeds, args.events, args.set);
    table::print(&score);
    if args.misses {
        print_misses(&misses);
    }
    println!("\nclassified: {:.2} million events/s on one core (median of the seeds)", rate / 1e6);
    let mut missed = args.set == Set::HeldOut && !meets_the_bars(&score);
    if !args.test && rate < EVENTS_PER_S {
        println!("missed: {EVENTS_PER_S:e} events/s");
        missed = true;
    }
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn judge(events: &[Labelled], score: &mut Score, misses: &mut Misses) {
    let mut classifier = Classifier::new(Rules::new());
    for labelled in events {
        let judgement = classifier.classify(&labelled.event);
        if let (Some(truth), Some(judgement)) = (labelled.truth, judgement) {
            score.add(truth, judgement.verdict);
            if truth != judgement.verdict {
                *misses.entry((truth, judgement.verdict, labelled.scenario)).or_default() += 1;
            }
        }
    }
}

/// The rate of the second of two passes: the first one warms the caches up.
fn events_per_s(events: &[Labelled]) -> f64 {
    let events: Vec<Event> = events.iter().map(|labelled| labelled.event).collect();
    let mut rate = 0.0;
    for _ in 0..2 {
        let mut classifier = Classifier::new(Rules::new());
        let began = Instant::now();
        let judged = events.iter().filter_map(|event| classifier.classify(event));
        let sum: u64 = judged.map(|judgement| u64::from(judgement.score)).sum();
        rate = events.len() as f64 / began.elapsed().as_secs_f64();
        std::hint::black_box(sum);
    }
    rate
}

fn meets_the_bars(score: &Score) -> bool {
    let mut all = true;
    for (verdict, precision, recall) in BARS {
        let (is_precision, is_recall) = (score.precision(verdict), score.recall(verdict));
        if is_precision < precision || is_recall < recall {
            println!(
                "missed: {verdict}: precision {is_precision:.4} of {precision}, \
                 recall {is_recall:.4} of {recall}"
            );
            all = false;
        }
    }
    all
}

fn print_misses(misses: &Misses) {
    println!("\n| truth | verdict | scenario | events |\n| --- | --- | --- | ---: |");
    let mut rows: Vec<_> = misses.iter().collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for ((truth, verdict, scenario), count) in rows {
        println!("| {truth} | {verdict} | {scenario} | {count} |");
    }
}
