//! The advised TTL is within 5% of the truth, on tails that are known.

use super::Dice;
use crate::audit::report::{ReportOptions, Summary, TtlAdvice, TtlFacts};
use crate::audit::{Event, EventId, EventKind};
use crate::ids::StoreTime;

const START_MS: u64 = 1_767_225_600_000;
const HOUR_MS: f64 = 3_600_000.0;
const DAY_MS: u64 = 86_400_000;

/// A store that completes a request now and then, each of which is asked for again once, after a
/// time that is drawn.
struct World {
    /// How long records are replayed, and how long they are remembered after that.
    ttl_ms: u64,
    remembered_ms: u64,
    /// The store is used for this long before the trail begins.
    before_ms: u64,
    trail_ms: u64,
    requests: u64,
    /// Twice as many by day as by night.
    has_days: bool,
}

impl World {
    fn new(trail_days: u64) -> Self {
        Self {
            ttl_ms: 365 * DAY_MS,
            remembered_ms: DAY_MS,
            before_ms: 0,
            trail_ms: trail_days * DAY_MS,
            requests: 1_500_000,
            has_days: false,
        }
    }

    fn advise(&self, draw: impl Fn(&mut Dice) -> f64) -> TtlAdvice {
        let mut dice = Dice(77);
        let mut summary = Summary::new(None);
        let mut sequence = 0;
        let end_ms = self.before_ms + self.trail_ms;
        for _ in 0..self.requests {
            let mut done_ms = (dice.unit() * end_ms as f64) as u64;
            let is_night = done_ms / (DAY_MS / 2) % 2 == 1;
            if self.has_days && is_night && dice.unit() < 0.5 {
                done_ms = (done_ms + DAY_MS / 2) % end_ms;
            }
            let age_ms = draw(&mut dice).max(0.0) as u64;
            let mut tell = |kind, at_ms: u64, age_ms: Option<u64>| {
                if at_ms < self.before_ms || at_ms > end_ms {
                    return;
                }
                let id = EventId::new(1, sequence);
                sequence += 1;
                let at = StoreTime::from_millis(START_MS + at_ms);
                let mut event = Event::new(id, at, kind, dice.bits());
                event.age_ms = age_ms;
                summary.observe(&event, None);
            };
            tell(EventKind::Completed, done_ms, None);
            let again_ms = done_ms + age_ms;
            match age_ms.checked_sub(self.ttl_ms) {
                None => tell(EventKind::Replayed, again_ms, Some(age_ms)),
                Some(late_ms) if late_ms <= self.remembered_ms => {
                    tell(EventKind::LateRetry, again_ms, Some(late_ms));
                }
                Some(_) => tell(EventKind::Claimed, again_ms, None),
            }
        }
        let ttl = TtlFacts { ttl_ms: Some(self.ttl_ms), remembered_ms: Some(self.remembered_ms) };
        let options = ReportOptions { ttl, ..ReportOptions::new() };
        summary.report(&options).ttl.expect("advice")
    }
}

/// Whether the advice is within 5% of the true quantiles.
fn check(what: &str, advice: &TtlAdvice, parts: &[f64], truth: impl Fn(f64) -> f64) {
    for part in parts {
        let level = advice.levels.iter().find(|level| level.part == *part).expect("a level");
        let truth = truth(*part);
        let error = level.ttl_ms as f64 / truth - 1.0;
        assert!(error.abs() < 0.05, "{what} {part}: {error:+.3} of {truth}: {level:?}\n{advice:?}");
    }
}

const BOTH: [f64; 2] = [0.999, 0.9999];

fn exponential(mean: f64) -> impl Fn(f64) -> f64 {
    move |part| -mean * (1.0 - part).ln()
}

/// Quantiles of the normal distribution that are needed here.
fn normal(part: f64) -> f64 {
    if part > 0.9995 { 3.719_016 } else { 3.090_232 }
}

#[test]
fn exponential_tails() {
    let mean = 0.4 * HOUR_MS;
    let advice = World::new(14).advise(|dice| dice.exponential(mean));
    check("two weeks", &advice, &BOTH, exponential(mean));
    assert!(advice.levels.iter().all(|level| level.is_trusted), "{advice:?}");
    let level = &advice.levels[1];
    let truth = exponential(mean)(0.999) as u64;
    assert!(level.low_ms < Some(truth) && level.high_ms > Some(truth), "{level:?}");
}

#[test]
fn heavy_tails() {
    let pareto = |dice: &mut Dice| 60_000.0 * (1.0 - dice.unit()).powf(-0.5);
    let truth = |part: f64| 60_000.0 * (1.0_f64 - part).powf(-0.5);
    let world = World { requests: 4_000_000, ..World::new(30) };
    check("pareto 2", &world.advise(pareto), &BOTH, truth);
    let median = 120_000.0;
    let log_normal = |dice: &mut Dice| median * (1.5 * dice.normal()).exp();
    let truth = |part: f64| median * (1.5 * normal(part)).exp();
    check("log-normal", &world.advise(log_normal), &BOTH, truth);
    let weibull = |dice: &mut Dice| 60_000.0 * dice.exponential(1.0).powi(2);
    let truth = |part: f64| 60_000.0 * (1.0_f64 - part).ln().powi(2);
    check("weibull 1/2", &world.advise(weibull), &BOTH, truth);
}

#[test]
fn two_kinds_of_clients() {
    // One in twenty is a job that comes hours later; the others come within seconds.
    let draw = |dice: &mut Dice| match dice.unit() {
        unit if unit < 0.05 => HOUR_MS + dice.exponential(HOUR_MS),
        _ => dice.exponential(2000.0),
    };
    let truth = |part: f64| HOUR_MS - HOUR_MS * ((1.0 - part) / 0.05).ln();
    check("jobs", &World::new(14).advise(draw), &BOTH, truth);
}

/// A trail that is a few times as long as the tail, and began with the store: of late retries it
/// saw fewer than of early ones.
#[test]
fn a_short_trail_does_not_hide_late_retries() {
    let mean = 4.0 * HOUR_MS;
    for has_days in [false, true] {
        let world = World { has_days, ..World::new(2) };
        let advice = world.advise(|dice| dice.exponential(mean));
        check("two days", &advice, &BOTH, exponential(mean));
        // What it would be if nothing were weighed is off by more.
        let raw = exponential(mean)(0.999) * 0.95;
        assert!(advice.levels[1].ttl_ms as f64 > raw, "{advice:?}");
    }
}

/// A trail that begins long after the store sees late retries of records from before it.
#[test]
fn a_trail_of_an_old_store() {
    let mean = 4.0 * HOUR_MS;
    let world = World { before_ms: 6 * DAY_MS, requests: 5_000_000, ..World::new(1) };
    check("an old store", &world.advise(|dice| dice.exponential(mean)), &BOTH, exponential(mean));
}

/// Retries that came after the record had expired count with their whole age.
#[test]
fn the_present_ttl_does_not_hide_late_retries() {
    let mean = HOUR_MS;
    let world = World { ttl_ms: 5 * HOUR_MS as u64, ..World::new(14) };
    let advice = world.advise(|dice| dice.exponential(mean));
    check("a short TTL", &advice, &BOTH, exponential(mean));
    let covered = advice.covered.expect("a part");
    assert!((covered - (1.0 - (-5.0_f64).exp())).abs() < 0.0005, "{covered}");
    assert!(advice.late > 5000);
}

/// What nobody can have seen is estimated, and said to be.
#[test]
fn beyond_the_horizon_nothing_is_promised() {
    let mean = 4.0 * HOUR_MS;
    let world =
        World { ttl_ms: 8 * HOUR_MS as u64, remembered_ms: 4 * HOUR_MS as u64, ..World::new(14) };
    let advice = world.advise(|dice| dice.exponential(mean));
    assert_eq!(advice.horizon_ms, 12 * HOUR_MS as u64);
    // e^-3 of them are beyond.
    assert!((advice.beyond_horizon - 0.0498).abs() < 0.01, "{advice:?}");
    check("continued", &advice, &[0.99], exponential(mean));
    assert!(advice.levels.iter().all(|level| !level.is_trusted && level.why.is_some()));
    // What is more than twice as far away as can be seen is not guessed at.
    let level = &advice.levels[1];
    assert!(level.is_at_least && level.ttl_ms == advice.horizon_ms, "{level:?}");
}
