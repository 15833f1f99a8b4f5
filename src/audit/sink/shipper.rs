//! From a trail to a sink: reads what the sink has not acknowledged, sends it, and moves the cursor
//! once the sink has.
//!
//! Invariants: the cursor never passes what was not acknowledged; a batch that failed is sent again
//! as it was; memory is one batch.

use super::cursor::{Cursor, Place};
use super::{Message, Sink};
use crate::audit::merge::{Fed, Told, TrailFeed, told_json};
use crate::audit::{Damage, EventId, Origin, Trail};
use crate::error::Result;
use crate::ids::StoreTime;

/// A batch has no more messages than this, and ends once it has so many bytes.
const MAX_MESSAGES: usize = 512;
const MAX_BYTES: usize = 512 << 10;

/// Ships a trail to a sink.
///
/// ```
/// use oncekey::audit::sink::{Cursor, FileSink, Shipper, Sink};
/// use oncekey::audit::{Audit, Trail};
/// use oncekey::{ClaimRequest, Key, Options, Outcome, Scope, StoredResponse};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let (path, lines) = (dir.path().join("state"), dir.path().join("events.jsonl"));
/// let store = Options::new().audit(Audit::new()).create(&path)?;
/// let request = ClaimRequest::new(Scope::new("acct_42")?, Key::new("k1")?);
/// let Outcome::Claimed(claim) = store.claim(request).wait()? else { panic!() };
/// claim.complete(StoredResponse::new("charged")).wait()?;
/// drop(store);
///
/// let mut sink = FileSink::open(&lines)?;
/// let cursor = Cursor::open(path.join("audit"), "lake", &sink.describe())?;
/// let mut shipper = Shipper::new(Trail::of_store(&path)?, cursor)?;
/// while shipper.ship(&mut sink)? > 0 {}
/// // Two events, and that the store was closed after them.
/// assert_eq!(std::fs::read_to_string(&lines)?.lines().count(), 3);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Shipper {
    feed: TrailFeed,
    cursor: Cursor,
    batch: Vec<Message>,
    /// What the sink will have acknowledged once it has the batch.
    reached: Option<Place>,
    damage: Vec<Damage>,
    shipped: u64,
    is_checked: bool,
}

impl Shipper {
    /// Goes on where the cursor is.
    ///
    /// # Errors
    /// As of [`Trail`].
    pub fn new(trail: Trail, cursor: Cursor) -> Result<Self> {
        Ok(Self {
            feed: TrailFeed::new(trail),
            cursor,
            batch: Vec::new(),
            reached: None,
            damage: Vec::new(),
            shipped: 0,
            is_checked: false,
        })
    }

    /// How many messages the sink has acknowledged.
    #[must_use]
    pub fn shipped(&self) -> u64 {
        self.shipped
    }

    /// Up to which event the sink has acknowledged: the id of the next.
    #[must_use]
    pub fn next(&self) -> Option<EventId> {
        self.cursor.next()
    }

    /// Whether the store was closed, and all of it is shipped.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.batch.is_empty() && self.feed.trail().is_ended()
    }

    /// Bytes of the trail that were no events, since this was last asked.
    pub fn take_damage(&mut self) -> Vec<Damage> {
        std::mem::take(&mut self.damage)
    }

    /// Ships a batch; returns how many messages it had, none if all that there is was shipped.
    ///
    /// # Errors
    /// Of the trail, the sink and the cursor. Asked again, it goes on where it was.
    pub fn ship(&mut self, sink: &mut dyn Sink) -> Result<usize> {
        self.fill()?;
        if self.batch.is_empty() {
            return Ok(0);
        }
        sink.send(&self.batch)?;
        if let Some(place) = self.reached {
            self.cursor.advance(place)?;
        }
        let count = self.batch.len();
        self.batch.clear();
        self.shipped += count as u64;
        Ok(count)
    }

    /// Ships the statement that there was nothing else until `at` ([`TrailFeed::mark`]), so that
    /// whoever merges does not wait. Only when all that there is was shipped; says whether it was.
    ///
    /// # Errors
    /// Of the sink.
    pub fn mark(&mut self, at: StoreTime, sink: &mut dyn Sink) -> Result<bool> {
        let Some((origin, told)) = self.feed.mark(at).filter(|_| self.batch.is_empty()) else {
            return Ok(false);
        };
        sink.send(&[self.message(origin, &told)])?;
        Ok(true)
    }

    fn fill(&mut self) -> Result<()> {
        let mut bytes = self.batch.iter().map(|message| message.line.len()).sum::<usize>();
        while self.batch.len() < MAX_MESSAGES && bytes < MAX_BYTES {
            let Some(fed) = self.feed.next() else {
                return self.check();
            };
            let (origin, told) = match fed? {
                Fed::Told(origin, told) => (origin, told),
                Fed::Damage(damage) => {
                    self.damage.push(damage);
                    continue;
                }
            };
            let Some(told) = self.not_yet(origin, told) else { continue };
            let segment = self.feed.trail().segment();
            let next = match told {
                Told::Event(event) => {
                    EventId::new(event.id.boot, event.id.sequence.saturating_add(1))
                }
                Told::Lost { first, count } => {
                    EventId::new(first.boot, first.sequence.saturating_add(count))
                }
                Told::Mark { next, .. } | Told::End { next, .. } => next,
            };
            self.reached = Some(Place { store_id: origin.store_id, next, segment });
            let message = self.message(origin, &told);
            bytes += message.line.len();
            self.batch.push(message);
        }
        Ok(())
    }

    /// What of it the sink has not acknowledged.
    fn not_yet(&self, origin: Origin, told: Told) -> Option<Told> {
        let Some(place) = self.cursor.place() else { return Some(told) };
        if origin.store_id != place.store_id {
            // A store was made anew beside the trail of an earlier one.
            return (self.feed.trail().segment() >= place.segment).then_some(told);
        }
        let is_later = |id: EventId| id >= place.next;
        match told {
            Told::Event(event) => is_later(event.id).then_some(told),
            Told::Mark { next, .. } | Told::End { next, .. } => is_later(next).then_some(told),
            Told::Lost { first, count } => {
                let end = first.sequence.saturating_add(count);
                let begin = if first.boot == place.next.boot {
                    first.sequence.max(place.next.sequence)
                } else {
                    first.sequence
                };
                let first = EventId::new(first.boot, begin);
                (is_later(first) && begin < end)
                    .then_some(Told::Lost { first, count: end.saturating_sub(begin) })
            }
        }
    }

    /// At the end of the trail the cursor must have been in it, or before it.
    fn check(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.is_checked, true) {
            return Ok(());
        }
        let (Some(place), trail) = (self.cursor.place(), self.feed.trail()) else { return Ok(()) };
        if trail.segment() < place.segment {
            return Err(self.cursor.foreign("it is behind the trail's end"));
        }
        Ok(())
    }

    fn message(&self, origin: Origin, told: &Told) -> Message {
        let store = origin.store_id;
        let id = match told {
            Told::Event(event) => format!("{store}/{}/{}", event.id.boot, event.id.sequence),
            Told::Lost { first, count } => {
                format!("{store}/{}/lost/{}/{count}", first.boot, first.sequence)
            }
            Told::Mark { next, at } => {
                format!("{store}/{}/mark/{}/{}", next.boot, next.sequence, at.as_millis())
            }
            Told::End { next, is_closed } => {
                format!("{store}/{}/end/{}/{is_closed}", next.boot, next.sequence)
            }
        };
        let trail = self.feed.trail();
        Message { id, line: told_json(origin, told, &|label| trail.name(label)) }
    }
}
