//! A report: a summary's figures, under names that stay.
//!
//! `docs/reports.md` says what each means, how it is derived, and its limits.

use serde::Serialize;

use super::backoff::Backoff;
use super::claims::ClaimState;
use super::example::Example;
use super::hex::Hex;
use super::quality::KeyQuality;
use super::spread::Spread;
use super::ttl::{TtlAdvice, TtlFacts};

/// What is known beside the events, and what is asked for.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct ReportOptions {
    /// What is known of the TTL.
    pub ttl: TtlFacts,
    /// A claim that has been open for longer is stuck; ten minutes if it is not said.
    pub stuck_after_ms: Option<u64>,
    /// Until when: the last event if it is not said.
    pub now_ms: Option<u64>,
}

impl ReportOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// What a summary says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The version of this form; fields may be added without a new one.
    pub format: u32,
    /// Whose events they are.
    pub stores: Vec<String>,
    /// With how many secrets the hashes were made; with more than one, clients and keys of
    /// different stores cannot be compared.
    pub secrets: usize,
    /// From when to when.
    pub window: Window,
    /// How many of what.
    pub totals: Totals,
    /// Parts of the requests.
    pub rates: Rates,
    /// What the collisions were.
    pub verdicts: Vec<VerdictReport>,
    /// Counts over time.
    pub timeline: TimelineReport,
    /// The busiest clients.
    pub clients: Vec<ClientReport>,
    /// Requests of clients that are not listed.
    pub other_clients: Rest,
    /// The busiest operations.
    pub operations: Vec<OperationReport>,
    /// Requests of operations that are not listed.
    pub other_operations: Rest,
    /// Keys that were used for two requests, by client and operation, the worst first.
    pub key_reuse: Vec<PairReport>,
    /// How old a claim was when a racing copy met it.
    pub race_window_ms: SpreadReport,
    /// How long claims were executed until they were completed.
    pub execution_ms: SpreadReport,
    /// How long somebody waited for another's claim.
    pub wait_ms: SpreadReport,
    /// Claims that have not ended.
    pub open_claims: OpenClaims,
    /// How long records have to be kept; `None` if no retry was seen.
    pub ttl: Option<TtlAdvice>,
    /// What is missing from the events.
    pub trust: TrustReport,
}

/// From when to when, in store time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Window {
    /// The first event.
    pub from_ms: u64,
    /// The last event.
    pub to_ms: u64,
}

/// How many of what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "each is the number of events of that kind")]
#[non_exhaustive]
pub struct Totals {
    pub events: u64,
    /// Claims, and collisions of claims; an end of a wait is no further request.
    pub requests: u64,
    /// Requests that met an earlier one of their key.
    pub collisions: u64,
    /// About how many different keys were claimed.
    pub keys: u64,
    /// About how many scopes claimed keys.
    pub scopes: u64,
    pub claimed: u64,
    pub completed: u64,
    pub replayed: u64,
    pub in_flight: u64,
    pub waited: u64,
    pub mismatches: u64,
    /// Retries after the record had expired, claimed anew or refused.
    pub late_retries: u64,
    pub taken_over: u64,
    pub stale_holders: u64,
    pub left_unresolved: u64,
    pub resolved: u64,
    pub released: u64,
    pub dropped: u64,
    pub forgotten: u64,
    pub limited: u64,
    pub clock_steps: u64,
    pub poisoned: u64,
}

/// Parts of the requests, from 0 to 1, and requests a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "each is that verdict's part of the requests")]
#[non_exhaustive]
pub struct Rates {
    pub requests_per_s: f64,
    pub completed_per_s: f64,
    pub collision_rate: f64,
    pub retry_rate: f64,
    pub race_rate: f64,
    pub key_reuse_rate: f64,
    pub late_rate: f64,
    pub suspicious_rate: f64,
    pub loop_rate: f64,
    pub unclear_rate: f64,
    pub limited_rate: f64,
}

/// The collisions of one verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct VerdictReport {
    /// Its stable name.
    pub verdict: &'static str,
    /// How many.
    pub count: u64,
    /// Their part of the requests.
    pub rate: f64,
    /// How many had each reason, the most frequent first.
    pub reasons: Vec<(&'static str, u64)>,
    /// The clearest ones.
    pub examples: Vec<Example>,
}

/// Counts over time.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TimelineReport {
    /// How long a bucket is.
    pub bucket_ms: u64,
    /// The names of the counts of each bucket.
    pub series: [&'static str; 8],
    /// When each bucket begins, and its counts.
    pub buckets: Vec<(u64, [u64; 8])>,
}

/// A client.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ClientReport {
    /// Its label; `None` for requests that named no client.
    pub client: Option<Hex>,
    /// Its name, if the trail kept it.
    pub name: Option<String>,
    /// Its requests.
    pub requests: u64,
    /// About how many different keys it claimed.
    pub keys: u64,
    /// How many collisions had each verdict.
    pub verdicts: Vec<(&'static str, u64)>,
    /// The part of its requests under the key of another request.
    pub key_reuse_rate: f64,
    /// How it waits before it tries again.
    pub backoff: Backoff,
    /// Gaps before its retries: of the first, the second ... and from the fifth on.
    pub gaps_ms: Vec<SpreadReport>,
    /// What its keys look like.
    pub key_quality: KeyQuality,
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OperationReport {
    /// Its label; `None` for requests that named no operation.
    pub operation: Option<Hex>,
    /// Its name, if the trail kept it.
    pub name: Option<String>,
    /// Its requests.
    pub requests: u64,
    /// How many collisions had each verdict.
    pub verdicts: Vec<(&'static str, u64)>,
    /// The part of its requests under the key of another request.
    pub key_reuse_rate: f64,
    /// How long it was executed.
    pub execution_ms: SpreadReport,
}

/// What is not listed by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Rest {
    /// Requests.
    pub requests: u64,
    /// How often somebody was no longer kept by itself; zero if nobody is missing from the list.
    pub folded: u64,
}

/// Whether a rate rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Direction {
    /// Too few to say.
    Unknown,
    /// No difference that chance would not make.
    Steady,
    /// More in the second half.
    Rising,
    /// Less in the second half.
    Falling,
}

/// A client and an operation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PairReport {
    /// The client's label.
    pub client: Option<Hex>,
    /// Its name.
    pub client_name: Option<String>,
    /// The operation's label.
    pub operation: Option<Hex>,
    /// Its name.
    pub operation_name: Option<String>,
    /// Requests.
    pub requests: u64,
    /// Those under the key of another request.
    pub key_reuse: u64,
    /// Their part.
    pub rate: f64,
    /// Whether the part rises.
    pub direction: Direction,
    /// Over time: when, requests, key reuse.
    pub trend: Vec<(u64, u64, u64)>,
}

/// How values spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "percentiles")]
#[non_exhaustive]
pub struct SpreadReport {
    pub count: u64,
    pub p50: Option<u64>,
    pub p90: Option<u64>,
    pub p99: Option<u64>,
    pub p999: Option<u64>,
    pub max: Option<u64>,
}

impl From<&Spread> for SpreadReport {
    fn from(spread: &Spread) -> Self {
        Self {
            count: spread.count(),
            p50: spread.quantile(0.5),
            p90: spread.quantile(0.9),
            p99: spread.quantile(0.99),
            p999: spread.quantile(0.999),
            max: spread.max(),
        }
    }
}

/// Claims that have not ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OpenClaims {
    /// Claimed or let go of, by the process that runs.
    pub in_flight: u64,
    /// Of those, open for longer than `stuck_after_ms`.
    pub stuck: u64,
    /// After this long a claim counts as stuck.
    pub stuck_after_ms: u64,
    /// Claimed by a process that is gone; the next claim takes them over.
    pub abandoned: u64,
    /// With their effect unknown: to be settled.
    pub unresolved: u64,
    /// Claims that were not followed for want of room.
    pub not_followed: u64,
    /// Whether ends may be among the events that are missing.
    pub is_uncertain: bool,
    /// Stuck, abandoned and unresolved ones, the oldest first, at most fifty.
    pub listed: Vec<OpenClaim>,
}

/// A claim that has not ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OpenClaim {
    /// What it is: `in_flight`, `abandoned` or `unresolved`.
    pub what: &'static str,
    /// How far it came.
    pub state: ClaimState,
    /// Whose store, by the first half of its id.
    pub store: Hex,
    /// The event that it was claimed or first met by.
    pub event: String,
    /// The key's hash.
    pub key_hash: Hex,
    /// Its fencing token.
    pub token: u64,
    /// Since when.
    pub since_ms: u64,
    /// For how long.
    pub open_ms: u64,
    /// Who claimed it.
    pub client: Option<Hex>,
    /// Its name.
    pub client_name: Option<String>,
    /// What is being done.
    pub operation_name: Option<String>,
}

/// What is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TrustReport {
    /// Whether nothing is missing.
    pub is_whole: bool,
    /// Gaps.
    pub gaps: u64,
    /// Events that are missing in gaps of known length.
    pub lost_events: u64,
    /// Gaps of unknown length.
    pub unknown_gaps: u64,
    /// The part of the events that is known to be missing, in millionths.
    pub lost_ppm: u64,
    /// Damaged places.
    pub damaged: u64,
    /// Damaged bytes.
    pub damaged_bytes: u64,
    /// Where gaps are, the first ones.
    pub listed_gaps: Vec<String>,
    /// Where damage is, the first places.
    pub listed_damage: Vec<String>,
}

/// How a figure is made of a report.
type Figure = fn(&Report) -> Option<f64>;

/// The figures that rules may be made of.
const FIGURES: [(&str, Figure); 40] = [
    ("events", |r| Some(r.totals.events as f64)),
    ("requests", |r| Some(r.totals.requests as f64)),
    ("keys", |r| Some(r.totals.keys as f64)),
    ("collisions", |r| Some(r.totals.collisions as f64)),
    ("retries", |r| Some(r.verdict("legitimate_retry") as f64)),
    ("races", |r| Some(r.verdict("race") as f64)),
    ("key_reuse", |r| Some(r.verdict("key_reuse") as f64)),
    ("late_retries", |r| Some(r.totals.late_retries as f64)),
    ("suspicious_replays", |r| Some(r.verdict("suspicious_replay") as f64)),
    ("automation_loops", |r| Some(r.verdict("automation_loop") as f64)),
    ("stale_holders", |r| Some(r.totals.stale_holders as f64)),
    ("unclear", |r| Some(r.verdict("unclear") as f64)),
    ("taken_over", |r| Some(r.totals.taken_over as f64)),
    ("limited", |r| Some(r.totals.limited as f64)),
    ("clock_steps", |r| Some(r.totals.clock_steps as f64)),
    ("poisoned", |r| Some(r.totals.poisoned as f64)),
    ("left_unresolved", |r| Some(r.totals.left_unresolved as f64)),
    ("requests_per_s", |r| Some(r.rates.requests_per_s)),
    ("collision_rate", |r| Some(r.rates.collision_rate)),
    ("retry_rate", |r| Some(r.rates.retry_rate)),
    ("race_rate", |r| Some(r.rates.race_rate)),
    ("key_reuse_rate", |r| Some(r.rates.key_reuse_rate)),
    ("late_rate", |r| Some(r.rates.late_rate)),
    ("suspicious_rate", |r| Some(r.rates.suspicious_rate)),
    ("loop_rate", |r| Some(r.rates.loop_rate)),
    ("limited_rate", |r| Some(r.rates.limited_rate)),
    ("worst_key_reuse_rate", Report::worst_key_reuse_rate),
    ("weak_key_clients", |r| Some(r.weak_key_clients() as f64)),
    ("in_flight", |r| Some(r.open_claims.in_flight as f64)),
    ("stuck_claims", |r| Some(r.open_claims.stuck as f64)),
    ("abandoned_claims", |r| Some(r.open_claims.abandoned as f64)),
    ("unresolved", |r| Some(r.open_claims.unresolved as f64)),
    ("execution_p99_ms", |r| r.execution_ms.p99.map(|ms| ms as f64)),
    ("race_window_p99_ms", |r| r.race_window_ms.p99.map(|ms| ms as f64)),
    ("ttl_covered", |r| r.ttl.as_ref().and_then(|ttl| ttl.covered)),
    ("ttl_999_ms", |r| r.ttl_level(0.999)),
    ("ttl_9999_ms", |r| r.ttl_level(0.9999)),
    ("gaps", |r| Some(r.trust.gaps as f64)),
    ("lost_events", |r| Some(r.trust.lost_events as f64)),
    ("damaged", |r| Some(r.trust.damaged as f64)),
];

impl Report {
    /// The names of all figures that [`figure`](Self::figure) knows.
    pub fn figure_names() -> impl Iterator<Item = &'static str> {
        FIGURES.iter().map(|(name, _)| *name)
    }

    /// A figure by its name. `None` if there is no such figure, or nothing to make it of.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<f64> {
        FIGURES.iter().find(|(known, _)| *known == name).and_then(|(_, of)| of(self))
    }

    fn verdict(&self, name: &str) -> u64 {
        self.verdicts.iter().find(|of| of.verdict == name).map_or(0, |of| of.count)
    }

    /// The highest rate of key reuse of a client and operation with a hundred requests or more.
    fn worst_key_reuse_rate(&self) -> Option<f64> {
        let rates = self.key_reuse.iter().filter(|pair| pair.requests >= 100).map(|pair| pair.rate);
        Some(rates.fold(0.0, f64::max))
    }

    fn weak_key_clients(&self) -> usize {
        use super::quality::Grade;
        let weak = |client: &&ClientReport| client.key_quality.grade >= Grade::Weak;
        self.clients.iter().filter(weak).count()
    }

    fn ttl_level(&self, part: f64) -> Option<f64> {
        let levels = &self.ttl.as_ref()?.levels;
        levels.iter().find(|level| level.part == part).map(|level| level.ttl_ms as f64)
    }
}
