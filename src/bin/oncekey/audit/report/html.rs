//! A report as one page: charts and tables, no script, nothing from elsewhere.
//!
//! Every text from a trail goes through [`text`]: what a terminal would obey or hide is an escape,
//! what HTML would obey is a reference.

use std::fmt::Write as _;

use oncekey::audit::report::{ClientReport, Grade, Report, SpreadReport};

use super::Shown;
use super::chart::{self, Bar, Caption, Series};
use super::costs::percent;
use super::say;
use crate::words::{escape, size};

const STYLE: &str = include_str!("style.css");
/// Rows of a table.
const ROWS: usize = 25;
/// Clients and operations with key reuse.
const PAIRS: usize = 20;
/// The page may load nothing, and run nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// A text for a page.
pub(super) fn text(plain: &str) -> String {
    let mut safe = String::with_capacity(plain.len());
    for c in escape(plain).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// What is said already has its escapes; only HTML has to be kept out.
fn said(plain: &str) -> String {
    text(plain).replace("\\\\", "\\")
}

/// The page.
pub(super) fn page(shown: &Shown) -> String {
    let report = &shown.report;
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>Idempotency audit: {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        text(&shown.source)
    );
    head(&mut page, shown);
    if report.totals.events == 0 {
        page.push_str("<p>No events in this time.</p>");
    } else {
        over_time(&mut page, report);
        verdicts(&mut page, report);
        reuse(&mut page, report);
        ttl(&mut page, shown);
        clients(&mut page, report);
        keys(&mut page, report);
        times(&mut page, report);
        claims(&mut page, report);
        missing(&mut page, report);
    }
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// A table with a caption; a column whose head begins with `#` has numbers.
fn rows(page: &mut String, caption: &str, heads: &[&str], rows: &[Vec<String>]) {
    let class = |head: &str| if head.starts_with('#') { " class=\"n\"" } else { "" };
    let _ = write!(page, "<div class=\"wide\"><table><caption>{}</caption><tr>", text(caption));
    for head in heads {
        let name = text(head.trim_start_matches('#'));
        let _ = write!(page, "<th scope=\"col\"{}>{name}</th>", class(head));
    }
    page.push_str("</tr>\n");
    for row in rows.iter().take(ROWS) {
        page.push_str("<tr>");
        for (head, cell) in heads.iter().zip(row) {
            let _ = write!(page, "<td{}>{cell}</td>", class(head));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table></div>\n");
    if rows.len() > ROWS {
        let more = rows.len() - ROWS;
        let _ = writeln!(page, "<p class=\"soft\">{more} more are in --format json.</p>");
    }
}

fn head(page: &mut String, shown: &Shown) {
    let report = &shown.report;
    let (totals, rates) = (&report.totals, &report.rates);
    let span = say::span(report.window.to_ms - report.window.from_ms);
    let from = shown.from.as_deref().unwrap_or("-");
    let to = shown.to.as_deref().unwrap_or("-");
    let class = if report.trust.is_whole { "good" } else { "bad" };
    let _ = writeln!(
        page,
        "<h1>Idempotency audit</h1>\n<p class=\"soft\"><code>{}</code><br>{} to {} ({span})</p>\n\
         <p class=\"{class}\">How far to trust it: {}.</p>",
        text(&shown.source),
        text(from),
        text(to),
        text(&say::trust(report)),
    );
    let tiles = [
        (say::count(totals.requests), "requests"),
        (say::rate(rates.requests_per_s), "on average"),
        (say::part(rates.collision_rate), "met an earlier one"),
        (say::part(rates.key_reuse_rate), "key reuse"),
        (say::count(totals.late_retries), "late retries"),
        (say::part(rates.suspicious_rate), "suspicious replays"),
        (say::count(report.open_claims.stuck), "stuck claims"),
        (say::count(report.open_claims.unresolved), "unresolved"),
    ];
    page.push_str("<div class=\"tiles\">");
    for (value, what) in tiles {
        let _ = write!(page, "<div class=\"tile\"><b>{}</b>{}</div>", text(&value), text(what));
    }
    page.push_str("</div>\n");
}

/// The series of the timeline that are drawn, with their colours.
const DRAWN: [(&str, &str, usize); 6] = [
    ("retries", "legitimate retries", 3),
    ("races", "races", 2),
    ("key_reuse", "key reuse", 4),
    ("late_retries", "late retries", 6),
    ("suspicious_replays", "suspicious replays", 5),
    ("automation_loops", "automation loops", 8),
];

fn over_time(page: &mut String, report: &Report) {
    const BARS: usize = 170;
    let timeline = &report.timeline;
    let group = timeline.buckets.len().div_ceil(BARS).max(1);
    let of = |name: &str| {
        let at = timeline.series.iter().position(|series| *series == name).unwrap_or(0);
        let sum = |buckets: &[(u64, [u64; 8])]| {
            buckets.iter().filter_map(|(_, counts)| counts.get(at)).sum::<u64>() as f64
        };
        timeline.buckets.chunks(group).map(sum).collect::<Vec<f64>>()
    };
    let time = |ms: u64| {
        let text = oncekey::audit::rfc3339(oncekey::StoreTime::from_millis(ms));
        text.unwrap_or_default().chars().take(16).collect::<String>().replace('T', " ")
    };
    let (from, to) = (report.window.from_ms, report.window.to_ms);
    let labels: Vec<(f64, String)> = [0.0, 0.5, 1.0]
        .into_iter()
        .map(|part| (part, time(from + ((to - from) as f64 * part) as u64)))
        .collect();
    let bucket = say::span(timeline.bucket_ms * group as u64);
    let words = format!("A bar is {bucket}; the busiest has the height of the chart.");
    page.push_str("<h2>Over time</h2>\n");
    let requests = [Series { name: "requests", colour: 1, values: of("requests") }];
    let caption = Caption { id: "requests", title: "Requests", words: &words };
    let _ = writeln!(page, "<p>Requests, {bucket} a bar</p>");
    page.push_str(&chart::stacked(caption, &requests, &labels, 150.0));
    let series: Vec<Series<'_>> = DRAWN
        .iter()
        .map(|(name, said, colour)| Series { name: said, colour: *colour, values: of(name) })
        .collect();
    let _ = write!(page, "<p>Collisions by verdict, {bucket} a bar</p>\n<ul class=\"key\">");
    for series in &series {
        let _ = write!(
            page,
            "<li><svg viewBox=\"0 0 12 12\" aria-hidden=\"true\"><rect class=\"c{}\" width=\"12\" \
             height=\"12\"/></svg>{}</li>",
            series.colour, series.name
        );
    }
    page.push_str("</ul>\n");
    let caption = Caption { id: "collisions", title: "Collisions by verdict", words: &words };
    page.push_str(&chart::stacked(caption, &series, &labels, 190.0));
}

/// The same colour that a verdict has over time.
fn colour(verdict: &str) -> usize {
    match verdict {
        "legitimate_retry" => 3,
        "race" => 2,
        "key_reuse" => 4,
        "late_retry" => 6,
        "suspicious_replay" => 5,
        "automation_loop" => 8,
        "stale_holder" => 7,
        _ => 1,
    }
}

fn verdicts(page: &mut String, report: &Report) {
    page.push_str("<h2>Verdicts</h2>\n");
    let bars: Vec<Bar> = report
        .verdicts
        .iter()
        .map(|verdict| Bar {
            name: verdict.verdict.replace('_', " "),
            colour: colour(verdict.verdict),
            value: verdict.count as f64,
            label: format!("{} ({})", say::count(verdict.count), say::part(verdict.rate)),
        })
        .collect();
    let words: Vec<String> =
        bars.iter().map(|bar| format!("{}: {}.", bar.name, bar.label)).collect();
    let words = words.join(" ");
    let caption = Caption { id: "verdicts", title: "What the collisions were", words: &words };
    page.push_str(&chart::bars(caption, &bars));
    let table: Vec<Vec<String>> = report
        .verdicts
        .iter()
        .map(|verdict| {
            let reasons = verdict.reasons.iter().take(5);
            let reasons: Vec<String> = reasons
                .map(|(reason, count)| {
                    let part = *count as f64 / verdict.count.max(1) as f64;
                    format!("{} {}", text(reason), say::part(part))
                })
                .collect();
            let examples = verdict.examples.iter().take(3);
            let examples: Vec<String> = examples
                .map(|example| format!("<code>{}.{}</code>", example.boot, example.sequence))
                .collect();
            vec![text(verdict.verdict), reasons.join(", "), examples.join(" ")]
        })
        .collect();
    let caption = "Reasons, each with its part of the collisions; events to look at";
    rows(page, caption, &["verdict", "reasons", "events"], &table);
}

fn reuse(page: &mut String, report: &Report) {
    if report.key_reuse.is_empty() {
        return;
    }
    page.push_str("<h2>Key reuse</h2>\n");
    let table: Vec<Vec<String>> = report
        .key_reuse
        .iter()
        .take(PAIRS)
        .map(|pair| {
            let parts: Vec<f64> = pair
                .trend
                .iter()
                .map(|(_, all, reuse)| *reuse as f64 / (*all).max(1) as f64)
                .collect();
            let what = format!("key reuse over time: {}", say::direction(pair.direction));
            vec![
                said(&say::name(pair.client_name.as_deref(), pair.client)),
                said(&say::name(pair.operation_name.as_deref(), pair.operation)),
                say::count(pair.requests),
                say::count(pair.key_reuse),
                say::part(pair.rate),
                say::direction(pair.direction).to_owned(),
                chart::spark(&what, &parts),
            ]
        })
        .collect();
    let heads = ["client", "operation", "#requests", "#key reuse", "#rate", "trend", "over time"];
    rows(page, "One key for two requests: a bug of the client", &heads, &table);
}

fn ttl(page: &mut String, shown: &Shown) {
    let Some(advice) = &shown.report.ttl else { return };
    page.push_str("<h2>TTL advice</h2>\n");
    let mut marks: Vec<(u64, String)> = advice
        .levels
        .iter()
        .map(|level| {
            (level.ttl_ms, format!("{}: {}", percent(level.part), say::span(level.ttl_ms)))
        })
        .collect();
    marks.extend(advice.ttl_ms.map(|ms| (ms, format!("present TTL: {}", say::span(ms)))));
    let words: Vec<&str> = marks.iter().map(|(_, label)| label.as_str()).collect();
    let words = words.join("; ");
    let title = "Retries that came by then, by the age of the record";
    let _ = writeln!(page, "<p>{title}</p>");
    let caption = Caption { id: "ttl", title, words: &words };
    page.push_str(&chart::curve(caption, &advice.curve, &marks, &say::span, 220.0));
    let table: Vec<Vec<String>> = shown
        .ttl_costs
        .ttls
        .iter()
        .map(|cost| {
            let level = advice.levels.iter().find(|level| percent(level.part) == cost.what);
            let between = level.and_then(|level| level.low_ms.zip(level.high_ms));
            let trust = match level {
                Some(level) if level.is_trusted => "<span class=\"good\">yes</span>".to_owned(),
                Some(level) => {
                    let why = level.why.as_deref().unwrap_or_default();
                    format!("<span class=\"bad\">no</span>: {}", text(why))
                }
                None => String::new(),
            };
            vec![
                text(&cost.what),
                cost.ttl(),
                between.map_or(String::new(), |(low, high)| {
                    format!("{} – {}", say::span(low), say::span(high))
                }),
                level.map_or(String::new(), |level| say::count(level.seen_beyond)),
                say::count(cost.records),
                size(cost.disk_bytes),
                size(cost.memory_bytes),
                trust,
            ]
        })
        .collect();
    let heads =
        ["TTL for", "#is", "#between", "#later", "#records", "#disk", "#memory", "to trust"];
    rows(page, "What each TTL covers and costs", &heads, &table);
    let covered = advice.covered.map_or(String::new(), |part| {
        format!("The present TTL covers {} of the retries. ", percent(part))
    });
    let _ = writeln!(
        page,
        "<p>{covered}{} replays and {} late retries were seen, up to {} old.</p>",
        say::count(advice.replayed),
        say::count(advice.late),
        say::span(advice.horizon_ms)
    );
    for limit in &advice.limits {
        let _ = writeln!(page, "<p class=\"soft\">{}</p>", text(limit));
    }
}

fn clients(page: &mut String, report: &Report) {
    page.push_str("<h2>Clients</h2>\n");
    let table: Vec<Vec<String>> = report
        .clients
        .iter()
        .map(|client| {
            let gaps = client.gaps_ms.iter().map(|gap| say::span_or_dash(gap.p50));
            vec![
                said(&say::client(client)),
                say::count(client.requests),
                say::count(client.keys),
                say::part(client.key_reuse_rate),
                text(&say::backoff(&client.backoff)),
                gaps.collect::<Vec<_>>().join(", "),
            ]
        })
        .collect();
    let heads =
        ["client", "#requests", "#keys", "#key reuse", "waits", "medians before each retry"];
    rows(page, "The busiest clients, and how they wait before they try again", &heads, &table);
    if report.other_clients.folded > 0 {
        let requests = say::count(report.other_clients.requests);
        let _ = writeln!(page, "<p>{requests} requests are of clients not kept by themselves.</p>");
    }
}

fn keys(page: &mut String, report: &Report) {
    page.push_str("<h2>Quality of keys</h2>\n");
    let is_known = |client: &&ClientReport| client.key_quality.grade != Grade::Unknown;
    let mut known: Vec<&ClientReport> = report.clients.iter().filter(is_known).collect();
    known.sort_by_key(|client| std::cmp::Reverse(client.key_quality.grade));
    let table: Vec<Vec<String>> = known
        .iter()
        .map(|client| {
            let quality = &client.key_quality;
            let formats: Vec<&str> = quality.formats.keys().map(String::as_str).collect();
            let class = match quality.grade {
                Grade::Good => "good",
                Grade::Weak | Grade::Bad => "bad",
                _ => "soft",
            };
            let bits = quality.entropy_bits;
            let len = match (quality.shortest, quality.longest) {
                (Some(low), Some(high)) if low == high => low.to_string(),
                (Some(low), Some(high)) => format!("{low} – {high}"),
                _ => "-".into(),
            };
            vec![
                said(&say::client(client)),
                format!("<span class=\"{class}\">{}</span>", text(&say::quality(quality))),
                text(&formats.join(", ")),
                len,
                bits.map_or("-".into(), |bits| format!("{bits:.0}")),
                text(&say::chance(quality.collision_chance_year)),
            ]
        })
        .collect();
    let heads =
        ["client", "quality", "formats", "#length", "#bits of chance", "#two equal in a year"];
    rows(page, "What can be seen of keys: at most so much chance is in them", &heads, &table);
    let unknown = report.clients.len() - known.len();
    if unknown > 0 {
        let _ =
            writeln!(page, "<p class=\"soft\">Of {unknown} clients too few keys were seen.</p>");
    }
}

fn times(page: &mut String, report: &Report) {
    page.push_str("<h2>Times</h2>\n");
    let row = |what: &str, spread: &SpreadReport| {
        let ms = [spread.p50, spread.p90, spread.p99, spread.p999, spread.max];
        let mut row = vec![text(what), say::count(spread.count)];
        row.extend(ms.map(say::span_or_dash));
        row
    };
    let mut table = vec![
        row("executed", &report.execution_ms),
        row("waited for another's claim", &report.wait_ms),
        row("after the claim, until a racing copy came", &report.race_window_ms),
    ];
    for operation in &report.operations {
        let name = say::name(operation.name.as_deref(), operation.operation);
        let mut cells = row("", &operation.execution_ms);
        cells.splice(0..1, [format!("executed: {}", said(&name))]);
        table.push(cells);
    }
    let heads = ["time", "#count", "#p50", "#p90", "#p99", "#p99.9", "#longest"];
    rows(page, "How long things took", &heads, &table);
}

fn claims(page: &mut String, report: &Report) {
    let open = &report.open_claims;
    let _ = writeln!(
        page,
        "<h2>Open claims</h2>\n<p>{} in flight, {} of them stuck (open for over {}); {} abandoned; \
         {} unresolved.{}</p>",
        open.in_flight,
        open.stuck,
        say::span(open.stuck_after_ms),
        open.abandoned,
        open.unresolved,
        if open.is_uncertain { " Events are missing, so some may have ended." } else { "" }
    );
    if open.listed.is_empty() {
        return;
    }
    let table: Vec<Vec<String>> = open
        .listed
        .iter()
        .map(|claim| {
            vec![
                text(claim.what),
                say::span(claim.open_ms),
                format!("<code>{}</code>", text(&claim.event)),
                format!("<code>{:016x}</code>", claim.key_hash.0),
                claim.token.to_string(),
                said(&say::holder(claim)),
            ]
        })
        .collect();
    let heads = ["what", "#open for", "event", "key", "#claim", "whose"];
    rows(page, "To be settled, the oldest first", &heads, &table);
}

fn missing(page: &mut String, report: &Report) {
    let trust = &report.trust;
    if trust.is_whole {
        return;
    }
    let all = trust.listed_gaps.iter().chain(&trust.listed_damage);
    let table: Vec<Vec<String>> = all.map(|line| vec![text(line)]).collect();
    page.push_str("<h2>What is missing</h2>\n");
    rows(page, "Gaps between events, and bytes that are no events", &["where"], &table);
}
