//! A bar on standard error for whoever waits for a large store to be read, on a terminal only.

use std::io::IsTerminal;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use oncekey::{Error, Inspector, Progress};

/// Looks at a store, and shows how far the look has come.
pub(crate) fn inspector(store: impl AsRef<Path>) -> Result<Inspector, Error> {
    let inspector = Inspector::open(store)?;
    if !std::io::stderr().is_terminal() {
        return Ok(inspector);
    }
    let bar = ProgressBar::hidden();
    // Without a style that parses there is still the default one.
    if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:40}] {pos} of {len}, {eta} left") {
        bar.set_style(style.progress_chars("=> "));
    }
    Ok(inspector.on_progress(move |progress| show(&bar, progress)))
}

fn show(bar: &ProgressBar, progress: Progress) {
    // Short work needs no bar.
    if bar.is_hidden() && progress.total >= 8 {
        bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        bar.reset();
    }
    bar.set_message(progress.phase.to_string());
    bar.set_length(progress.total);
    bar.set_position(progress.done);
    if progress.done >= progress.total {
        bar.finish_and_clear();
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
}
