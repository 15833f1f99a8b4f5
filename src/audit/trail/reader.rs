//! Reads a trail: its events in their order, and what is missing of them.
//!
//! Invariants: an event that is missing between two that are told is told as a gap; bytes that are
//! no events are told as damage; memory is bounded, however long the trail is. It takes no lock and
//! changes nothing, so a trail can be read while a store writes it.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::TRAIL_DIRECTORY;
use super::block::{BlockFacts, FLAG_END};
use super::code::read_event;
use super::cursor::{Cursor, Step, Unreadable};
use super::dictionary::{Names, Numbers};
use super::header::{file_name, number_of};
use crate::audit::label::Network;
use crate::audit::{Event, EventId, Label};
use crate::disk::{Disk, RealDisk};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::StoreId;
use crate::log::Reader;

/// An opening that dies leaves at least so many tokens behind that nobody will have, and one that
/// is closed none: where the next number is so far away, there was an opening between that died
/// with all of its events.
pub(crate) const RESERVED_TOKENS: u64 = 1 << 23;

/// What is next in a trail.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "nearly all items are events")]
pub enum TrailItem {
    /// An event.
    Event(Event),
    /// Events are missing here.
    Gap(Gap),
    /// Bytes here are no events.
    Damage(Damage),
}

/// Events that are missing: dropped under pressure, lost in a crash, damaged, or removed because
/// the trail is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The last event before the gap; `None` at the beginning of the trail.
    pub after: Option<EventId>,
    /// The first event after it; `None` where a store was closed after it.
    pub before: Option<EventId>,
    /// How many are missing. `None` if nobody knows, since an opening of the store ended without
    /// having been closed: it may be none.
    pub lost: Option<u64>,
}

/// Bytes of a trail that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The file's name in the trail's directory.
    pub file: String,
    /// Where the bytes begin.
    pub offset: u64,
    /// How many there are.
    pub bytes: u64,
    /// What is wrong with them.
    pub what: String,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lost {
            Some(lost) => write!(f, "{lost} events are missing")?,
            None => f.write_str("an unknown number of events may be missing")?,
        }
        if let Some(after) = self.after {
            write!(f, " after {after}")?;
        }
        match self.before {
            Some(before) => write!(f, " before {before}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, bytes, what } = self;
        write!(f, "{file}: {bytes} bytes at {offset}: {what}")
    }
}

/// A trail, read from its beginning. A [`Store`](crate::Store) writes one if it is told to
/// ([`Options::audit`](crate::Options::audit)).
///
/// As an iterator it ends where the trail ends for now: asked again later, it goes on with what was
/// written meanwhile.
///
/// ```
/// use oncekey::audit::{Audit, EventKind, Trail, TrailItem};
/// use oncekey::{ClaimRequest, Key, Options, Outcome, Scope, StoredResponse};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("state");
/// let store = Options::new().audit(Audit::new()).create(&path)?;
/// let request = ClaimRequest::new(Scope::new("acct_42")?, Key::new("k1")?).operation("charge");
/// let Outcome::Claimed(claim) = store.claim(request).wait()? else { panic!() };
/// claim.complete(StoredResponse::new("charged")).wait()?;
/// drop(store);
///
/// let mut trail = Trail::of_store(&path)?;
/// let mut kinds = Vec::new();
/// while let Some(item) = trail.next() {
///     if let TrailItem::Event(event) = item? {
///         let name = event.operation.and_then(|label| trail.name(label));
///         assert_eq!(name.as_deref(), Some("charge"));
///         kinds.push(event.kind);
///     }
/// }
/// assert_eq!(kinds, [EventKind::Claimed, EventKind::Completed]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Trail {
    disk: Arc<dyn Disk>,
    /// The last segment that was begun.
    number: Option<u64>,
    cursor: Option<Cursor>,
    block: Option<Block>,
    numbers: Numbers,
    names: Names,
    store_id: Option<StoreId>,
    key_id: Option<u64>,
    /// The id that the next event should have, and that of the last one told.
    expected: Option<EventId>,
    last: Option<EventId>,
    /// The highest token of the opening that is read, or its number.
    top_token: u64,
    /// Whether the opening of the store that was read last has been closed.
    is_ended: bool,
    /// Whether one before it has not, and that is still to be told.
    is_cut: bool,
    /// Whether the newest segment has not begun yet, and maybe never will.
    is_short: bool,
    /// What is to be told before anything else is read.
    held: Option<TrailItem>,
}

/// A block that is being read.
#[derive(Debug)]
struct Block {
    facts: BlockFacts,
    read: u64,
    payload: std::ops::Range<usize>,
}

impl Trail {
    /// Opens the trail in a directory of trail segments.
    ///
    /// # Errors
    /// [`WrongStore`](crate::ErrorKind::WrongStore) if there is no such directory,
    /// [`Io`](crate::ErrorKind::Io).
    pub fn open(directory: impl AsRef<Path>) -> Result<Self> {
        let path = directory.as_ref();
        match RealDisk::open(path) {
            Ok(disk) => Ok(Self::on(Arc::new(disk))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::new(
                ErrorKind::WrongStore,
                format!("{} does not exist: there is no audit trail", path.display()),
            )),
            Err(error) => Err(Error::io(format_args!("opening {}", path.display()), error)),
        }
    }

    /// Opens the trail that a store keeps in its directory.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn of_store(store: impl AsRef<Path>) -> Result<Self> {
        Self::open(store.as_ref().join(TRAIL_DIRECTORY))
    }

    pub(crate) fn on(disk: Arc<dyn Disk>) -> Self {
        Self {
            disk,
            number: None,
            cursor: None,
            block: None,
            numbers: Numbers::default(),
            names: Names::default(),
            store_id: None,
            key_id: None,
            expected: None,
            last: None,
            top_token: 0,
            is_ended: false,
            is_cut: false,
            is_short: false,
            held: None,
        }
    }

    /// The text behind a label, if the trail has it.
    #[must_use]
    pub fn name(&self, label: Label) -> Option<Cow<'_, str>> {
        let network = || Network::of_label(label).map(|network| Cow::Owned(network.to_string()));
        self.names.get(label).map(Cow::Borrowed).or_else(network)
    }

    /// Whose trail it is: the store of what was read last. It changes where a store was made anew
    /// beside the trail of an earlier one; ids of events are those of one store.
    #[must_use]
    pub fn store_id(&self) -> Option<StoreId> {
        self.store_id
    }

    /// Which secret the hashes of what was read last were made with: labels and keys of two trails
    /// can be compared where this is equal.
    #[must_use]
    pub fn key_id(&self) -> Option<u64> {
        self.key_id
    }

    /// Whether the last opening of the store that was read has been closed: no event of it is
    /// missing at the end.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.is_ended && !self.is_short
    }

    /// The number of the segment that is being read; zero before the first.
    #[cfg(feature = "report")]
    pub(crate) fn segment(&self) -> u64 {
        self.number.unwrap_or_default()
    }

    /// The id that the next event of the present opening should have.
    #[cfg(any(test, feature = "report", feature = "simulation"))]
    pub(crate) fn expected(&self) -> Option<EventId> {
        self.expected
    }

    /// Whether the opening that is being read has been closed, whatever follows.
    #[cfg(feature = "report")]
    pub(crate) fn has_ended(&self) -> bool {
        self.is_ended
    }

    /// Whether one before it was not closed, and that is still to be told.
    #[cfg(feature = "report")]
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Bytes at the end of the trail that make no event yet: a write that is under way, or one that
    /// a crash has cut short.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io).
    pub fn unread_bytes(&self) -> Result<u64> {
        let left = self.cursor.as_ref().map_or(Ok(0), Cursor::left);
        left.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> Error {
        let name = self.number.map_or_else(String::new, file_name);
        Error::io(format_args!("reading {name} in {}", self.disk.describe()), error)
    }

    fn advance(&mut self) -> io::Result<Option<TrailItem>> {
        loop {
            if let Some(item) = self.held.take() {
                return Ok(Some(item));
            }
            if self.block.is_some() {
                if let Some(item) = self.read_block() {
                    return Ok(Some(item));
                }
                continue;
            }
            if self.cursor.is_none() {
                match self.begin_segment()? {
                    Begun::Segment => continue,
                    Begun::Item(item) => return Ok(Some(item)),
                    Begun::Nothing => return Ok(None),
                }
            }
            if let Some(item) = self.step(false)? {
                return Ok(item);
            }
        }
    }

    /// Takes the next step in the present segment. `Some(None)` is the end for now.
    #[allow(clippy::option_option, reason = "an item, the end, or neither yet")]
    fn step(&mut self, is_over: bool) -> io::Result<Option<Option<TrailItem>>> {
        let Some(cursor) = &mut self.cursor else { return Ok(None) };
        match cursor.step(is_over)? {
            Step::Block { flags, payload } => Ok(self.begin_block(flags, payload).map(Some)),
            Step::Damage { offset, bytes } => {
                let what = "a write was cut short, or the bytes are damaged";
                Ok(Some(Some(self.damage(offset, bytes, what))))
            }
            Step::End if is_over => {
                self.cursor = None;
                Ok(None)
            }
            Step::End if self.next_number()?.is_some() => self.step(true),
            Step::End => Ok(Some(None)),
        }
    }

    /// The number of the segment after the present one, if there is one.
    fn next_number(&self) -> io::Result<Option<u64>> {
        let names = self.disk.list()?;
        let numbers = names.iter().filter_map(|name| number_of(name));
        Ok(numbers.filter(|number| self.number.is_none_or(|present| *number > present)).min())
    }

    fn begin_segment(&mut self) -> io::Result<Begun> {
        let Some(number) = self.next_number()? else { return Ok(Begun::Nothing) };
        let before = self.number.replace(number);
        let cursor = match Cursor::open(&*self.disk, number)? {
            Ok(cursor) => cursor,
            Err(Unreadable::Gone) => return Ok(Begun::Segment),
            Err(Unreadable::Short(bytes)) => {
                if self.next_number()?.is_none() {
                    // It may be on its way.
                    self.number = before;
                    self.is_short = true;
                    return Ok(Begun::Nothing);
                }
                let what = "it was cut short before it began";
                return Ok(Begun::Item(self.damage(0, bytes, what)));
            }
            Err(Unreadable::Damaged { bytes, what }) => {
                return Ok(Begun::Item(self.damage(0, bytes, what)));
            }
        };
        let header = cursor.header;
        let other = self.store_id.replace(header.store_id) != Some(header.store_id);
        self.key_id = Some(header.key_id);
        if other || self.expected.is_none_or(|expected| expected.boot != header.boot) {
            let leapt = header.boot.saturating_sub(self.top_token) >= RESERVED_TOKENS;
            self.is_cut |= self.expected.is_some() && (!self.is_ended || (leapt && !other));
            self.top_token = header.boot;
            self.expected = Some(header.event_id(0));
            self.is_ended = false;
        }
        self.is_short = false;
        self.numbers.clear();
        self.cursor = Some(cursor);
        Ok(Begun::Segment)
    }

    fn begin_block(&mut self, flags: u8, payload: std::ops::Range<usize>) -> Option<TrailItem> {
        let cursor = self.cursor.as_ref()?;
        let header = cursor.header;
        let bytes = cursor.payload(payload.clone());
        let mut body = Reader::new(bytes);
        let facts = BlockFacts::read(&mut body, &header)
            .filter(|facts| self.numbers.begin_at(facts.labels));
        let Some(facts) = facts else {
            let (offset, bytes) = (cursor.offset_of(&payload), bytes.len() as u64);
            return Some(self.damage(offset, bytes, "a block that makes no sense"));
        };
        let payload = payload.end - body.rest().len()..payload.end;
        if flags & FLAG_END != 0 {
            return self.end_at(header.event_id(facts.first));
        }
        self.block = Some(Block { facts, read: 0, payload });
        None
    }

    /// The store was closed; its next event would have had this id.
    fn end_at(&mut self, id: EventId) -> Option<TrailItem> {
        let gap = self.gap_before(id).map(|gap| Gap { before: None, ..gap });
        self.expected = Some(id);
        self.is_ended = true;
        gap.map(TrailItem::Gap)
    }

    /// The next event of the block, or `None` at its end.
    fn read_block(&mut self) -> Option<TrailItem> {
        let (cursor, mut block) = (self.cursor.as_ref()?, self.block.take()?);
        while block.read < block.facts.count {
            let id = cursor.header.event_id(block.facts.first + block.read);
            let bytes = cursor.payload(block.payload.clone());
            let mut body = Reader::new(bytes);
            let before = &mut block.facts.before;
            let read = read_event(&mut body, id, before, &mut self.numbers, &mut self.names);
            block.read += 1;
            block.payload.start = block.payload.end - body.rest().len();
            match read {
                Ok(Some(event)) => {
                    self.block = Some(block);
                    return Some(self.tell(event));
                }
                // Its labels are lost with an earlier block, and so is it: a gap.
                Ok(None) => {}
                Err(_) => {
                    let (offset, bytes) = (cursor.offset_of(&block.payload), bytes.len() as u64);
                    return Some(self.damage(offset, bytes, "an event that makes no sense"));
                }
            }
        }
        None
    }

    fn tell(&mut self, event: Event) -> TrailItem {
        let gap = self.gap_before(event.id);
        self.last = Some(event.id);
        self.top_token = self.top_token.max(event.token.map_or(0, |token| token.0));
        self.expected = Some(EventId::new(event.id.boot, event.id.sequence.saturating_add(1)));
        self.is_ended = false;
        match gap {
            None => TrailItem::Event(event),
            Some(gap) => {
                self.held = Some(TrailItem::Event(event));
                TrailItem::Gap(gap)
            }
        }
    }

    /// What is missing before an event of this id.
    fn gap_before(&mut self, id: EventId) -> Option<Gap> {
        let expected = self.expected.map_or(0, |expected| expected.sequence);
        let lost = match id.sequence.saturating_sub(expected) {
            // What was there of an opening of the store that was not closed, nobody knows.
            _ if std::mem::take(&mut self.is_cut) => None,
            0 => return None,
            lost => Some(lost),
        };
        Some(Gap { after: self.last, before: Some(id), lost })
    }

    fn damage(&self, offset: u64, bytes: u64, what: &str) -> TrailItem {
        let file = self.number.map_or_else(String::new, file_name);
        TrailItem::Damage(Damage { file, offset, bytes, what: what.to_owned() })
    }
}

/// What came of looking for the next segment.
#[allow(clippy::large_enum_variant, reason = "it is taken apart at once")]
enum Begun {
    /// One was begun, or is gone: look again.
    Segment,
    Item(TrailItem),
    Nothing,
}

impl Iterator for Trail {
    type Item = Result<TrailItem>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().map_err(|error| self.failed(error)).transpose()
    }
}
