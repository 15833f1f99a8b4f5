//! Reason codes: what was seen of a collision, each with a stable name.

use std::fmt;

/// One thing that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Client, network and agent are the earlier one's, as far as both are known.
    SameParty,
    /// Another client than the holder's.
    OtherClient,
    /// Another network than the holder's and the last retry's.
    OtherNetwork,
    /// Another user agent than the holder's and the last retry's.
    OtherAgent,
    /// Nothing about the caller or the holder could be compared.
    PartyUnknown,
    /// Another operation under the same key.
    OtherOperation,
    /// Another payload under the same key.
    OtherPayload,
    /// The claim that was met was being executed.
    InFlight,
    /// The claim that was met had only just begun.
    JustBegun,
    /// The record that was met had expired.
    RecordExpired,
    /// The holder's claim was over.
    ClaimOver,
    /// The claim went over to this caller.
    TookOver,
    /// The effect of the attempt that was met is unknown.
    EffectUnknown,
    /// The last honest try is too long ago for a backoff to explain a change of party.
    Stale,
    /// The time since the last honest try is the one before times a factor: the next of a series of
    /// tries that come at growing intervals, which explains even hours.
    Series,
    /// What was met did not end well, or took longer than clients wait: its sender had a reason to
    /// come back.
    RetryExpected,
    /// Since its party changed it has been answered, and it asks again.
    AnsweredBefore,
    /// The gap is shorter than any wait: sent again at once.
    GapImmediate,
    /// A first gap that a backoff or a timeout explains; a first gap tells no more.
    GapShort,
    /// The gap is as long as the one before: a fixed wait.
    GapFixed,
    /// The gap is the one before times a factor: an exponential backoff.
    GapExponential,
    /// The gap is within what full jitter draws from.
    GapFullJitter,
    /// The gap is within what decorrelated jitter draws from: up to three times the one before.
    GapDecorrelated,
    /// The gap is longer than a backoff waits: a person, a queue, or a job.
    GapLong,
    /// The key's past is not remembered, so there is no gap.
    GapUnknown,
    /// More tries in a row than a retry policy makes so fast.
    Burst,
    /// More tries than a retry policy makes at all.
    ManyTries,
}

impl Reason {
    /// Every reason, in the order in which reports list them.
    pub const ALL: [Self; 27] = [
        Self::SameParty,
        Self::OtherClient,
        Self::OtherNetwork,
        Self::OtherAgent,
        Self::PartyUnknown,
        Self::OtherOperation,
        Self::OtherPayload,
        Self::InFlight,
        Self::JustBegun,
        Self::RecordExpired,
        Self::ClaimOver,
        Self::TookOver,
        Self::EffectUnknown,
        Self::Stale,
        Self::Series,
        Self::RetryExpected,
        Self::AnsweredBefore,
        Self::GapImmediate,
        Self::GapShort,
        Self::GapFixed,
        Self::GapExponential,
        Self::GapFullJitter,
        Self::GapDecorrelated,
        Self::GapLong,
        Self::GapUnknown,
        Self::Burst,
        Self::ManyTries,
    ];

    /// Its stable name, as reports and exports write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SameParty => "same_party",
            Self::OtherClient => "other_client",
            Self::OtherNetwork => "other_network",
            Self::OtherAgent => "other_agent",
            Self::PartyUnknown => "party_unknown",
            Self::OtherOperation => "other_operation",
            Self::OtherPayload => "other_payload",
            Self::InFlight => "in_flight",
            Self::JustBegun => "just_begun",
            Self::RecordExpired => "record_expired",
            Self::ClaimOver => "claim_over",
            Self::TookOver => "took_over",
            Self::EffectUnknown => "effect_unknown",
            Self::Stale => "stale",
            Self::Series => "series",
            Self::RetryExpected => "retry_expected",
            Self::AnsweredBefore => "answered_before",
            Self::GapImmediate => "gap_immediate",
            Self::GapShort => "gap_short",
            Self::GapFixed => "gap_fixed",
            Self::GapExponential => "gap_exponential",
            Self::GapFullJitter => "gap_full_jitter",
            Self::GapDecorrelated => "gap_decorrelated",
            Self::GapLong => "gap_long",
            Self::GapUnknown => "gap_unknown",
            Self::Burst => "burst",
            Self::ManyTries => "many_tries",
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of reasons.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Reasons(u32);

impl Reasons {
    /// No reason.
    pub const NONE: Self = Self(0);

    /// This set and one more.
    #[must_use]
    pub const fn with(self, reason: Reason) -> Self {
        Self(self.0 | reason.bit())
    }

    /// Whether a reason is in it.
    #[must_use]
    pub const fn contains(self, reason: Reason) -> bool {
        self.0 & reason.bit() != 0
    }

    /// The reasons in it, in the order of [`Reason::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Reason> {
        Reason::ALL.into_iter().filter(move |reason| self.contains(*reason))
    }

    pub(super) fn add_if(&mut self, holds: bool, reason: Reason) {
        if holds {
            *self = self.with(reason);
        }
    }
}

/// The names, with commas.
impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, reason) in self.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "," })?;
            f.write_str(reason.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reasons({self})")
    }
}
