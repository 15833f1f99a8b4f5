//! The inspector's findings as tables for people.

use comfy_table::{CellAlignment, Table};
use oncekey::{DamageReport, KeyDetail, KeyRow, StoreTime, Summary};

use crate::words::{escape, facts, hex, size, table, when};

/// How many segments a summary lists, and how many places that are damaged.
const LISTED: usize = 40;

/// The store in numbers.
pub(super) fn summary(summary: &Summary) -> String {
    let now = summary.now;
    let since = |time: Option<StoreTime>| {
        time.map_or(String::new(), |time| format!(", the oldest since {}", when(time, now)))
    };
    let next = summary.next_expiry;
    let next =
        next.map_or(String::new(), |next| format!(", the first expires {}", when(next, now)));
    let mut lines = vec![
        ("store", escape(&summary.path)),
        ("id", summary.store_id.to_string()),
        ("owner", summary.owner.to_string()),
        ("created", when(summary.created_at, now)),
        ("store time", when(summary.store_time, now)),
        ("opened", format!("{} times", summary.epoch)),
        ("completed", format!("{}{next}", summary.completed)),
        ("in flight", format!("{}{}", summary.in_flight, since(summary.oldest_in_flight))),
        ("abandoned", summary.abandoned.to_string()),
        ("unresolved", format!("{}{}", summary.unresolved, since(summary.oldest_unresolved))),
        ("expired", format!("{}, not pruned yet", summary.expired)),
        ("on disk", disk(summary)),
    ];
    if summary.copied {
        lines.push(("note", "this directory is a copy, or was restored or moved".into()));
    }
    let mut text = format!("{}\n\n{}\n", facts(lines), segments(summary));
    let more = summary.segments.len().saturating_sub(LISTED);
    if more > 0 {
        text.push_str(&format!("{more} older segments are not shown; --json has all\n"));
    }
    text.push_str(&damage(&summary.damage));
    text
}

fn disk(summary: &Summary) -> String {
    format!(
        "{} in {} segments of {} and {} spare files",
        size(summary.disk_bytes),
        summary.segments.len(),
        size(summary.segment_bytes),
        summary.spare_files,
    )
}

fn segments(summary: &Summary) -> Table {
    let mut rows = table(["segment", "file", "kind", "records", "forgets", "data", "last expiry"]);
    let skip = summary.segments.len().saturating_sub(LISTED);
    for segment in summary.segments.iter().skip(skip) {
        let kind = match (segment.compacted, segment.sealed) {
            (true, _) => "compacted",
            (false, true) => "log, sealed",
            (false, false) => "log, open",
        };
        rows.add_row([
            segment.id.to_string(),
            segment.file.clone(),
            kind.into(),
            segment.records.to_string(),
            segment.forgets.to_string(),
            size(segment.data_bytes),
            segment.latest_expiry.map_or("-".into(), |at| when(at, summary.now)),
        ]);
    }
    align_right(&mut rows, &[0, 3, 4, 5]);
    rows
}

/// What was damaged, if anything was.
pub(crate) fn damage(list: &[DamageReport]) -> String {
    if list.is_empty() {
        return String::new();
    }
    let mut rows = table(["damaged file", "offset", "bytes", "what"]);
    for damage in list.iter().take(LISTED) {
        rows.add_row([
            damage.file.clone(),
            damage.offset.to_string(),
            damage.bytes.to_string(),
            escape(&damage.what),
        ]);
    }
    align_right(&mut rows, &[1, 2]);
    let more = list.len().saturating_sub(LISTED);
    let more = if more > 0 { format!("{more} more; --json has all\n") } else { String::new() };
    format!("\n{rows}\n{more}")
}

/// A list of keys.
pub(super) fn keys(rows: &[KeyRow], now: StoreTime) -> String {
    let mut list =
        table(["state", "scope", "key", "attempt", "token", "since", "expires", "status", "body"]);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    for row in rows {
        list.add_row([
            row.state.to_string(),
            escape(row.scope.as_str()),
            escape(row.key.as_str()),
            row.attempt.to_string(),
            row.token.to_string(),
            when(row.since, now),
            or_dash(row.expires_at.map(|at| when(at, now))),
            or_dash(row.status.map(|status| status.to_string())),
            or_dash(row.body_bytes.map(size)),
        ]);
    }
    align_right(&mut list, &[3, 4, 7, 8]);
    format!("{list}\n")
}

/// All that is known of a key.
pub(super) fn key(detail: &KeyDetail, with_bytes: bool) -> String {
    let (row, now) = (&detail.row, detail.now);
    let mut lines = vec![
        ("scope", escape(row.scope.as_str())),
        ("key", escape(row.key.as_str())),
        ("state", row.state.to_string()),
        ("since", when(row.since, now)),
        ("attempt", row.attempt.to_string()),
        ("token", row.token.to_string()),
    ];
    if let Some(at) = row.expires_at {
        let expired = at <= now;
        lines.push((if expired { "expired" } else { "expires" }, when(at, now)));
    }
    if let Some(policy) = row.on_drop {
        lines.push(("on drop", policy.to_string()));
    }
    if let Some(status) = row.status {
        lines.push(("status", status.to_string()));
    }
    lines.push(("fingerprint", row.fingerprint.to_string()));
    if let Some((file, offset)) = &row.place {
        lines.push(("place", format!("{file} at offset {offset}")));
    }
    if let Some(checkpoint) = &detail.checkpoint {
        let data = bytes(checkpoint.data(), with_bytes);
        lines.push(("checkpoint", format!("{}: {data}", escape(checkpoint.name()))));
    }
    if let Some(response) = &detail.response {
        lines.push(("body", bytes(response.body(), with_bytes)));
    }
    format!("{}\n", facts(lines))
}

/// Stored bytes, or only how many there are.
fn bytes(bytes: &[u8], shown: bool) -> String {
    let length = bytes.len() as u64;
    match std::str::from_utf8(bytes) {
        _ if bytes.is_empty() => "empty".into(),
        _ if !shown => format!("{} (--body shows it)", size(length)),
        Ok(text) => escape(text),
        Err(_) => format!("{} that are not UTF-8, in hexadecimal: {}", size(length), hex(bytes)),
    }
}

fn align_right(table: &mut Table, columns: &[usize]) {
    for index in columns {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}
