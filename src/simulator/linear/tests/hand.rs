//! Histories written by hand: one key, and calls that return at once unless a test says otherwise.

use std::cell::Cell;

use crate::simulator::linear::history::{Call, Digest, Response, Seen};
use crate::simulator::linear::recorder::{CallId, End, Recorder};
use crate::simulator::linear::verdict::Verdict;
use crate::{DropPolicy, Fingerprint};

/// What claims ask for unless a test says otherwise.
pub(super) const TTL_MS: u64 = 10_000;
pub(super) const LEASE_MS: u64 = 100;

pub(super) const ANSWER: Digest = Digest(1);
pub(super) const OTHER_ANSWER: Digest = Digest(2);

pub(super) struct Hand {
    pub(super) recorder: Recorder,
    pub(super) now_ms: Cell<u64>,
}

impl Hand {
    pub(super) fn new() -> Self {
        Self { recorder: Recorder::new(4), now_ms: Cell::new(1_000) }
    }

    pub(super) fn advance(&self, ms: u64) {
        self.now_ms.set(self.now_ms.get() + ms);
    }

    pub(super) fn invoke(&self, process: u32, call: Call) -> CallId {
        self.recorder.invoke(process, 0, call, self.now_ms.get())
    }

    pub(super) fn returned(&self, id: CallId, response: Response) {
        self.recorder.returned(id, response, self.now_ms.get());
    }

    /// A call that returns at once.
    pub(super) fn told(&self, process: u32, call: Call, response: Response) {
        self.returned(self.invoke(process, call), response);
    }

    /// A claim that is won at once.
    pub(super) fn won(&self, process: u32, token: u64, attempt: u32) {
        self.told(process, claim(), claimed(token, attempt));
    }

    /// A completion at once; returns what was stored.
    pub(super) fn completed(&self, process: u32, token: u64, attempt: u32) -> Seen {
        let seen = self.seen(token, attempt);
        self.told(process, complete(token), Response::Record(seen));
        seen
    }

    /// What a completion stores that is decided now.
    pub(super) fn seen(&self, token: u64, attempt: u32) -> Seen {
        let completed_ms = self.now_ms.get();
        let expires_ms = completed_ms + TTL_MS;
        Seen { token, attempt, answer: ANSWER, completed_ms, expires_ms }
    }

    pub(super) fn restart(&self, end: End) {
        self.recorder.ended(end, self.now_ms.get());
        self.recorder.reopened(self.now_ms.get());
    }

    pub(super) fn verdict(self) -> Verdict {
        self.recorder.history().check()
    }

    #[track_caller]
    pub(super) fn assert_good(self) {
        self.verdict().assert_linearizable();
    }

    #[track_caller]
    pub(super) fn assert_bad(self) {
        let verdict = self.verdict();
        assert!(verdict.is_wrong(), "{verdict}");
    }
}

pub(super) fn claim() -> Call {
    claim_under(DropPolicy::Hold)
}

pub(super) fn claim_under(policy: DropPolicy) -> Call {
    let fingerprint = Fingerprint::EMPTY;
    Call::Claim { fingerprint, policy, ttl_ms: TTL_MS, lease_ms: Some(LEASE_MS) }
}

/// A claim with another payload.
pub(super) fn other_claim() -> Call {
    Call::Claim {
        fingerprint: Fingerprint::of("", b"other"),
        policy: DropPolicy::Hold,
        ttl_ms: TTL_MS,
        lease_ms: Some(LEASE_MS),
    }
}

pub(super) fn claimed(token: u64, attempt: u32) -> Response {
    Response::Claimed { token, attempt, checkpoint: None }
}

pub(super) fn in_flight(attempt: u32, left_ms: u64) -> Response {
    Response::InFlight { attempt, lease_left_ms: Some(left_ms) }
}

pub(super) fn complete(token: u64) -> Call {
    Call::Complete { token, answer: ANSWER }
}
