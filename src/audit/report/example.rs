//! Events that show what a verdict looks like.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::hex::Hex;
use crate::audit::{Event, Judgement};

/// Examples of a verdict.
const KEPT: usize = 8;

/// A collision, and where to look for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Whose event it is.
    pub store: Hex,
    /// The opening.
    pub boot: u64,
    /// Its number.
    pub sequence: u64,
    /// When, in store time.
    pub at_ms: u64,
    /// What was decided.
    pub kind: String,
    /// About which key.
    pub key_hash: Hex,
    /// Who asked.
    pub client: Hex,
    /// How much speaks for the verdict.
    pub score: u8,
    /// What was seen.
    pub reasons: Vec<String>,
    /// The event that it collided with, as `boot.sequence`.
    pub against: Option<String>,
}

/// The clearest, and of those the first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Examples(Vec<Example>);

type Place = (Reverse<u8>, u64, Hex, u64, u64);

impl Example {
    fn place(&self) -> Place {
        (Reverse(self.score), self.at_ms, self.store, self.boot, self.sequence)
    }
}

impl Examples {
    pub(super) fn offer(&mut self, store: Hex, event: &Event, judgement: &Judgement) {
        let id = event.id;
        let at_ms = event.at.as_millis();
        let place = (Reverse(judgement.score), at_ms, store, id.boot, id.sequence);
        if self.0.len() >= KEPT && self.0.last().is_some_and(|last| last.place() <= place) {
            return;
        }
        self.keep(Example {
            store,
            boot: id.boot,
            sequence: id.sequence,
            at_ms,
            kind: event.kind.name().to_owned(),
            key_hash: Hex(event.key_hash),
            client: event.context.client.into(),
            score: judgement.score,
            reasons: judgement.reasons.iter().map(|reason| reason.name().to_owned()).collect(),
            against: judgement.against.map(|id| id.to_string()),
        });
    }

    fn keep(&mut self, example: Example) {
        let at = self.0.partition_point(|there| there.place() < example.place());
        self.0.insert(at, example);
        self.0.truncate(KEPT);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|example| self.keep(example.clone()));
    }

    /// The examples, the clearest first.
    pub fn iter(&self) -> impl Iterator<Item = &Example> {
        self.0.iter()
    }
}
