//! What a backend declares of itself.

use std::fmt;

/// What an outcome that was told survives. Ordered: the later ones survive more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Survives {
    /// Nothing: it is in the memory of one process.
    Nothing,
    /// The death of the process, but not a power cut or a crash of the machine: after one of those
    /// a key that was claimed or completed may run again.
    ProcessDeath,
    /// A power cut at any moment.
    PowerCut,
}

impl fmt::Display for Survives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::ProcessDeath => "the death of the process",
            Self::PowerCut => "a power cut",
        })
    }
}

/// How [`Backend::wait`](super::Backend::wait) learns of the end of somebody else's claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Waiting {
    /// Not at all: it answers `InFlight` at once.
    Never,
    /// It looks again and again.
    Polled,
    /// It is told at once.
    Notified,
}

/// What a backend promises beyond the contract of [`Backend`](super::Backend).
///
/// ```
/// use oncekey::backend::{Capabilities, Survives, Waiting};
///
/// let capabilities = Capabilities::new(Survives::PowerCut, Waiting::Polled);
/// assert!(capabilities.survives() >= Survives::ProcessDeath);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    survives: Survives,
    waiting: Waiting,
    shared: bool,
}

impl Capabilities {
    /// What outcomes survive, and how waiting works; of one process.
    #[must_use]
    pub const fn new(survives: Survives, waiting: Waiting) -> Self {
        Self { survives, waiting, shared: false }
    }

    /// Says that several processes may use the same records at one time.
    #[must_use]
    pub const fn shared(mut self) -> Self {
        self.shared = true;
        self
    }

    /// What an outcome that was told survives.
    #[must_use]
    pub const fn survives(&self) -> Survives {
        self.survives
    }

    /// How the end of somebody else's claim is learnt.
    #[must_use]
    pub const fn waiting(&self) -> Waiting {
        self.waiting
    }

    /// Whether several processes may use the same records at one time. Where not, the replicas of a
    /// service need sticky routing by scope.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.shared
    }
}
