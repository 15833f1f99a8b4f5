//! What became of the rules.

use oncekey::audit::report::Report;

use super::allowed::{self, Allowed};
use super::baseline::Baseline;
use super::rule::Rule;

/// What a check found.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) rules: Vec<Judged>,
    /// What is missing from the events, in words.
    pub(super) missing: Option<String>,
    /// Whether that is allowed.
    pub(super) is_complete: bool,
    pub(super) now: Baseline,
    pub(super) baseline: Option<Baseline>,
    pub(super) events: u64,
    pub(super) requests: u64,
}

/// A rule, and what it was judged by.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) rule: Rule,
    pub(super) value: Option<f64>,
    pub(super) baseline: Option<f64>,
    pub(super) limit: Option<f64>,
    pub(super) state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Holds,
    Failed,
    /// There is nothing to make the figure of, or no baseline to compare it with.
    NoData,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Failed => "failed",
            Self::NoData => "no_data",
        }
    }
}

impl Outcome {
    pub(super) fn new(
        rules: Vec<Rule>,
        report: &Report,
        baseline: Option<Baseline>,
        allowed: Allowed,
    ) -> Self {
        let judge = |rule: Rule| {
            let value = report.figure(rule.figure).filter(|value| value.is_finite());
            let old = baseline.as_ref().and_then(|old| old.figures.get(rule.figure)).copied();
            let limit = rule.limit(old);
            let state = match (value, limit) {
                (Some(value), Some(limit)) if rule.is_broken(value, limit) => State::Failed,
                (Some(_), Some(_)) => State::Holds,
                _ => State::NoData,
            };
            Judged { rule, value, baseline: old, limit, state }
        };
        Self {
            rules: rules.into_iter().map(judge).collect(),
            missing: allowed::missing(&report.trust),
            is_complete: allowed.allows(&report.trust),
            now: Baseline::of(report),
            baseline,
            events: report.totals.events,
            requests: report.totals.requests,
        }
    }

    /// Whether every rule holds, and nothing is missing that may not be.
    pub(super) fn is_passed(&self) -> bool {
        self.is_complete && self.failed() == 0
    }

    pub(super) fn failed(&self) -> usize {
        self.rules.iter().filter(|judged| judged.state == State::Failed).count()
    }
}
