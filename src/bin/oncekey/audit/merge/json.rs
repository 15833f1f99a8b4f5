//! The merged view as JSON: hashes as 16 hexadecimal digits, times in milliseconds.

use oncekey::StoreTime;
use oncekey::audit::Label;
use oncekey::audit::merge::{Execution, Finding, MergeGap, StoreView};
use oncekey::audit::report::{Report, ReportOptions};
use serde::Serialize;

use super::View;
use crate::words::json;

#[derive(Debug, Serialize)]
struct ViewJson {
    complete_to_ms: Option<u64>,
    comparable: bool,
    max_skew_ms: u64,
    stores: Vec<StoreJson>,
    findings: Vec<FindingJson>,
    silent_sources: Vec<String>,
    faults: u64,
    forced: u64,
    refused: u64,
    forgotten_keys: u64,
    findings_not_kept: u64,
    /// The report of the summaries that were among the lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    summaries: Option<Report>,
}

#[derive(Debug, Serialize)]
struct StoreJson {
    store: String,
    sources: Vec<String>,
    key_ids: Vec<String>,
    openings: usize,
    events: u64,
    duplicates: u64,
    late: u64,
    unsure: u64,
    complete_to_ms: Option<u64>,
    last_at_ms: Option<u64>,
    lag_ms: Option<u64>,
    waited_for: bool,
    state: &'static str,
    copied: bool,
    missing: String,
    gaps: Vec<GapJson>,
    more_gaps: u64,
}

#[derive(Debug, Serialize)]
struct GapJson {
    first: String,
    count: Option<String>,
    lost: bool,
}

#[derive(Debug, Serialize)]
struct FindingJson {
    kind: &'static str,
    timing: &'static str,
    key_hash: String,
    key_id: String,
    scope: Option<String>,
    executions: Vec<ExecutionJson>,
    more: bool,
}

#[derive(Debug, Serialize)]
struct ExecutionJson {
    store: String,
    opening: String,
    token: String,
    claimed: Option<String>,
    claimed_at_ms: Option<u64>,
    ended: Option<&'static str>,
    ended_at_ms: Option<u64>,
    operation: Option<String>,
    replays: u32,
}

/// All of it as one object.
pub(super) fn view(view: &View, pretty: bool) -> String {
    let pressure = view.pressure;
    let object = ViewJson {
        complete_to_ms: view.complete_to.map(StoreTime::as_millis),
        comparable: view.secrets < 2,
        max_skew_ms: view.max_skew_ms,
        stores: view.stores.iter().map(store).collect(),
        findings: view.findings.iter().map(finding).collect(),
        silent_sources: view.silent.clone(),
        faults: view.faults,
        forced: pressure.forced,
        refused: pressure.refused,
        forgotten_keys: pressure.forgotten_keys,
        findings_not_kept: pressure.findings_not_kept,
        summaries: view.summary.as_ref().map(|summary| summary.report(&ReportOptions::new())),
    };
    json(&object, pretty)
}

/// A finding as one line.
pub(super) fn finding_line(found: &Finding) -> String {
    #[derive(Serialize)]
    struct Line {
        finding: FindingJson,
    }
    json(&Line { finding: finding(found) }, false)
}

fn store(view: &StoreView) -> StoreJson {
    StoreJson {
        store: view.store_id.to_string(),
        sources: view.sources.clone(),
        key_ids: view.key_ids.iter().map(|key_id| format!("{key_id:016x}")).collect(),
        openings: view.boots,
        events: view.events,
        duplicates: view.duplicates,
        late: view.late,
        unsure: view.unsure,
        complete_to_ms: view.complete_to.map(StoreTime::as_millis),
        last_at_ms: view.last_at.map(StoreTime::as_millis),
        lag_ms: view.lag_ms,
        waited_for: view.is_waited_for,
        state: view.state.name(),
        copied: view.was_copied,
        missing: view.missing.to_string(),
        gaps: view.gaps.iter().map(gap).collect(),
        more_gaps: view.more_gaps,
    }
}

fn gap(gap: &MergeGap) -> GapJson {
    GapJson {
        first: format!("{}.{}", gap.producer.boot, gap.first),
        count: gap.count.map(|count| count.to_string()),
        lost: gap.is_lost,
    }
}

fn finding(finding: &Finding) -> FindingJson {
    FindingJson {
        kind: finding.kind.name(),
        timing: finding.timing.name(),
        key_hash: format!("{:016x}", finding.key_hash),
        key_id: format!("{:016x}", finding.key_id),
        scope: label(finding.scope),
        executions: finding.executions.iter().map(execution).collect(),
        more: finding.is_cut,
    }
}

fn execution(execution: &Execution) -> ExecutionJson {
    ExecutionJson {
        store: execution.producer.store_id.to_string(),
        opening: execution.producer.boot.to_string(),
        token: execution.token.to_string(),
        claimed: execution.claimed.map(|(_, id)| id.to_string()),
        claimed_at_ms: execution.claimed.map(|(at, _)| at.as_millis()),
        ended: execution.ended.map(|(ending, _)| ending.name()),
        ended_at_ms: execution.ended.map(|(_, at)| at.as_millis()),
        operation: label(execution.operation),
        replays: execution.replays,
    }
}

fn label(label: Option<Label>) -> Option<String> {
    label.map(|label| label.to_string())
}
