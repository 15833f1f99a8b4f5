//! `oncekey audit report`: what a trail adds up to, as tables, JSON, or a page with charts.

mod args;
mod chart;
mod costs;
mod html;
mod say;
mod text;

use std::fs;
use std::process::ExitCode;

pub(crate) use args::Args;
use args::Format;
use costs::Costs;
use oncekey::audit::report::{Report, ReportOptions, Summary};
use oncekey::audit::rfc3339;
use oncekey::{Error, StoreTime};
use serde::Serialize;

use super::summed::{self, Summed};
use crate::words::{conclude, escape, fail, json, print};

/// Rows in a table, where nobody chose.
const ROWS: usize = 10;

/// A report, and what only the program knows of it.
#[derive(Debug, Serialize)]
struct Shown {
    /// What was read.
    source: String,
    from: Option<String>,
    to: Option<String>,
    #[serde(flatten)]
    report: Report,
    ttl_costs: Costs,
}

/// Reports.
pub(crate) fn run(args: Args) -> ExitCode {
    let shown = match make(&args) {
        Ok(shown) => shown,
        Err(error) => return fail(&error),
    };
    let text = match args.format {
        Format::Table => text::tables(&shown, args.rows),
        Format::Json => json(&shown, true),
        Format::Html => html::page(&shown),
    };
    if args.output.as_os_str() == "-" {
        return conclude(print(text), ExitCode::SUCCESS);
    }
    if let Err(error) = fs::write(&args.output, text) {
        let path = args.output.display().to_string();
        eprintln!("oncekey: writing {}: {error}", escape(&path));
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

/// The tables of a summary from elsewhere.
pub(crate) fn tables(summary: &Summary, source: String) -> String {
    let report = summary.report(&ReportOptions::new());
    let time = |ms| rfc3339(StoreTime::from_millis(ms)).filter(|_| report.totals.events > 0);
    let shown = Shown {
        source,
        from: time(report.window.from_ms),
        to: time(report.window.to_ms),
        ttl_costs: Costs::new(&report, None, None),
        report,
    };
    text::tables(&shown, ROWS)
}

fn make(args: &Args) -> Result<Shown, Error> {
    let bounds = args.window.bounds();
    let (summed, source) = match (&args.place, args.synth) {
        (Some(place), _) => (summed::of_place(place, bounds)?, place.display().to_string()),
        (None, events) => {
            let events = events.unwrap_or_default();
            let source = format!("{events} made-up events, seed {}", args.seed);
            (summed::of_synth(args.seed, events, bounds), source)
        }
    };
    let Summed { summary, records } = summed;
    let mut options = ReportOptions::new();
    options.ttl.ttl_ms = args.ttl.or(records.and_then(|records| records.ttl_ms));
    options.ttl.remembered_ms = Some(args.remember_late);
    options.stuck_after_ms = Some(args.stuck_after);
    let report = summary.report(&options);
    let time = |ms| rfc3339(StoreTime::from_millis(ms)).filter(|_| report.totals.events > 0);
    Ok(Shown {
        source,
        from: time(report.window.from_ms),
        to: time(report.window.to_ms),
        ttl_costs: Costs::new(&report, records, args.response),
        report,
    })
}
