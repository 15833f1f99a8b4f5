//! Makes a report of a summary.

use super::claims::{ClaimState, LastClaim};
use super::exposure::Exposure;
use super::figures::{
    ClientReport, Direction, OpenClaim, OpenClaims, OperationReport, PairReport, Rates, Report,
    ReportOptions, Rest, SpreadReport, TimelineReport, Totals, TrustReport, VerdictReport, Window,
};
use super::hex::Hex;
use super::people::{ClientFigures, PairFigures};
use super::quality::KeyQuality;
use super::summary::{CLIENTS, OPERATIONS, Summary, is_request, series};
use super::tally::Tally;
use super::ttl::TtlAdvice;
use crate::audit::{EventKind, Verdict};

const STUCK_AFTER_MS: u64 = 600_000;
const LISTED_CLAIMS: usize = 50;
const LISTED_PAIRS: usize = 100;
const SERIES: [&str; series::COUNT] = [
    "requests",
    "completed",
    "retries",
    "key_reuse",
    "races",
    "late_retries",
    "suspicious_replays",
    "automation_loops",
];

impl Summary {
    /// What it says.
    #[must_use]
    pub fn report(&self, options: &ReportOptions) -> Report {
        let window =
            Window { from_ms: self.first_ms.unwrap_or(0), to_ms: self.last_ms.unwrap_or(0) };
        let totals = self.totals();
        Report {
            format: 1,
            stores: self.stores.iter().cloned().collect(),
            secrets: self.key_ids.len(),
            window,
            totals,
            rates: self.rates(&totals, window),
            verdicts: self.verdict_reports(totals.requests),
            timeline: TimelineReport {
                bucket_ms: self.timeline.bucket_ms(),
                series: SERIES,
                buckets: self.timeline.buckets().map(|(at, counts)| (at, *counts)).collect(),
            },
            clients: self.client_reports(window),
            other_clients: self.other_clients(),
            operations: self.operation_reports(),
            other_operations: self.other_operations(),
            key_reuse: self.pair_reports(),
            race_window_ms: (&self.race_windows).into(),
            execution_ms: (&self.durations).into(),
            wait_ms: (&self.waits).into(),
            open_claims: self.open_claims(options, window),
            ttl: self.ttl_advice(options, window),
            trust: self.trust_report(),
        }
    }

    fn totals(&self) -> Totals {
        let of = |kind| self.kinds.of(kind);
        let requests = requests(&self.kinds);
        let unmet = of(EventKind::Claimed).saturating_add(of(EventKind::Limited));
        Totals {
            events: self.events,
            requests,
            collisions: requests.saturating_sub(unmet),
            keys: self.keys.estimate(),
            scopes: self.scopes.estimate(),
            claimed: of(EventKind::Claimed),
            completed: of(EventKind::Completed),
            replayed: of(EventKind::Replayed),
            in_flight: of(EventKind::InFlight),
            waited: of(EventKind::Waited),
            mismatches: of(EventKind::Mismatch),
            late_retries: of(EventKind::LateRetry).saturating_add(of(EventKind::Expired)),
            taken_over: of(EventKind::TakenOver),
            stale_holders: of(EventKind::StaleHolder),
            left_unresolved: of(EventKind::LeftUnresolved),
            resolved: of(EventKind::Resolved),
            released: of(EventKind::Released),
            dropped: of(EventKind::Dropped),
            forgotten: of(EventKind::Forgotten),
            limited: of(EventKind::Limited),
            clock_steps: of(EventKind::ClockStep),
            poisoned: of(EventKind::Poisoned),
        }
    }

    fn rates(&self, totals: &Totals, window: Window) -> Rates {
        // A rate over less than a second would be one of chance.
        let seconds = (window.to_ms.saturating_sub(window.from_ms)).max(1000) as f64 / 1000.0;
        let part = |count: u64| ratio(count, totals.requests);
        let of = |verdict| part(self.verdicts.of(verdict));
        Rates {
            requests_per_s: totals.requests as f64 / seconds,
            completed_per_s: totals.completed as f64 / seconds,
            collision_rate: part(totals.collisions),
            retry_rate: of(Verdict::LegitimateRetry),
            race_rate: of(Verdict::Race),
            key_reuse_rate: of(Verdict::KeyReuse),
            late_rate: part(totals.late_retries),
            suspicious_rate: of(Verdict::SuspiciousReplay),
            loop_rate: of(Verdict::AutomationLoop),
            unclear_rate: of(Verdict::Unclear),
            limited_rate: part(totals.limited),
        }
    }

    fn verdict_reports(&self, requests: u64) -> Vec<VerdictReport> {
        let report = |(verdict, count): (Verdict, u64)| {
            let figures = self.by_verdict.get(verdict.name());
            let reasons = figures.map(|figures| figures.reasons.iter().collect::<Vec<_>>());
            let mut reasons: Vec<(&'static str, u64)> = reasons
                .unwrap_or_default()
                .into_iter()
                .map(|(reason, count)| (reason.name(), count))
                .collect();
            reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            let examples = figures.map(|figures| figures.examples.iter().cloned().collect());
            let examples = examples.unwrap_or_default();
            let rate = ratio(count, requests);
            VerdictReport { verdict: verdict.name(), count, rate, reasons, examples }
        };
        self.verdicts.iter().map(report).collect()
    }

    fn name(&self, label: Hex) -> Option<String> {
        self.names.get(&label).cloned()
    }

    fn client_reports(&self, window: Window) -> Vec<ClientReport> {
        let window_ms = window.to_ms.saturating_sub(window.from_ms);
        let report = |(client, figures): (Hex, &ClientFigures)| ClientReport {
            client: known(client),
            name: self.name(client),
            requests: requests(&figures.kinds),
            keys: figures.keys_seen.estimate(),
            verdicts: named(&figures.verdicts),
            key_reuse_rate: reuse_rate(&figures.kinds),
            backoff: figures.gaps.infer(),
            gaps_ms: (1..=5)
                .filter_map(|number| figures.gaps.before(number))
                .take_while(|spread| spread.count() > 0)
                .map(SpreadReport::from)
                .collect(),
            key_quality: KeyQuality::new(&figures.keys, window_ms),
        };
        self.clients.busiest().into_iter().take(CLIENTS).map(report).collect()
    }

    fn other_clients(&self) -> Rest {
        let busiest = self.clients.busiest();
        let unlisted = busiest.iter().skip(CLIENTS).map(|(_, figures)| requests(&figures.kinds));
        Rest {
            requests: sum(unlisted.chain([requests(&self.clients.rest().kinds)])),
            folded: sum(
                [self.clients.folded(), busiest.len().saturating_sub(CLIENTS) as u64].into_iter()
            ),
        }
    }

    fn operation_reports(&self) -> Vec<OperationReport> {
        let busiest = self.operations.busiest().into_iter().take(OPERATIONS);
        busiest
            .map(|(operation, figures)| OperationReport {
                operation: known(operation),
                name: self.name(operation),
                requests: requests(&figures.kinds),
                verdicts: named(&figures.verdicts),
                key_reuse_rate: reuse_rate(&figures.kinds),
                execution_ms: (&figures.durations).into(),
            })
            .collect()
    }

    fn other_operations(&self) -> Rest {
        let busiest = self.operations.busiest();
        let unlisted = busiest.iter().skip(OPERATIONS).map(|(_, figures)| requests(&figures.kinds));
        Rest {
            requests: sum(unlisted.chain([requests(&self.operations.rest().kinds)])),
            folded: sum([
                self.operations.folded(),
                busiest.len().saturating_sub(OPERATIONS) as u64,
            ]
            .into_iter()),
        }
    }

    fn pair_reports(&self) -> Vec<PairReport> {
        let mut pairs: Vec<_> = self.pairs.busiest();
        pairs.retain(|(_, figures)| figures.key_reuse > 0);
        pairs.sort_by(|(left_key, left), (right_key, right)| {
            let rate = |pair: &PairFigures| ratio(pair.key_reuse, pair.requests);
            let by_count = right.key_reuse.cmp(&left.key_reuse);
            by_count.then(rate(right).total_cmp(&rate(left))).then(left_key.cmp(right_key))
        });
        let report = |((client, operation), figures): ((Hex, Hex), &PairFigures)| PairReport {
            client: known(client),
            client_name: self.name(client),
            operation: known(operation),
            operation_name: self.name(operation),
            requests: figures.requests,
            key_reuse: figures.key_reuse,
            rate: ratio(figures.key_reuse, figures.requests),
            direction: direction(figures),
            trend: figures.trend.buckets().map(|(at, [all, reuse])| (at, *all, *reuse)).collect(),
        };
        pairs.into_iter().take(LISTED_PAIRS).map(report).collect()
    }

    fn open_claims(&self, options: &ReportOptions, window: Window) -> OpenClaims {
        let now_ms = options.now_ms.unwrap_or(window.to_ms);
        let stuck_after_ms = options.stuck_after_ms.unwrap_or(STUCK_AFTER_MS);
        let mut claims = OpenClaims {
            in_flight: 0,
            stuck: 0,
            stuck_after_ms,
            abandoned: 0,
            unresolved: 0,
            not_followed: self.claims.not_followed(),
            is_uncertain: !self.trust.is_whole(),
            listed: Vec::new(),
        };
        for claim in self.claims.open() {
            let open_ms = now_ms.saturating_sub(claim.since_ms);
            let is_over = self.boots.get(&claim.store).is_some_and(|last| claim.boot < *last);
            let is_stuck = open_ms > stuck_after_ms;
            let what = match claim.state {
                ClaimState::Unresolved => "unresolved",
                _ if is_over => "abandoned",
                _ => "in_flight",
            };
            match what {
                "unresolved" => claims.unresolved += 1,
                "abandoned" => claims.abandoned += 1,
                _ => {
                    claims.in_flight += 1;
                    claims.stuck += u64::from(is_stuck);
                }
            }
            if (is_stuck || what != "in_flight") && claims.listed.len() < LISTED_CLAIMS {
                claims.listed.push(self.open_claim(&claim, what, open_ms));
            }
        }
        claims
    }

    fn open_claim(&self, claim: &LastClaim, what: &'static str, open_ms: u64) -> OpenClaim {
        OpenClaim {
            what,
            state: claim.state,
            store: claim.store,
            event: format!("{}.{}", claim.boot, claim.sequence),
            key_hash: claim.key_hash,
            token: claim.token,
            since_ms: claim.since_ms,
            open_ms,
            client: known(claim.client),
            client_name: self.name(claim.client),
            operation_name: self.name(claim.operation),
        }
    }

    fn ttl_advice(&self, options: &ReportOptions, window: Window) -> Option<TtlAdvice> {
        let ttl_ms = options.ttl.ttl_ms.or(self.retention.inferred_ttl_ms());
        let since_ms = self.retention.since_ms(ttl_ms).unwrap_or(window.from_ms);
        let completed = self
            .timeline
            .buckets()
            .map(|(at, counts)| (at, counts.get(series::COMPLETED).copied().unwrap_or(0)));
        let window = (window.from_ms, window.to_ms);
        let exposure = Exposure::new(window, since_ms, completed, self.timeline.bucket_ms());
        TtlAdvice::new(&self.retention, &exposure, options.ttl)
    }

    fn trust_report(&self) -> TrustReport {
        let trust = &self.trust;
        let all = u128::from(trust.lost) + u128::from(self.events);
        let texts =
            |listed: &[(Hex, String)]| listed.iter().map(|(_, text)| text.clone()).collect();
        TrustReport {
            is_whole: trust.is_whole(),
            gaps: trust.gaps,
            lost_events: trust.lost,
            unknown_gaps: trust.unknown_gaps,
            lost_ppm: (u128::from(trust.lost) * 1_000_000 / all.max(1)) as u64,
            damaged: trust.damaged,
            damaged_bytes: trust.damaged_bytes,
            listed_gaps: texts(&trust.listed_gaps),
            listed_damage: texts(&trust.listed_damage),
        }
    }
}

fn known(label: Hex) -> Option<Hex> {
    (label.0 != 0).then_some(label)
}

fn named(verdicts: &Tally<Verdict>) -> Vec<(&'static str, u64)> {
    verdicts.iter().map(|(verdict, count)| (verdict.name(), count)).collect()
}

fn requests(kinds: &Tally<EventKind>) -> u64 {
    sum(kinds.iter().filter(|(kind, _)| is_request(*kind)).map(|(_, count)| count))
}

fn sum(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

fn reuse_rate(kinds: &Tally<EventKind>) -> f64 {
    ratio(kinds.of(EventKind::Mismatch), requests(kinds))
}

fn ratio(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

/// Compares the halves of the time: whether their difference is more than twice what chance makes
/// (two proportions, pooled).
fn direction(pair: &PairFigures) -> Direction {
    let buckets: Vec<_> = pair.trend.buckets().collect();
    let (before, after) = buckets.split_at(buckets.len() / 2);
    let sum = |half: &[(u64, &[u64; 2])]| {
        half.iter().fold((0.0, 0.0), |(all, reuse), (_, [requests, reused])| {
            (all + *requests as f64, reuse + *reused as f64)
        })
    };
    let ((all_before, before), (all_after, after)) = (sum(before), sum(after));
    if all_before < 30.0 || all_after < 30.0 || before + after < 5.0 {
        return Direction::Unknown;
    }
    let pooled = (before + after) / (all_before + all_after);
    let deviation = (pooled * (1.0 - pooled) * (1.0 / all_before + 1.0 / all_after)).sqrt();
    let difference = after / all_after - before / all_before;
    if difference.abs() <= 2.0 * deviation {
        Direction::Steady
    } else if difference > 0.0 {
        Direction::Rising
    } else {
        Direction::Falling
    }
}
