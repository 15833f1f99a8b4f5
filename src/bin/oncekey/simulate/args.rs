//! The command lines of `oncekey simulate`.

use std::num::NonZeroUsize;
use std::str::FromStr;

use clap::ValueEnum;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use oncekey::simulation::{Bug, Length, Simulation, Steps};

const EXAMPLES: &str = "\
Examples:
  oncekey simulate                                 a thousand short schedules
  oncekey simulate --from 1000 --seeds 1000000     a million others
  oncekey simulate --length medium --seeds 100     thousands of steps each, with many lives
  oncekey simulate --operations 10000000           one long life: many days, prunes, compactions
  oncekey simulate --seed 3342                     one schedule again; if it fails, cut down
  oncekey simulate --seed 3342 --steps 2,5-9,32    a part of it
  oncekey simulate --seed 3342 --trace             all that happens in it
  oncekey simulate --bug early-prune               the store is given a bug: is it noticed?

A seed decides all of a run: the clients, the disk and its faults, the clock, the crashes. A run
that breaks a promise is cut down to the steps it takes, and told with the command that plays it
again. The digest at the end is the same whenever the same seeds are run, in however many threads.

Exit codes:
  0   every promise was kept
  1   a promise was broken
  2   interrupted, or the command line is wrong";

/// Run whole stores in simulated worlds, in which everything goes wrong that can, and judge each
/// of their decisions.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How many seeds to run.
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(super) seeds: u64,

    /// The first seed.
    #[arg(long, value_name = "SEED", default_value = "0")]
    pub(super) from: u64,

    /// In how many threads [default: one for each processor].
    #[arg(long, value_name = "J")]
    pub(super) jobs: Option<NonZeroUsize>,

    /// How long each schedule is.
    #[arg(long, value_name = "LENGTH", default_value = "short")]
    pub(super) length: Short,

    /// Run one long schedule instead, until this many clients have come.
    #[arg(long, value_name = "N", conflicts_with_all = ["length", "seeds", "jobs"])]
    pub(super) operations: Option<u64>,

    /// Run this seed alone.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from", "jobs", "keep_going"])]
    pub(super) seed: Option<u64>,

    /// Play only these steps of its schedule, such as 2,5-9,32.
    #[arg(long, value_name = "LIST", requires = "seed")]
    pub(super) steps: Option<Steps>,

    /// Print all that happens, with every call of the disk.
    #[arg(long, requires = "seed", conflicts_with_all = ["json", "operations"])]
    pub(super) trace: bool,

    /// Give the store a bug.
    #[arg(long, value_name = "NAME", value_parser = bugs())]
    pub(super) bug: Option<Bug>,

    /// Go on after a failure; otherwise the first one ends it.
    #[arg(long)]
    pub(super) keep_going: bool,

    /// Print the result as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Short {
    /// A few dozen steps and a crash or two.
    Short,
    /// Thousands of steps with many lives.
    Medium,
}

fn bugs() -> impl TypedValueParser<Value = Bug> {
    let names = PossibleValuesParser::new(Bug::ALL.iter().map(|bug| bug.name()));
    names.try_map(|name| Bug::from_str(&name))
}

impl Args {
    pub(super) fn length(&self) -> Length {
        match (self.operations, self.length) {
            (Some(clients), _) => Length::Long(clients),
            (None, Short::Short) => Length::Short,
            (None, Short::Medium) => Length::Medium,
        }
    }

    /// The seeds to run, from the first one to before the last one.
    pub(super) fn seeds(&self) -> (u64, u64) {
        match (self.seed, self.operations) {
            (Some(seed), _) => (seed, seed.saturating_add(1)),
            (None, Some(_)) => (self.from, self.from.saturating_add(1)),
            (None, None) => (self.from, self.from.saturating_add(self.seeds)),
        }
    }

    pub(super) fn jobs(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.jobs.map_or_else(all, NonZeroUsize::get)
    }

    /// What is run of a seed.
    pub(super) fn simulation(&self, seed: u64) -> Simulation {
        let mut simulation = Simulation::new(seed).length(self.length());
        if let Some(bug) = self.bug {
            simulation = simulation.with_bug(bug);
        }
        match &self.steps {
            Some(steps) => simulation.keep(steps.clone()),
            None => simulation,
        }
    }
}
