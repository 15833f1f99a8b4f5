//! A million records expire at once and are pruned, while a caller goes on claiming and completing
//! durably: how long it takes, what the caller notices, and what room is given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use oncekey::simulation::{Environment, SimClock};
use oncekey::{ClaimRequest, Fingerprint, Key, Outcome, Scope, Stats, Store, StoredResponse};

use crate::batches;
use crate::latencies::Latencies;
use crate::plot::{Axis, Plot, Scale, Series};

const RECORDS: u64 = 1_000_000;
const TTL: Duration = Duration::from_secs(1800);
const BEFORE: Duration = Duration::from_secs(2);
/// Between two looks at the store.
const LOOK: Duration = Duration::from_millis(20);
const IDLE: u8 = 0;
const BEFORE_IT: u8 = 1;
const DURING_IT: u8 = 2;
const OVER: u8 = 3;

fn request(number: u64, ttl: Duration) -> (ClaimRequest, StoredResponse) {
    let key = Key::new(format!("{number:020}-0000-0000-0000")).expect("a key");
    let request = ClaimRequest::new(Scope::new("acct_000042").expect("a scope"), key)
        .fingerprint(Fingerprint::from_bytes([3; 32]))
        .ttl(ttl);
    (request, StoredResponse::new(vec![7; 256]))
}

pub fn run(options: &crate::Options) {
    for remember in [true, false] {
        println!("{}:", if remember { "remembering what expired" } else { "not remembering it" });
        run_with(options, remember);
    }
}

fn run_with(options: &crate::Options, remember: bool) {
    for asked in [true, false] {
        let mut before = Latencies::default();
        let mut during = Latencies::default();
        let mut times = Vec::new();
        for round in 0..options.rounds {
            let (took, points) = self::round(options, (asked, remember), &mut before, &mut during);
            times.push(took.as_secs_f64() * 1e3);
            if asked && remember && round + 1 == options.rounds {
                draw(options, points);
            }
        }
        times.sort_by(f64::total_cmp);
        let who = if asked { "Store::prune" } else { "by itself" };
        println!(
            "{who}: {RECORDS} records in {:.0} ms (median of {}; {:.0} to {:.0})",
            times[times.len() / 2],
            times.len(),
            times[0],
            times[times.len() - 1]
        );
        for (name, per_mille) in [("p50", 500), ("p99", 990), ("p99.9", 999)] {
            let (was, is) = (before.per_mille(per_mille), during.per_mille(per_mille));
            println!("  {name}: before {was:.0} us, during {is:.0} us, {:.2} times", is / was);
        }
        println!("  of {} changes before, {} during", before.len(), during.len());
    }
}

type Points = Vec<(f64, f64)>;

fn round(
    options: &crate::Options,
    (asked, remember): (bool, bool),
    before: &mut Latencies,
    during: &mut Latencies,
) -> (Duration, Points) {
    let dir = options.dir.join("oncekey-prune");
    let _ = std::fs::remove_dir_all(&dir);
    let clock = Arc::new(SimClock::new(1_790_000_000_000));
    let environment = Environment::in_directory(&dir, clock.clone(), true).expect("a directory");
    let mut store_options = oncekey::Options::new();
    if !remember {
        store_options = store_options.remember_late(Duration::ZERO);
    }
    let store = Store::open_in(&environment, &store_options, true).expect("a store");
    let pause = store.pause_compaction();
    for from in (0..RECORDS).step_by(1000) {
        let requests = (from..from + 1000).map(|number| request(number, TTL));
        batches::cycles(&store, requests, |store| drop(store.flush().wait()));
    }
    clock.advance(TTL + Duration::from_secs(1));
    let phase = AtomicU8::new(IDLE);
    let (took, points) = std::thread::scope(|threads| {
        let foreground = threads.spawn(|| foreground(&store, &phase, before, during));
        std::thread::sleep(Duration::from_millis(300));
        phase.store(BEFORE_IT, Ordering::SeqCst);
        let files = if asked {
            std::thread::sleep(BEFORE);
            store.stats()
        } else {
            look_on(&store, |begun, _| begun.elapsed() >= BEFORE)
        };
        phase.store(DURING_IT, Ordering::SeqCst);
        let begun = Instant::now();
        if asked {
            drop(pause);
            let pruned = store.prune().wait().expect("pruned");
            assert!(pruned.records > RECORDS * 9 / 10, "{pruned:?}");
        } else {
            drop(pause);
            look_on(&store, |_, stats| stats.segments <= 3);
        }
        let took = begun.elapsed();
        phase.store(OVER, Ordering::SeqCst);
        let after = store.stats();
        println!(
            "  files {} to {} MiB, of which free {} to {}; {} pruned",
            files.disk_bytes >> 20,
            after.disk_bytes >> 20,
            files.spare_segments,
            after.spare_segments,
            after.pruned
        );
        (took, foreground.join().expect("no panic"))
    });
    drop(store);
    let _ = std::fs::remove_dir_all(&dir);
    (took, points)
}

/// Looks at the store, before a prune as during it: a look visits every shard, which a caller may
/// have to wait for.
fn look_on(store: &Store, is_over: impl Fn(Instant, &Stats) -> bool) -> Stats {
    let begun = Instant::now();
    loop {
        let stats = store.stats();
        if is_over(begun, &stats) {
            return stats;
        }
        std::thread::sleep(LOOK);
    }
}

/// One caller, until it is over; returns the latencies by time, in milliseconds from the prune.
fn foreground(
    store: &Store,
    phase: &AtomicU8,
    before: &mut Latencies,
    during: &mut Latencies,
) -> Points {
    let mut points = Vec::new();
    let mut begun_at = None;
    for number in RECORDS.. {
        let (request, response) = request(number, 24 * 2 * TTL);
        let first = Instant::now();
        let outcome = store.claim(request).wait().expect("an outcome");
        let Outcome::Claimed(claim) = outcome else { panic!("a new key") };
        let claimed = first.elapsed();
        let second = Instant::now();
        claim.complete(response).wait().expect("completed");
        let completed = second.elapsed();
        let into = match phase.load(Ordering::Relaxed) {
            IDLE => continue,
            BEFORE_IT => &mut *before,
            DURING_IT => &mut *during,
            _ => break,
        };
        into.add(claimed);
        into.add(completed);
        let slower = claimed.max(completed).as_secs_f64() * 1e6;
        let zero = *begun_at.get_or_insert(first);
        points.push((first.duration_since(zero).as_secs_f64() * 1e3, slower));
    }
    points
}

/// The slowest of each ten milliseconds.
fn draw(options: &crate::Options, points: Points) {
    let Some(plots) = &options.plots else { return };
    let prune_ms = BEFORE.as_secs_f64() * 1e3;
    let mut slowest: Points = Vec::new();
    for (at, us) in points {
        let at = (at / 10.0).floor() * 10.0 - prune_ms;
        match slowest.last_mut() {
            Some((last, most)) if *last == at => *most = most.max(us),
            _ => slowest.push((at, us)),
        }
    }
    slowest.retain(|(at, _)| *at > -500.0);
    let plot = Plot {
        title: "A million expired records are pruned from 0 on".into(),
        x: Axis { title: "ms".into(), scale: Scale::Linear, label: |ms| format!("{ms:.0}") },
        y: Axis {
            title: "slowest change in 10 ms, us".into(),
            scale: Scale::Log,
            label: |us| format!("{us:.0}"),
        },
        series: vec![Series { name: "claim or complete".into(), points: slowest }],
    };
    std::fs::write(plots.join("prune-latency.svg"), plot.svg()).expect("a plot");
}
