//! A segment file in use, and the table of all of them.
//!
//! Whoever reads a segment holds its `Arc`: the pin that keeps its file from being recycled under
//! the reader. A segment leaves the table first and is recycled only when nobody else holds it.

use std::sync::Arc;

use crate::disk::{self, DiskFile};
use crate::error::{Error, ErrorKind, Result};
use crate::expiry::ExpiryHistogram;
use crate::ids::{KeyHash, Nonce, SegmentId, Slot, StoreTime, Token};
use crate::log::{
    Footer, FooterEntries, FooterEntry, FooterFault, FooterHead, Frame, FrameFault, Place,
    SEGMENT_HEADER, SegmentKind, frame_len,
};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard, RwLock};

/// What is read of a record at first: as much as the longest one met so far, within these bounds.
const FIRST_READ: std::ops::RangeInclusive<usize> = 256..=512;

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) nonce: Nonce,
    pub(crate) slot: Slot,
    pub(crate) kind: SegmentKind,
    pub(crate) size: u32,
    pub(crate) base: StoreTime,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) sealed: AtomicBool,
    /// What is read of a record at first.
    first_read: AtomicUsize,
    /// Bytes of frames whose record was replaced, forgotten or moved.
    dead_bytes: AtomicU64,
    contents: Mutex<Contents>,
}

/// What is known of a segment's records.
#[derive(Debug, Clone)]
pub(crate) struct Contents {
    /// The coming footer's entries, while the segment is not sealed.
    pub(crate) entries: Vec<FooterEntry>,
    /// Records and forgets in it.
    pub(crate) records: u64,
    pub(crate) data_end: u32,
    /// The last batch's sequence and time.
    pub(crate) highest: Token,
    pub(crate) store_time: StoreTime,
    pub(crate) latest_expiry: StoreTime,
    /// Known once the segment is sealed.
    pub(crate) expiries: Option<ExpiryHistogram>,
}

impl Contents {
    /// An empty segment.
    pub(crate) const fn empty() -> Self {
        Self {
            entries: Vec::new(),
            records: 0,
            data_end: SEGMENT_HEADER as u32,
            highest: Token(0),
            store_time: StoreTime(0),
            latest_expiry: StoreTime(0),
            expiries: None,
        }
    }

    /// A sealed segment, as its footer describes it.
    pub(crate) fn of_footer(
        head: &FooterHead,
        entries: impl Iterator<Item = FooterEntry>,
        base: StoreTime,
    ) -> Self {
        let mut latest = StoreTime(0);
        let entries = entries.inspect(|entry| latest = latest.max(entry.expires_at(base)));
        let expiries = Some(histogram(entries, head.data_end, base));
        // A forged one says less of itself than its entries do, and must not go before they do.
        let is_less = FooterEntry::rounded(head.latest_expiry, base) < latest;
        Self {
            entries: Vec::new(),
            records: u64::from(head.count),
            data_end: head.data_end,
            highest: head.highest,
            store_time: head.store_time,
            latest_expiry: if is_less { latest } else { head.latest_expiry },
            expiries,
        }
    }

    /// Whether anything in it has not expired, as its footer says it.
    pub(crate) fn is_alive(&self, base: StoreTime, now: StoreTime) -> bool {
        self.records > 0 && FooterEntry::rounded(self.latest_expiry, base) > now
    }
}

/// A record's bytes are taken to be what lies between it and the next one.
fn histogram(
    entries: impl Iterator<Item = FooterEntry>,
    data_end: u32,
    base: StoreTime,
) -> ExpiryHistogram {
    // Neighbours that expire in the same second are one: records come as they expire, mostly.
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for entry in entries {
        if runs.last().is_none_or(|(_, expires_s)| *expires_s != entry.expires_s) {
            runs.push((entry.offset, entry.expires_s));
        }
    }
    let ends = runs.iter().skip(1).map(|(next, _)| *next).chain([data_end]);
    let bytes = |((offset, expires_s), end): (&(u32, u32), u32)| {
        (FooterEntry::moment(*expires_s, base), u64::from(end.saturating_sub(*offset)))
    };
    ExpiryHistogram::new(runs.iter().zip(ends).map(bytes))
}

impl Segment {
    pub(crate) fn new(
        life: (SegmentId, Nonce, Slot, SegmentKind),
        size: u32,
        base: StoreTime,
        file: Arc<dyn DiskFile>,
        contents: Contents,
    ) -> Self {
        let (id, nonce, slot, kind) = life;
        Self {
            id,
            nonce,
            slot,
            kind,
            size,
            base,
            file,
            sealed: AtomicBool::new(false),
            first_read: AtomicUsize::new(*FIRST_READ.start()),
            dead_bytes: AtomicU64::new(0),
            contents: Mutex::new(contents),
        }
    }

    pub(crate) fn place(&self, offset: u32) -> Place {
        Place { nonce: self.nonce, offset }
    }

    pub(crate) fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock()
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    pub(crate) fn add_dead(&self, bytes: u64) {
        self.dead_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of its data and its footer.
    pub(crate) fn taken_bytes(&self) -> u64 {
        let contents = self.contents.lock();
        let data = contents.data_end.saturating_sub(SEGMENT_HEADER as u32);
        u64::from(data) + Footer::space(contents.records as usize) as u64
    }

    /// When the first of a sealed segment's records expires, or has expired.
    pub(crate) fn first_expiry(&self) -> StoreTime {
        let contents = self.contents.lock();
        contents.expiries.as_ref().map_or(StoreTime(u64::MAX), ExpiryHistogram::first)
    }

    /// Bytes that compaction would give back at `now`; never overstated by more than the overlap of
    /// what was replaced and what has expired.
    pub(crate) fn reclaimable_bytes(&self, now: StoreTime) -> u64 {
        let contents = self.contents.lock();
        let expired = contents.expiries.as_ref().map_or(0, |expiries| expiries.expired_bytes(now));
        let dead = self.dead_bytes.load(Ordering::Relaxed);
        (expired + dead).min(u64::from(contents.data_end))
    }

    /// What could be given back of a sealed segment.
    pub(crate) fn debt_bytes(&self, now: StoreTime) -> u64 {
        if self.is_sealed() { self.reclaimable_bytes(now) } else { 0 }
    }

    /// Whether it is sealed, and all of its records have expired.
    pub(crate) fn has_expired(&self, now: StoreTime) -> bool {
        self.is_sealed() && self.contents().latest_expiry <= now
    }

    /// Reads the frame at `offset` and hands it to `take`.
    pub(crate) fn read_frame<T>(
        &self,
        offset: u32,
        take: impl FnOnce(Frame<'_>) -> T,
    ) -> Result<T> {
        self.read_frame_bytes(offset, |frame, _| take(frame))
    }

    /// The same, with the frame's bytes as they are on disk, without the padding.
    pub(crate) fn read_frame_bytes<T>(
        &self,
        offset: u32,
        take: impl FnOnce(Frame<'_>, &[u8]) -> T,
    ) -> Result<T> {
        let mut buffer = [0; *FIRST_READ.end()];
        let (first, _) = buffer.split_at_mut(self.first_read.load(Ordering::Relaxed));
        let count = disk::read(&*self.file, first, u64::from(offset))
            .map_err(|error| self.read_error(offset, error))?;
        let read = first.get(..count).unwrap_or_default();
        let need = frame_len(read).unwrap_or(0);
        if need <= read.len() {
            return self.decode(read, offset, take);
        }
        if FIRST_READ.contains(&need) {
            self.first_read.fetch_max(need, Ordering::Relaxed);
        }
        let mut whole = vec![0; need.min((self.size - offset.min(self.size)) as usize)];
        let count = disk::read(&*self.file, &mut whole, u64::from(offset))
            .map_err(|error| self.read_error(offset, error))?;
        self.decode(whole.get(..count).unwrap_or_default(), offset, take)
    }

    fn decode<T>(
        &self,
        bytes: &[u8],
        offset: u32,
        take: impl FnOnce(Frame<'_>, &[u8]) -> T,
    ) -> Result<T> {
        match Frame::decode(bytes, self.place(offset), self.base) {
            Ok((frame, len)) => Ok(take(frame, bytes.get(..len).unwrap_or_default())),
            Err(fault) => Err(self.damaged(offset, &fault)),
        }
    }

    /// Whether these bytes are the frame of this segment's life at `offset`.
    pub(crate) fn has(&self, offset: u32, bytes: &[u8]) -> bool {
        let decoded = Frame::decode(bytes, self.place(offset), self.base);
        decoded.is_ok_and(|(_, len)| len == bytes.len())
    }

    fn damaged(&self, offset: u32, fault: &FrameFault) -> Error {
        Error::new(
            ErrorKind::Corrupt,
            format!(
                "{} is damaged at offset {offset}: {fault}; the record there cannot be read \
                 (`oncekey verify` lists all damage)",
                self.slot.file_name(),
            ),
        )
    }

    fn read_error(&self, offset: u32, error: std::io::Error) -> Error {
        Error::io(format_args!("reading {} at offset {offset}", self.slot.file_name()), error)
    }

    /// The footer of a segment that will not be written any more.
    pub(crate) fn footer(&self) -> Footer {
        let contents = self.contents.lock();
        Footer {
            nonce: self.nonce,
            id: self.id,
            entries: contents.entries.clone(),
            data_end: contents.data_end,
            highest: contents.highest,
            store_time: contents.store_time,
            latest_expiry: contents.latest_expiry,
        }
    }

    /// Writes the footer and syncs it: the segment is sealed from then on.
    pub(crate) fn seal(&self) -> Result<()> {
        let name = self.slot.file_name();
        let footer = self.footer();
        let (offset, bytes) = footer.encode(self.size).ok_or_else(|| {
            Error::new(ErrorKind::Io, format!("{name} has no room for its footer"))
        })?;
        self.file
            .write_at(&bytes, u64::from(offset))
            .and_then(|()| self.file.sync())
            .map_err(|error| Error::io(format_args!("sealing {name}"), error))?;
        let entries = footer.entries.iter().copied();
        *self.contents.lock() = Contents::of_footer(&footer.head(), entries, self.base);
        self.sealed.store(true, Ordering::Release);
        Ok(())
    }

    /// The footer of a sealed segment, from disk, or why it is bad. The outer error is the disk's.
    pub(crate) fn look_for_footer(&self) -> Result<std::result::Result<Footer, FooterFault>> {
        self.unless_io(Footer::read(&*self.file, self.size, self.nonce, self.id))
    }

    /// The same, its entries in memory that is used again.
    pub(crate) fn look_for_entries<'a>(
        &self,
        buffer: &'a mut Vec<u8>,
    ) -> Result<std::result::Result<(FooterHead, FooterEntries<'a>), FooterFault>> {
        self.unless_io(Footer::read_into(buffer, &*self.file, self.size, self.nonce, self.id))
    }

    fn unless_io<T>(
        &self,
        looked: std::result::Result<T, FooterFault>,
    ) -> Result<std::result::Result<T, FooterFault>> {
        match looked {
            Err(FooterFault::Io(error)) => {
                let name = self.slot.file_name();
                Err(Error::io(format_args!("reading the footer of {name}"), error))
            }
            looked => Ok(looked),
        }
    }

    /// The footer of a sealed segment, from disk.
    pub(crate) fn read_footer(&self) -> Result<Footer> {
        self.look_for_footer()?.map_err(|fault| self.bad_footer(&fault))
    }

    /// The same, its entries in memory that is used again.
    pub(crate) fn read_entries<'a>(
        &self,
        buffer: &'a mut Vec<u8>,
    ) -> Result<(FooterHead, FooterEntries<'a>)> {
        self.look_for_entries(buffer)?.map_err(|fault| self.bad_footer(&fault))
    }

    fn bad_footer(&self, fault: &FooterFault) -> Error {
        let name = self.slot.file_name();
        Error::new(ErrorKind::Corrupt, format!("the footer of {name} cannot be read: {fault}"))
    }

    /// Adds a record to the coming footer.
    pub(crate) fn note_entry(&self, contents: &mut Contents, record: NewEntry) {
        contents.entries.push(FooterEntry {
            hash: record.hash,
            offset: record.offset,
            forget: record.forget,
            expires_s: FooterEntry::seconds(record.expires_at, self.base),
        });
        contents.records += 1;
        let expires_at = match record.forget {
            true => FooterEntry::rounded(record.expires_at, self.base),
            false => record.expires_at,
        };
        contents.latest_expiry = contents.latest_expiry.max(expires_at);
    }
}

/// A record or a forget that the coming footer must name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewEntry {
    pub(crate) hash: KeyHash,
    pub(crate) offset: u32,
    pub(crate) forget: bool,
    pub(crate) expires_at: StoreTime,
}

/// All segments that may hold records, by slot.
#[derive(Debug, Default)]
pub(crate) struct SegmentTable {
    slots: RwLock<Vec<Option<Arc<Segment>>>>,
}

impl SegmentTable {
    /// The segment of a slot, pinned.
    pub(crate) fn get(&self, slot: Slot) -> Option<Arc<Segment>> {
        self.slots.read().get(slot.0 as usize).and_then(Clone::clone)
    }

    pub(crate) fn put(&self, segment: Arc<Segment>) {
        let mut slots = self.slots.write();
        let at = segment.slot.0 as usize;
        if slots.len() <= at {
            slots.resize(at + 1, None);
        }
        if let Some(place) = slots.get_mut(at) {
            *place = Some(segment);
        }
    }

    pub(crate) fn take(&self, slot: Slot) -> Option<Arc<Segment>> {
        self.slots.write().get_mut(slot.0 as usize).and_then(Option::take)
    }

    /// Every segment, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Segment>> {
        let mut all: Vec<_> = self.slots.read().iter().flatten().cloned().collect();
        all.sort_unstable_by_key(|segment| segment.id);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk;
    use crate::simulation::{Fault, SimDisk};

    #[test]
    fn promise_7_a_footer_that_is_bad_is_told_from_one_that_the_disk_does_not_read() {
        const SIZE: u32 = 65_536;
        let disk = SimDisk::new();
        let slot = Slot(0);
        let file = disk.create(&slot.file_name()).expect("a file");
        file.zero_fill(u64::from(SIZE)).expect("zeros");
        let life = (SegmentId(1), Nonce(7), slot, SegmentKind::Log);
        let segment = Segment::new(life, SIZE, StoreTime(0), file, Contents::empty());
        segment.seal().expect("sealed");
        assert!(segment.read_footer().is_ok());
        disk.fail_at(disk.calls(), Fault::Io);
        assert_eq!(segment.read_footer().expect_err("unread").kind(), ErrorKind::Io);
        assert!(segment.read_footer().is_ok(), "the next reading works");
        disk.flip_bit(&slot.file_name(), u64::from(SIZE) - 1, 0).expect("a bit");
        assert_eq!(segment.read_footer().expect_err("bad").kind(), ErrorKind::Corrupt);
    }
}
