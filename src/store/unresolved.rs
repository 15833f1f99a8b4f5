//! Attempts whose effect is unknown, and how somebody settles them.

use crate::ids::{StoreTime, Token};
use crate::types::{Key, Scope, StoredResponse};

/// An attempt that ended with its effect unknown: held, not silently run again, until it is
/// resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// Apart, so that the outcomes that are not this one stay small.
    name: Box<(Scope, Key)>,
    token: Token,
    attempt: u32,
    since: StoreTime,
}

impl Unresolved {
    /// An attempt that a [`Backend`](crate::backend::Backend) knows to be unresolved.
    #[must_use]
    pub fn new(scope: Scope, key: Key, token: Token, attempt: u32, since: StoreTime) -> Self {
        Self { name: Box::new((scope, key)), token, attempt, since }
    }

    /// Whose it is.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.name.0
    }

    /// Which key.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.name.1
    }

    /// The fencing token of the attempt.
    #[must_use]
    pub fn token(&self) -> Token {
        self.token
    }

    /// Which attempt.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Since when it is unresolved, in store time.
    #[must_use]
    pub fn since(&self) -> StoreTime {
        self.since
    }
}

/// How an unresolved attempt is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolution {
    /// It took effect: this is the response that every retry gets.
    Completed(StoredResponse),
    /// It did not: the key is free.
    NotExecuted,
}
