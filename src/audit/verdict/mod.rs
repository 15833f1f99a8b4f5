//! Verdicts: what each collision was, and the reasons that say why.
//!
//! A verdict is made from the event, the key's recent past (a bounded table) and fixed rules: the
//! same events in the same order give the same verdicts, and no key's verdict depends on another's.
//! It judges; it never blocks, and it never changes what the store answered.
//!
//! `docs/verdicts.md` says how each rule is derived, what it was measured to reach, and what no
//! rule can tell.
//!
//! Left to others: what makes events (the engine) and what is counted over them (reports).

mod classifier;
mod gaps;
mod party;
mod reason;
mod rules;
mod table;
#[cfg(test)]
mod tests;

pub use classifier::Classifier;
pub use reason::{Reason, Reasons};
pub use rules::Rules;

use std::fmt;

use super::EventId;

/// What a collision was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// An honest repeat of the request: its sender had given up on the copy before, or sent it
    /// again after it had ended.
    LegitimateRetry,
    /// Copies that were sent without waiting for each other met while one was executed.
    Race,
    /// The same key with another operation or payload: a bug of the client.
    KeyReuse,
    /// A retry after the record had expired.
    LateRetry,
    /// A holder whose claim was over came back.
    StaleHolder,
    /// A request that was sent again long after, from another network, agent or client.
    SuspiciousReplay,
    /// A program that sends the same request again and again.
    AutomationLoop,
    /// What is known does not tell a retry from a replay: no caller was given, or another party
    /// came too soon to be called stale.
    Unclear,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 8] = [
        Self::LegitimateRetry,
        Self::Race,
        Self::KeyReuse,
        Self::LateRetry,
        Self::StaleHolder,
        Self::SuspiciousReplay,
        Self::AutomationLoop,
        Self::Unclear,
    ];

    /// Its stable name, as reports and exports write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LegitimateRetry => "legitimate_retry",
            Self::Race => "race",
            Self::KeyReuse => "key_reuse",
            Self::LateRetry => "late_retry",
            Self::StaleHolder => "stale_holder",
            Self::SuspiciousReplay => "suspicious_replay",
            Self::AutomationLoop => "automation_loop",
            Self::Unclear => "unclear",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A verdict, and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Judgement {
    /// What the collision was.
    pub verdict: Verdict,
    /// What was seen, including what spoke against the verdict.
    pub reasons: Reasons,
    /// How much of what was seen speaks for the verdict, from 1 to 100. It orders judgements of one
    /// verdict; it is not a probability.
    pub score: u8,
    /// The event that made the claim or the record that was met, if it is remembered.
    pub against: Option<EventId>,
}
