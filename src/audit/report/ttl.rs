//! TTL advice: how long records have to be kept so that retries find them.
//!
//! The ages of retries are weighed by how many records were in sight at each age
//! ([`super::exposure`]), so that a trail that is shorter than the retries go on does not hide the
//! late ones. What lies beyond the horizon (the longest age that the trail and the present TTL can
//! show) is estimated from the tail before it ([`super::tail`]), and then said to be so.

use serde::Serialize;

use super::exposure::Exposure;
use super::retention::Retention;
use super::tail::Tail;

/// For how long after its expiry a key is remembered unless it is said otherwise
/// (`Options::remember_late`).
const REMEMBERED_MS: u64 = 86_400_000;
/// Fewer retries beyond a value leave it uncertain.
const ENOUGH_BEYOND: u64 = 30;
/// The tail is fitted to this part of the retries; a smaller one is too few of them.
const TAIL_PART: f64 = 0.05;
/// A tail is continued so many times as far as can be seen, and no farther.
const FARTHEST: f64 = 2.0;
/// Ages at which fewer than this part of the records were in sight are not believed.
const LEAST_SIGHT: f64 = 0.02;

/// What is known beside the trail.
#[derive(Debug, Clone, Copy, Default)]
pub struct TtlFacts {
    /// The TTL that records have now, if it is one.
    pub ttl_ms: Option<u64>,
    /// For how long expired keys are remembered; a day if it is not said.
    pub remembered_ms: Option<u64>,
}

/// Advice on the TTL.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TtlAdvice {
    /// The TTL that was reckoned with.
    pub ttl_ms: Option<u64>,
    /// Where that is from: `given`, `inferred` or `unknown`.
    pub ttl_from: &'static str,
    /// Retries of completed requests that were replayed.
    pub replayed: u64,
    /// Retries that came after the record had expired.
    pub late: u64,
    /// Replays that were set aside as no honest retries.
    pub set_aside: u64,
    /// The part of all retries that came in time, after the correction.
    pub covered: Option<f64>,
    /// The longest age that can be seen.
    pub horizon_ms: u64,
    /// What part of the retries is estimated to lie beyond.
    pub beyond_horizon: f64,
    /// One each for 99%, 99.9% and 99.99% of the retries.
    pub levels: Vec<TtlLevel>,
    /// What limits the trust in all of this.
    pub limits: Vec<String>,
    /// Ages and the part of the retries that came up to there, for a chart.
    pub curve: Vec<(u64, f64)>,
}

/// A TTL that covers a part of the retries.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TtlLevel {
    /// The part.
    pub part: f64,
    /// The TTL.
    pub ttl_ms: u64,
    /// Whether it is only known to be this or longer: so long that it would be a guess.
    pub is_at_least: bool,
    /// Between these it is in 19 of 20 cases, from the number of retries alone; `None` where they
    /// do not suffice to say.
    pub low_ms: Option<u64>,
    /// See `low_ms`.
    pub high_ms: Option<u64>,
    /// How many retries were seen beyond it.
    pub seen_beyond: u64,
    /// Whether it may be relied on.
    pub is_trusted: bool,
    /// Why not.
    pub why: Option<String>,
}

/// Retries by age, in the order of age, each with the records in sight then.
struct Weighed {
    /// Age, retries, retries for each record in sight.
    steps: Vec<(f64, u64, f64)>,
    horizon_ms: u64,
    sum: f64,
    count: u64,
}

impl TtlAdvice {
    /// From what was seen.
    pub(super) fn new(seen: &Retention, exposure: &Exposure, facts: TtlFacts) -> Option<Self> {
        let (ttl_ms, ttl_from) = match (facts.ttl_ms, seen.inferred_ttl_ms()) {
            (Some(ttl_ms), _) => (Some(ttl_ms), "given"),
            (None, Some(ttl_ms)) => (Some(ttl_ms), "inferred"),
            (None, None) => (None, "unknown"),
        };
        let remembered_ms = facts.remembered_ms.unwrap_or(REMEMBERED_MS);
        let weighed = Weighed::new(seen, exposure, ttl_ms, remembered_ms)?;
        let tail = weighed.tail();
        let beyond = tail.map_or(0.0, |tail| weighed.beyond(&tail));
        let total = weighed.sum + beyond;
        let covered = ttl_ms.map(|ttl_ms| weighed.up_to(ttl_ms as f64) / total);
        let mut advice = Self {
            ttl_ms,
            ttl_from,
            replayed: seen.ages.count(),
            late: seen.late.count(),
            set_aside: seen.set_aside,
            covered,
            horizon_ms: weighed.horizon_ms,
            beyond_horizon: beyond / total,
            levels: Vec::new(),
            limits: Vec::new(),
            curve: weighed.curve(total),
        };
        advice.levels = [0.99, 0.999, 0.9999]
            .into_iter()
            .map(|part| weighed.level(part, tail.as_ref(), beyond))
            .collect();
        advice.limits = limits(&advice, remembered_ms);
        Some(advice)
    }
}

fn limits(advice: &TtlAdvice, remembered_ms: u64) -> Vec<String> {
    let mut limits = Vec::new();
    if advice.ttl_ms.is_none() && advice.late > 0 {
        limits.push(format!(
            "{} late retries are not counted in: the TTL is not known (give it: --ttl)",
            advice.late
        ));
    }
    if advice.ttl_from == "inferred" {
        limits.push("the present TTL is inferred from late retries".into());
    }
    if let Some(ttl_ms) = advice.ttl_ms
        && advice.horizon_ms >= ttl_ms.saturating_add(remembered_ms)
    {
        limits.push("later retries than are remembered after the expiry look like new keys".into());
    }
    if advice.beyond_horizon > 1e-5 {
        limits.push(format!(
            "{:.4}% of the retries are estimated to come later than can be seen",
            advice.beyond_horizon * 100.0
        ));
    }
    limits
}

impl Weighed {
    fn new(
        seen: &Retention,
        exposure: &Exposure,
        ttl_ms: Option<u64>,
        remembered_ms: u64,
    ) -> Option<Self> {
        let late = ttl_ms.into_iter().flat_map(|ttl_ms| {
            seen.late.steps().map(move |(age_ms, count)| (age_ms.saturating_add(ttl_ms), count))
        });
        let mut ages: Vec<(u64, u64)> = seen.ages.steps().chain(late).collect();
        ages.sort_unstable();
        let whole = exposure.at(0);
        let least = (whole * LEAST_SIGHT).max(1.0);
        // The last age at which enough records were in sight.
        let (mut low, mut high) = (0_u64, 1 << 40);
        while low + 1 < high {
            let middle = low.midpoint(high);
            if exposure.at(middle) >= least { low = middle } else { high = middle }
        }
        let remembered = ttl_ms.map_or(u64::MAX, |ttl_ms| ttl_ms.saturating_add(remembered_ms));
        let horizon_ms = low.min(remembered);
        let steps: Vec<_> = ages
            .iter()
            .filter(|(age_ms, _)| *age_ms <= horizon_ms)
            .map(|(age_ms, count)| (*age_ms as f64, *count, *count as f64 / exposure.at(*age_ms)))
            .collect();
        let sum: f64 = steps.iter().map(|(_, _, weight)| weight).sum();
        let count = steps.iter().map(|(_, count, _)| count).sum();
        (sum > 0.0 && sum.is_finite()).then_some(Self { steps, horizon_ms, sum, count })
    }

    /// The weight of the retries up to an age.
    fn up_to(&self, age_ms: f64) -> f64 {
        let those = self.steps.iter().take_while(|(age, _, _)| *age <= age_ms);
        those.map(|(_, _, weight)| weight).sum()
    }

    /// The age up to which this weight came; within a bucket on a straight line.
    fn age_at(&self, weight: f64) -> f64 {
        let mut sum = 0.0;
        for (age, _, step) in &self.steps {
            if sum + step >= weight {
                let within = ((weight - sum) / step).clamp(0.0, 1.0);
                let half = if *age < 256.0 { 0.5 } else { age / 256.0 };
                return (age + half * (2.0 * within - 1.0)).max(0.0);
            }
            sum += step;
        }
        self.steps.last().map_or(0.0, |(age, _, _)| *age)
    }

    fn tail(&self) -> Option<Tail> {
        let threshold = self.age_at(self.sum * (1.0 - TAIL_PART));
        let last = self.steps.last()?.0;
        // Where nothing came for the last half of the time that can be seen, there is no tail to
        // speak of behind it.
        if last * 2.0 < self.horizon_ms as f64 {
            return None;
        }
        // Weights as numbers of retries, so that their likelihood is to scale.
        let scale = self.count as f64 / self.sum;
        let steps: Vec<(f64, f64)> =
            self.steps.iter().map(|(age, _, weight)| (*age, *weight * scale)).collect();
        Tail::fit(&steps, threshold, self.horizon_ms as f64)
    }

    /// The weight that is estimated to lie beyond the horizon.
    fn beyond(&self, tail: &Tail) -> f64 {
        let within = self.sum - self.up_to(tail.threshold);
        within * (1.0 - tail.seen) / tail.seen.max(1e-3)
    }

    fn level(&self, part: f64, tail: Option<&Tail>, beyond: f64) -> TtlLevel {
        let total = self.sum + beyond;
        let target = total * part;
        let is_seen = target <= self.sum;
        let value = match tail {
            Some(tail) if !is_seen => {
                let in_tail = total - self.up_to(tail.threshold);
                tail.exceeded_by((total - target) / in_tail)
            }
            _ => self.age_at(target),
        };
        let horizon = self.horizon_ms as f64;
        let is_near = value <= horizon * FARTHEST;
        let is_at_least = !is_seen && (tail.is_none() || !is_near);
        let value = if is_at_least { horizon } else { value };
        let later = self.steps.iter().filter(|(age, _, _)| *age > value);
        let seen_beyond = later.map(|(_, count, _)| count).sum();
        let deviation = 1.96 * (part * (1.0 - part) / self.count.max(1) as f64).sqrt();
        let bound = |part: f64| {
            let target = total * part;
            (is_seen && part < 1.0 && target <= self.sum).then(|| self.age_at(target) as u64)
        };
        let (low_ms, high_ms) = (bound(part - deviation), bound(part + deviation));
        let why = if is_at_least {
            Some("it is so far beyond what can be seen that it is not known".to_owned())
        } else if !is_seen {
            Some("it is beyond what can be seen, and continued from the tail before it".to_owned())
        } else if beyond / total > (1.0 - part) / 2.0 {
            Some("much of what it rests on is beyond what can be seen".to_owned())
        } else if seen_beyond < ENOUGH_BEYOND {
            Some(format!("only {seen_beyond} retries came later"))
        } else {
            None
        };
        let ttl_ms = value.max(0.0).ceil() as u64;
        let is_trusted = why.is_none();
        TtlLevel { part, ttl_ms, is_at_least, low_ms, high_ms, seen_beyond, is_trusted, why }
    }

    /// At most a hundred points of the curve, at even steps of their logarithm.
    fn curve(&self, total: f64) -> Vec<(u64, f64)> {
        let mut curve = Vec::new();
        let (mut sum, mut next) = (0.0, 1.0);
        for (age, _, weight) in &self.steps {
            sum += weight;
            if *age >= next || curve.is_empty() {
                curve.push((*age as u64, sum / total));
                next = age.max(1.0) * 1.25;
            }
        }
        if let Some((age, _, _)) = self.steps.last() {
            curve.push((*age as u64, self.sum / total));
        }
        curve
    }
}
