//! What a story comes to.

use std::fmt;

use super::Reach;
use super::attempts::{Attempts, Fate, Tally};

/// Whether a key was executed more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Finding {
    /// Nobody asked for it.
    NotSeen,
    /// It was asked for, and no attempt was executed, as their holders say.
    NotExecuted,
    /// One attempt is under way.
    InProgress,
    /// One attempt may have been executed, and nobody said whether.
    Unsettled,
    /// It was executed once.
    Once,
    /// It was executed once, if that is true which only somebody's word says: that an attempt that
    /// was given back, or settled, had no effect; or that one that was settled so had one.
    OnceOnTrust,
    /// It may have been executed more than once.
    MaybeTwice,
    /// It was executed more than once.
    Twice,
    /// Events are missing that could hide an execution.
    Unknown,
}

impl Finding {
    /// Every finding.
    pub const ALL: [Self; 9] = [
        Self::NotSeen,
        Self::NotExecuted,
        Self::InProgress,
        Self::Unsettled,
        Self::Once,
        Self::OnceOnTrust,
        Self::MaybeTwice,
        Self::Twice,
        Self::Unknown,
    ];

    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotSeen => "not_seen",
            Self::NotExecuted => "not_executed",
            Self::InProgress => "in_progress",
            Self::Unsettled => "unsettled",
            Self::Once => "once",
            Self::OnceOnTrust => "once_on_trust",
            Self::MaybeTwice => "maybe_twice",
            Self::Twice => "twice",
            Self::Unknown => "unknown",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NotSeen => "nobody asked for this key",
            Self::NotExecuted => "not executed: nothing was claimed, or all of it was given back",
            Self::InProgress => "being executed: one attempt is under way",
            Self::Unsettled => {
                "executed once or not at all: nothing says how its one attempt ended"
            }
            Self::Once => "executed once",
            Self::OnceOnTrust => {
                "executed once, if those who gave a claim back or settled it are right"
            }
            Self::MaybeTwice => "may have been executed more than once",
            Self::Twice => "executed more than once",
            Self::Unknown => "unknown",
        }
    }

    /// What the attempts come to, were nothing missing. `is_live`: whether the last one may be under
    /// way.
    pub(super) fn of(attempts: &Attempts, was_asked_for: bool, is_live: bool) -> Self {
        let Tally { completed, doubtful, trusted } = attempts.tally();
        match (completed, doubtful) {
            (2.., _) => Self::Twice,
            (0..2, 0..2) if completed + doubtful == 1 => match completed {
                1 if trusted == 0 => Self::Once,
                1 => Self::OnceOnTrust,
                _ if is_live && attempts.last().is_some_and(|last| last.fate == Fate::Open) => {
                    Self::InProgress
                }
                _ => Self::Unsettled,
            },
            (0, 0) if trusted > 0 || was_asked_for => Self::NotExecuted,
            (0, 0) => Self::NotSeen,
            _ => Self::MaybeTwice,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a story comes to, and from when to when that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conclusion {
    /// Whether the key was executed more than once.
    pub finding: Finding,
    /// What is there says so; another finding than this is [`Finding::Unknown`] because of what is
    /// missing.
    pub apparent: Finding,
    /// From when to when.
    pub reach: Reach,
    /// How many events are missing that could hide an execution; `None` if nobody knows.
    pub missing: Option<u64>,
    /// How many claims were completed.
    pub completed: u64,
    /// How many more may have been executed.
    pub doubtful: u64,
}

impl Conclusion {
    pub(super) fn new(apparent: Finding, reach: Reach, missing: Option<u64>, tally: Tally) -> Self {
        // What is seen to have been executed twice was, whatever is missing.
        let is_sure = matches!(apparent, Finding::MaybeTwice | Finding::Twice);
        let finding = if is_sure || missing == Some(0) { apparent } else { Finding::Unknown };
        let Tally { completed, doubtful, .. } = tally;
        Self { finding, apparent, reach, missing, completed, doubtful }
    }
}

/// A sentence without an end.
impl fmt::Display for Conclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.finding != Finding::Unknown {
            f.write_str(self.finding.words())?;
            return match self.finding {
                Finding::Twice => write!(f, ": {} claims were completed", self.completed),
                Finding::MaybeTwice => match self.completed {
                    0 => write!(f, ": nothing says how {} attempts ended", self.doubtful),
                    _ => write!(
                        f,
                        ": one claim was completed, and nothing says that {} other{} had no effect",
                        self.doubtful,
                        if self.doubtful == 1 { "" } else { "s" },
                    ),
                },
                _ => Ok(()),
            };
        }
        match self.missing {
            Some(1) => f.write_str("unknown: 1 event is missing, which could hide an execution")?,
            Some(lost) => {
                write!(f, "unknown: {lost} events are missing, which could hide an execution")?;
            }
            None => f.write_str(
                "unknown: events are missing, nobody knows how many, which could hide an execution",
            )?,
        }
        write!(f, "; what is there says: {}", self.apparent.words())
    }
}
