//! Progress on standard error: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// The progress of one stage.
#[derive(Debug)]
pub(crate) struct Stage {
    name: String,
    started: Instant,
    bar: ProgressBar,
}

impl Stage {
    /// A stage of `steps` steps.
    pub(crate) fn new(name: &str, steps: usize) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new(steps as u64).with_message(name.to_owned())
        } else {
            ProgressBar::hidden()
        };
        // Without a style that parses there is still the default one.
        if let Ok(style) = ProgressStyle::with_template("{msg:18} [{bar:40}] {pos}/{len}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { name: name.to_owned(), started: Instant::now(), bar }
    }

    /// One step is done.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
    }

    /// Says something in between.
    pub(crate) fn say(&self, text: &str) {
        if std::io::stderr().is_terminal() {
            self.bar.println(text);
        } else {
            eprintln!("{text}");
        }
    }

    /// The stage is over; `result` says what came of it.
    pub(crate) fn finish(self, result: &str) {
        self.bar.finish_and_clear();
        eprintln!("{:18} {:5.2} s  {result}", self.name, self.started.elapsed().as_secs_f64());
    }
}
