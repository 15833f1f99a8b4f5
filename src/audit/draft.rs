//! What a decision hands over for the trail: numbers and labels, 144 bytes of them, and as a rule
//! nothing that the audit thread would have to free.
//!
//! Texts are handed over only while the audit thread does not know the name behind a label: it
//! would be the last to have them, and free what it did not allocate. With a caller in each draft
//! that cost a fifth of the throughput, ten times what the labels cost.

use std::sync::Arc;

use super::label::Digest;
use super::{Context, Event, EventId, EventKind, KeyShape, Label};
use crate::ids::{StoreTime, Token};
use crate::types::{Caller, Difference, Scope};

/// A number that there need not be, in eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Millis(u64);

impl Millis {
    pub(crate) const NONE: Self = Self(u64::MAX);

    pub(crate) fn get(self) -> Option<u64> {
        (self != Self::NONE).then_some(self.0)
    }

    pub(super) fn bits(self) -> u64 {
        self.0
    }

    pub(super) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl From<Option<u64>> for Millis {
    fn from(ms: Option<u64>) -> Self {
        ms.map_or(Self::NONE, Self)
    }
}

#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) kind: EventKind,
    pub(crate) differs: Option<Difference>,
    pub(crate) attempt: u32,
    pub(crate) at: StoreTime,
    /// Zero where no key is meant.
    pub(crate) key_hash: u64,
    /// Zero for none.
    pub(crate) token: Token,
    pub(crate) age_ms: Millis,
    pub(crate) duration_ms: Millis,
    pub(crate) seen: Seen,
    /// Who made the claim, or the record, that was met.
    pub(crate) holder: Digest,
    pub(crate) shape: Option<KeyShape>,
    pub(crate) texts: Texts,
}

/// What is asked for and by whom, as labels.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    pub(crate) scope: Option<Label>,
    pub(crate) operation: Option<Label>,
    pub(crate) context: Context,
}

/// Texts whose names the audit thread does not know, or that it never keeps.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    pub(crate) caller: Option<Arc<Caller>>,
    pub(crate) rare: Option<Box<RareTexts>>,
}

/// Those that nearly no event has.
#[derive(Debug)]
pub(crate) struct RareTexts {
    pub(crate) scope: Option<Scope>,
    pub(crate) operation: Option<Arc<str>>,
}

impl Seen {
    /// The same, for the end of a claim: the request's id was told with its beginning.
    pub(crate) fn without_request(self) -> Self {
        Self { context: Context { request: None, ..self.context }, ..self }
    }

    /// What a record keeps of the caller, if there is one.
    pub(crate) fn digest(&self) -> Option<Digest> {
        let Context { client, network, agent, .. } = self.context;
        let mark = |label: Option<Label>| label.map_or(0, Label::mark);
        let digest = Digest { client: mark(client), network: mark(network), agent: mark(agent) };
        (digest != Digest::default()).then_some(digest)
    }
}

impl Draft {
    /// A draft with nothing but what each has.
    pub(crate) fn new(kind: EventKind, at: StoreTime) -> Self {
        Self {
            kind,
            differs: None,
            attempt: 0,
            at,
            key_hash: 0,
            token: Token(0),
            age_ms: Millis::NONE,
            duration_ms: Millis::NONE,
            seen: Seen::default(),
            holder: Digest::default(),
            shape: None,
            texts: Texts::default(),
        }
    }

    /// The event that it tells of.
    pub(crate) fn event(&self, id: EventId) -> Event {
        let Seen { scope, operation, context } = self.seen;
        let is_known = self.holder != Digest::default();
        Event {
            id,
            at: self.at,
            kind: self.kind,
            key_hash: self.key_hash,
            scope,
            operation,
            token: Some(self.token).filter(|token| token.0 != 0),
            attempt: self.attempt,
            age_ms: self.age_ms.get(),
            duration_ms: self.duration_ms.get(),
            gap_ms: None,
            differs: self.differs,
            context,
            holder: is_known.then(|| resembling(self.holder, &context)),
            shape: self.shape,
        }
    }
}

/// The holder that only the mark of each label is known of: where that is as in the context of
/// whoever asked, it is theirs; else a label that is nobody's.
fn resembling(digest: Digest, asked: &Context) -> Context {
    let part = |mark: u16, asked: Option<Label>| match asked {
        _ if mark == 0 => None,
        Some(label) if label.mark() == mark => Some(label),
        _ => Some(Label::new(u64::from(mark))),
    };
    Context {
        client: part(digest.client, asked.client),
        network: part(digest.network, asked.network),
        agent: part(digest.agent, asked.agent),
        request: None,
    }
}

#[cfg(test)]
mod tests {
    use super::Draft;

    #[test]
    fn a_draft_stays_small() {
        assert!(size_of::<Draft>() <= 152, "{}", size_of::<Draft>());
    }
}
