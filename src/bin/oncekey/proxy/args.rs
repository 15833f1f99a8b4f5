//! The command line of the proxy.

use std::path::PathBuf;

use super::choices::Choices;
use super::settings::Settings;
use crate::failure::{Doing, Result};

const EXAMPLES: &str = "\
Examples:
  oncekey proxy --listen 127.0.0.1:8080 --upstream http://127.0.0.1:3000 \\
    --scope-header authorization --store state/
  oncekey proxy --config proxy.toml
  ONCEKEY_PROXY_LISTEN=0.0.0.0:8080 oncekey proxy --config proxy.toml

Flags go before the environment, the environment before the file. docs/proxy.md describes all.

What ended with its effect unknown (the proxy was killed, the upstream hung up) is not sent again:
  curl http://127.0.0.1:8081/unresolved
  curl http://127.0.0.1:8081/resolve -H 'Content-Type: application/json' \\
    -d '{\"scope\": \"...\", \"key\": \"...\", \"token\": 17, \"not_executed\": true}'

Exit codes:
  0   stopped by SIGTERM or SIGINT, and everything in flight ended
  1   stopped with requests in flight that did not end in time
  2   the proxy could not run";

/// Give a service in any language idempotency keys: a reverse proxy that sends a request with an
/// Idempotency-Key at most once, and answers every retry with its response.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A TOML file with whatever flags and environment do not say.
    #[arg(long, value_name = "FILE", env = "ONCEKEY_PROXY_CONFIG")]
    config: Option<PathBuf>,

    /// Check the configuration and stop.
    #[arg(long)]
    pub(crate) check: bool,

    #[command(flatten)]
    choices: Choices,
}

impl Args {
    pub(crate) fn settings(self) -> Result<Settings> {
        let file = match &self.config {
            None => Choices::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path).doing(path.display())?;
                toml::from_str(&text).doing(path.display())?
            }
        };
        Settings::of(self.choices.or(file))
    }
}
