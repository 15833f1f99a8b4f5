//! How clients wait before they try again, inferred from the gaps between their tries.
//!
//! A gap is from one arrival to the next, so it has the client's timeout and two ways through the
//! network in it. What is said is what the gaps are consistent with (`docs/reports.md`).

use serde::{Deserialize, Serialize};

use super::spread::Spread;
use super::tries::Retry;

/// Gaps before the first retries, each by itself; the last has all further ones.
const NUMBERS: usize = 5;
/// Fewer gaps than this say nothing.
const ENOUGH: u64 = 20;
/// Shorter ones are no wait.
const IMMEDIATE_MS: u64 = 150;
/// Longer ones are a person, a queue or a job.
const LONG_MS: u64 = 180_000;
/// Growth below this is none.
const GROWTH: f64 = 1.25;

/// The gaps before retries.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Gaps {
    by_number: [Spread; NUMBERS],
    /// A gap divided by the one before it, in thousandths.
    growth: Spread,
}

/// A family of retry policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Policy {
    /// Too few gaps were seen.
    Unknown,
    /// It does not wait.
    Immediate,
    /// It waits equally long each time.
    Fixed,
    /// It waits a random time that does not grow.
    Random,
    /// It waits longer by a factor each time.
    Exponential,
    /// The same, less up to half of it at random.
    ExponentialEqualJitter,
    /// It waits a random time up to a limit that grows by a factor.
    ExponentialFullJitter,
    /// It waits a random time up to three times the last one.
    DecorrelatedJitter,
    /// Minutes and more: a person, a queue or a job.
    Slow,
}

/// What is said of a client's retries.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Backoff {
    /// What the gaps are consistent with.
    pub policy: Policy,
    /// By what a wait is longer than the one before, in the median.
    pub factor: Option<f64>,
    /// How wide gaps of one number spread: from the 10th to the 90th percentile, by the median.
    pub jitter: Option<f64>,
    /// The median of the first gaps.
    pub first_ms: Option<u64>,
    /// The longest gaps: their 99th percentile.
    pub longest_ms: Option<u64>,
    /// How many gaps that rests on.
    pub gaps: u64,
    /// How many retries of one key there were at most, up to five.
    pub retries: u8,
}

impl Gaps {
    pub(super) fn record(&mut self, retry: Retry) {
        let number = usize::from(retry.number).clamp(1, NUMBERS);
        if let Some(spread) = self.by_number.get_mut(number - 1) {
            spread.record(retry.gap_ms);
        }
        if let Some(before_ms) = retry.gap_before_ms.filter(|before_ms| *before_ms > 0) {
            self.growth.record(retry.gap_ms.saturating_mul(1000) / before_ms);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        let pairs = self.by_number.iter_mut().zip(&other.by_number);
        pairs.for_each(|(mine, theirs)| mine.merge(theirs));
        self.growth.merge(&other.growth);
    }

    /// All gaps together.
    #[must_use]
    pub fn all(&self) -> Spread {
        let mut all = Spread::default();
        self.by_number.iter().for_each(|spread| all.merge(spread));
        all
    }

    /// The gaps before the retry of this number, from 1; before the fifth and later ones together.
    #[must_use]
    pub fn before(&self, number: usize) -> Option<&Spread> {
        self.by_number.get(number.checked_sub(1)?)
    }

    /// What policy they are consistent with.
    #[must_use]
    pub fn infer(&self) -> Backoff {
        let all = self.all();
        let seen = self.by_number.iter().filter(|spread| spread.count() > 0).count();
        let mut backoff = Backoff {
            policy: Policy::Unknown,
            factor: None,
            jitter: None,
            first_ms: self.before(1).and_then(|first| first.quantile(0.5)),
            longest_ms: all.quantile(0.99),
            gaps: all.count(),
            retries: seen as u8,
        };
        if all.count() < ENOUGH {
            return backoff;
        }
        let known: Vec<&Spread> =
            self.by_number.iter().take_while(|spread| spread.count() >= ENOUGH).collect();
        backoff.factor = factor(&known);
        backoff.jitter = jitter(&known);
        backoff.policy = self.policy(&all, backoff.factor, backoff.jitter);
        backoff
    }

    fn policy(&self, all: &Spread, factor: Option<f64>, jitter: Option<f64>) -> Policy {
        let median = all.quantile(0.5).unwrap_or(0);
        let (Some(jitter), factor) = (jitter, factor.unwrap_or(1.0)) else {
            return Policy::Unknown;
        };
        if all.quantile(0.9).is_some_and(|most| most <= IMMEDIATE_MS) && factor < GROWTH {
            return Policy::Immediate;
        }
        if median > LONG_MS {
            return Policy::Slow;
        }
        // A random part of three times the last wait is never more than that; of a limit that
        // doubles, it is in a third of the cases.
        let ratios = self.growth.count();
        let leaps = self.growth.count_above(3300) as f64 / ratios.max(1) as f64;
        if ratios >= ENOUGH && jitter >= 0.9 && leaps < 0.03 {
            return Policy::DecorrelatedJitter;
        }
        match (factor >= GROWTH, jitter) {
            (false, jitter) if jitter < 0.5 => Policy::Fixed,
            (false, _) => Policy::Random,
            (true, jitter) if jitter < 0.35 => Policy::Exponential,
            (true, jitter) if jitter < 0.95 => Policy::ExponentialEqualJitter,
            (true, _) => Policy::ExponentialFullJitter,
        }
    }
}

/// From the first gap that is a wait to the last that is seen often enough.
fn factor(known: &[&Spread]) -> Option<f64> {
    let medians: Vec<f64> = known
        .iter()
        .take(NUMBERS - 1)
        .filter_map(|spread| spread.quantile(0.5))
        .filter(|median| *median > IMMEDIATE_MS / 3)
        .map(|median| median as f64)
        .collect();
    match medians.as_slice() {
        [first, .., last] => Some((last / first).powf(1.0 / (medians.len() - 1) as f64)),
        _ => None,
    }
}

fn jitter(known: &[&Spread]) -> Option<f64> {
    let of = |spread: &&&Spread| {
        let at = |part| spread.quantile(part).map(|value| value as f64);
        Some((at(0.9)? - at(0.1)?) / at(0.5)?.max(1.0))
    };
    let mut widths: Vec<f64> =
        known.iter().take(NUMBERS - 1).collect::<Vec<_>>().iter().filter_map(of).collect();
    widths.sort_by(f64::total_cmp);
    widths.get(widths.len() / 2).copied()
}
