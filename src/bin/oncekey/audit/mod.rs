//! `oncekey audit`: commands about what stores decided. One file, or folder, each.

mod check;
mod explain;
mod export;
mod judged;
mod merge;
mod report;
mod ship;
mod source;
mod summed;
mod synth;
mod tail;
mod window;
mod words;

use std::process::ExitCode;

use clap::Subcommand;

/// Ask what stores decided, and why.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(Box<check::Args>),
    Explain(explain::Args),
    Export(export::Args),
    Merge(merge::Args),
    Report(report::Args),
    Ship(ship::Args),
    Synth(synth::Args),
    Tail(tail::Args),
}

/// Runs one of the commands.
pub(crate) fn run(args: Args) -> ExitCode {
    match args.command {
        Command::Check(args) => check::run(*args),
        Command::Explain(args) => explain::run(args),
        Command::Export(args) => export::run(args),
        Command::Merge(args) => merge::run(args),
        Command::Report(args) => report::run(args),
        Command::Ship(args) => ship::run(args),
        Command::Synth(args) => synth::run(args),
        Command::Tail(args) => tail::run(args),
    }
}
