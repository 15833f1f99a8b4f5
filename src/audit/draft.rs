//! What a decision hands over for the trail: numbers, labels, and inline copies, which allocate
//! nothing and leave the audit thread nothing to free.
//!
//! Texts are handed over only while the audit thread does not know the name behind a label. It
//! would be the last to have them, and free what it did not allocate: with a caller in each draft
//! that cost a fifth of the throughput, ten times what the labels cost.
//!
//! What takes longer (the shape of a key, how long ago it was asked for) is the audit thread's.

use std::sync::Arc;

use super::label::{Digest, Network};
use super::{Context, EventKind, Label};
use crate::ids::{KeyHash, StoreTime, Token};
use crate::types::{Caller, Difference, Key, Scope};

#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) kind: EventKind,
    pub(crate) at: StoreTime,
    pub(crate) key: Option<DraftKey>,
    pub(crate) seen: Seen,
    pub(crate) texts: Texts,
    pub(crate) token: Option<Token>,
    pub(crate) attempt: u32,
    pub(crate) age_ms: Option<u64>,
    pub(crate) duration_ms: Option<u64>,
    pub(crate) differs: Option<Difference>,
    pub(crate) holder: Holder,
}

/// What is asked for and by whom, as labels.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    pub(crate) operation: Option<Label>,
    pub(crate) context: Context,
    /// What the network's label stands for.
    pub(crate) network: Option<Network>,
}

/// Texts whose names the audit thread does not know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Texts {
    pub(crate) operation: Option<Arc<str>>,
    pub(crate) caller: Option<Arc<Caller>>,
}

impl Seen {
    /// The same, for the end of a claim: the request's id was told with its beginning.
    pub(crate) fn without_request(self) -> Self {
        Self { context: Context { request: None, ..self.context }, ..self }
    }

    /// What a record keeps of the caller, if there is one.
    pub(crate) fn digest(&self) -> Option<Digest> {
        let Context { client, network, agent, .. } = self.context;
        let half = |label: Option<Label>| label.map_or(0, super::label::short);
        let digest = Digest { client: half(client), network: half(network), agent: half(agent) };
        (digest != Digest::default()).then_some(digest)
    }
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
    Seen(Context),
    /// What a record, or a claim from before the store was opened, says of its caller.
    Digest(Digest),
}

impl Holder {
    /// The holder that a claim knows: its caller, or what its frame said.
    pub(crate) fn new(seen: &Seen, digest: Option<Digest>) -> Self {
        match (seen.digest(), digest) {
            (Some(_), _) => Self::Seen(seen.without_request().context),
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
            seen: Seen::default(),
            texts: Texts::default(),
            token: None,
            attempt: 0,
            age_ms: None,
            duration_ms: None,
            differs: None,
            holder: Holder::Unknown,
        }
    }
}
