//! What a simulation asks an engine: questions that no caller of the store has.

use super::Engine;
#[cfg(test)]
use crate::types::{Key, Scope};

impl Engine {
    /// Whether nobody holds the locks that a commit needs, so that one may be made in the middle of
    /// something else.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.writer.try_lock().is_some()
            && self.catalog.try_lock().is_some()
            && self.next.try_lock().is_some()
    }

    /// Whether a segment may be dropped, or some compacted, in the middle of something else.
    pub(crate) fn may_rewrite(&self) -> bool {
        self.rewriting.try_lock().is_some() && !self.is_noting_late() && self.is_at_rest()
    }

    /// Whether a key may be forgotten in the middle of something else.
    pub(crate) fn may_forget(&self) -> bool {
        !self.is_noting_late() && self.is_at_rest()
    }

    /// How many keys that are remembered as expired are in no run.
    #[cfg(test)]
    pub(crate) fn late_pending(&self) -> u64 {
        self.late.pending()
    }

    /// Whether changes are still taken: neither poisoned nor closed.
    pub(crate) fn takes_changes(&self) -> bool {
        !self.is_poisoned() && !self.queue.is_sealed()
    }

    /// Whether the next round of upkeep syncs what was written in `Interval` mode.
    pub(crate) fn is_sync_due(&self) -> bool {
        let until = self.interval_ms().map(|interval_ms| self.until_sync_ms(interval_ms));
        until.is_some_and(|left_ms| left_ms.is_none_or(|left_ms| left_ms == 0))
    }

    /// Whether a key's place in the index is said to be unchanged after `run`, which came between
    /// the two looks of a claim: with the pins that the claim holds, or without them.
    #[cfg(test)]
    pub(crate) fn is_as_pinned_after(
        &self,
        (scope, key): (&Scope, &Key),
        holds_pins: bool,
        run: impl FnOnce(),
    ) -> bool {
        let hash = self.hash(scope.as_bytes(), key.as_bytes());
        let pinned = self.pin(&self.shard(hash).lock(), hash);
        let mut pinned = pinned.expect("a key that has a record");
        if !holds_pins {
            pinned.unpin();
        }
        run();
        self.is_as_pinned(&self.shard(hash).lock(), hash, &pinned)
    }
}
