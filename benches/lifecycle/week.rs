//! A week of traffic: nine in ten records live a day, one in ten a week, one in a hundred a minute.
//! What the disk holds against the frames of what has not expired, what is written twice, and
//! whether requests slow down.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oncekey::simulation::{Environment, SimClock};
use oncekey::{ClaimRequest, Durability, Fingerprint, Key, Scope, Stats, Store, StoredResponse};

use crate::batches;
use crate::latencies::Latencies;
use crate::plot::{Axis, Plot, Scale, Series, short};

const START_MS: u64 = 1_790_000_000_000;
const DAY: Duration = Duration::from_secs(24 * 3600);
const UPKEEP_MS: u64 = 10_000;
/// Bytes that requests are cut from, so that no response can be compressed.
const NOISE_BYTES: usize = 1 << 20;

struct Week<'a> {
    options: &'a crate::Options,
    store: Store,
    clock: Arc<SimClock>,
    noise: Vec<u8>,
    /// When records expire, by how long they live, and the bytes of their frames.
    alive: [VecDeque<(u64, u64)>; 3],
    alive_bytes: u64,
    /// Of the completions that are made now: as times and tokens grow, so do the frames.
    frame_bytes: u64,
    made: u64,
    now_ms: u64,
    latencies: Latencies,
    slowest_step: Duration,
}

/// What was seen in an hour.
struct Hour {
    number: u64,
    live: u64,
    disk: u64,
    /// The largest of (disk - four segments) / live.
    worst: f64,
    p50: f64,
    p99: f64,
    slowest_step: Duration,
    stats: Stats,
}

pub fn run(options: &crate::Options) {
    let dir = options.dir.join("oncekey-week");
    let _ = std::fs::remove_dir_all(&dir);
    let mut week = Week::new(options, &dir);
    let mut hours = Vec::new();
    println!("hour  disk MB  live MB  ratio  worst  w.amp  p50 us  p99 us  slowest step ms");
    for number in 1..=options.days * 24 {
        let hour = week.hour(number);
        if number % 6 == 0 {
            hour.print(hours.last());
        }
        hours.push(hour);
    }
    report(&hours, options);
    drop(week);
    let _ = std::fs::remove_dir_all(&dir);
}

impl<'a> Week<'a> {
    fn new(options: &'a crate::Options, dir: &Path) -> Self {
        let clock = Arc::new(SimClock::new(START_MS));
        let environment =
            Environment::in_directory(dir, clock.clone(), false).expect("a directory");
        let store_options = oncekey::Options::new()
            .segment_bytes(options.segment << 20)
            .durability(Durability::Interval(Duration::from_secs(60)));
        let store = Store::open_in(&environment, &store_options, true).expect("a store");
        let mut state = 1_u64;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            (state >> 56) as u8
        });
        // Frames take more bytes as a store grows older; a day old, it is like one of any age.
        clock.advance(DAY);
        store.step_upkeep();
        Self {
            options,
            store,
            clock,
            noise: noise.take(NOISE_BYTES).collect(),
            alive: Default::default(),
            alive_bytes: 0,
            frame_bytes: 0,
            made: 0,
            now_ms: START_MS + DAY.as_millis() as u64,
            latencies: Latencies::default(),
            slowest_step: Duration::ZERO,
        }
    }

    /// Bytes of a completion's frame: what a batch of twenty takes more than one of ten, a tenth.
    /// Tens, so that each number goes on having its place in the batches.
    fn measure_frame(&mut self) -> u64 {
        let batch = |week: &mut Self, count: u64| {
            let claims: Vec<_> = (0..count)
                .map(|_| {
                    let (request, response) = week.next();
                    let outcome = week.store.claim(request).wait().expect("an outcome");
                    let oncekey::Outcome::Claimed(claim) = outcome else { panic!("a new key") };
                    (claim, response)
                })
                .collect();
            let before = week.store.stats().log_bytes;
            let calls: Vec<_> =
                claims.into_iter().map(|(claim, response)| claim.complete(response)).collect();
            week.store.step_commit();
            drop(calls);
            week.store.stats().log_bytes - before
        };
        let ten = batch(self, 10);
        (batch(self, 20) - ten) / 10
    }

    fn next(&mut self) -> (ClaimRequest, StoredResponse) {
        let number = self.made;
        self.made += 1;
        let (class, ttl) = match number % 100 {
            50 => (0, Duration::from_secs(60)),
            n if n % 10 == 3 => (2, 7 * DAY),
            _ => (1, DAY),
        };
        let expires_ms = self.now_ms + ttl.as_millis() as u64;
        match self.alive[class].back_mut() {
            Some((at, bytes)) if *at == expires_ms => *bytes += self.frame_bytes,
            _ => self.alive[class].push_back((expires_ms, self.frame_bytes)),
        }
        self.alive_bytes += self.frame_bytes;
        let key = Key::new(format!("{number:020}-0000-0000-0000")).expect("a key");
        let request = ClaimRequest::new(Scope::new("acct_000042").expect("a scope"), key)
            .fingerprint(Fingerprint::from_bytes([3; 32]))
            .ttl(ttl);
        let from = (number as usize * 997) % (NOISE_BYTES - self.options.response);
        let body = &self.noise[from..from + self.options.response];
        (request, StoredResponse::new(body.to_vec()))
    }

    fn live_bytes(&mut self) -> u64 {
        for class in &mut self.alive {
            while let Some((_, bytes)) = class.front().filter(|(at, _)| *at <= self.now_ms) {
                self.alive_bytes -= bytes;
                class.pop_front();
            }
        }
        self.alive_bytes
    }

    fn hour(&mut self, number: u64) -> Hour {
        self.frame_bytes = self.measure_frame();
        let step_ms = self.options.together * 1000 / self.options.rate;
        let mut since_upkeep_ms = 0;
        let mut worst: f64 = 0.0;
        let mut hour_ms = 0;
        while hour_ms < 3_600_000 {
            let requests: Vec<_> = (0..self.options.together).map(|_| self.next()).collect();
            let begun = Instant::now();
            batches::cycles(&self.store, requests.into_iter(), |store| {
                store.step_commit();
            });
            self.latencies.add(begun.elapsed());
            self.clock.advance(Duration::from_millis(step_ms));
            (self.now_ms, hour_ms) = (self.now_ms + step_ms, hour_ms + step_ms);
            since_upkeep_ms += step_ms;
            if since_upkeep_ms >= UPKEEP_MS {
                since_upkeep_ms = 0;
                worst = worst.max(self.upkeep());
            }
        }
        let hour = Hour {
            number,
            live: self.live_bytes(),
            disk: self.store.stats().disk_bytes,
            worst,
            p50: self.latencies.per_mille(500),
            p99: self.latencies.per_mille(990),
            slowest_step: std::mem::take(&mut self.slowest_step),
            stats: self.store.stats(),
        };
        self.latencies.clear();
        hour
    }

    /// A round of upkeep, and what is due of rewriting; returns (disk - four segments) / live.
    fn upkeep(&mut self) -> f64 {
        self.store.step_upkeep();
        loop {
            let begun = Instant::now();
            let any = self.store.step_rewrite();
            self.slowest_step = self.slowest_step.max(begun.elapsed());
            if !any {
                break;
            }
        }
        let spare = 4 * u64::from(self.options.segment << 20);
        let disk = self.store.stats().disk_bytes.saturating_sub(spare);
        disk as f64 / self.live_bytes() as f64
    }
}

impl Hour {
    fn print(&self, before: Option<&Self>) {
        let log = |stats: &Stats| stats.log_bytes;
        let all = |stats: &Stats| stats.log_bytes + stats.footer_bytes + stats.compacted_bytes;
        let since =
            |of: &dyn Fn(&Stats) -> u64| of(&self.stats) - before.map_or(0, |b| of(&b.stats));
        println!(
            "{:4} {:8.0} {:8.0} {:6.3} {:6.3} {:6.3} {:7.1} {:7.1} {:10.1}",
            self.number,
            self.disk as f64 / 1e6,
            self.live as f64 / 1e6,
            self.disk as f64 / self.live as f64,
            self.worst,
            since(&all) as f64 / since(&log) as f64,
            self.p50,
            self.p99,
            self.slowest_step.as_secs_f64() * 1e3,
        );
    }
}

fn report(hours: &[Hour], options: &crate::Options) {
    let day = |hour: &Hour| (hour.number - 1) / 24;
    for number in 0..options.days {
        let first = hours.iter().rfind(|hour| day(hour) + 1 == number).map(|hour| &hour.stats);
        let Some(last) = hours.iter().rfind(|hour| day(hour) == number) else { continue };
        let since = |of: fn(&Stats) -> u64| of(&last.stats) - first.map_or(0, of);
        let log = since(|stats| stats.log_bytes) as f64;
        let written = since(|s| s.log_bytes + s.footer_bytes + s.compacted_bytes) as f64;
        let worst = hours.iter().filter(|hour| day(hour) == number).map(|hour| hour.worst);
        println!(
            "day {}: write amplification {:.3} (zeros {:.3} beside it), worst disk {:.3}, \
             p50 {:.1} us, p99 {:.1} us, compactions {}, dropped {}",
            number + 1,
            written / log,
            since(|stats| stats.zero_filled_bytes) as f64 / log,
            worst.fold(0.0, f64::max),
            last.p50,
            last.p99,
            since(|stats| stats.compactions),
            since(|stats| stats.dropped_segments),
        );
    }
    let Some(plots) = &options.plots else { return };
    let line = |name: &str, of: &dyn Fn(&Hour) -> f64| Series {
        name: name.into(),
        points: hours.iter().map(|hour| (hour.number as f64 / 24.0, of(hour))).collect(),
    };
    let plot = Plot {
        title: format!("A week at {} requests/s, {} B responses", options.rate, options.response),
        x: Axis { title: "day".into(), scale: Scale::Linear, label: |day| format!("{day:.0}") },
        y: Axis { title: "bytes".into(), scale: Scale::Linear, label: short },
        series: vec![
            line("segment files", &|hour| hour.disk as f64),
            line("unexpired completions' frames", &|hour| hour.live as f64),
            line("dead, not given back yet", &|hour| hour.stats.debt_bytes as f64),
        ],
    };
    let path = plots.join(format!("week-{}.svg", options.response));
    std::fs::write(path, plot.svg()).expect("a plot");
}
