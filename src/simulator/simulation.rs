//! The simulator's face: a run by its seed, and what comes of it.
//!
//! All that a run does follows from its seed, its length, its bug and the steps that are kept:
//! whoever has these four has the run.

use std::ops::ControlFlow;

use super::coverage::Coverage;
use super::failure::Failure;
use super::profile::Length;
use super::run::{Played, Turn, play};
use super::steps::Steps;
use crate::sabotage::Bug;

/// One run of the simulator: a whole store with its clients, its disk and its clock, played from
/// a seed and judged by a model at every decision.
///
/// ```
/// use oncekey::simulation::{Bug, Simulation};
///
/// for seed in 0..5 {
///     let coverage = Simulation::new(seed).run().expect("every promise is kept");
///     assert!(coverage.count("recovered") > 0);
/// }
///
/// // A store with a bug breaks a promise before long, in a schedule that can be cut down.
/// let failure = (0..)
///     .find_map(|seed| Simulation::new(seed).with_bug(Bug::SkippedSync).run().err())
///     .expect("a seed that shows it");
/// let shortest = failure.shrink(200);
/// println!("{shortest}");
/// assert!(shortest.command().contains("--bug skipped-sync"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulation {
    pub(super) seed: u64,
    pub(super) length: Length,
    pub(super) bug: Option<Bug>,
    pub(super) kept: Option<Steps>,
    /// Whether the checker of histories is the only judge.
    pub(super) only_histories: bool,
    /// What the dice roll first, if it is not for the seed to say; when it is over the run ends.
    pub(super) tape: Option<Vec<u8>>,
    /// Whether it is played without an audit trail, which changes nothing if the trail is calm.
    pub(super) without_trail: bool,
}

impl Simulation {
    /// The short schedule of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            length: Length::Short,
            bug: None,
            kept: None,
            only_histories: false,
            tape: None,
            without_trail: false,
        }
    }

    /// Plays a schedule of that length: it is another one, not a longer part of the same.
    #[must_use]
    pub fn length(mut self, length: Length) -> Self {
        self.length = length;
        self
    }

    /// Plays only these steps of the schedule. Each step does what it would do among the others.
    #[must_use]
    pub fn keep(mut self, steps: Steps) -> Self {
        self.kept = Some(steps);
        self
    }

    /// Gives the store a bug.
    #[must_use]
    pub fn with_bug(mut self, bug: Bug) -> Self {
        self.bug = Some(bug);
        self
    }

    /// Lets nobody judge but the checker of histories.
    #[cfg(test)]
    pub(super) fn judged_by_histories(mut self) -> Self {
        self.only_histories = true;
        self
    }

    /// Lets bytes decide what happens, in the kind of run that the seed draws.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn led_by(mut self, tape: &[u8]) -> Self {
        self.tape = Some(tape.to_vec());
        self
    }

    /// Plays it without an audit trail.
    #[cfg(test)]
    pub(super) fn without_trail(mut self) -> Self {
        self.without_trail = true;
        self
    }

    /// Plays it.
    ///
    /// # Errors
    /// A promise was broken.
    #[allow(clippy::missing_panics_doc, reason = "a panic of the store is a broken promise")]
    pub fn run(&self) -> Result<Coverage, Failure> {
        self.run_while(|_| ControlFlow::Continue(()))
    }

    /// Plays it as long as `go_on` says so, which is told the number of each step before it is
    /// played. What was begun is brought to its end, and judged.
    ///
    /// # Errors
    /// A promise was broken.
    pub fn run_while(
        &self,
        go_on: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Coverage, Failure> {
        let (played, last) = self.play(false, go_on);
        match played.broken {
            None => Ok(played.coverage),
            Some(broken) => Err(Failure::new(self.clone(), last, broken, played.coverage)),
        }
    }

    /// What happens in it, a line each, with every call of the disk. That of a long schedule takes
    /// gigabytes.
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        self.play(true, |_| ControlFlow::Continue(())).0.trace
    }

    /// Plays it; the number is that of the last step it came to.
    pub(super) fn play(
        &self,
        traced: bool,
        mut go_on: impl FnMut(u64) -> ControlFlow<()>,
    ) -> (Played, u64) {
        let mut last = 0;
        let mut turn = |step| {
            if let Some(kept) = &self.kept {
                if kept.last().is_none_or(|end| step > end) {
                    return Turn::Stop;
                }
                if !kept.contains(step) {
                    return Turn::Skip;
                }
            }
            last = step;
            if go_on(step).is_break() { Turn::Stop } else { Turn::Play }
        };
        let mut run = || play(self, traced, &mut turn);
        let played = match self.bug {
            Some(bug) => bug.run(run),
            None => run(),
        };
        (played, last)
    }
}
