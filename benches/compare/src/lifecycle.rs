//! The lifecycle: a million completed records expire beside others that live on, and are pruned
//! while claims and completions go on at a fixed rate.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use crate::engines::expiring::{self, Expiring, Pace, Variant, now_ms};
use crate::foreground::{Foreground, Latency};
use crate::meter;
use crate::options::Options;
use crate::table::{Table, count, median, ratio};
use crate::workload::Request;

/// Streams of the records that expire, of those that live on, and of those that tell how fast a
/// load is.
const EXPIRING_STREAM: u64 = 1;
const LIVING_STREAM: u64 = 2;
const TRIAL_STREAM: u64 = 3;
const TRIAL_RECORDS: u64 = 20_000;
/// Records of either kind that are loaded in turn where they are mixed.
const MIXED_RUN: u64 = 1000;
/// The expiries are spread over so long: a peer's index lists its keys in no order then.
const SPREAD_MS: u64 = 1000;
/// What lives on lives longer than any run.
const LONG_MS: u64 = 24 * 3600 * 1000;
/// A foreground that is so late in calm times has fallen behind its schedule.
const BEHIND_US: f64 = 100_000.0;
/// After the prune: what has been given back by then was given back soon.
const LATER: Duration = Duration::from_secs(10);

/// One engine's life.
struct Life {
    pruned: u64,
    seconds: f64,
    before: Latency,
    during: Latency,
    /// Bytes on disk before the prune, at its end, and a while later.
    disk: [u64; 3],
    others_cores: f64,
}

impl Life {
    fn seconds_a_million(&self) -> f64 {
        self.seconds * 1e6 / self.pruned as f64
    }
}

/// Runs every selected engine and answers its tables.
pub fn report(options: &Options) -> Vec<String> {
    let wanted = |variant: &Variant| options.selects(variant.name);
    let variants: Vec<_> = expiring::all().into_iter().filter(wanted).collect();
    let mut lives: Vec<Vec<Life>> = variants.iter().map(|_| Vec::new()).collect();
    for round in 0..options.rounds {
        for (variant, lives) in variants.iter().zip(&mut lives) {
            eprint!("\rround {} of {}: {:<40}", round + 1, options.rounds, variant.name);
            lives.push(live(variant, round as u64, options));
        }
    }
    eprint!("\r{:<60}\r", "");
    vec![prunes(&variants, &lives, options), latencies(&variants, &lives, options)]
}

fn live(variant: &Variant, round: u64, options: &Options) -> Life {
    let dir = options.dir.join("life");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("create the directory of a life");
    let pace = Pace { batch: options.janitor_batch, pause: options.janitor_pause };
    let engine = (variant.open)(&dir, pace);
    let deadline_ms = load(&*engine, options);
    meter::settle(&dir);
    let stop = AtomicBool::new(false);
    let life = thread::scope(|scope| {
        let foreground = Foreground::start(scope, &*engine, options.rate, round, &stop);
        thread::sleep(options.window / 10);
        let (started, meter) = (Instant::now(), meter::Meter::start());
        thread::sleep(options.window);
        let calm_until = Instant::now();
        if engine.keeps_time() {
            let left_ms = deadline_ms.checked_sub(now_ms()).expect("a load in time");
            thread::sleep(Duration::from_millis(left_ms));
        }
        let full = bytes_on_disk(&dir);
        let begun = Instant::now();
        let pruned = engine.prune(deadline_ms);
        let emptied = bytes_on_disk(&dir);
        // What a prune leaves to be done belongs to it.
        let least = begun + options.window / 2;
        thread::sleep(least.saturating_duration_since(Instant::now()));
        let over = least.max(pruned.finished);
        let others_cores = meter.stop().others_cores;
        thread::sleep(LATER.saturating_sub(pruned.finished.elapsed()));
        let later = bytes_on_disk(&dir);
        let cycles = foreground.stop();
        Life {
            pruned: pruned.records,
            seconds: (pruned.finished - begun).as_secs_f64(),
            before: Latency::between(&cycles, started, calm_until),
            during: Latency::between(&cycles, begun, over),
            disk: [full, emptied, later],
            others_cores,
        }
    });
    drop(engine);
    fs::remove_dir_all(&dir).expect("remove the directory of a life");
    if life.before.p50 > BEHIND_US {
        eprintln!("\n{} cannot keep the rate: its latencies are those of a queue", variant.name);
    }
    life
}

/// Loads what expires and what lives on. Answers when the last of the former expires: late enough
/// for the load and the window before the prune.
fn load(engine: &dyn Expiring, options: &Options) -> u64 {
    let started = Instant::now();
    let living_until = now_ms() + LONG_MS;
    let living = |stream, from: u64, to: u64| {
        (from..to).map(move |number| (Request::nth(stream, number), living_until))
    };
    engine.load(&mut living(TRIAL_STREAM, 0, TRIAL_RECORDS));
    let a_record = started.elapsed() / TRIAL_RECORDS as u32;
    let Options { records, window, .. } = *options;
    let load_time = a_record * (records + options.living) as u32 * 3 / 2;
    let spare = meter::SETTLE_LIMIT + window * 2;
    let expires_ms = now_ms() + (load_time + spare).as_millis() as u64;
    let expiring = |from: u64, to: u64| {
        let expiry = move |number| expires_ms - (records - number) * SPREAD_MS / records;
        (from..to).map(move |number| (Request::nth(EXPIRING_STREAM, number), expiry(number)))
    };
    let step = if options.mixed { MIXED_RUN } else { records.max(1) };
    for from in (0..records).step_by(step as usize) {
        let to = (from + step).min(records);
        engine.load(&mut expiring(from, to));
        let share = |so_far| so_far * options.living / records;
        engine.load(&mut living(LIVING_STREAM, share(from), share(to)));
    }
    expires_ms
}

/// Blocks of all files below, whatever their length says.
fn bytes_on_disk(dir: &Path) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        // A file may go while it is being looked at.
        let Ok(metadata) = entry.metadata() else { continue };
        bytes +=
            if metadata.is_dir() { bytes_on_disk(&entry.path()) } else { metadata.blocks() * 512 };
    }
    bytes
}

/// The median over rounds.
fn of(lives: &[Life], value: impl Fn(&Life) -> f64) -> f64 {
    median(lives.iter().map(value).collect())
}

fn prunes(variants: &[Variant], lives: &[Vec<Life>], options: &Options) -> String {
    let title = format!(
        "Pruning {} expired records beside {}{}",
        count(options.records as f64),
        count(options.living as f64),
        if options.mixed { ", mixed" } else { "" }
    );
    let header = [
        "engine",
        "pruned",
        "seconds",
        "s a million",
        "x best peer",
        "MiB before",
        "at its end",
        "10 s later",
        "others' cores",
    ];
    let cost = |lives: &[Life]| of(lives, Life::seconds_a_million);
    let peers = variants.iter().zip(lives).filter(|(variant, _)| variant.is_peer);
    let best = peers.map(|(_, lives)| cost(lives)).min_by(f64::total_cmp);
    let mut table = Table::new(title, &header);
    for (variant, lives) in variants.iter().zip(lives) {
        let mib = |index: usize| count(of(lives, |life| life.disk[index] as f64 / 1048576.0));
        table.row(vec![
            variant.name.into(),
            count(of(lives, |life| life.pruned as f64)),
            format!("{:.2}", of(lives, |life| life.seconds)),
            format!("{:.3}", cost(lives)),
            best.map_or_else(|| "-".into(), |best| format!("{:.3}", cost(lives) / best)),
            mib(0),
            mib(1),
            mib(2),
            format!("{:.2}", of(lives, |life| life.others_cores)),
        ]);
    }
    table.render()
}

fn latencies(variants: &[Variant], lives: &[Vec<Life>], options: &Options) -> String {
    let title = format!(
        "Claim + complete before and during the prune, microseconds, {} a second",
        count(options.rate as f64)
    );
    let header = [
        "engine",
        "p50 before",
        "p50",
        "p99 before",
        "p99",
        "x",
        "p99.9 before",
        "p99.9",
        "x",
        "longest before",
        "longest",
    ];
    let mut table = Table::new(title, &header);
    for (variant, lives) in variants.iter().zip(lives) {
        let pair = |value: fn(&Latency) -> f64| {
            (of(lives, |life| value(&life.before)), of(lives, |life| value(&life.during)))
        };
        let (p50, p99) = (pair(|at| at.p50), pair(|at| at.p99));
        let (p999, longest) = (pair(|at| at.p999), pair(|at| at.longest));
        table.row(vec![
            variant.name.into(),
            count(p50.0),
            count(p50.1),
            count(p99.0),
            count(p99.1),
            ratio(p99.1, Some(p99.0)),
            count(p999.0),
            count(p999.1),
            ratio(p999.1, Some(p999.0)),
            count(longest.0),
            count(longest.1),
        ]);
    }
    table.render()
}
