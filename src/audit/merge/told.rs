//! What a source tells of a store: events, and what is known about those that are not there.

use std::cmp::Ordering;
use std::fmt;

use crate::audit::{Event, EventId};
use crate::ids::{StoreId, StoreTime};

/// Who makes events: one opening of one store. Its events are numbered without gaps, from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Producer {
    /// The store.
    pub store_id: StoreId,
    /// Which opening of it.
    pub boot: u64,
}

impl Producer {
    /// An opening of a store.
    #[must_use]
    pub const fn new(store_id: StoreId, boot: u64) -> Self {
        Self { store_id, boot }
    }
}

impl Ord for Producer {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.store_id.0, self.boot).cmp(&(other.store_id.0, other.boot))
    }
}

impl PartialOrd for Producer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.store_id, self.boot)
    }
}

/// One thing that a source tells of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "nearly all of them are events")]
pub enum Told {
    /// An event.
    Event(Event),
    /// So many events from this one on are not in the trail: it makes no sense to wait for them.
    Lost {
        /// The first of them.
        first: EventId,
        /// How many.
        count: u64,
    },
    /// All events before `next` were told, and those that follow happen at `at` or later. A store
    /// without requests is thereby known to be idle, and not late.
    Mark {
        /// The id of the next event.
        next: EventId,
        /// Until when nothing else happened.
        at: StoreTime,
    },
    /// The opening of the store is over, and its next event would have been `next`.
    End {
        /// The id that follows its last event, as far as is known.
        next: EventId,
        /// Whether the store was closed. If not, its last events may have died with it.
        is_closed: bool,
    },
}

impl Told {
    /// Which opening it is about.
    #[must_use]
    pub const fn boot(&self) -> u64 {
        match self {
            Self::Event(event) => event.id.boot,
            Self::Lost { first, .. } => first.boot,
            Self::Mark { next, .. } | Self::End { next, .. } => next.boot,
        }
    }
}
