//! `oncekey audit export`: a trail as JSON lines, each collision with its verdict.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use oncekey::audit::item_json;

use super::judged::{Inside, Judged};
use super::source;
use super::window::Window;
use crate::words::{conclude, escape, fail};

const EXAMPLES: &str = "\
Examples:
  oncekey audit export STORE
  oncekey audit export STORE --last 24h -o events.jsonl
  oncekey audit export STORE --since 2026-11-01 --until 2026-12-01 | gzip > november.jsonl.gz
  oncekey audit export STORE | jq -r 'select(.judgement.verdict == \"key_reuse\") | .caller.client.name'

One item a line, in the trail's order: an event with its judgement, {\"gap\":...} where events are
missing, {\"damage\":...} where bytes are no events. The fields: docs/audit.md. Lines are ASCII. A
store may be in use: it ends where the trail ends now, and takes no lock.

Exit codes:
  0   written
  2   there is no trail, it cannot be read or written to FILE, or the command line is wrong";

/// Write a trail's events as JSON lines, each collision with its verdict.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A store's directory, or that of a trail.
    #[arg(value_name = "STORE|TRAIL")]
    place: PathBuf,

    /// How to write it.
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,

    #[command(flatten)]
    window: Window,

    /// Where to; - is standard output. A file that is there is overwritten.
    #[arg(short, long, value_name = "FILE|-", default_value = "-")]
    output: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// One JSON object a line.
    Jsonl,
}

/// Why it ended early.
enum Ended {
    Trail(oncekey::Error),
    Output(io::Error),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Writes the lines.
pub(crate) fn run(args: Args) -> ExitCode {
    let Format::Jsonl = args.format;
    let judged = match source::open(&args.place) {
        Ok(source) => Judged::new(source.trail),
        Err(error) => return fail(&error),
    };
    let is_standard = args.output.as_os_str() == "-";
    let written = if is_standard {
        write(judged, args.window, io::stdout().lock())
    } else {
        File::create(&args.output)
            .map_err(Ended::Output)
            .and_then(|file| write(judged, args.window, file))
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ended::Trail(error)) => fail(&error),
        Err(Ended::Output(error)) if is_standard => conclude(Err(error), ExitCode::SUCCESS),
        Err(Ended::Output(error)) => {
            let path = args.output.display().to_string();
            eprintln!("oncekey: writing {}: {error}", escape(&path));
            ExitCode::from(2)
        }
    }
}

fn write(mut judged: Judged, window: Window, to: impl Write) -> Result<(), Ended> {
    let mut output = BufWriter::with_capacity(1 << 16, to);
    let mut inside = Inside::new(window.bounds());
    while let Some(item) = judged.next().map_err(Ended::Trail)? {
        let trail = &judged.trail;
        inside.take(item, |item, judgement| {
            let names = |label| trail.name(label);
            let line = item_json(source::origin(trail), item, judgement, &names);
            output.write_all(line.as_bytes())?;
            output.write_all(b"\n").map_err(Ended::Output)
        })?;
    }
    Ok(output.flush()?)
}
