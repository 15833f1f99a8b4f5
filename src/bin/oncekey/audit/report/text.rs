//! A report as tables for a terminal.

use comfy_table::{CellAlignment, Table};
use oncekey::audit::report::{Report, SpreadReport, TtlAdvice};

use super::Shown;
use super::costs::percent;
use super::say;
use crate::words::{escape, facts, size, table};

/// All tables that have something in them.
pub(super) fn tables(shown: &Shown, rows: usize) -> String {
    let report = &shown.report;
    let mut text = format!("{}\n", head(shown));
    if report.totals.events == 0 {
        text.push_str("\nno events in this time; without --since, --until and --last all count\n");
        return text;
    }
    let parts = [
        verdicts(report),
        reuse(report, rows),
        clients(report, rows),
        operations(report, rows),
        times(report),
        ttl(shown),
        claims(report, rows),
        missing(report, rows),
    ];
    for part in parts.into_iter().flatten() {
        text.push('\n');
        text.push_str(&part);
    }
    text
}

fn head(shown: &Shown) -> Table {
    let report = &shown.report;
    let totals = &report.totals;
    let window = match (&shown.from, &shown.to) {
        (Some(from), Some(to)) => {
            let ms = report.window.to_ms - report.window.from_ms;
            format!("{from} to {to} ({})", say::span(ms))
        }
        _ => "-".into(),
    };
    let share = say::part(report.rates.collision_rate);
    let mut lines = vec![
        ("trail", escape(&shown.source)),
        ("time", window),
        ("events", say::count(totals.events)),
        (
            "requests",
            format!(
                "{} ({}), {} keys, {share} met an earlier one",
                say::count(totals.requests),
                say::rate(report.rates.requests_per_s),
                say::count(totals.keys),
            ),
        ),
        ("to trust", say::trust(report)),
    ];
    if report.stores.len() > 1 {
        lines.push(("stores", report.stores.len().to_string()));
    }
    if report.secrets > 1 {
        let what = "the stores' hashes were made with different secrets: clients without a name, \
                    and keys, are those of one store each";
        lines.push(("note", what.into()));
    }
    if totals.poisoned > 0 {
        lines.push(("POISONED", "a write failed and ended all changes of the store".into()));
    }
    facts(lines)
}

fn titled(title: &str, mut rows: Table, right: &[usize]) -> String {
    for index in right {
        if let Some(column) = rows.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{title}\n{rows}\n")
}

fn verdicts(report: &Report) -> Option<String> {
    if report.verdicts.is_empty() {
        return Some("No request met an earlier one of its key.\n".into());
    }
    let mut rows = table(["verdict", "count", "of requests", "most frequent reasons", "see event"]);
    for verdict in &report.verdicts {
        let reasons: Vec<&str> = verdict.reasons.iter().take(3).map(|(name, _)| *name).collect();
        let example = verdict.examples.first();
        rows.add_row([
            verdict.verdict.to_owned(),
            say::count(verdict.count),
            say::part(verdict.rate),
            reasons.join(", "),
            example.map_or("-".into(), |example| format!("{}.{}", example.boot, example.sequence)),
        ]);
    }
    Some(titled("Collisions", rows, &[1, 2]))
}

fn reuse(report: &Report, most: usize) -> Option<String> {
    if report.key_reuse.is_empty() {
        return None;
    }
    let mut rows = table(["client", "operation", "requests", "key reuse", "rate", "trend"]);
    for pair in report.key_reuse.iter().take(most) {
        rows.add_row([
            say::name(pair.client_name.as_deref(), pair.client),
            say::name(pair.operation_name.as_deref(), pair.operation),
            say::count(pair.requests),
            say::count(pair.key_reuse),
            say::part(pair.rate),
            say::direction(pair.direction).into(),
        ]);
    }
    let title = "Key reuse: one key, two requests (a bug of the client)";
    Some(titled(title, rows, &[2, 3, 4]) + &more(report.key_reuse.len(), most))
}

fn clients(report: &Report, most: usize) -> Option<String> {
    if report.clients.is_empty() {
        return None;
    }
    let mut rows = table(["client", "requests", "keys", "reuse", "retries wait", "its keys"]);
    for client in report.clients.iter().take(most) {
        rows.add_row([
            say::client(client),
            say::count(client.requests),
            say::count(client.keys),
            say::part(client.key_reuse_rate),
            say::backoff(&client.backoff),
            say::quality(&client.key_quality),
        ]);
    }
    let mut text = titled("Clients", rows, &[1, 2, 3]) + &more(report.clients.len(), most);
    if report.other_clients.folded > 0 {
        text += &format!(
            "{} requests are of clients that are not kept by themselves\n",
            say::count(report.other_clients.requests)
        );
    }
    Some(text)
}

fn operations(report: &Report, most: usize) -> Option<String> {
    if report.operations.is_empty() {
        return None;
    }
    let mut rows = table(["operation", "requests", "reuse", "executed: p50", "p99", "longest"]);
    for operation in report.operations.iter().take(most) {
        rows.add_row([
            say::name(operation.name.as_deref(), operation.operation),
            say::count(operation.requests),
            say::part(operation.key_reuse_rate),
            say::span_or_dash(operation.execution_ms.p50),
            say::span_or_dash(operation.execution_ms.p99),
            say::span_or_dash(operation.execution_ms.max),
        ]);
    }
    Some(titled("Operations", rows, &[1, 2, 3, 4, 5]) + &more(report.operations.len(), most))
}

fn more(all: usize, shown: usize) -> String {
    match all.saturating_sub(shown) {
        0 => String::new(),
        more => format!("{more} more: --rows {all} shows them, --format json has all\n"),
    }
}

fn times(report: &Report) -> Option<String> {
    let mut rows = table(["time", "count", "p50", "p90", "p99", "p99.9", "longest"]);
    let all: [(&str, &SpreadReport); 3] = [
        ("executed", &report.execution_ms),
        ("waited for another's claim", &report.wait_ms),
        ("after the claim, until a racing copy came", &report.race_window_ms),
    ];
    for (what, spread) in all.into_iter().filter(|(_, spread)| spread.count > 0) {
        let ms = say::span_or_dash;
        let values = [spread.p50, spread.p90, spread.p99, spread.p999, spread.max].map(ms);
        rows.add_row([vec![what.to_owned(), say::count(spread.count)], values.to_vec()].concat());
    }
    (!rows.is_empty()).then(|| titled("Times", rows, &[1, 2, 3, 4, 5, 6]))
}

fn ttl(shown: &Shown) -> Option<String> {
    let advice = shown.report.ttl.as_ref()?;
    let mut text = titled("TTL advice", levels(shown, advice), &[1, 2, 3, 5, 6, 7]);
    text += &format!("{}\n", ttl_facts(shown, advice));
    Some(text)
}

fn levels(shown: &Shown, advice: &TtlAdvice) -> Table {
    let mut rows =
        table(["TTL for", "is", "between", "later", "to trust", "records", "disk", "memory"]);
    for cost in &shown.ttl_costs.ttls {
        let level = advice.levels.iter().find(|level| percent(level.part) == cost.what);
        let between = level.and_then(|level| level.low_ms.zip(level.high_ms));
        let trusted = level.map_or("", |level| if level.is_trusted { "yes" } else { "NO" });
        rows.add_row([
            cost.what.clone(),
            cost.ttl(),
            between.map_or(String::new(), |(low, high)| {
                format!("{} - {}", say::span(low), say::span(high))
            }),
            level.map_or(String::new(), |level| say::count(level.seen_beyond)),
            trusted.into(),
            say::count(cost.records),
            size(cost.disk_bytes),
            size(cost.memory_bytes),
        ]);
    }
    rows
}

fn ttl_facts(shown: &Shown, advice: &TtlAdvice) -> Table {
    let present = match advice.ttl_ms {
        Some(ttl_ms) => format!("{} ({})", say::span(ttl_ms), advice.ttl_from),
        None => "not known; give it: --ttl".into(),
    };
    let covered = advice
        .covered
        .map_or(String::new(), |part| format!(", which covers {} of the retries", percent(part)));
    let mut lines = vec![
        ("present TTL", format!("{present}{covered}")),
        (
            "rests on",
            format!(
                "{} replays and {} late retries, up to {} old; {} replays were no honest retries",
                say::count(advice.replayed),
                say::count(advice.late),
                say::span(advice.horizon_ms),
                say::count(advice.set_aside),
            ),
        ),
    ];
    let whys = advice.levels.iter().filter_map(|level| {
        level.why.as_ref().map(|why| format!("{}: {why}", percent(level.part)))
    });
    lines.extend(whys.map(|why| ("not to trust", why)));
    lines.extend(advice.limits.iter().map(|limit| ("note", limit.clone())));
    if shown.ttl_costs.is_assumed {
        let bytes = shown.ttl_costs.response_bytes;
        lines.push(("note", format!("responses are taken to be {bytes:.0} bytes: --response")));
    }
    facts(lines)
}

fn claims(report: &Report, most: usize) -> Option<String> {
    let open = &report.open_claims;
    let mut text = format!(
        "Open claims: {} in flight, {} of them stuck (open for over {}), {} abandoned, {} \
         unresolved{}\n",
        open.in_flight,
        open.stuck,
        say::span(open.stuck_after_ms),
        open.abandoned,
        open.unresolved,
        if open.is_uncertain { "; events are missing, so some may have ended" } else { "" },
    );
    if open.not_followed > 0 {
        text += &format!("{} claims were not followed: too many at once\n", open.not_followed);
    }
    if open.listed.is_empty() {
        return Some(text);
    }
    let mut rows = table(["what", "open for", "event", "key", "claim", "whose"]);
    for claim in open.listed.iter().take(most) {
        rows.add_row([
            claim.what.to_owned(),
            say::span(claim.open_ms),
            claim.event.clone(),
            format!("{:016x}", claim.key_hash.0),
            claim.token.to_string(),
            say::holder(claim),
        ]);
    }
    Some(format!("{text}{rows}\n{}", more(open.listed.len(), most)))
}

fn missing(report: &Report, most: usize) -> Option<String> {
    let trust = &report.trust;
    let all = trust.listed_gaps.iter().chain(&trust.listed_damage);
    let lines: Vec<String> = all.take(most).map(|line| format!("  {}\n", escape(line))).collect();
    (!lines.is_empty()).then(|| format!("Missing\n{}", lines.concat()))
}
