//! Progress on standard error, on a terminal only.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    begin: Instant,
}

impl Progress {
    /// Of so many seeds, or steps of one long schedule.
    pub(super) fn new(all: u64, is_long: bool) -> Self {
        let bar = match std::io::stderr().is_terminal() {
            true => ProgressBar::new(all),
            false => ProgressBar::hidden(),
        };
        let form = match is_long {
            true => "[{bar:40}] about {pos} of {len} clients, {per_sec}, {eta} left",
            false => "[{bar:40}] {pos} of {len} seeds, {per_sec}, {msg}, {eta} left",
        };
        // Without a style that parses there is still the default one.
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, begin: Instant::now() }
    }

    /// A long schedule came to a step: about one client comes in each.
    pub(super) fn reach(&self, step: u64) {
        if step.is_multiple_of(1000) {
            self.bar.set_position(step);
        }
    }

    /// So many seeds were run, with so many crashes.
    pub(super) fn reach_seeds(&self, seeds: u64, crashes: u64) {
        let rate = crashes as f64 / self.begin.elapsed().as_secs_f64().max(0.001);
        self.bar.set_message(format!("{rate:.0} recoveries/s"));
        self.bar.set_position(seeds);
    }

    /// Says something in between.
    pub(super) fn say(&self, text: &str) {
        if std::io::stderr().is_terminal() {
            self.bar.println(text);
        } else {
            eprintln!("{text}");
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
