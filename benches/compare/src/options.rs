//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

pub const HELP: &str = "\
Compares oncekey with the floor a raw log sets and with other stores.

Usage: cargo run --release [--features oncekey,rocksdb] -- [OPTIONS]

Options:
  --quick              One short round and fewer records: does it run?
  --only NAME          Only engines whose name contains NAME; may be repeated
  --workload NAME      durable, tasks, interval or lookup; may be repeated [default: these];
                       lifecycle or scale, which take minutes
  --threads N[,N...]   Blocking threads of the durable workload [default: 1,8,64]
  --tasks N            Tasks of the tasks workload [default: 1000]
  --records N          Records of the lookup and scale workloads, and those that expire in the
                       lifecycle; scale goes on to ten times as many [default: 1000000]
  --asked N            Records that the lookup workload asks for, spread over all; a second time
                       from the second pass on [default: 20000]
  --living N           Records of the lifecycle that do not expire [default: 200000]
  --mixed              In the lifecycle, loads both kinds in turn, not one after the other
  --rate N             Cycles a second before and during the prune [default: 1000]
  --window S           Length of the calm before it [default: 10]
  --janitor-batch N    Records that a peer's janitor removes a transaction [default: 500]
  --janitor-pause MS   Its pause between transactions [default: 1]
  --rounds N           Rounds; the medians are told [default: 5]
  --seconds S          Length of one engine's run in a round [default: 1]
  --no-strace          Skip the pass that counts the peers' syncs
  --dir DIR            Where the data goes, in a directory removed afterwards
                       [default: target/bench-data]
  --out FILE           Also write the report to FILE
  -h, --help           Print this help
";

#[derive(Clone)]
pub struct Options {
    pub only: Vec<String>,
    pub workloads: Vec<String>,
    pub threads: Vec<usize>,
    pub tasks: usize,
    pub records: u64,
    pub asked: u64,
    pub living: u64,
    pub mixed: bool,
    pub rate: u64,
    pub window: Duration,
    pub janitor_batch: usize,
    pub janitor_pause: Duration,
    pub rounds: usize,
    pub length: Duration,
    pub strace: bool,
    pub dir: PathBuf,
    pub out: Option<PathBuf>,
    pub help: bool,
    /// Run this engine once, print its cycles and end: what the sync count runs under strace.
    pub child: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            only: Vec::new(),
            workloads: Vec::new(),
            threads: vec![1, 8, 64],
            tasks: 1000,
            records: 1_000_000,
            asked: 20_000,
            living: 200_000,
            mixed: false,
            rate: 1000,
            window: Duration::from_secs(10),
            janitor_batch: 500,
            janitor_pause: Duration::from_millis(1),
            rounds: 5,
            length: Duration::from_secs(1),
            strace: true,
            dir: concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench-data").into(),
            out: None,
            help: false,
            child: None,
        }
    }
}

impl Options {
    pub fn parse() -> Result<Self, lexopt::Error> {
        let mut options = Self::default();
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("quick") => options.make_quick(),
                Long("only") => options.only.push(parser.value()?.string()?),
                Long("workload") => options.workloads.push(parser.value()?.string()?),
                Long("threads") => {
                    let list = parser.value()?.string()?;
                    let counts = list.split(',').map(str::parse).collect::<Result<_, _>>();
                    options.threads =
                        counts.map_err(|error: std::num::ParseIntError| error.to_string())?;
                }
                Long("tasks") => options.tasks = parser.value()?.parse()?,
                Long("records") => options.records = parser.value()?.parse()?,
                Long("asked") => options.asked = parser.value()?.parse()?,
                Long("living") => options.living = parser.value()?.parse()?,
                Long("mixed") => options.mixed = true,
                Long("rate") => options.rate = parser.value()?.parse()?,
                Long("window") => {
                    options.window = Duration::from_secs_f64(parser.value()?.parse()?);
                }
                Long("janitor-batch") => options.janitor_batch = parser.value()?.parse()?,
                Long("janitor-pause") => {
                    options.janitor_pause = Duration::from_millis(parser.value()?.parse()?);
                }
                Long("rounds") => options.rounds = parser.value()?.parse()?,
                Long("seconds") => {
                    options.length = Duration::from_secs_f64(parser.value()?.parse()?);
                }
                Long("no-strace") => options.strace = false,
                Long("dir") => options.dir = parser.value()?.into(),
                Long("out") => options.out = Some(parser.value()?.into()),
                Long("child") => options.child = Some(parser.value()?.string()?),
                Short('h') | Long("help") => options.help = true,
                other => return Err(other.unexpected()),
            }
        }
        // A directory of our own, since it is removed afterwards.
        options.dir.push("oncekey-compare");
        Ok(options)
    }

    fn make_quick(&mut self) {
        self.rounds = 1;
        self.length = Duration::from_millis(300);
        self.records = 50_000;
        self.living = 10_000;
        self.window = Duration::from_secs(1);
        self.strace = false;
    }

    pub fn wants(&self, workload: &str) -> bool {
        self.workloads.is_empty() || self.workloads.iter().any(|name| name == workload)
    }

    /// A workload that runs only when it is named.
    pub fn asks_for(&self, workload: &str) -> bool {
        self.workloads.iter().any(|name| name == workload)
    }

    pub fn selects(&self, engine: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| engine.contains(name.as_str()))
    }
}
