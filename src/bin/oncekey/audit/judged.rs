//! A trail as it is read, each collision judged on the way.

use oncekey::audit::{Classifier, Judgement, Rules, Trail, TrailItem};
use oncekey::{Error, StoreTime};

use super::window::Bounds;

/// Reads and judges. Events of before a window are judged, too: later verdicts rest on them.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) trail: Trail,
    classifier: Classifier,
}

/// An item, and what it was judged to be, if it was a collision.
pub(crate) type JudgedItem = (TrailItem, Option<Judgement>);

impl Judged {
    pub(crate) fn new(trail: Trail) -> Self {
        Self { trail, classifier: Classifier::new(Rules::new()) }
    }

    /// The next item; `None` where the trail ends for now.
    pub(crate) fn next(&mut self) -> Result<Option<JudgedItem>, Error> {
        let Some(mut item) = self.trail.next().transpose()? else { return Ok(None) };
        let judgement = match &mut item {
            TrailItem::Event(event) => self.classifier.observe(event),
            _ => None,
        };
        Ok(Some((item, judgement)))
    }
}

/// Which items are in a window. A gap, or damage, has no time: it is in if an event beside it is.
#[derive(Debug)]
pub(crate) struct Inside {
    bounds: Bounds,
    /// Whether the last event was.
    was: bool,
    held: Vec<TrailItem>,
}

impl Inside {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, was: false, held: Vec::new() }
    }

    /// Takes the next item and calls `put` with what is known to be inside.
    pub(crate) fn take<E>(
        &mut self,
        (item, judgement): JudgedItem,
        mut put: impl FnMut(&TrailItem, Option<&Judgement>) -> Result<(), E>,
    ) -> Result<(), E> {
        let TrailItem::Event(event) = &item else {
            if self.was || self.is_open() {
                return put(&item, None);
            }
            // A few beside each other are all that can be between two events; a trail of nothing
            // but damage has no more than its end.
            if self.held.len() >= MAX_HELD {
                self.held.remove(0);
            }
            self.held.push(item);
            return Ok(());
        };
        self.was = self.bounds.contains(event.at);
        let held = std::mem::take(&mut self.held);
        if !self.was {
            return Ok(());
        }
        held.iter().try_for_each(|item| put(item, None))?;
        put(&item, judgement.as_ref())
    }

    /// Whether everything is inside.
    fn is_open(&self) -> bool {
        let ends = [StoreTime::from_millis(0), StoreTime::from_millis(u64::MAX - 1)];
        ends.into_iter().all(|end| self.bounds.contains(end))
    }
}

const MAX_HELD: usize = 64;
