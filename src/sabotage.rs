//! Deliberate bugs, each behind a switch: a checker that no bug makes fail proves nothing.
//!
//! A bug is on for one thread while a closure runs, so that tests beside it see a sound store. That
//! is for stores without threads of their own: a store's threads never see it.
//!
//! A build without tests and without the feature `simulation` has no switch: every hook in the
//! engine is an `if false` there.

#[cfg(any(test, feature = "simulation"))]
use std::cell::Cell;
#[cfg(any(test, feature = "simulation"))]
use std::fmt;
#[cfg(any(test, feature = "simulation"))]
use std::str::FromStr;

#[cfg(any(test, feature = "simulation"))]
use crate::error::Error;

/// A bug that the store can be given on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bug {
    /// A batch's sync is answered without being made.
    SkippedSync,
    /// A batch's outcomes are told once it has been taken, before it is written and synced.
    ToldBeforeDurable,
    /// A prune drops a segment one millisecond before its last record expires.
    EarlyPrune,
    /// A takeover keeps the token of the claim it takes over.
    SameToken,
    /// After a crash tokens start anew from what the log shows, not from the promised ceiling.
    ReusedTokens,
    /// Recovery takes as much as it can parse of a batch that a crash cut short, whatever its
    /// checksums say.
    TornTail,
    /// A copy that compaction made wins over a later forget of the record.
    UndeadCopy,
    /// Recovery believes claims from the oldest statement of them on rather than from the newest,
    /// also those whose completion has been dropped with a younger segment.
    UndeadClaim,
    /// A record is taken for the key's because its hash bits are, whatever scope and key it names.
    HashForKey,
    /// What an earlier life of a segment file left behind, also in memory, is taken for the present
    /// life's, and a location that was seen in an earlier life for one that still holds.
    OldSegment,
    /// Every seventh waker that was left with a batch is not woken when the batch is on disk.
    LostWakeUp,
    /// A batch whose write or sync failed is told to its waiters as a success.
    PoisonToldAsSuccess,
    /// A shard of the index that grows loses its last record.
    LostInGrowth,
    /// A record that compaction moves is filed as if it expired with the first that it moves with.
    ShortClass,
    /// Compaction looks neither before nor after it copies a record whether that is still the
    /// key's newest, and points the index to the copy.
    BlindRewrite,
    /// What is remembered of a key that was forgotten is told all the same.
    ForgottenIsLate,
    /// A run of keys that expired loses its last one.
    ShortRun,
    /// What found the audit's ring full takes no numbers of the trail.
    UntoldGap,
    /// What finds the audit's ring full is not counted.
    UncountedDrop,
    /// Every seventh event of the trail is given the number of the one before it.
    NumberedTwice,
    /// A completion is told to the trail before anybody has looked whether the claim still holds.
    ToldUndecided,
    /// A sync of the trail is answered without being made.
    UnsyncedTrail,
}

/// Whether the current thread runs with a bug.
#[cfg(any(test, feature = "simulation"))]
pub(crate) fn is_on(bug: Bug) -> bool {
    ON.get() & bug.bit() != 0
}

/// Whether the current thread runs with a bug: never, in this build.
#[cfg(not(any(test, feature = "simulation")))]
#[inline(always)]
pub(crate) const fn is_on(_: Bug) -> bool {
    false
}

/// True at every seventh call since the thread's bug was switched on.
#[cfg(any(test, feature = "simulation"))]
pub(crate) fn is_seventh() -> bool {
    let calls = CALLS.get() + 1;
    CALLS.set(calls);
    calls.is_multiple_of(7)
}

#[cfg(not(any(test, feature = "simulation")))]
#[inline(always)]
pub(crate) const fn is_seventh() -> bool {
    false
}

#[cfg(any(test, feature = "simulation"))]
thread_local! {
    /// The bugs that are on, a bit each.
    static ON: Cell<u32> = const { Cell::new(0) };
    /// Calls of `is_seventh`.
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

#[cfg(any(test, feature = "simulation"))]
impl Bug {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::SkippedSync,
        Self::ToldBeforeDurable,
        Self::EarlyPrune,
        Self::SameToken,
        Self::ReusedTokens,
        Self::TornTail,
        Self::UndeadCopy,
        Self::UndeadClaim,
        Self::HashForKey,
        Self::OldSegment,
        Self::LostWakeUp,
        Self::PoisonToldAsSuccess,
        Self::LostInGrowth,
        Self::ShortClass,
        Self::BlindRewrite,
        Self::ForgottenIsLate,
        Self::ShortRun,
        Self::UntoldGap,
        Self::UncountedDrop,
        Self::NumberedTwice,
        Self::ToldUndecided,
        Self::UnsyncedTrail,
    ];

    /// Its name, as [`FromStr`] reads it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SkippedSync => "skipped-sync",
            Self::ToldBeforeDurable => "told-before-durable",
            Self::EarlyPrune => "early-prune",
            Self::SameToken => "same-token",
            Self::ReusedTokens => "reused-tokens",
            Self::TornTail => "torn-tail",
            Self::UndeadCopy => "undead-copy",
            Self::UndeadClaim => "undead-claim",
            Self::HashForKey => "hash-for-key",
            Self::OldSegment => "old-segment",
            Self::LostWakeUp => "lost-wake-up",
            Self::PoisonToldAsSuccess => "poison-told-as-success",
            Self::LostInGrowth => "lost-in-growth",
            Self::ShortClass => "short-class",
            Self::BlindRewrite => "blind-rewrite",
            Self::ForgottenIsLate => "forgotten-is-late",
            Self::ShortRun => "short-run",
            Self::UntoldGap => "untold-gap",
            Self::UncountedDrop => "uncounted-drop",
            Self::NumberedTwice => "numbered-twice",
            Self::ToldUndecided => "told-undecided",
            Self::UnsyncedTrail => "unsynced-trail",
        }
    }

    /// Runs something with the bug, on this thread. Whatever was on before is on again afterwards,
    /// also after a panic.
    pub fn run<T>(self, run: impl FnOnce() -> T) -> T {
        let _restore = Restore { on: ON.get(), calls: CALLS.get() };
        ON.set(ON.get() | self.bit());
        CALLS.set(0);
        run()
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

#[cfg(any(test, feature = "simulation"))]
impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(any(test, feature = "simulation"))]
impl FromStr for Bug {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.iter().copied().find(|bug| bug.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|bug| bug.name()).collect();
            Error::invalid(format!("no such bug: {name}; there are {}", names.join(", ")))
        })
    }
}

/// Puts the thread's switches back.
#[cfg(any(test, feature = "simulation"))]
struct Restore {
    on: u32,
    calls: u32,
}

#[cfg(any(test, feature = "simulation"))]
impl Drop for Restore {
    fn drop(&mut self) {
        ON.set(self.on);
        CALLS.set(self.calls);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_has_its_place_and_a_name_that_leads_back_to_it() {
        assert_eq!(Bug::ALL.len(), Bug::UnsyncedTrail as usize + 1);
        for (place, bug) in Bug::ALL.iter().enumerate() {
            assert_eq!(*bug as usize, place);
            assert_eq!(bug.to_string().parse::<Bug>().expect("a name"), *bug);
        }
        let error = "skipped".parse::<Bug>().expect_err("not a name");
        assert!(error.to_string().contains("skipped-sync, told-before-durable"), "{error}");
    }

    #[test]
    fn a_bug_is_on_while_a_closure_runs_on_this_thread_and_no_longer() {
        let [one, other] = [Bug::SkippedSync, Bug::LostWakeUp];
        assert!(!is_on(one));
        one.run(|| {
            assert!(is_on(one) && !is_on(other));
            std::thread::spawn(move || assert!(!is_on(one))).join().expect("off elsewhere");
            other.run(|| assert!(is_on(one) && is_on(other)));
            assert!(is_on(one) && !is_on(other));
        });
        let panicked =
            std::panic::catch_unwind(|| other.run(|| std::panic::resume_unwind(Box::new(()))));
        assert!(panicked.is_err() && !is_on(other));
    }

    #[test]
    fn one_in_seven_is_counted_anew_for_every_run() {
        for _ in 0..2 {
            let seventh = |_| Bug::LostWakeUp.run(|| (1..=14).filter(|_| is_seventh()).count());
            assert_eq!((0..2).map(seventh).collect::<Vec<_>>(), [2, 2]);
        }
    }
}
