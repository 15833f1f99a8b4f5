//! A trail as a source: what it says in the order in which it says it, with the ends of openings
//! told as such.

use super::told::Told;
use crate::audit::{Damage, EventId, Origin, Trail, TrailItem};
use crate::error::Result;
use crate::ids::{StoreId, StoreTime};

/// What is next in a trail.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "nearly all of them are events")]
pub enum Fed {
    /// Something that is told of a store.
    Told(Origin, Told),
    /// Bytes that are no events. What they were shows as a gap, if they were events.
    Damage(Damage),
}

/// Reads a [`Trail`] as a [`Merge`](super::Merge) wants to be told of it.
///
/// As an iterator it ends where the trail ends for now; asked again, it goes on.
#[derive(Debug)]
pub struct TrailFeed {
    trail: Trail,
    /// Which opening is being read: its store, and the id that its next event should have.
    reading: Option<(StoreId, EventId)>,
    /// Whether its end was told.
    is_end_told: bool,
    held: std::collections::VecDeque<Fed>,
}

impl TrailFeed {
    /// Reads a trail from where it is.
    #[must_use]
    pub fn new(trail: Trail) -> Self {
        Self { trail, reading: None, is_end_told: false, held: std::collections::VecDeque::new() }
    }

    /// The trail, for the names of labels.
    #[must_use]
    pub fn trail(&self) -> &Trail {
        &self.trail
    }

    /// Whose events are being read.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        Some(Origin::new(self.trail.store_id()?, self.trail.key_id()?))
    }

    /// The statement that all was read until `at`, which the clock showed a while before the trail
    /// was read to its end: for longer than a store keeps events in memory
    /// ([`Audit::write_every`](crate::audit::Audit::write_every)), and than clocks may differ.
    #[must_use]
    pub fn mark(&self, at: StoreTime) -> Option<(Origin, Told)> {
        let (_, next) = self.reading?;
        let origin = self.origin()?;
        (!self.trail.is_ended()).then_some((origin, Told::Mark { next, at }))
    }

    fn advance(&mut self) -> Option<Result<Fed>> {
        loop {
            if let Some(fed) = self.held.pop_front() {
                return Some(Ok(fed));
            }
            match self.trail.next() {
                None => {
                    self.begin(false);
                    self.end();
                    return self.held.pop_front().map(Ok);
                }
                Some(Err(error)) => return Some(Err(error)),
                Some(Ok(item)) => self.take(item),
            }
        }
    }

    fn take(&mut self, item: TrailItem) {
        match item {
            TrailItem::Event(event) => {
                self.begin_at(event.id, false);
                self.lose_to(event.id);
                let Some(origin) = self.origin() else { return };
                self.reading = Some((
                    origin.store_id,
                    EventId::new(event.id.boot, event.id.sequence.saturating_add(1)),
                ));
                self.held.push_back(Fed::Told(origin, Told::Event(event)));
            }
            TrailItem::Gap(gap) => match gap.before {
                Some(before) => self.begin_at(before, gap.lost.is_none()),
                None => {
                    self.begin(gap.lost.is_none());
                    self.end();
                }
            },
            TrailItem::Damage(damage) => self.held.push_back(Fed::Damage(damage)),
        }
    }

    /// The opening that the trail is in. What was told of the one before may have been its end.
    fn begin(&mut self, is_cut: bool) {
        if let Some(next) = self.trail.expected() {
            self.begin_at(EventId::new(next.boot, 0), is_cut || self.trail.is_cut());
        }
    }

    /// Another opening begins with this event, unless it is the same one: then the one before is
    /// over.
    fn begin_at(&mut self, id: EventId, is_cut: bool) {
        let Some(store_id) = self.trail.store_id() else { return };
        if self.reading.is_some_and(|(of, next)| of == store_id && next.boot == id.boot) {
            return;
        }
        if let (Some((of, next)), false) = (self.reading, self.is_end_told) {
            // The secret of one opening need not be that of the next, but an end has no hashes.
            let origin = Origin::new(of, self.trail.key_id().unwrap_or_default());
            let end = Told::End { next, is_closed: !is_cut };
            self.held.push_back(Fed::Told(origin, end));
        }
        self.reading = Some((store_id, EventId::new(id.boot, 0)));
        self.is_end_told = false;
    }

    /// What is not there before this event.
    fn lose_to(&mut self, id: EventId) {
        let Some((_, first)) = self.reading else { return };
        let count = id.sequence.saturating_sub(first.sequence);
        if let (Some(origin), true) = (self.origin(), count > 0) {
            self.held.push_back(Fed::Told(origin, Told::Lost { first, count }));
        }
    }

    /// The store was closed, if the trail says so.
    fn end(&mut self) {
        let expected = self.trail.expected().filter(|_| self.trail.has_ended());
        let (Some(next), Some(origin), false) = (expected, self.origin(), self.is_end_told) else {
            return;
        };
        self.lose_to(next);
        self.reading = Some((origin.store_id, next));
        self.is_end_told = true;
        self.held.push_back(Fed::Told(origin, Told::End { next, is_closed: true }));
    }
}

impl Iterator for TrailFeed {
    type Item = Result<Fed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance()
    }
}
