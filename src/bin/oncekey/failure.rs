//! Why a command could not run: a sentence for a person. Leads to exit code 2.

use std::fmt;

/// What the environment or the configuration refused.
#[derive(Debug)]
pub(crate) struct Failure(String);

/// What the fallible parts of a command return.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<oncekey::Error> for Failure {
    fn from(error: oncekey::Error) -> Self {
        Self(format!("store: {error}"))
    }
}

/// Says what was being done when something else's error came up.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Failure(format!("{what}: {error}")))
    }
}
