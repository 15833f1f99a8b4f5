//! What a decision hands over for the trail: copies that count references and allocate nothing.
//!
//! Everything that takes longer (hashing, the network of an address, the shape of a key, how long
//! ago the key was asked for) is the audit thread's, which makes an event of it.

use std::sync::Arc;

use super::EventKind;
use super::label::Digest;
use crate::ids::{KeyHash, StoreTime, Token};
use crate::types::{Caller, Difference, Key, Scope};

#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) kind: EventKind,
    pub(crate) at: StoreTime,
    pub(crate) key: Option<DraftKey>,
    pub(crate) operation: Option<Arc<str>>,
    pub(crate) token: Option<Token>,
    pub(crate) attempt: u32,
    pub(crate) age_ms: Option<u64>,
    pub(crate) duration_ms: Option<u64>,
    pub(crate) differs: Option<Difference>,
    pub(crate) caller: Option<Arc<Caller>>,
    pub(crate) holder: Holder,
}

/// Which key a decision is about.
#[derive(Debug, Clone)]
pub(crate) struct DraftKey {
    pub(crate) hash: KeyHash,
    pub(crate) scope: Scope,
    pub(crate) key: Key,
}

/// Who made the claim, or the record, that was met.
#[derive(Debug, Clone, Default)]
pub(crate) enum Holder {
    /// None was met, or nobody knows.
    #[default]
    Unknown,
    Caller(Arc<Caller>),
    /// What a record, or a claim from before the store was opened, says of its caller.
    Digest(Digest),
}

impl Holder {
    /// The holder that a claim knows: its caller, or what its frame said.
    pub(crate) fn new(caller: Option<&Arc<Caller>>, digest: Option<Digest>) -> Self {
        match (caller, digest) {
            (Some(caller), _) => Self::Caller(caller.clone()),
            (None, Some(digest)) => Self::Digest(digest),
            (None, None) => Self::Unknown,
        }
    }
}

impl Draft {
    /// A draft with nothing but what each has.
    pub(crate) fn new(kind: EventKind, at: StoreTime) -> Self {
        Self {
            kind,
            at,
            key: None,
            operation: None,
            token: None,
            attempt: 0,
            age_ms: None,
            duration_ms: None,
            differs: None,
            caller: None,
            holder: Holder::Unknown,
        }
    }
}
