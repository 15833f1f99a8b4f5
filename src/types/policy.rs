//! What becomes of a claim that nobody ended.

use std::fmt;

/// What becomes of a claim that was dropped without an end: an early return, a panic, a cancelled
/// task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropPolicy {
    /// Nobody else runs before the lease is over; then a claim is a takeover, which sees a higher
    /// attempt and the last checkpoint. At-least-once: only a downstream that deduplicates by the
    /// [downstream key](crate::DownstreamKey) prevents a second effect.
    #[default]
    Hold,
    /// A retry may run at once.
    Release,
    /// Nobody runs until somebody [resolves](crate::Store::resolve) it. For effects that must not
    /// happen twice and cannot be deduplicated.
    Unresolved,
}

impl DropPolicy {
    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Hold => 0,
            Self::Release => 1,
            Self::Unresolved => 2,
        }
    }

    /// The policy of a byte from disk. An unknown one is treated as the policy that never runs
    /// anything twice.
    pub(crate) const fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Hold,
            1 => Self::Release,
            _ => Self::Unresolved,
        }
    }
}

impl fmt::Display for DropPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Unresolved => "unresolved",
        })
    }
}
