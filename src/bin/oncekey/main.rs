//! The `oncekey` program: parses the command line, runs one command, returns its exit code.
//!
//! Exit codes: 0 for success, 1 when what was checked is wrong, 2 for wrong usage and for an
//! environment that does not play along (no permission, port taken, disk full).
#![allow(
    clippy::disallowed_methods,
    reason = "the program is a user of the library: the seams of its engine do not bind it"
)]

mod audit;
mod demo;
mod failure;
mod inspect;
mod progress;
#[cfg(feature = "proxy")]
mod proxy;
#[cfg(feature = "simulation")]
mod simulate;
mod size;
mod verify;
mod words;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Look at and try out stores of API idempotency records.
#[derive(Debug, Parser)]
#[command(name = "oncekey", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Audit(audit::Args),
    Demo(demo::Args),
    Inspect(inspect::Args),
    #[cfg(feature = "proxy")]
    Proxy(Box<proxy::Args>),
    #[cfg(feature = "simulation")]
    Simulate(simulate::Args),
    Size(size::Args),
    Verify(verify::Args),
    #[command(hide = true)]
    DemoService(demo::ServiceArgs),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Audit(args) => audit::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Inspect(args) => inspect::run(args),
        #[cfg(feature = "proxy")]
        Command::Proxy(args) => proxy::run(*args),
        #[cfg(feature = "simulation")]
        Command::Simulate(args) => simulate::run(args),
        Command::Size(args) => size::run(args),
        Command::Verify(args) => verify::run(args),
        Command::DemoService(args) => demo::run_service(args),
    }
}
