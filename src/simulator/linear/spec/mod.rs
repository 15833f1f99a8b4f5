//! The sequential model of one key: what a call may answer, and what it leaves behind.
//!
//! # Time
//! A call has its effect at one moment. Of two moments in order the later is not earlier in time.
//! What follows from a moment (a lease's end, an expiry) is counted from a time that is known only
//! to lie in an interval, the [`Span`]: there is at most one such time in a state.
//!
//! A state keeps the *earliest* time that its last moment can have had. That is enough:
//! - Who needs to be late (takes over after a lease, claims after an expiry) takes the earliest
//!   time that is late enough, and what he waited for is over for good: its span is not needed.
//! - Who needs to be early (a replay before the expiry, `InFlight` before the lease's end) is best
//!   off as early as can be. Of the span it says how early it cannot have been, and that is kept.
//! - All others are constrained by their own interval alone. An earlier moment leaves to its
//!   successors whatever a later one would.
//!
//! A span's time is that of a moment before, so no later moment's interval may end before it: that
//! is kept as well. With these two a span's time can be chosen last, and each moment then be the
//! latest of its own earliest time, the one before it, and the span's.
//!
//! The clock may be read before the moment (of an extension, for one), but not before the call.
//!
//! # Crashes
//! What nobody was told of may be lost by a crash, even if it was seen by those who are told at
//! once (`InFlight`, `LeaseLost`, "nothing is there"). A state keeps what a crash may bring back.

mod answers;
mod ends;

use super::history::{Call, Digest, Operation, Response};
use super::recorder::CallId;
use crate::{DropPolicy, Fingerprint};

/// A time that is not known exactly, in milliseconds. Both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    pub(crate) earliest: u64,
    pub(crate) latest: u64,
}

/// What a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Nothing is known of it.
    Free,
    /// Somebody may be executing. A lease that is over changes nothing before the next claim.
    Held(Flight),
    /// Nobody holds it any more: the next claim is a takeover, until its TTL is over.
    Abandoned(Flight),
    /// It was abandoned, and its TTL is over. Nothing on disk says so: a crash may undo it.
    Gone(Flight),
    /// The attempt's effect is unknown.
    Unresolved(Flight),
    /// Completed; replayed until it expires.
    Done(Record),
}

/// A claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Flight {
    /// The call that won it.
    pub(crate) claim: CallId,
    /// `None` while nobody was told.
    pub(crate) token: Option<u64>,
    pub(crate) attempt: u32,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) policy: DropPolicy,
    pub(crate) ttl_ms: u64,
    pub(crate) lease_ms: Option<u64>,
    pub(crate) checkpoint: Option<Digest>,
    /// Whether its holder let go, under the policy `Hold`.
    pub(crate) is_dropped: bool,
    /// Since when: its lease is counted from here, or its TTL once it is abandoned.
    pub(crate) since: Span,
}

/// A completed key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    pub(crate) token: Option<u64>,
    pub(crate) attempt: u32,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) answer: Digest,
    pub(crate) ttl_ms: u64,
    pub(crate) completed: Span,
    /// Whether somebody was told that it has expired.
    pub(crate) is_over: bool,
    /// When somebody was first told of it, in the order of invocations and returns: it is on disk
    /// by then.
    pub(crate) told: u64,
}

/// All that is known after some calls, in an order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The earliest time that the last moment can have had.
    pub(crate) at_ms: u64,
    /// The highest token that was ever told.
    pub(crate) highest_token: u64,
    pub(crate) phase: Phase,
    /// Crashes that are still to come.
    pub(crate) crashes: u32,
    /// What it was before changes that may be lost by the next crash.
    pub(crate) before: Vec<Phase>,
    /// Records that expired before the newest: somebody may be told that he is late for one. `None`
    /// if nobody is, ever.
    pub(crate) expired: Option<Vec<Record>>,
}

/// A moment that a call may have, and the states that it may leave.
struct Moment<'a> {
    state: &'a State,
    operation: &'a Operation,
    /// The earliest and the latest time that it can have.
    at_ms: u64,
    until_ms: u64,
    next: &'a mut Vec<State>,
}

impl State {
    /// A key of a new store, whose history is this.
    pub(crate) fn new(history: &[Operation]) -> Self {
        let loses = |operation: &&Operation| operation.call == Call::Restart { loses: true };
        let is_late =
            |operation: &Operation| matches!(operation.response, Some(Response::Expired { .. }));
        Self {
            at_ms: 0,
            highest_token: 0,
            phase: Phase::Free,
            crashes: u32::try_from(history.iter().filter(loses).count()).unwrap_or(u32::MAX),
            before: Vec::new(),
            expired: history.iter().any(is_late).then(Vec::new),
        }
    }

    /// The states that a call may leave if it comes next; none if it cannot come next.
    pub(crate) fn after(&self, operation: &Operation, next: &mut Vec<State>) {
        let at_ms = self.at_ms.max(operation.from_ms);
        let until_ms = operation.to_ms;
        if at_ms > until_ms {
            return;
        }
        let mut moment = Moment { state: self, operation, at_ms, until_ms, next };
        match operation.call {
            Call::Claim { fingerprint, policy, ttl_ms, lease_ms } => {
                let asked = Flight {
                    claim: operation.id,
                    token: None,
                    attempt: 1,
                    fingerprint,
                    policy,
                    ttl_ms,
                    lease_ms,
                    checkpoint: None,
                    is_dropped: false,
                    since: Span { earliest: at_ms, latest: until_ms },
                };
                moment.claim(&asked);
            }
            Call::Complete { token, answer } => moment.complete(token, answer),
            Call::Release { token } => moment.release(token),
            Call::Extend { token, lease_ms } => moment.extend(token, lease_ms),
            Call::Checkpoint { token, saved } => moment.checkpoint(token, saved),
            Call::Drop { token } => moment.let_go(token),
            Call::TakeBack { claim } => moment.take_back(claim),
            Call::Resolve { answer } => moment.resolve(answer),
            Call::Forget => moment.forget(),
            Call::Get => moment.get(),
            Call::Restart { loses } => moment.restart(loses),
        }
    }
}

impl Phase {
    /// The claim that may still end, whoever holds it.
    fn flight(&self) -> Option<&Flight> {
        match self {
            Self::Held(flight) | Self::Abandoned(flight) | Self::Unresolved(flight) => Some(flight),
            Self::Free | Self::Gone(_) | Self::Done(_) => None,
        }
    }

    /// That claim, if it has this token: a holder's.
    fn flight_of(&self, token: u64) -> Option<&Flight> {
        self.flight().filter(|flight| flight.token == Some(token))
    }

    /// The claim with this token, if its holder may be executing.
    fn held(&self, token: u64) -> Option<&Flight> {
        match self {
            Self::Held(flight) if flight.token == Some(token) => Some(flight),
            _ => None,
        }
    }

    /// The time that something is counted from.
    fn span(&mut self) -> Option<&mut Span> {
        match self {
            Self::Held(flight) | Self::Abandoned(flight) => Some(&mut flight.since),
            Self::Done(record) if !record.is_over => Some(&mut record.completed),
            _ => None,
        }
    }
}

impl Span {
    fn between(earliest: u64, latest: u64) -> Self {
        Self { earliest, latest }
    }

    fn exactly(ms: u64) -> Self {
        Self { earliest: ms, latest: ms }
    }

    fn contains(&self, ms: u64) -> bool {
        self.earliest <= ms && ms <= self.latest
    }

    /// The times in both.
    fn and(&self, other: Self) -> Option<Self> {
        let earliest = self.earliest.max(other.earliest);
        let latest = self.latest.min(other.latest);
        (earliest <= latest).then_some(Self { earliest, latest })
    }

    /// What is left of it if `at_ms` is before the end of `length_ms` that begin here.
    fn not_over(&self, length_ms: u64, at_ms: u64) -> Option<Self> {
        let earliest = at_ms.saturating_add(1).saturating_sub(length_ms);
        self.and(Self { earliest, latest: u64::MAX })
    }

    /// The first time that may be after `length_ms` that begin here.
    fn end(&self, length_ms: u64) -> u64 {
        self.earliest.saturating_add(length_ms)
    }
}

impl Flight {
    /// The first time at which its lease may be over; `None` if it has no deadline.
    fn lease_end(&self) -> Option<u64> {
        self.lease_ms.map(|lease_ms| self.since.end(lease_ms))
    }

    /// What a claim becomes that nobody will end, at a moment between these times.
    fn abandoned(&self, earliest: u64, latest: u64) -> Phase {
        let since = Span::between(earliest, latest);
        Phase::Abandoned(Self { since, is_dropped: true, ..*self })
    }
}

impl Moment<'_> {
    fn response(&self) -> Option<Response> {
        self.operation.response
    }

    /// The call may have its moment now, and leave everything as it is.
    fn stay(&mut self) {
        self.stay_at(self.at_ms);
    }

    fn stay_at(&mut self, at_ms: u64) {
        self.leave(self.state.phase, at_ms, 0);
    }

    /// It may leave this phase.
    fn become_now(&mut self, phase: Phase) {
        self.leave(phase, self.at_ms, 0);
    }

    /// It may leave this phase from a time on, having told of a token (or 0).
    fn leave(&mut self, mut phase: Phase, at_ms: u64, token: u64) {
        if at_ms > self.until_ms {
            return;
        }
        if let Some(span) = phase.span() {
            // What is counted from a moment is not later than the moments after it.
            span.latest = span.latest.min(self.until_ms);
            if span.earliest > span.latest {
                return;
            }
        }
        let mut before = Vec::new();
        if self.state.crashes > 0 && !self.operation.is_durable() {
            before.clone_from(&self.state.before);
            let (old, changed) = (self.state.phase, phase != self.state.phase);
            if changed && !before.contains(&old) {
                before.push(old);
            }
        }
        self.next.push(State {
            at_ms,
            highest_token: self.state.highest_token.max(token),
            phase,
            crashes: self.state.crashes,
            before,
            expired: self.state.expired.clone(),
        });
    }

    /// Whether a token that somebody was told can be that of the state; an unknown one must be
    /// higher than all before it.
    fn is_token(&self, known: Option<u64>, told: u64) -> bool {
        match known {
            Some(known) => known == told,
            None => told > self.state.highest_token,
        }
    }
}
