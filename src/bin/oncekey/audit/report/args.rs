//! The command line of `oncekey audit report`.

use std::path::PathBuf;

use bytesize::ByteSize;
use clap::ValueEnum;
use jiff::{Span, SpanRelativeTo};

use crate::audit::window::Window;

const EXAMPLES: &str = "\
Examples:
  oncekey audit report STORE
  oncekey audit report STORE --last 24h --rows 30
  oncekey audit report STORE --since 2026-11-01 --format json -o november.json
  oncekey audit report STORE --format html -o report.html
  oncekey audit report --synth 200000 --format html -o example.html

What each figure means, how it is derived, and its limits: docs/reports.md. A store may be in use:
no lock is taken, and the report is of what the trail has now.

Exit codes:
  0   reported, whatever the figures are (oncekey audit check fails on them)
  2   there is no trail, it cannot be read or written to FILE, or the command line is wrong";

/// Sum up a trail: collisions by verdict and client, key reuse, TTL advice, quality of keys.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A store's directory, or that of a trail.
    #[arg(value_name = "STORE|TRAIL", required_unless_present = "synth")]
    pub(super) place: Option<PathBuf>,

    #[command(flatten)]
    pub(super) window: Window,

    /// How to show it.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(super) format: Format,

    /// Where to; - is standard output. A file that is there is overwritten.
    #[arg(short, long, value_name = "FILE|-", default_value = "-")]
    pub(super) output: PathBuf,

    /// At most this many rows in a table for people.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(super) rows: usize,

    /// The TTL that records have; without it, that of most records in the store.
    #[arg(long, value_name = "TIME", value_parser = time_ms)]
    pub(super) ttl: Option<u64>,

    /// For how long expired keys are remembered (Options::remember_late).
    #[arg(long, value_name = "TIME", value_parser = time_ms, default_value = "24h")]
    pub(super) remember_late: u64,

    /// The mean response, for what a TTL costs; without it, that of the store's records.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(super) response: Option<u64>,

    /// A claim that is open for longer counts as stuck.
    #[arg(long, value_name = "TIME", value_parser = time_ms, default_value = "10min")]
    pub(super) stuck_after: u64,

    /// Of made-up traffic of this many events in place of a trail.
    #[arg(long, value_name = "EVENTS", conflicts_with = "place")]
    pub(super) synth: Option<usize>,

    /// Which made-up traffic.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "synth")]
    pub(super) seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Tables for a terminal.
    Table,
    /// One JSON object, with names that stay.
    Json,
    /// A page with charts that needs nothing else.
    Html,
}

fn time_ms(text: &str) -> Result<u64, String> {
    let wrong = || "no length of time: write 90s, 10min, 24h or 7d".to_owned();
    let span: Span = text.trim().parse().map_err(|_| wrong())?;
    let span = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    u64::try_from(span.as_millis()).map_err(|_| wrong())
}

fn size(text: &str) -> Result<u64, String> {
    text.parse::<ByteSize>().map(|size| size.as_u64())
}
