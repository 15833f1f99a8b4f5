//! What the model knows of each key: plain data, no files.

use crate::{Difference, DropPolicy};

/// A claim in flight.
#[derive(Debug, Clone)]
pub(super) struct Flight {
    pub(super) token: u64,
    pub(super) attempt: u32,
    pub(super) payload: bool,
    pub(super) policy: DropPolicy,
    pub(super) ttl_ms: u64,
    pub(super) checkpoint: Option<u64>,
    pub(super) state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Until when by the monotonic clock, and whether the holder let go.
    Held {
        until_ms: u64,
        dropped: bool,
    },
    /// The moment is between the two: which one depends on what a crash left.
    Abandoned {
        from_ms: u64,
        to_ms: u64,
    },
    Unresolved,
}

/// A completed record; it may have expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) token: u64,
    pub(super) attempt: u32,
    pub(super) payload: bool,
    pub(super) body: Vec<u8>,
    pub(super) expires_ms: u64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Page {
    pub(super) flight: Option<Flight>,
    pub(super) done: Option<Done>,
    /// An abandoned claim that upkeep forgot once its TTL was over. Nothing is written of that, so
    /// a crash may bring it back, as abandoned.
    pub(super) ghost: Option<Flight>,
}

impl Page {
    /// The record, if it has not expired.
    pub(super) fn live(&self, now_ms: u64) -> Option<&Done> {
        self.done.as_ref().filter(|done| done.expires_ms > now_ms)
    }

    pub(super) fn flight_of(&mut self, token: u64) -> Option<&mut Flight> {
        self.flight.as_mut().filter(|flight| flight.token == token)
    }

    /// Ends leases as upkeep does, and forgets what was abandoned a TTL ago.
    pub(super) fn sweep(&mut self, now_ms: u64, latest_ms: u64, monotonic_ms: u64) {
        let Some(flight) = &mut self.flight else { return };
        if let State::Held { until_ms, dropped: true } = flight.state
            && until_ms <= monotonic_ms
        {
            flight.state = State::Abandoned { from_ms: latest_ms, to_ms: latest_ms };
        }
        if let State::Abandoned { to_ms, .. } = flight.state
            && to_ms + flight.ttl_ms <= now_ms
        {
            self.ghost = self.flight.take();
        }
    }

    /// Whether an abandoned claim may or may not have outlived its TTL.
    pub(super) fn may_be_over(&self, now_ms: u64) -> bool {
        self.flight.as_ref().is_some_and(|flight| match flight.state {
            State::Abandoned { from_ms, .. } => from_ms + flight.ttl_ms <= now_ms,
            _ => false,
        })
    }

    /// Takes in whether such a claim is still there.
    pub(super) fn learn(&mut self, there: bool, now_ms: u64) {
        let Some(flight) = &mut self.flight else { return };
        match &mut flight.state {
            State::Abandoned { from_ms, .. } if there => *from_ms = now_ms - flight.ttl_ms + 1,
            _ => self.ghost = self.flight.take(),
        }
    }

    /// What the next process makes of a claim: nobody holds it any more.
    pub(super) fn orphan(&mut self, latest_ms: u64, crashed: bool) {
        let Some(flight) = &mut self.flight else { return };
        flight.state = match (flight.state, flight.policy) {
            (State::Held { .. }, DropPolicy::Unresolved) => State::Unresolved,
            (State::Held { .. }, _) => State::Abandoned { from_ms: latest_ms, to_ms: latest_ms },
            (State::Abandoned { from_ms, .. }, _) if crashed => {
                State::Abandoned { from_ms, to_ms: latest_ms }
            }
            (other, _) => other,
        };
    }
}

/// The models' payloads differ, their operations do not.
pub(super) fn difference(one: bool, other: bool) -> Option<Difference> {
    (one != other).then_some(Difference::Payload)
}
