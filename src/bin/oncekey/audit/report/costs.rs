//! What a TTL costs: the formula of `oncekey size` at the rate of the report.

use oncekey::audit::report::Report;
use serde::Serialize;

use crate::audit::summed::Records;
use crate::audit::words::span;
use crate::size::estimate::{Class, Load};

/// What is assumed where no record was seen.
const RESPONSE_BYTES: f64 = 1024.0;
const SCOPE_BYTES: f64 = 16.0;
const KEY_BYTES: f64 = 36.0;
const SEGMENT_BYTES: u64 = 64 << 20;

/// A TTL, and what it takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Cost {
    /// `present`, or the part of the retries that it covers.
    pub(super) what: String,
    pub(super) ttl_ms: u64,
    /// Whether it is only known to be this or longer.
    pub(super) is_at_least: bool,
    /// Records at a time.
    pub(super) records: u64,
    pub(super) disk_bytes: u64,
    /// Of the index.
    pub(super) memory_bytes: u64,
}

/// What was reckoned with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Costs {
    pub(super) completed_per_s: f64,
    pub(super) response_bytes: f64,
    /// Whether sizes of records are assumed, not seen.
    pub(super) is_assumed: bool,
    pub(super) ttls: Vec<Cost>,
}

impl Costs {
    pub(super) fn new(report: &Report, records: Option<Records>, response: Option<u64>) -> Self {
        let records = records.unwrap_or_default();
        let response = response.map(|bytes| bytes as f64).or(records.response_bytes);
        let mut costs = Self {
            completed_per_s: report.rates.completed_per_s,
            response_bytes: response.unwrap_or(RESPONSE_BYTES),
            is_assumed: response.is_none(),
            ttls: Vec::new(),
        };
        let Some(ttl) = &report.ttl else { return costs };
        let levels = ttl.levels.iter();
        let mut ttls: Vec<(String, u64, bool)> =
            levels.map(|level| (percent(level.part), level.ttl_ms, level.is_at_least)).collect();
        if let Some(present_ms) = ttl.ttl_ms {
            ttls.push(("half the present".into(), present_ms / 2, false));
            ttls.push(("present".into(), present_ms, false));
            ttls.push(("twice the present".into(), present_ms.saturating_mul(2), false));
        }
        ttls.sort_by_key(|(_, ttl_ms, _)| *ttl_ms);
        costs.ttls = ttls.into_iter().map(|ttl| costs.of(&records, ttl)).collect();
        costs
    }

    fn of(&self, records: &Records, (what, ttl_ms, is_at_least): (String, u64, bool)) -> Cost {
        let load = Load {
            requests_per_s: self.completed_per_s,
            classes: vec![Class { ttl_s: ttl_ms as f64 / 1000.0, share: 1.0 }],
            scope_bytes: records.scope_bytes.unwrap_or(SCOPE_BYTES),
            key_bytes: records.key_bytes.unwrap_or(KEY_BYTES),
            response_bytes: self.response_bytes,
            frames_per_batch: 1.0,
            segment_bytes: records.segment_bytes.unwrap_or(SEGMENT_BYTES) as f64,
            remember_s: 0.0,
        };
        let estimate = load.estimate();
        Cost {
            what,
            ttl_ms,
            is_at_least,
            records: estimate.records as u64,
            disk_bytes: estimate.disk_bytes as u64,
            memory_bytes: estimate.index_bytes as u64,
        }
    }
}

impl Cost {
    /// The TTL as it is said.
    pub(super) fn ttl(&self) -> String {
        let at_least = if self.is_at_least { "over " } else { "" };
        format!("{at_least}{}", span(self.ttl_ms))
    }
}

/// A part as it is said: 99.9%.
pub(super) fn percent(part: f64) -> String {
    let text = format!("{:.4}", part * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}
