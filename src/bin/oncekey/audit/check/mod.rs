//! `oncekey audit check`: rules over a trail's figures, for a deployment pipeline.

mod allowed;
mod baseline;
#[cfg(any(test, fuzzing))]
mod fuzzing;
mod outcome;
mod rule;
mod rules_file;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use oncekey::audit::report::ReportOptions;

use self::allowed::{Allowed, allowance};
use self::baseline::Baseline;
use self::outcome::Outcome;
use self::rule::Rule;
use super::summed::{self, Summed};
use super::window::{self, Window};
use crate::failure::{Failure, Result};
use crate::words::{conclude, escape, print};

const EXAMPLES: &str = "\
Examples:
  oncekey audit check STORE --fail-on 'key_reuse_rate>0.1%' --fail-on 'late_retries>0'
  oncekey audit check STORE --last 24h --rules rules.toml --format markdown >> summary.md
  oncekey audit check STORE --fail-on 'race_rate>baseline*1.5' --baseline last.json --save now.json

A rule names a figure of `audit report`, a comparison (> >= < <= = !=) and a limit: a count, a part
(0.1% or 0.001), a span of time with its unit (500ms, 2s, 5min), or the baseline's value (baseline,
baseline*1.5, baseline+0.1%). A figure that there is nothing to make of fails no rule, and is said.

Events that are missing from what is looked at fail the check, too: what is missing may be what the
rules are about. --allow-gaps says how much may be. Figures and rules: docs/checks.md.

Exit codes:
  0   every rule holds
  1   a rule failed, or events are missing
  2   the trail, the rules or the baseline cannot be read, or the command line is wrong";

/// Fail if a trail's figures break a rule: for a deployment pipeline.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A store's directory, or that of a trail.
    #[arg(value_name = "STORE|TRAIL")]
    place: PathBuf,

    /// What must not be. May be given several times.
    #[arg(long, value_name = "RULE", value_parser = Rule::parse)]
    fail_on: Vec<Rule>,

    /// More rules, from a TOML file.
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,

    /// Figures of an earlier check, which --save wrote.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// Go on if the baseline is not there yet: its rules are without data then.
    #[arg(long, requires = "baseline")]
    allow_no_baseline: bool,

    /// Save the figures here, whether the rules hold or not.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,

    /// How large a part of the events may be missing; without a part, any.
    #[arg(long, value_name = "PART", value_parser = allowance)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "100%")]
    allow_gaps: Option<Allowed>,

    #[command(flatten)]
    window: Window,

    /// A claim that has been open for longer is stuck.
    #[arg(long, value_name = "SPAN", default_value = "10min", value_parser = window::span_ms)]
    stuck_after: u64,

    /// How to say it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
    Markdown,
}

/// Checks.
pub(crate) fn run(args: Args) -> ExitCode {
    let format = args.format;
    let outcome = match check(args) {
        Ok(outcome) => outcome,
        Err(failure) => {
            eprintln!("oncekey: {}", escape(&failure.to_string()));
            return ExitCode::from(2);
        }
    };
    let shown = match format {
        Format::Text => show::text(&outcome),
        Format::Json => show::json(&outcome),
        Format::Markdown => show::markdown(&outcome),
    };
    conclude(print(shown), ExitCode::from(u8::from(!outcome.is_passed())))
}

fn check(args: Args) -> Result<Outcome> {
    let mut rules = args.fail_on;
    let mut allowed = args.allow_gaps;
    if let Some(file) = &args.rules {
        let (more, allowed_there) = rules_file::read(file)?;
        rules.extend(more);
        allowed = allowed.or(allowed_there);
    }
    if rules.is_empty() {
        return Err(Failure::new(
            "no rules: give --fail-on 'key_reuse_rate>0.1%', or --rules FILE",
        ));
    }
    let baseline = match &args.baseline {
        None => None,
        Some(path) => {
            let baseline = Baseline::read(path)?;
            if baseline.is_none() && !args.allow_no_baseline {
                return Err(Failure::new(format!(
                    "the baseline {} is not there: --save makes one; --allow-no-baseline goes on \
                     without",
                    path.display()
                )));
            }
            baseline
        }
    };
    if args.baseline.is_none()
        && let Some(rule) = rules.iter().find(|rule| rule.needs_baseline())
    {
        return Err(Failure::new(format!("{rule} needs --baseline FILE")));
    }
    let Summed { summary, records } = summed::of_place(&args.place, args.window.bounds())
        .map_err(|error| Failure::new(error.to_string()))?;
    let mut options = ReportOptions::new();
    options.ttl.ttl_ms = records.and_then(|records| records.ttl_ms);
    options.ttl.remembered_ms = Some(24 * 3600 * 1000);
    options.stuck_after_ms = Some(args.stuck_after);
    let report = summary.report(&options);
    let outcome = Outcome::new(rules, &report, baseline, allowed.unwrap_or(Allowed::Nothing));
    if let Some(path) = &args.save {
        outcome.now.save(path)?;
    }
    Ok(outcome)
}
