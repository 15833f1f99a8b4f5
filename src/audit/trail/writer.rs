//! Appends events to the trail's segments, and bounds them in size and age.
//!
//! Invariants:
//! - A segment's name is never used twice, and a segment is of one opening of the store.
//! - After a failed write or sync nothing more is written to its segment: what is on disk of it is
//!   unknown, and the next one begins anew. What was on its way is lost and counted.
//! - The oldest segments go before a new one begins, so that all of them, the new one at its
//!   largest included, fit the bound.
//!
//! A failure never reaches the store: it is counted, and tried again after a while.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::block::{Filling, seal_end};
use super::code::EventNames;
use super::dictionary::{Dictionary, MAX_LABELS};
use super::header::{TRAIL_HEADER, TrailHeader, file_name, number_of};
use crate::audit::{Audit, Event};
use crate::disk::{self, Disk, DiskFile};
use crate::ids::{Nonce, StoreId, StoreTime};
use crate::sabotage::{self, Bug};

/// How long a disk that failed is left alone.
const REST_MS: u64 = 1000;
/// So many parts has the trail, in size and in age, or a little more.
const PARTS: u64 = 16;
const MIN_SEGMENT_BYTES: u64 = 64 << 10;
const MAX_SEGMENT_BYTES: u64 = 16 << 20;
/// No more segments are kept, however small they are.
const MAX_SEGMENTS: usize = 1024;
/// Events are handed to the system once so many bytes of them are there.
const WRITE_BYTES: usize = 256 << 10;
/// The most that one event can take, and its block's header.
const SPARE_BYTES: u64 = 8 << 10;

/// Whose trail it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) store_id: StoreId,
    pub(crate) boot: u64,
    pub(crate) key_id: u64,
}

/// What the trail may take. In bytes and milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) max_bytes: u64,
    pub(crate) max_age_ms: u64,
    pub(crate) privacy: u32,
}

impl Bounds {
    pub(crate) fn of(audit: &Audit) -> Self {
        Self {
            max_bytes: audit.max_bytes,
            max_age_ms: u64::try_from(audit.max_age.as_millis()).unwrap_or(u64::MAX).max(1),
            privacy: audit.privacy.code(),
        }
    }

    fn segment_bytes(&self) -> u64 {
        (self.max_bytes / PARTS).clamp(MIN_SEGMENT_BYTES, MAX_SEGMENT_BYTES)
    }

    fn segment_age_ms(&self) -> u64 {
        (self.max_age_ms / PARTS).max(1)
    }
}

/// A segment that is not written to any more.
#[derive(Debug, Clone, Copy)]
struct Closed {
    number: u64,
    bytes: u64,
    /// When it was begun; unknown of one whose header is damaged.
    base: Option<StoreTime>,
}

/// The segment that is written to.
#[derive(Debug)]
struct Active {
    header: TrailHeader,
    file: Arc<dyn DiskFile>,
    /// How many bytes of it are written.
    written: u64,
    /// Blocks that go after them.
    sealed: Vec<u8>,
    /// Events in these.
    sealed_events: u64,
    is_synced: bool,
}

#[derive(Debug)]
pub(crate) struct TrailWriter {
    disk: Arc<dyn Disk>,
    origin: Origin,
    bounds: Bounds,
    closed: VecDeque<Closed>,
    next_number: u64,
    active: Option<Active>,
    filling: Filling,
    /// Events in the block that is being filled.
    filled: u64,
    dictionary: Dictionary,
}

/// How many events a failure has cost.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) events: u64,
    #[allow(dead_code, reason = "it is for whoever debugs a test")]
    pub(crate) error: io::Error,
}

impl TrailWriter {
    /// How long to leave the disk alone after a failure.
    pub(crate) const REST_MS: u64 = REST_MS;

    /// Looks at what is there. Nothing is created before there is an event.
    pub(crate) fn open(disk: Arc<dyn Disk>, origin: Origin, bounds: Bounds) -> io::Result<Self> {
        let mut numbers: Vec<u64> =
            disk.list()?.iter().filter_map(|name| number_of(name)).collect();
        numbers.sort_unstable();
        let closed = numbers.iter().map(|number| look_at(&*disk, *number));
        let closed = closed.collect::<io::Result<VecDeque<Closed>>>()?;
        Ok(Self {
            disk,
            origin,
            bounds,
            closed,
            next_number: numbers.last().map_or(1, |last| last.saturating_add(1)),
            active: None,
            filling: Filling::new(),
            filled: 0,
            dictionary: Dictionary::default(),
        })
    }

    /// Takes an event. It is on disk after a `write`.
    pub(crate) fn append(&mut self, event: &Event, names: EventNames<'_>) -> Result<(), Lost> {
        self.prepare_for(event).map_err(|lost| Lost { events: lost.events + 1, ..lost })?;
        self.filling.push(event, &mut self.dictionary, names);
        self.filled += 1;
        if self.space() + SPARE_BYTES > self.bounds.segment_bytes()
            || self.dictionary.len() + 16 > MAX_LABELS
        {
            self.write()?;
            self.finish()?;
        }
        Ok(())
    }

    /// Makes a block and a segment ready that take an event.
    fn prepare_for(&mut self, event: &Event) -> Result<(), Lost> {
        if !self.filling.takes(event.id.sequence) {
            self.seal();
            self.write_if(WRITE_BYTES)?;
        }
        if self.filling.is_empty() && self.is_over(event.at) {
            self.write()?;
            self.finish()?;
        }
        if self.active.is_none() {
            self.begin(event.at).map_err(|error| self.lose(error))?;
        }
        Ok(())
    }

    /// Hands to the system what was appended.
    pub(crate) fn write(&mut self) -> Result<(), Lost> {
        self.seal();
        self.write_if(1)
    }

    /// Puts on stable storage what was written; says whether there was anything.
    pub(crate) fn sync(&mut self) -> Result<(), Lost> {
        let Some(active) = self.active.as_mut().filter(|active| !active.is_synced) else {
            return Ok(());
        };
        let synced = match sabotage::is_on(Bug::UnsyncedTrail) {
            true => Ok(()),
            false => active.file.sync(),
        };
        match synced {
            Ok(()) => {
                active.is_synced = true;
                Ok(())
            }
            Err(error) => Err(self.lose(error)),
        }
    }

    /// Says that there are no events after those before `sequence`, and syncs.
    pub(crate) fn end(&mut self, sequence: u64, now: StoreTime) -> Result<(), Lost> {
        self.write()?;
        if self.active.is_none() {
            self.begin(now).map_err(|error| self.lose(error))?;
        }
        let labels = self.dictionary.len();
        let Some(active) = &mut self.active else { return Ok(()) };
        let at = active.header.place(u32::try_from(active.written).unwrap_or(u32::MAX));
        seal_end(sequence, labels, at, &mut active.sealed);
        self.write_if(1)?;
        self.finish()
    }

    /// Removes what is too old at `now`.
    pub(crate) fn remove_old(&mut self, now: StoreTime) -> io::Result<()> {
        // A segment's last event is older than the next segment.
        let newest = self.active.as_ref().map(|active| active.header.base);
        let mut nexts: Vec<Option<StoreTime>> =
            self.closed.iter().skip(1).map(|closed| closed.base).collect();
        nexts.push(newest);
        let mut old = 0;
        for (at, next) in nexts.iter().enumerate() {
            if next.is_some_and(|next| now.ms_since(next) >= self.bounds.max_age_ms) {
                old = at + 1;
            }
        }
        self.remove(old.min(self.closed.len()))
    }

    /// Bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        let active = self.active.as_ref().map_or(0, |active| active.written);
        self.closed.iter().map(|closed| closed.bytes).sum::<u64>() + active
    }

    fn space(&self) -> u64 {
        let active = self.active.as_ref();
        let sealed = active.map_or(0, |active| active.written + active.sealed.len() as u64);
        sealed + self.filling.space() as u64
    }

    fn is_over(&self, now: StoreTime) -> bool {
        let age_ms = self.active.as_ref().map_or(0, |active| now.ms_since(active.header.base));
        age_ms >= self.bounds.segment_age_ms()
    }

    fn seal(&mut self) {
        if self.filling.is_empty() {
            return;
        }
        let Some(active) = &mut self.active else { return };
        let at = active.written + active.sealed.len() as u64;
        let place = active.header.place(u32::try_from(at).unwrap_or(u32::MAX));
        self.filling.seal(&active.header, place, &mut active.sealed);
        active.sealed_events += std::mem::take(&mut self.filled);
    }

    fn write_if(&mut self, at_least: usize) -> Result<(), Lost> {
        let Some(active) = self.active.as_mut().filter(|a| a.sealed.len() >= at_least) else {
            return Ok(());
        };
        match active.file.write_at(&active.sealed, active.written) {
            Ok(()) => {
                active.written += active.sealed.len() as u64;
                active.sealed.clear();
                active.sealed_events = 0;
                active.is_synced = false;
                Ok(())
            }
            Err(error) => Err(self.lose(error)),
        }
    }

    /// Ends the active segment, which is written; whatever comes next begins another.
    fn finish(&mut self) -> Result<(), Lost> {
        self.sync()?;
        self.give_up_active();
        Ok(())
    }

    /// Gives up the active segment and what was on its way to it.
    fn lose(&mut self, error: io::Error) -> Lost {
        let sealed = self.active.as_ref().map_or(0, |active| active.sealed_events);
        let events = sealed + std::mem::take(&mut self.filled);
        self.filling.clear();
        self.give_up_active();
        Lost { events, error }
    }

    fn give_up_active(&mut self) {
        self.dictionary.clear();
        if let Some(Active { header, written, .. }) = self.active.take() {
            // A failed write may have written part of it; the file's length is asked for when it
            // matters.
            let bytes = self.file_len(header.number).unwrap_or(written).max(written);
            self.closed.push_back(Closed { number: header.number, bytes, base: Some(header.base) });
        }
    }

    fn file_len(&self, number: u64) -> Option<u64> {
        self.disk.open_read_only(&file_name(number)).ok()?.len().ok()
    }

    /// Begins the next segment, once there is room for it.
    fn begin(&mut self, now: StoreTime) -> io::Result<()> {
        self.make_room()?;
        let number = self.next_number;
        let header = TrailHeader {
            store_id: self.origin.store_id,
            boot: self.origin.boot,
            number,
            nonce: nonce(self.origin, number),
            base: now,
            key_id: self.origin.key_id,
            privacy: self.bounds.privacy,
        };
        // Whatever becomes of it, the number is used.
        self.next_number = number.saturating_add(1);
        let created = self.disk.create(&file_name(number)).and_then(|file| {
            file.write_at(&header.encode(), 0)?;
            self.disk.sync_dir()?;
            Ok(file)
        });
        let file = match created {
            Ok(file) => file,
            Err(error) => {
                // It would count as a segment at the next opening.
                let _ = self.disk.remove(&file_name(number));
                return Err(error);
            }
        };
        self.active = Some(Active {
            header,
            file,
            written: TRAIL_HEADER as u64,
            sealed: Vec::new(),
            sealed_events: 0,
            is_synced: false,
        });
        // What is too old and cannot be removed is tried again with the next segment.
        let _ = self.remove_old(now);
        Ok(())
    }

    fn make_room(&mut self) -> io::Result<()> {
        let room = self.bounds.max_bytes.saturating_sub(self.bounds.segment_bytes());
        let mut bytes = self.bytes();
        let mut surplus = 0;
        for closed in &self.closed {
            if bytes <= room && self.closed.len() - surplus < MAX_SEGMENTS {
                break;
            }
            bytes -= closed.bytes;
            surplus += 1;
        }
        self.remove(surplus)
    }

    /// Removes so many of the oldest segments.
    fn remove(&mut self, count: usize) -> io::Result<()> {
        for _ in 0..count {
            let Some(oldest) = self.closed.front() else { break };
            match self.disk.remove(&file_name(oldest.number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => self.closed.pop_front(),
            };
        }
        if count > 0 { self.disk.sync_dir() } else { Ok(()) }
    }
}

fn look_at(disk: &dyn Disk, number: u64) -> io::Result<Closed> {
    let file = disk.open_read_only(&file_name(number))?;
    let mut head = [0; TRAIL_HEADER];
    let read = disk::read(&*file, &mut head, 0)?;
    let header = TrailHeader::decode(head.get(..read).unwrap_or_default()).ok();
    Ok(Closed { number, bytes: file.len()?, base: header.map(|header| header.base) })
}

/// Tells the segments' checksums apart; no file is used twice, so it need not be random.
fn nonce(origin: Origin, number: u64) -> Nonce {
    let [a, b, c, d, e, f, g, h, ..] = origin.store_id.0;
    let id = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let spread = |value: u64, by: u32| value.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(by);
    Nonce(id ^ spread(origin.boot, 0) ^ spread(number, 32))
}
