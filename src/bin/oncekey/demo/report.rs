//! The end of a run in tables and words, or as JSON.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::compare::{Comparison, Doubt};
use super::gateway::Counts;
use super::tally::Row;

/// How many offenders of a kind are named.
const NAMED: usize = 10;

/// Everything a run found out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) ok: bool,
    pub(crate) rows: Vec<Row>,
    pub(crate) gateway: Counts,
    pub(crate) deduplicates: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kills: Option<Kills>,
    pub(crate) comparison: Comparison,
}

/// How often the service was killed, and how fast it was back.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Kills {
    pub(crate) under_load: usize,
    /// Before it took requests again: a crash during recovery is a crash too.
    pub(crate) while_opening: usize,
    /// From the start of the process to its first request, in milliseconds.
    pub(crate) restarts_ms: Vec<u64>,
}

impl Report {
    pub(crate) fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!("\n{}\n\n", traffic_table(&self.rows));
        // Writing to a string cannot fail.
        let _ = self.write_words(&mut text);
        text
    }

    fn write_words(&self, text: &mut String) -> std::fmt::Result {
        let found = &self.comparison;
        if let Some(kills) = &self.kills {
            writeln!(text, "{}", kills.words())?;
        }
        let Counts { requests, repeats, .. } = self.gateway;
        let kind = if self.deduplicates { "deduplicates" } else { "does not deduplicate" };
        writeln!(
            text,
            "gateway: {kind}; asked {requests} times, {repeats} of them again for a charge made \
             before",
        )?;
        if !found.unresolved.is_empty() {
            writeln!(text, "\n{}\n", doubts_table(&found.unresolved))?;
        }
        writeln!(
            text,
            "keys: {}; charged and acknowledged: {}; declined: {}; unresolved: {} ({} of them in \
             the book)",
            found.payments,
            found.acknowledged,
            found.declined,
            found.unresolved.len(),
            found.doubts_in_book(),
        )?;
        let due = found.acknowledged + found.doubts_in_book();
        write!(text, "book: {} charges for {due} keys", found.charges)?;
        for (kind, list) in found.problems() {
            if !list.is_empty() || matches!(kind, "charged twice" | "lost") {
                write!(text, "; {kind}: {}", list.len())?;
            }
        }
        writeln!(text)?;
        for (kind, list) in found.problems() {
            for offender in list.iter().take(NAMED) {
                writeln!(text, "  {kind}: {offender}")?;
            }
        }
        writeln!(text, "{}", if self.ok { "every answer was kept" } else { "FAILED" })
    }
}

impl Kills {
    fn words(&self) -> String {
        let mut sorted = self.restarts_ms.clone();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
        let slowest = sorted.last().copied().unwrap_or(0);
        format!(
            "service: killed with SIGKILL {} times under load and {} times while it was opening \
             the store; back after {median} ms (median), {slowest} ms (slowest)",
            self.under_load, self.while_opening,
        )
    }
}

type Column = (&'static str, fn(&Row) -> String);

const COLUMNS: [Column; 13] = [
    ("scenario", |row| row.scenario.clone()),
    ("keys", |row| row.payments.to_string()),
    ("sent", |row| row.sent.to_string()),
    ("executed", |row| row.executed.to_string()),
    ("replayed", |row| row.replayed.to_string()),
    ("waited", |row| row.waited.to_string()),
    ("mismatch", |row| row.rejected.mismatch.to_string()),
    ("in flight", |row| row.rejected.in_flight.to_string()),
    ("unresolved", |row| row.rejected.unresolved.to_string()),
    ("failed", |row| row.rejected.failed.to_string()),
    ("lost", |row| row.rejected.connection_lost.to_string()),
    ("p50 ms", |row| milliseconds(row.p50_us)),
    ("p99 ms", |row| milliseconds(row.p99_us)),
];

/// One line a scenario; reasons that never came up have no column.
fn traffic_table(rows: &[Row]) -> Table {
    let shown: Vec<&Column> =
        COLUMNS.iter().filter(|(_, value)| rows.iter().any(|row| value(row) != "0")).collect();
    let mut table = empty_table();
    table.set_header(shown.iter().map(|(name, _)| *name));
    for row in rows {
        table.add_row(shown.iter().map(|(_, value)| value(row)));
    }
    narrow(&mut table);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn doubts_table(doubts: &[Doubt]) -> Table {
    let mut table = empty_table();
    table.set_header(["unresolved: scope", "key", "attempt", "since", "charged, says the book"]);
    for doubt in doubts {
        let charged = if doubt.in_book { "yes" } else { "no" };
        let attempt = doubt.attempt.to_string();
        table.add_row([&doubt.account, &doubt.key, &attempt, &doubt.since, charged]);
    }
    narrow(&mut table);
    table
}

fn empty_table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table
}

/// Two spaces between columns: the table of traffic has many.
fn narrow(table: &mut Table) {
    let last = table.column_count().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((1, u16::from(index == last)));
    }
}

fn milliseconds(us: u32) -> String {
    format!("{:.1}", f64::from(us) / 1000.0)
}
