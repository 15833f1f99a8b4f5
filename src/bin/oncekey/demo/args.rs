//! The command lines of the demo.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use rustix::process::{Resource, getrlimit};

use crate::failure::{Failure, Result};

/// Both ends of the connections from client to forwarder, to service, to gateway.
const DESCRIPTORS_PER_CLIENT: u64 = 6;
/// With `--kill` a client may send three requests at once, and the service counts for itself.
const DESCRIPTORS_PER_RACING_CLIENT: u64 = 12;
/// For the store, the book, and the program itself.
const SPARE_DESCRIPTORS: u64 = 64;

const EXAMPLES: &str = "\
Examples:
  oncekey demo                     the whole story, in a few seconds
  oncekey demo --serve             the service alone, to try with curl
  oncekey demo --kill              the service is killed under load, again and again
  oncekey demo --kill --no-dedup   the same over a gateway that charges whenever it is asked
  oncekey demo --store /tmp/pay    keep the store, and the gateway's book /tmp/pay.book.jsonl

Columns of the table (each request ends in one of them):
  executed     answered by the request that ran the handler
  replayed     answered with the stored bytes, at once
  waited       answered with the stored bytes, after waiting for the request that ran
  mismatch     refused: the key came with another body before (422)
  in flight    told to come back: another request with this key is being handled (409)
  unresolved   refused: whether the key was executed is not known (503)
  failed       the handler failed or died, or the store refused (5xx)
  lost         the connection ended without an answer

Exit codes:
  0   every key was charged once, as its clients were told
  1   a key was charged twice or lost, or an answer was not kept
  2   the demo could not run";

/// Start a payments service over an embedded store, send it traffic that goes wrong in every usual
/// way, and compare what was charged with what should have been.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Leave the service up, without traffic, until Ctrl-C; prints the curl lines to try.
    #[arg(long, conflicts_with_all = ["kill", "json"])]
    pub(crate) serve: bool,

    /// Run the service as a child process and kill it (SIGKILL) again and again under load.
    #[arg(long)]
    pub(crate) kill: bool,

    /// Use a gateway that does not deduplicate: doubtful charges are held as unresolved.
    #[arg(long, requires = "kill")]
    pub(crate) no_dedup: bool,

    /// How often to kill the service under load; some more kills hit it while it restarts.
    #[arg(
        long, value_name = "N", default_value = "8", requires = "kill",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=10_000),
    )]
    pub(crate) kills: usize,

    /// The store's directory; the gateway's book is DIR.book.jsonl [default: a temporary
    /// directory, removed unless the run fails].
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,

    /// The port that clients connect to [default: any; with --serve 7070].
    #[arg(long)]
    pub(crate) port: Option<u16>,

    /// About how many payments to make.
    #[arg(
        long, value_name = "N", default_value = "6000", conflicts_with_all = ["kill", "serve"],
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000),
    )]
    pub(crate) requests: usize,

    /// How many clients at once; each needs 6 to 12 file descriptors [default: 64; with --kill
    /// 16].
    #[arg(
        long, value_name = "N", conflicts_with = "serve",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1000),
    )]
    concurrency: Option<usize>,

    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Args {
    pub(crate) fn clients(&self) -> usize {
        self.concurrency.unwrap_or(if self.kill { 16 } else { 64 })
    }

    /// Refuses more clients than there are file descriptors for: sockets that cannot be opened
    /// would look like a bad network.
    pub(crate) fn check_descriptors(&self) -> Result<()> {
        let per_client =
            if self.kill { DESCRIPTORS_PER_RACING_CLIENT } else { DESCRIPTORS_PER_CLIENT };
        let needed = self.clients() as u64 * per_client + SPARE_DESCRIPTORS;
        match getrlimit(Resource::Nofile).current {
            Some(limit) if limit < needed => Err(Failure::new(format!(
                "{} clients need {needed} file descriptors, and {limit} are allowed: raise \
                 `ulimit -n` or lower --concurrency",
                self.clients(),
            ))),
            _ => Ok(()),
        }
    }
}

/// The service alone, as the child of `demo --kill`: prints its address, and runs until its
/// standard input ends.
#[derive(Debug, clap::Args)]
pub(crate) struct ServiceArgs {
    #[arg(long)]
    pub(crate) store: PathBuf,
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    #[arg(long)]
    pub(crate) gateway: String,
    #[arg(long)]
    pub(crate) no_dedup: bool,
}
