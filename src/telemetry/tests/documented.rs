//! The table of `docs/metrics.md` is the code's, and the dashboard asks for nothing else.

use std::collections::BTreeSet;

use metrics::Unit;
use serde_json::Value;

use crate::telemetry::metric::{self, Kind};

const DOCUMENT: &str = include_str!("../../../docs/metrics.md");
const DASHBOARD: &str = include_str!("../../../docs/grafana-dashboard.json");

/// The first columns of the table's rows: name, type, unit, labels.
fn rows() -> Vec<[String; 4]> {
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `oncekey_"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(|cell| cell.trim().replace('`', "")).collect();
        assert_eq!(cells.len(), 8, "{row}");
        assert!(!cells[5].is_empty() && !cells[6].is_empty(), "{row}");
        [cells[1].clone(), cells[2].clone(), cells[3].clone(), cells[4].clone()]
    })
    .collect()
}

#[test]
fn the_table_has_every_metric_with_its_kind_unit_and_labels() {
    let known: BTreeSet<_> = metric::all()
        .map(|metric| {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let unit = match metric.unit {
                Unit::Seconds => "seconds",
                Unit::Bytes => "bytes",
                _ => "count",
            };
            [metric.name.to_owned(), kind.to_owned(), unit.to_owned(), metric.labels.join(", ")]
        })
        .collect();
    assert_eq!(rows().into_iter().collect::<BTreeSet<_>>(), known);
}

#[test]
fn names_say_kind_and_unit() {
    for metric in metric::all() {
        let name = metric.name;
        assert!(name.starts_with("oncekey_"), "{name}");
        assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
        assert_eq!(name.contains("_seconds"), metric.unit == Unit::Seconds, "{name}");
        assert_eq!(name.contains("_bytes"), metric.unit == Unit::Bytes, "{name}");
    }
}

/// The queries of the dashboard's panels and variables.
fn queries(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(text) if name == "expr" || name == "query" => found.push(text.to_owned()),
                    _ => queries(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| queries(value, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    let mut asked = Vec::new();
    queries(&dashboard, &mut asked);
    assert!(asked.len() >= panels.len());
    let mut used = BTreeSet::new();
    for query in &asked {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        for word in query.split(|c| !is_name(c)).filter(|word| word.starts_with("oncekey_")) {
            let metric = metric::all().find(|metric| {
                let rest = word.strip_prefix(metric.name);
                match metric.kind {
                    Kind::Histogram => matches!(rest, Some("_bucket" | "_sum" | "_count")),
                    Kind::Counter | Kind::Gauge => rest == Some(""),
                }
            });
            used.insert(metric.unwrap_or_else(|| panic!("no {word}: {query}")).name);
        }
        let open = query.matches(['(', '{', '[']).count();
        assert_eq!(open, query.matches([')', '}', ']']).count(), "{query}");
    }
    for needed in ["claims_total", "claim_seconds", "batch_frames", "sync_seconds", "live_keys"] {
        assert!(used.contains(format!("oncekey_{needed}").as_str()), "{needed} is not shown");
    }
}
