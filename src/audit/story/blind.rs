//! Where events are missing, and whether they could hide an execution.

use std::fmt;

use crate::audit::EventId;
use crate::ids::StoreTime;

/// So many places are told apart between two events of the key.
const TOLD_APART: usize = 256;

/// Why nothing is known of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BlindKind {
    /// The trail begins here, and the store is older.
    Beginning,
    /// Events are missing: dropped, lost in a crash, or damaged.
    Missing,
    /// Events are there, and were hashed with a secret that was not given.
    OtherSecret,
}

impl BlindKind {
    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Beginning => "beginning",
            Self::Missing => "missing",
            Self::OtherSecret => "other_secret",
        }
    }
}

/// A place of a trail where an event of the key could have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlindSpot {
    /// Why nothing is known.
    pub kind: BlindKind,
    /// How many events are meant; `None` if nobody knows.
    pub lost: Option<u64>,
    /// The last event before it, and the first after it.
    pub between: (Option<EventId>, Option<EventId>),
    /// When they were.
    pub times: (Option<StoreTime>, Option<StoreTime>),
    /// Whether it could hide an execution of the key.
    pub matters: bool,
}

impl BlindSpot {
    /// Whether a process may have died in it.
    pub(super) fn crosses_a_death(&self) -> bool {
        self.kind == BlindKind::Missing && self.lost.is_none()
    }

    /// One spot for two, and whatever is between them.
    fn merge(&mut self, later: Self) {
        self.kind = self.kind.max(later.kind);
        self.lost = self.lost.and_then(|lost| lost.checked_add(later.lost?));
        self.between.1 = later.between.1;
        self.times.1 = later.times.1;
        self.matters |= later.matters;
    }
}

impl fmt::Display for BlindSpot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = match self.lost {
            Some(1) => "1 event".to_owned(),
            Some(lost) => format!("{lost} events"),
            None => "an unknown number of events".to_owned(),
        };
        match self.kind {
            BlindKind::Beginning => f.write_str("the trail begins here")?,
            BlindKind::Missing => write!(f, "{events} may be missing")?,
            BlindKind::OtherSecret => {
                write!(f, "{events} cannot be read: they were hashed with another secret")?;
            }
        }
        if let Some(id) = self.between.0 {
            write!(f, " after {id}")?;
        }
        match self.between.1 {
            Some(id) => write!(f, " before {id}"),
            None => Ok(()),
        }
    }
}

/// The blind spots since the last event that says which claim the key's state is of.
#[derive(Debug, Default)]
pub(super) struct Pending(Vec<BlindSpot>);

impl Pending {
    pub(super) fn push(&mut self, spot: BlindSpot) {
        let is_full = self.0.len() >= TOLD_APART;
        match self.0.last_mut() {
            Some(last) if is_full => last.merge(spot),
            _ => self.0.push(spot),
        }
    }

    /// The first event after the last spot is known now.
    pub(super) fn close(&mut self, id: EventId, at: StoreTime) {
        if let Some(last) = self.0.last_mut()
            && last.times.1.is_none()
        {
            (last.between.1, last.times.1) = (last.between.1.or(Some(id)), Some(at));
        }
    }

    /// The last spot, if nothing came after it yet.
    pub(super) fn open(&mut self) -> Option<&mut BlindSpot> {
        self.0.last_mut().filter(|last| last.times.1.is_none())
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = BlindSpot> + use<> {
        std::mem::take(&mut self.0).into_iter()
    }
}
