//! `oncekey verify`: whether every byte of a store is what was written.

use std::path::PathBuf;
use std::process::ExitCode;

use oncekey::VerifyReport;
use serde::Serialize;

use crate::inspect::{DamageJson, OwnerJson, damage};
use crate::progress;
use crate::words::{conclude, escape, facts, fail, json, print, size};

const EXAMPLES: &str = "\
Examples:
  oncekey verify /var/lib/pay/idempotency
  oncekey verify STORE --json | jq .damage
  oncekey verify STORE || echo 'call somebody'

It reads everything, writes nothing and takes no lock, and may be used on a store that is in use.
An unfinished write at the end of the log is no damage: it is reported, and the next open cuts it.

Exit codes:
  0   whole
  1   damage was found
  2   the store cannot be read, or the command line is wrong";

/// Check every checksum of a store, and every table of contents against its data.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The store's directory.
    #[arg(value_name = "STORE")]
    store: PathBuf,

    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Checks a store.
pub(crate) fn run(args: Args) -> ExitCode {
    let report = match progress::inspector(&args.store).and_then(|inspector| inspector.verify()) {
        Ok(report) => report,
        Err(error) => return fail(&error),
    };
    let shown = if args.json { json(&ReportJson::of(&report), true) } else { text(&report) };
    let code = ExitCode::from(u8::from(!report.is_whole()));
    conclude(print(shown), code)
}

fn text(report: &VerifyReport) -> String {
    let mut lines = Vec::new();
    if let Some(id) = report.store_id {
        lines.push(("store", id.to_string()));
        lines.push(("owner", report.owner.to_string()));
    }
    lines.push(("read", format!("{} of {} segments", size(report.bytes), report.segments)));
    lines.push(("checked", counts(report)));
    for torn in &report.torn {
        lines.push(("unfinished", escape(&torn.to_string())));
    }
    let verdict = match report.damage.len() {
        0 => "whole".into(),
        1 => "DAMAGED in one place".into(),
        places => format!("DAMAGED in {places} places"),
    };
    lines.push(("result", verdict));
    format!("{}\n{}", facts(lines), damage(&report.damage))
}

fn counts(report: &VerifyReport) -> String {
    let late = match report.late_files {
        0 => String::new(),
        files => format!(", {files} files of expired keys"),
    };
    format!(
        "{} manifest copies, {} batches, {} frames ({} of them records), {} footers{late}",
        report.manifest_copies, report.batches, report.frames, report.records, report.footers,
    )
}

#[derive(Debug, Serialize)]
struct ReportJson<'a> {
    whole: bool,
    store_id: Option<String>,
    owner: OwnerJson,
    manifest_copies: u64,
    segments: u64,
    spare_files: u64,
    late_files: u64,
    batches: u64,
    frames: u64,
    records: u64,
    footers: u64,
    bytes: u64,
    torn: Vec<DamageJson<'a>>,
    damage: Vec<DamageJson<'a>>,
}

impl<'a> ReportJson<'a> {
    fn of(report: &'a VerifyReport) -> Self {
        Self {
            whole: report.is_whole(),
            store_id: report.store_id.map(|id| id.to_string()),
            owner: OwnerJson::of(report.owner),
            manifest_copies: report.manifest_copies,
            segments: report.segments,
            spare_files: report.spare_files,
            late_files: report.late_files,
            batches: report.batches,
            frames: report.frames,
            records: report.records,
            footers: report.footers,
            bytes: report.bytes,
            torn: DamageJson::all(&report.torn),
            damage: DamageJson::all(&report.damage),
        }
    }
}
