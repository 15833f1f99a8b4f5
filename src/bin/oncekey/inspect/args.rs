//! The command lines of `oncekey inspect`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ValueEnum;
use oncekey::KeyState;

const EXAMPLES: &str = "\
Examples:
  oncekey inspect /var/lib/pay/idempotency
  oncekey inspect STORE keys --scope acct_42 --limit 20
  oncekey inspect STORE keys --state unresolved --json | jq -r .key
  oncekey inspect STORE key acct_42 8e0bd2f7
  oncekey inspect STORE key acct_42 8e0bd2f7 --body

It only reads, takes no lock, and may be used on a store that is in use: what it shows was true at
some moment of the call. Characters that a terminal would obey or hide are shown as \\u{...}; a
scope or key may be given that way, too.

Exit codes:
  0   shown
  1   the key was not found, or part of the store is damaged
  2   the store cannot be read, or the command line is wrong";

/// Look into a store: a summary, its keys, or one key.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, disable_help_subcommand = true)]
#[command(override_usage = "\
oncekey inspect STORE [--json]
       oncekey inspect STORE keys [--scope SCOPE] [--state STATE] [--limit N] [--json]
       oncekey inspect STORE key SCOPE KEY [--body] [--json]")]
#[command(subcommand_value_name = "WHAT", subcommand_help_heading = "What to look at")]
pub(crate) struct Args {
    /// The store's directory.
    #[arg(value_name = "STORE")]
    pub(super) store: Option<PathBuf>,

    #[command(subcommand)]
    pub(super) what: Option<What>,

    /// Print JSON: one object, or for `keys` one a line.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum What {
    /// List keys: claims first, then records, roughly newest first.
    Keys(KeysArgs),
    /// Show all that is known of a key.
    Key(KeyArgs),
}

#[derive(Debug, clap::Args)]
#[command(override_usage = "\
oncekey inspect STORE keys [--scope SCOPE] [--state STATE] [--limit N] [--json]")]
pub(super) struct KeysArgs {
    /// The store's directory, if it was not given before.
    #[arg(value_name = "STORE", hide = true)]
    pub(super) store: Option<PathBuf>,

    /// Only keys of this scope.
    #[arg(long)]
    pub(super) scope: Option<String>,

    /// Only keys in this state.
    #[arg(long)]
    pub(super) state: Option<State>,

    /// At most this many keys, 0 for all [default: 100; all with --json].
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<usize>,
}

#[derive(Debug, clap::Args)]
#[command(override_usage = "oncekey inspect STORE key SCOPE KEY [--body] [--json]")]
pub(super) struct KeyArgs {
    /// The scope and the key (and before them the store's directory, if it was not given before).
    #[arg(value_names = ["SCOPE", "KEY"], num_args = 2..=3, required = true)]
    pub(super) names: Vec<OsString>,

    /// Show the stored body and the checkpoint's data, which may be confidential.
    #[arg(long)]
    pub(super) body: bool,
}

/// What can have become of a key.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum State {
    /// Replayed to every retry.
    Completed,
    /// Claimed by a process that runs.
    InFlight,
    /// Claimed by a process that is gone; the next claim takes it over.
    Abandoned,
    /// An attempt whose effect is unknown.
    Unresolved,
    /// Still on disk, and counts no more.
    Expired,
}

impl From<State> for KeyState {
    fn from(state: State) -> Self {
        match state {
            State::Completed => Self::Completed,
            State::InFlight => Self::InFlight,
            State::Abandoned => Self::Abandoned,
            State::Unresolved => Self::Unresolved,
            State::Expired => Self::Expired,
        }
    }
}
