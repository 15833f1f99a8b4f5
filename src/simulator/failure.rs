//! A run that broke a promise, and how it is cut down to the steps that it takes.

use std::fmt;
use std::ops::ControlFlow;

use super::coverage::Coverage;
use super::profile::Length;
use super::simulation::Simulation;
use super::steps::Steps;
use crate::sabotage::Bug;

/// A broken promise, and the run that broke it.
///
/// [`Display`](fmt::Display) shows what broke, the trace of the schedule and the command that plays
/// it again; with `{:#}` the trace has every call of the disk.
#[derive(Debug, Clone)]
pub struct Failure {
    simulation: Simulation,
    broken: String,
    coverage: Coverage,
}

impl Failure {
    /// A run that came to a step and no further.
    pub(super) fn new(
        simulation: Simulation,
        last: u64,
        broken: String,
        coverage: Coverage,
    ) -> Self {
        let kept = simulation.kept.clone().map(|kept| up_to(&kept, last));
        Self { simulation: Simulation { kept, ..simulation }, broken, coverage }
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.simulation.seed
    }

    /// How long its schedule was.
    #[must_use]
    pub fn length(&self) -> Length {
        self.simulation.length
    }

    /// The bug that the store was given.
    #[must_use]
    pub fn bug(&self) -> Option<Bug> {
        self.simulation.bug
    }

    /// The steps that were kept; `None` for all.
    #[must_use]
    pub fn steps(&self) -> Option<&Steps> {
        self.simulation.kept.as_ref()
    }

    /// What broke, in words.
    #[must_use]
    pub fn broken(&self) -> &str {
        &self.broken
    }

    /// What the run came across before.
    #[must_use]
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// The run that failed.
    #[must_use]
    pub fn simulation(&self) -> &Simulation {
        &self.simulation
    }

    /// The command that plays it again.
    #[must_use]
    pub fn command(&self) -> String {
        let Simulation { seed, length, bug, kept, .. } = &self.simulation;
        let mut line =
            format!("cargo run --release --features cli,simulation -- simulate --seed {seed}");
        match length {
            Length::Short => {}
            Length::Medium => line.push_str(" --length medium"),
            Length::Long(operations) => line.push_str(&format!(" --operations {operations}")),
        }
        if let Some(bug) = bug {
            line.push_str(&format!(" --bug {bug}"));
        }
        if let Some(kept) = kept {
            line.push_str(&format!(" --steps {kept}"));
        }
        line
    }

    /// Cuts the schedule down to the shortest that still breaks a promise, any, with at most this
    /// many runs (delta debugging; Zeller and Hildebrandt, 2002). No step that is left can be
    /// missed, unless the runs ran out.
    #[must_use]
    pub fn shrink(self, runs: usize) -> Self {
        let mut cut = Shrink { runs, found: self };
        let Some(mut left) = cut.begin() else { return cut.found };
        let mut size = left.len().div_ceil(2);
        while size > 0 && !left.is_empty() {
            let before = left.len();
            let mut at = 0;
            // From the end: what comes last was there when it broke and seldom what led to it.
            while at < left.len() {
                let end = left.len() - at;
                let begin = end.saturating_sub(size);
                let without = [left.get(..begin), left.get(end..)];
                let without: Vec<u64> = without.into_iter().flatten().flatten().copied().collect();
                match cut.breaks(&without) {
                    Some(shorter) => left = shorter,
                    None => at += size,
                }
                if cut.runs == 0 {
                    return cut.found;
                }
            }
            size = if size > 1 { size / 2 } else { usize::from(left.len() < before) };
        }
        cut.found
    }
}

/// A search for a shorter schedule.
struct Shrink {
    runs: usize,
    /// The shortest so far.
    found: Failure,
}

impl Shrink {
    /// The steps as they were played, and nothing after the one that broke a promise.
    fn begin(&mut self) -> Option<Vec<u64>> {
        if self.runs == 0 {
            return None;
        }
        let mut played = Vec::new();
        let (again, _) = self.found.simulation.play(false, |step| {
            played.push(step);
            ControlFlow::Continue(())
        });
        // Not the same run twice: then nothing can be told from another.
        again.broken.as_ref()?;
        self.breaks(&played)
    }

    /// Whether these steps break a promise; if so, those of them that were played.
    fn breaks(&mut self, steps: &[u64]) -> Option<Vec<u64>> {
        self.runs = self.runs.checked_sub(1)?;
        let kept = Steps::from_iter(steps.iter().copied());
        let simulation = self.found.simulation.clone().keep(kept);
        let failure = simulation.run().err()?;
        let left = failure.steps().map(|steps| steps.iter().collect())?;
        self.found = failure;
        Some(left)
    }
}

fn up_to(steps: &Steps, last: u64) -> Steps {
    steps.iter().take_while(|step| *step <= last).collect()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_long = matches!(self.length(), Length::Long(_)) && self.steps().is_none();
        // The trace of a long schedule is longer than anybody reads, or memory holds.
        let trace = if is_long { Vec::new() } else { self.simulation.trace() };
        for line in &trace {
            let of_disk = line.get(7..).is_some_and(|line| line.trim_start().starts_with("disk:"));
            if f.alternate() || !of_disk {
                writeln!(f, "{line}")?;
            }
        }
        writeln!(f, "seed {} breaks a promise: {}", self.seed(), self.broken)?;
        writeln!(f, "replay: {}", self.command())
    }
}

impl std::error::Error for Failure {}
