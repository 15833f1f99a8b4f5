//! `oncekey simulate`: whole stores in simulated worlds, one for each seed.

mod args;
mod hunt;
mod progress;
mod report;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use oncekey::simulation::Length;

pub(crate) use args::Args;
use hunt::{Found, Hunt};
use report::ReportJson;

use crate::words::{conclude, json, print};

/// Runs seeds; 0 if every promise was kept, 1 if not.
pub(crate) fn run(args: Args) -> ExitCode {
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_interrupt(stop.clone());
    if args.seed.is_none() {
        // A store that panics breaks a promise, which is told below, unless another panic on the
        // way ends the program here and now: whoever looks for the reason needs the seed.
        std::panic::set_hook(Box::new(|panic| {
            if let Some(seed) = hunt::seed_of_thread() {
                eprintln!("seed {seed} panics: {panic}");
            }
        }));
    }
    if args.trace {
        let (seed, _) = args.seeds();
        let printed = print(args.simulation(seed).trace().join("\n") + "\n");
        if printed.is_err() {
            return conclude(printed, ExitCode::SUCCESS);
        }
    }
    let mut found = Hunt::run(&args, &stop);
    let interrupted = stop.load(Ordering::Relaxed);
    let shown = show(&args, &mut found, interrupted);
    let code = match (found.failed, interrupted) {
        (0, false) => 0,
        (0, true) => 2,
        _ => 1,
    };
    conclude(print(shown), ExitCode::from(code))
}

/// Cuts the failures down that are named, and tells everything.
fn show(args: &Args, found: &mut Found, interrupted: bool) -> String {
    if args.steps.is_none() {
        for failure in found.failures.iter_mut().take(report::NAMED) {
            *failure = failure.clone().shrink(runs(args.length()));
        }
    }
    match args.json {
        true => json(&ReportJson::of(found, interrupted), true),
        false => report::text(found, interrupted),
    }
}

/// How many runs it is worth to cut a schedule down.
fn runs(length: Length) -> usize {
    match length {
        Length::Short => 2000,
        Length::Medium => 300,
        _ => 0,
    }
}

/// Sets a flag when the user interrupts; a second time ends the program.
fn stop_on_interrupt(stop: Arc<AtomicBool>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    std::thread::spawn(move || {
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if stop.swap(true, Ordering::Relaxed) {
                    std::process::exit(2);
                }
            }
        });
    });
}
