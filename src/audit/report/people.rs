//! Figures for each client, each operation, and each pair of them.

use serde::{Deserialize, Serialize};

use super::backoff::Gaps;
use super::crowd::Figures;
use super::distinct::Distinct;
use super::keys::Keys;
use super::spread::Spread;
use super::tally::Tally;
use super::timeline::Timeline;
use crate::audit::{Event, EventKind, Judgement, Verdict};

/// Of a client.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientFigures {
    /// What was decided for it.
    pub kinds: Tally<EventKind>,
    /// What its collisions were.
    pub verdicts: Tally<Verdict>,
    /// How many different keys it claimed.
    pub keys_seen: Distinct<11>,
    /// What its keys look like.
    pub keys: Keys,
    /// How it waits before it tries again.
    pub gaps: Gaps,
}

/// Of an operation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OperationFigures {
    /// What was decided about it.
    pub kinds: Tally<EventKind>,
    /// What its collisions were.
    pub verdicts: Tally<Verdict>,
    /// How long it was executed.
    pub durations: Spread,
}

/// Of a client and an operation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairFigures {
    /// Requests.
    pub requests: u64,
    /// Requests under the key of another request.
    pub key_reuse: u64,
    /// Requests, and those under the key of another request, over time.
    pub trend: Timeline<2, 32>,
}

impl ClientFigures {
    pub(super) fn observe(&mut self, event: &Event, judgement: Option<&Judgement>) {
        self.kinds.add(event.kind, 1);
        if let Some(judgement) = judgement {
            self.verdicts.add(judgement.verdict, 1);
        }
        if event.kind == EventKind::Claimed {
            self.keys_seen.insert(event.key_hash);
            if let Some(shape) = &event.shape {
                self.keys.observe(event, shape);
            }
        }
    }
}

impl Figures for ClientFigures {
    fn weight(&self) -> u64 {
        self.kinds.total()
    }

    fn merge(&mut self, other: &Self) {
        self.kinds.merge(&other.kinds);
        self.verdicts.merge(&other.verdicts);
        self.keys_seen.merge(&other.keys_seen);
        self.keys.merge(&other.keys);
        self.gaps.merge(&other.gaps);
    }
}

impl OperationFigures {
    pub(super) fn observe(&mut self, event: &Event, judgement: Option<&Judgement>) {
        self.kinds.add(event.kind, 1);
        if let Some(judgement) = judgement {
            self.verdicts.add(judgement.verdict, 1);
        }
        if let (EventKind::Completed, Some(duration_ms)) = (event.kind, event.duration_ms) {
            self.durations.record(duration_ms);
        }
    }
}

impl Figures for OperationFigures {
    fn weight(&self) -> u64 {
        self.kinds.total()
    }

    fn merge(&mut self, other: &Self) {
        self.kinds.merge(&other.kinds);
        self.verdicts.merge(&other.verdicts);
        self.durations.merge(&other.durations);
    }
}

impl PairFigures {
    pub(super) fn observe(&mut self, event: &Event) {
        self.requests += 1;
        self.trend.count(event.at.as_millis(), 0);
        if event.kind == EventKind::Mismatch {
            self.key_reuse += 1;
            self.trend.count(event.at.as_millis(), 1);
        }
    }
}

impl Figures for PairFigures {
    /// Misuse weighs more than use: it is what is looked for.
    fn weight(&self) -> u64 {
        self.requests.saturating_add(self.key_reuse.saturating_mul(100))
    }

    fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.key_reuse += other.key_reuse;
        self.trend.merge(&other.trend);
    }
}
