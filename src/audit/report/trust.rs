//! How far a report can be trusted: what is missing from the events that it was made of.

use serde::{Deserialize, Serialize};

use super::hex::Hex;
use crate::audit::{Damage, Gap};

/// Gaps and damaged places that are listed; all are counted.
const LISTED: usize = 32;

/// What is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// Gaps, of known length and not.
    pub gaps: u64,
    /// Events that are missing, in gaps of known length.
    pub lost: u64,
    /// Gaps of unknown length: a process died, and what it had not written yet is missing.
    pub unknown_gaps: u64,
    /// Places that are damaged.
    pub damaged: u64,
    /// Bytes that are damaged.
    pub damaged_bytes: u64,
    /// Where gaps are, the first ones: store, what is missing, and between which events.
    pub listed_gaps: Vec<(Hex, String)>,
    /// Where damage is, the first places.
    pub listed_damage: Vec<(Hex, String)>,
}

impl Trust {
    pub(super) fn gap(&mut self, store: Hex, gap: &Gap) {
        self.gaps += 1;
        match gap.lost {
            Some(lost) => self.lost = self.lost.saturating_add(lost),
            None => self.unknown_gaps += 1,
        }
        keep(&mut self.listed_gaps, (store, gap.to_string()));
    }

    pub(super) fn damage(&mut self, store: Hex, damage: &Damage) {
        self.damaged += 1;
        self.damaged_bytes = self.damaged_bytes.saturating_add(damage.bytes);
        keep(&mut self.listed_damage, (store, damage.to_string()));
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.gaps += other.gaps;
        self.lost = self.lost.saturating_add(other.lost);
        self.unknown_gaps += other.unknown_gaps;
        self.damaged += other.damaged;
        self.damaged_bytes = self.damaged_bytes.saturating_add(other.damaged_bytes);
        other.listed_gaps.iter().for_each(|gap| keep(&mut self.listed_gaps, gap.clone()));
        other.listed_damage.iter().for_each(|place| keep(&mut self.listed_damage, place.clone()));
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.gaps == 0 && self.damaged == 0
    }
}

/// The least of them, so that it does not matter in which order they come.
fn keep(listed: &mut Vec<(Hex, String)>, item: (Hex, String)) {
    let at = listed.partition_point(|there| *there < item);
    listed.insert(at, item);
    listed.truncate(LISTED);
}
