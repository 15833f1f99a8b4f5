//! The end of a simulation in tables and words, or as JSON.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};
use oncekey::simulation::Failure;
use serde::Serialize;

use super::hunt::Found;

/// How many failures are named.
pub(super) const NAMED: usize = 20;

/// The tables, the failures, of which the first was cut down, and the verdict.
pub(super) fn text(found: &Found, interrupted: bool) -> String {
    let mut text = format!("{}\n\n{}\n", table(found), totals(found));
    for failure in found.failures.iter().skip(1).take(NAMED) {
        let what = failure.broken().lines().next().unwrap_or_default();
        text.push_str(&format!("\n{what}\n  replay: {}\n", failure.command()));
    }
    if let Some(first) = found.failures.first() {
        text.push_str(&format!("\n{first}\n"));
    }
    let verdict = match (found.failed, interrupted) {
        (0, false) => "every promise was kept".into(),
        (0, true) => "interrupted; until then every promise was kept".into(),
        (1, _) => "FAILED: one run broke a promise".into(),
        (failed, _) => format!("FAILED: {failed} runs broke a promise"),
    };
    text.push_str(&verdict);
    text.push('\n');
    text
}

fn totals(found: &Found) -> String {
    let [seeds, crashes, clients] =
        [found.seeds, found.coverage.crashes(), found.coverage.count("clients")];
    let (seconds, digest) = (found.took.as_secs_f64(), found.coverage.digest());
    let rate = |count: u64| count as f64 / seconds.max(0.001);
    let seeds_word = if seeds == 1 { "seed" } else { "seeds" };
    format!(
        "{seeds} {seeds_word}, {crashes} crash-recoveries and {clients} clients in {seconds:.1} s: \
         {:.0} seeds/s, {:.0} recoveries/s, {:.0} clients/s; digest {digest:016x}",
        rate(seeds),
        rate(crashes),
        rate(clients),
    )
}

/// What was come across: a row each, under the name of its group. What never happened is shown
/// where it could be expected: not in a single run.
fn table(found: &Found) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(["", "what happened", "times"]);
    for (group, mut counts) in found.coverage.groups() {
        counts.retain(|(_, count)| *count > 0 || found.seeds > 1);
        for (at, (what, count)) in counts.into_iter().enumerate() {
            let group = if at == 0 { group } else { "" };
            table.add_row([group, what, &count.to_string()]);
        }
    }
    if let Some(column) = table.column_mut(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[derive(Debug, Serialize)]
pub(super) struct ReportJson<'a> {
    ok: bool,
    interrupted: bool,
    seeds: u64,
    crash_recoveries: u64,
    clients: u64,
    seconds: f64,
    digest: String,
    failed: u64,
    failures: Vec<FailureJson<'a>>,
    coverage: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
}

#[derive(Debug, Serialize)]
struct FailureJson<'a> {
    seed: u64,
    broken: &'a str,
    steps: Option<String>,
    command: String,
}

impl<'a> ReportJson<'a> {
    pub(super) fn of(found: &'a Found, interrupted: bool) -> Self {
        let coverage = &found.coverage;
        let groups = coverage.groups().map(|(group, counts)| (group, counts.into_iter().collect()));
        Self {
            ok: found.failed == 0 && !interrupted,
            interrupted,
            seeds: found.seeds,
            crash_recoveries: coverage.crashes(),
            clients: coverage.count("clients"),
            seconds: found.took.as_secs_f64(),
            digest: format!("{:016x}", coverage.digest()),
            failed: found.failed,
            failures: found.failures.iter().map(FailureJson::of).collect(),
            coverage: groups.collect(),
        }
    }
}

impl<'a> FailureJson<'a> {
    fn of(failure: &'a Failure) -> Self {
        Self {
            seed: failure.seed(),
            broken: failure.broken(),
            steps: failure.steps().map(ToString::to_string),
            command: failure.command(),
        }
    }
}
