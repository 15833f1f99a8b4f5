//! What the clients of a store see: who called what and when, and what came back.

use std::collections::BTreeMap;

use super::recorder::CallId;
use crate::{Difference, DropPolicy, Fingerprint};

/// What stands for a stored response, or for a checkpoint: equal bytes, equal digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Digest(pub(crate) u64);

impl Digest {
    pub(crate) fn of(number: u32, bytes: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&number.to_le_bytes()).update(bytes);
        let mut head = [0; 8];
        hasher.finalize_xof().fill(&mut head);
        Self(u64::from_le_bytes(head))
    }
}

/// What is asked of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Claim {
        fingerprint: Fingerprint,
        policy: DropPolicy,
        ttl_ms: u64,
        /// `None`: held without a deadline.
        lease_ms: Option<u64>,
    },
    Complete {
        token: u64,
        answer: Digest,
    },
    Release {
        token: u64,
    },
    Extend {
        token: u64,
        lease_ms: u64,
    },
    Checkpoint {
        token: u64,
        saved: Digest,
    },
    /// The claim's guard is dropped.
    Drop {
        token: u64,
    },
    /// A claim call is dropped before it had its outcome.
    TakeBack {
        claim: CallId,
    },
    /// With the response it should have had, or as never executed.
    Resolve {
        answer: Option<Digest>,
    },
    Forget,
    Get,
    /// The store's process ends, and another opens the store: asked of all keys at once.
    Restart {
        /// Whether changes that nobody was told of may be lost.
        loses: bool,
    },
}

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Response {
    /// Of a claim.
    Claimed { token: u64, attempt: u32, checkpoint: Option<Digest> },
    /// Of a claim (a replay), of a completion, of a look.
    Record(Seen),
    /// Of a claim.
    InFlight { attempt: u32, lease_left_ms: Option<u64> },
    /// Of a claim.
    Mismatch { differs: Difference, in_flight: bool },
    /// Of a claim, of a look.
    Unresolved { token: u64, attempt: u32 },
    /// Of a claim.
    Expired { completed_ms: Option<u64>, expired_ms: u64 },
    /// Of a look: the key is claimed, or its claim was abandoned.
    Held { token: u64, attempt: u32 },
    /// Of a look: there is nothing.
    Nothing,
    /// Of a forget: whether there was a record.
    Forgotten(bool),
    /// Of everything that only succeeds.
    Done,
    /// Of whatever a holder asks: the claim is not his any more.
    LeaseLost,
    /// Of a resolution: nothing is unresolved.
    NotFound,
    /// Of a resolution or a forget: the key is in flight.
    Busy,
}

/// A completed record, as somebody saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) token: u64,
    pub(crate) attempt: u32,
    pub(crate) answer: Digest,
    pub(crate) completed_ms: u64,
    pub(crate) expires_ms: u64,
}

/// A call, from its invocation to its return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) id: CallId,
    pub(crate) key: u32,
    pub(crate) call: Call,
    /// `None` if nobody was told: it took effect between its invocation and its return, or never.
    pub(crate) response: Option<Response>,
    /// Its places in the order of all invocations and returns. The return of a call that nobody was
    /// told of is the end of its process.
    pub(crate) invoked: u64,
    pub(crate) returned: u64,
    /// The time when it was invoked, and when it returned.
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
}

impl Operation {
    /// Whether it took effect, or found that it had none.
    pub(crate) fn is_known(&self) -> bool {
        self.response.is_some()
    }

    /// Whether it only looked: its answer says something of the key, and it changed nothing.
    pub(crate) fn is_look(&self) -> bool {
        match self.response {
            Some(Response::Record(_)) => !matches!(self.call, Call::Complete { .. }),
            Some(Response::Unresolved { .. }) => self.call == Call::Get,
            Some(
                Response::InFlight { .. }
                | Response::Mismatch { .. }
                | Response::Expired { .. }
                | Response::Held { .. }
                | Response::Nothing
                | Response::Forgotten(false)
                | Response::LeaseLost
                | Response::NotFound
                | Response::Busy,
            ) => true,
            _ => false,
        }
    }

    /// Whether its return says that all that led to it is on disk (promise 2).
    pub(crate) fn is_durable(&self) -> bool {
        match self.response {
            Some(Response::Done) => matches!(
                self.call,
                Call::Release { .. } | Call::Checkpoint { .. } | Call::Resolve { .. }
            ),
            Some(
                Response::Claimed { .. }
                | Response::Record(_)
                | Response::Mismatch { .. }
                | Response::Unresolved { .. }
                | Response::Held { .. }
                | Response::Forgotten(true),
            ) => true,
            _ => false,
        }
    }
}

/// The operations of each key, in the order of their invocations.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) keys: BTreeMap<u32, Vec<Operation>>,
}

impl History {
    /// Sorts operations by key. Restarts are operations of every key.
    pub(crate) fn new(operations: Vec<Operation>, restarts: &[Operation]) -> Self {
        let mut keys: BTreeMap<u32, Vec<Operation>> = BTreeMap::new();
        for operation in operations {
            let tells = operation.is_known() || operation.call != Call::Get;
            if tells {
                keys.entry(operation.key).or_default().push(operation);
            }
        }
        for (key, operations) in &mut keys {
            operations.extend(restarts.iter().map(|restart| Operation { key: *key, ..*restart }));
            operations.sort_by_key(|operation| operation.invoked);
        }
        Self { keys }
    }

    /// How many operations it has, restarts not counted.
    pub(crate) fn len(&self) -> usize {
        self.operations().filter(|one| !matches!(one.call, Call::Restart { .. })).count()
    }

    /// The operations, key by key.
    pub(crate) fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.keys.values().flatten()
    }
}
