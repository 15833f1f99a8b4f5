//! `oncekey audit synth`: labelled traffic as JSON lines, to try rules and reports on.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use oncekey::audit::event_json;
use oncekey::audit::synth::{Labelled, Set, Synth};

use crate::words::{conclude, escape};

const EXAMPLES: &str = "\
Examples:
  oncekey audit synth --events 10 --out -
  oncekey audit synth --seed 7 --events 1000000 --set held-out --out events.jsonl
  oncekey audit synth --events 100000 --out - | jq -r .truth | sort | uniq -c

One event a line, as `audit export` writes it, in the order of time, with what it truly was (truth;
null if it is no collision) and what happened to its key (scenario). What is in it: docs/verdicts.md.";

/// Write labelled events of imagined clients: the same ones for the same seed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which events.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// How many.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    events: usize,

    /// Which retry policies and habits: those that thresholds were chosen on, or others.
    #[arg(long, value_enum, default_value_t = Choice::Tuning)]
    set: Choice,

    /// Where to; - is standard output. A file that is there is overwritten.
    #[arg(long, value_name = "FILE|-")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Choice {
    Tuning,
    HeldOut,
}

/// Writes the events.
pub(crate) fn run(args: Args) -> ExitCode {
    if args.out.as_os_str() == "-" {
        return conclude(write(&args, io::stdout().lock()), ExitCode::SUCCESS);
    }
    let written = File::create(&args.out).and_then(|file| write(&args, file));
    if let Err(error) = written {
        let path = args.out.display().to_string();
        eprintln!("oncekey: writing {}: {error}", escape(&path));
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

fn write(args: &Args, to: impl Write) -> io::Result<()> {
    let set = match args.set {
        Choice::Tuning => Set::Tuning,
        Choice::HeldOut => Set::HeldOut,
    };
    let mut output = BufWriter::with_capacity(1 << 16, to);
    for labelled in Synth::new(args.seed, set).take(args.events) {
        write_line(&mut output, &labelled)?;
    }
    output.flush()
}

/// The event's JSON object, and in it what is known beside.
fn write_line(output: &mut impl Write, labelled: &Labelled) -> io::Result<()> {
    let line = event_json(None, &labelled.event, None, &|_| None);
    let fields = line.strip_suffix('}').unwrap_or(&line);
    let truth = labelled.truth.map(|truth| truth.name());
    let truth = truth.map_or_else(|| "null".to_owned(), |truth| format!("\"{truth}\""));
    writeln!(output, r#"{fields},"truth":{truth},"scenario":"{}"}}"#, labelled.scenario.name())
}
