//! How fast events are judged and summed up, on one core, and in how much memory.
//!
//! ```sh
//! cargo bench --bench report --features report,synth              # a report over 100 million
//! cargo bench --bench report --features report,synth -- --quick   # a hundredth; judges no speed
//! ```
//!
//! Events are made-up traffic ([`Synth`]): a part of it is made first, and then comes again and
//! again, later and with other keys, so that making it is not measured. Then a store writes a trail
//! that is read, judged and summed up. It exits with 1 if a bar is missed; memory is the largest
//! that the process ever had, with the traffic that was made first.

#![allow(missing_docs, clippy::disallowed_methods, reason = "a bench measures real time")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use oncekey::audit::report::{ReportOptions, Summary};
use oncekey::audit::synth::{Set, Synth};
use oncekey::audit::{Audit, Classifier, Event, EventId, Rules, Trail, TrailItem};
use oncekey::{
    Caller, ClaimRequest, Key, Options, Outcome, Scope, StoreTime, StoredResponse, Token,
};

const EVENTS: u64 = 100_000_000;
const MADE: usize = 400_000;
const EVENTS_PER_S: f64 = 1e6;
const LIMIT: Duration = Duration::from_secs(180);
const MEMORY_MIB: u64 = 512;
/// Claims of the store that writes a trail.
const CLAIMS: u64 = 1_000_000;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let quick = args.iter().any(|arg| arg == "--quick" || arg == "--test");
    let share = if quick { 100 } else { 1 };
    let mut missed = false;
    let mut bar = |what: &str, holds: bool| {
        if !holds {
            println!("MISSED: {what}");
        }
        missed |= !holds;
    };

    let (per_s, took) = made_up(EVENTS / share);
    bar("a million events a second", quick || per_s >= EVENTS_PER_S);
    bar("100 million events in three minutes", quick || took <= LIMIT);
    let memory = peak_mib();
    println!("memory: {memory} MiB at most");
    bar("512 MiB", memory < MEMORY_MIB);

    // A store takes memory of its own, so this comes last.
    let per_s = from_a_trail(CLAIMS / share);
    bar("a million events a second from a trail", quick || per_s >= EVENTS_PER_S);
    ExitCode::from(u8::from(missed))
}

/// Judges and sums up so many events; how many a second, and how long it took with the report.
fn made_up(count: u64) -> (f64, Duration) {
    let events: Vec<Event> =
        Synth::new(5, Set::HeldOut).take(MADE).map(|labelled| labelled.event).collect();
    let first_ms = events.first().map_or(0, |event| event.at.as_millis());
    let length_ms = events.last().map_or(1, |event| event.at.as_millis() - first_ms + 1);
    let begin = Instant::now();
    let mut classifier = Classifier::new(Rules::new());
    let mut summary = Summary::new(None);
    for number in 0..count {
        let round = number / MADE as u64;
        let mut event = events[(number % MADE as u64) as usize];
        event.id = EventId::new(1, number);
        event.at = StoreTime::from_millis(event.at.as_millis() + round * length_ms);
        event.key_hash ^= round.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        event.token = event.token.map(|token| Token::new(token.get() + round * MADE as u64));
        let judgement = classifier.observe(&mut event);
        summary.observe(&event, judgement.as_ref());
    }
    let summed = begin.elapsed();
    let report = summary.report(&ReportOptions::new());
    let took = begin.elapsed();
    assert_eq!(report.totals.events, count);
    let per_s = count as f64 / summed.as_secs_f64();
    println!(
        "{:.1} million events: {:.2} million a second judged and summed up on one core, {:.1} s \
         with the report",
        count as f64 / 1e6,
        per_s / 1e6,
        took.as_secs_f64()
    );
    (per_s, took)
}

/// The same of a trail that a store wrote: a quarter of the claims is tried again.
fn from_a_trail(claims: u64) -> f64 {
    let dir = tempfile::tempdir().expect("a directory");
    let audit = Audit::new().max_bytes(1 << 30).max_pending(1 << 20);
    let store = Options::new().audit(audit).create(dir.path().join("state")).expect("a store");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut work = Vec::new();
        for number in 0..claims {
            let store = store.clone();
            work.push(async move {
                for _ in 0..=u64::from(number % 4 == 0) {
                    let outcome = store.claim(request(number)).await.expect("an outcome");
                    if let Outcome::Claimed(claim) = outcome {
                        claim.complete(StoredResponse::new("charged")).await.expect("completed");
                    }
                }
            });
            if work.len() == 1000 {
                let local = tokio::task::LocalSet::new();
                work.drain(..).for_each(|work| drop(local.spawn_local(work)));
                local.await;
            }
        }
    });
    let dropped = store.stats().audit_dropped;
    drop(store);

    let begin = Instant::now();
    let mut trail = Trail::of_store(dir.path().join("state")).expect("a trail");
    let mut classifier = Classifier::new(Rules::new());
    let mut summary = Summary::new(None);
    for item in &mut trail {
        if let TrailItem::Event(mut event) = item.expect("read") {
            let judgement = classifier.observe(&mut event);
            summary.observe(&event, judgement.as_ref());
        }
    }
    let events = summary.report(&ReportOptions::new()).totals.events;
    let per_s = events as f64 / begin.elapsed().as_secs_f64();
    println!(
        "{events} events of a trail ({dropped} dropped): {:.2} million a second read, judged and \
         summed up",
        per_s / 1e6
    );
    per_s
}

fn request(number: u64) -> ClaimRequest {
    let scope = Scope::new(format!("acct_{}", number % 997)).expect("a scope");
    let key = Key::new(format!("{:08x}-aaaa-4bbb-8ccc-{number:012x}", number.wrapping_mul(97)));
    let caller = Caller::new()
        .client(format!("service-{}", number % 40))
        .ip([198, 51, (number % 250) as u8, 7].into())
        .user_agent("service/7.1");
    ClaimRequest::new(scope, key.expect("a key")).operation("POST /v1/charges").caller(caller)
}

/// The most memory that the process had.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}
