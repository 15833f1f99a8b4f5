//! When retries came, counted from the completion of what they repeat: what a TTL has to cover.
//!
//! Left to others: what that means for a TTL ([`super::ttl`]).

use serde::{Deserialize, Serialize};

use super::spread::Spread;
use crate::audit::{Event, EventKind, Judgement, Verdict};

/// The retries of completed requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Retention {
    /// Ages of the records that were replayed.
    pub(super) ages: Spread,
    /// How long records had been expired when a retry came.
    pub(super) late: Spread,
    /// Of late retries: from the last time somebody asked for the key to the expiry, if known.
    /// Where nobody had asked since the claim, that is the TTL and the time of the execution.
    pub(super) lives: Spread,
    /// Replays that are no honest retries (a replay attack, a loop), and not counted.
    pub(super) set_aside: u64,
    /// The earliest completion that is known, of a record that was replayed.
    earliest_ms: Option<u64>,
    /// The earliest expiry that is known, of a record that was asked for afterwards.
    earliest_expiry_ms: Option<u64>,
}

impl Retention {
    pub(super) fn observe(&mut self, event: &Event, judgement: Option<&Judgement>) {
        let is_late = matches!(event.kind, EventKind::LateRetry | EventKind::Expired);
        if !is_late && event.kind != EventKind::Replayed {
            return;
        }
        let Some(age_ms) = event.age_ms else { return };
        let dishonest = judgement.is_some_and(|judgement| {
            matches!(judgement.verdict, Verdict::SuspiciousReplay | Verdict::AutomationLoop)
        });
        if dishonest {
            self.set_aside += 1;
            return;
        }
        let then_ms = event.at.as_millis().saturating_sub(age_ms);
        let earliest = if is_late { &mut self.earliest_expiry_ms } else { &mut self.earliest_ms };
        *earliest = Some(earliest.map_or(then_ms, |ms| ms.min(then_ms)));
        if is_late {
            self.late.record(age_ms);
            if let Some(life_ms) = event.gap_ms.and_then(|gap_ms| gap_ms.checked_sub(age_ms)) {
                self.lives.record(life_ms);
            }
        } else {
            self.ages.record(age_ms);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.ages.merge(&other.ages);
        self.late.merge(&other.late);
        self.lives.merge(&other.lives);
        self.set_aside += other.set_aside;
        let earlier = |mine: Option<u64>, theirs| mine.into_iter().chain(theirs).min();
        self.earliest_ms = earlier(self.earliest_ms, other.earliest_ms);
        self.earliest_expiry_ms = earlier(self.earliest_expiry_ms, other.earliest_expiry_ms);
    }

    /// The TTL, inferred from late retries.
    pub(super) fn inferred_ttl_ms(&self) -> Option<u64> {
        self.lives.quantile(0.5).filter(|_| self.lives.count() >= 5)
    }

    /// Since when there are records, as far as those tell that somebody asked for.
    pub(super) fn since_ms(&self, ttl_ms: Option<u64>) -> Option<u64> {
        let expiry_ms = self.earliest_expiry_ms;
        let late_ms = ttl_ms.and_then(|ttl_ms| Some(expiry_ms?.saturating_sub(ttl_ms)));
        self.earliest_ms.into_iter().chain(late_ms).min()
    }
}
