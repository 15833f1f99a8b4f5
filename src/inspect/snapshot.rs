//! One consistent view of all segments: which records count, and which claims are in flight.
//!
//! Sealed segments are known by their footers; only what is not sealed is read whole, newest first.
//! If a segment that had to be read whole, or whose footer was bad, is not named any more in the
//! end, it may have changed under the reader, and the view is taken again.

use super::owner::Owner;
use super::reader::{
    self, Life, all_named, open_segment, read_data, read_first_batch, read_manifest,
};
use super::{Inspector, TRIES, changes_too_fast, resolve};
use crate::engine::{Claims, DamageReport, Data, Flight, Segment, each_frame, name_of, record_of};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{KeyHash, StoreTime, Token};
use crate::index::KeyHasher;
use crate::log::{
    BatchHeader, FLAG_CLEAN, FLAG_RESTATEMENT, Footer, FooterEntry, MANIFEST_FILE, Manifest,
    SEGMENT_HEADER, ScanOptions, SegmentEntry, SegmentKind,
};
use crate::progress::Phase;

/// Where a record or a forget is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Located {
    pub(super) hash: KeyHash,
    /// In [`Snapshot::segments`].
    pub(super) segment: u32,
    pub(super) offset: u32,
    /// As a footer says it.
    pub(super) expires_s: u32,
}

/// A segment, and what it holds.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) segment: Segment,
    pub(super) sealed: bool,
    pub(super) records: u64,
    pub(super) forgets: u64,
    pub(super) data_end: u32,
    pub(super) latest_expiry: StoreTime,
}

#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) manifest: Manifest,
    pub(super) owner: Owner,
    /// Newest first.
    pub(super) segments: Vec<Seen>,
    /// The records that count, at most one a key; by segment, the last of each first.
    pub(super) records: Vec<Located>,
    /// Claims by token.
    pub(super) flights: Vec<Flight>,
    /// What could not be read on the way. Not all there may be.
    pub(super) damage: Vec<DamageReport>,
    /// Whether something is lost with it, which may have been anything.
    pub(super) lossy: bool,
    /// The last time in the log.
    pub(super) store_time: StoreTime,
    /// By which expiry is judged.
    pub(super) now: StoreTime,
}

impl Snapshot {
    /// Looks until the store holds still for long enough.
    pub(super) fn take(inspector: &Inspector) -> Result<Self> {
        for _ in 0..TRIES {
            let mut taking = Taking::new(inspector)?;
            taking.look_at_segments()?;
            let (snapshot, doubts) = taking.finish()?;
            if all_named(inspector, &doubts)? {
                return Ok(snapshot);
            }
        }
        Err(changes_too_fast())
    }

    /// The segment of a place.
    pub(super) fn segment_of(&self, place: &Located) -> Result<&Segment> {
        segment_of(&self.segments, place)
    }
}

pub(super) fn segment_of<'a>(segments: &'a [Seen], place: &Located) -> Result<&'a Segment> {
    let seen = segments.get(place.segment as usize);
    seen.map(|seen| &seen.segment).ok_or_else(|| {
        Error::new(ErrorKind::Corrupt, "a record of no segment: this is a mistake of oncekey")
    })
}

/// A view in the making.
struct Taking<'a> {
    inspector: &'a Inspector,
    manifest: Manifest,
    hasher: KeyHasher,
    segments: Vec<Seen>,
    records: Vec<Located>,
    forgets: Vec<Located>,
    /// Log segments since the newest restatement, newest first; it is the last of them.
    log: Vec<(u32, Data)>,
    restated: bool,
    /// What later segments say was synced.
    synced: Token,
    store_time: StoreTime,
    damage: Vec<DamageReport>,
    lossy: bool,
    doubts: Vec<Life>,
}

impl<'a> Taking<'a> {
    fn new(inspector: &'a Inspector) -> Result<Self> {
        let (manifest, bad_copy) = read_manifest(inspector)?;
        let damage = bad_copy.map(|bad| DamageReport {
            file: MANIFEST_FILE.into(),
            offset: bad.offset,
            bytes: 0,
            what: format!("copy {} is bad ({}); the other is good", bad.copy, bad.reason),
        });
        Ok(Self {
            inspector,
            hasher: KeyHasher::new(&manifest.hash_key),
            store_time: manifest.store_time,
            manifest,
            segments: Vec::new(),
            records: Vec::new(),
            forgets: Vec::new(),
            log: Vec::new(),
            restated: false,
            synced: Token(0),
            damage: damage.into_iter().collect(),
            lossy: false,
            doubts: Vec::new(),
        })
    }

    fn look_at_segments(&mut self) -> Result<()> {
        let entries = self.manifest.segments.clone();
        for (done, entry) in (1..).zip(entries.iter().rev()) {
            match open_segment(self.inspector, &self.manifest, entry)? {
                Some(segment) => self.look_at(segment, entry)?,
                None => self.lose(entry, 0, "the file is missing, and all records in it"),
            }
            self.inspector.observer.tell(Phase::Segments, done, entries.len());
        }
        Ok(())
    }

    fn look_at(&mut self, segment: Segment, entry: &SegmentEntry) -> Result<()> {
        let position = u32::try_from(self.segments.len()).unwrap_or(u32::MAX);
        let mut seen = Seen {
            segment,
            sealed: entry.sealed,
            records: 0,
            forgets: 0,
            data_end: SEGMENT_HEADER as u32,
            latest_expiry: StoreTime(0),
        };
        let footer = if entry.sealed { self.footer(&seen.segment, entry)? } else { None };
        let wanted = entry.kind == SegmentKind::Log && !self.restated;
        let data = if footer.is_none() || wanted {
            let whole_until = footer.as_ref().map(|footer| footer.data_end);
            let synced = self.synced_in(entry);
            let options = ScanOptions { synced, whole_until, ..Default::default() };
            let data = read_data(&seen.segment, options)?;
            self.judge(&seen.segment, entry, &data);
            Some(data)
        } else {
            None
        };
        match (&footer, &data) {
            (Some(footer), _) => self.take_footer(&mut seen, position, footer),
            (None, Some(data)) => self.take_data(&mut seen, position, entry, data),
            (None, None) => {}
        }
        if entry.kind == SegmentKind::Log {
            self.follow_log(&seen.segment, position, data)?;
        }
        self.segments.push(seen);
        Ok(())
    }

    /// What later segments say was synced of this one. They speak of the log only.
    fn synced_in(&self, entry: &SegmentEntry) -> Token {
        match entry.kind {
            SegmentKind::Log => self.synced,
            SegmentKind::Compacted => Token(0),
        }
    }

    /// The footer of a sealed segment; `None` if it is bad.
    fn footer(&mut self, segment: &Segment, entry: &SegmentEntry) -> Result<Option<Footer>> {
        match segment.look_for_footer()? {
            Ok(footer) => Ok(Some(footer)),
            Err(fault) => {
                let what = format!("the footer cannot be used: {fault}");
                self.note_damage(entry, segment.size, &what);
                Ok(None)
            }
        }
    }

    /// Notes what a scan found wrong.
    fn judge(&mut self, segment: &Segment, entry: &SegmentEntry, data: &Data) {
        for damage in &data.scan.damage {
            self.lose(entry, damage.offset, damage.reason);
        }
        let len = data.bytes.len();
        if len < segment.size as usize {
            let what = format!("the file is cut short: {len} bytes of {}", segment.size);
            self.lose(entry, u32::try_from(len).unwrap_or(u32::MAX), &what);
        }
        if let Some(torn) = data.scan.torn.filter(|_| entry.sealed) {
            self.lose(entry, torn.offset, torn.reason);
        }
        if entry.sealed && entry.kind == SegmentKind::Compacted && !is_finished(data) {
            self.lose(entry, data.scan.end, "the last records are missing");
        }
    }

    fn take_footer(&mut self, seen: &mut Seen, position: u32, footer: &Footer) {
        seen.data_end = footer.data_end;
        seen.latest_expiry = footer.latest_expiry;
        self.store_time = self.store_time.max(footer.store_time);
        footer.entries.iter().for_each(|entry| self.note(seen, position, entry));
    }

    fn take_data(&mut self, seen: &mut Seen, position: u32, entry: &SegmentEntry, data: &Data) {
        if !seen.sealed {
            self.doubts.push((entry.id, entry.nonce));
        }
        seen.data_end = data.scan.end;
        let last = data.scan.batches.iter().map(|batch| batch.header.store_time).max();
        self.store_time = self.store_time.max(last.unwrap_or(StoreTime(0)));
        let mut entries = Vec::new();
        let read = each_frame(&seen.segment, data, |offset, frame| {
            if let Some((scope, key, forget, expires_at)) = record_of(&frame) {
                let hash = self.hasher.hash(scope, key);
                let expires_s = FooterEntry::seconds(expires_at, self.manifest.base);
                seen.latest_expiry = seen.latest_expiry.max(expires_at);
                entries.push(FooterEntry { hash, offset, forget, expires_s });
            }
            Ok(())
        });
        if let Err(error) = read {
            self.lose(entry, SEGMENT_HEADER as u32, &error.to_string());
        }
        entries.iter().for_each(|entry| self.note(seen, position, entry));
    }

    fn note(&mut self, seen: &mut Seen, segment: u32, entry: &FooterEntry) {
        let FooterEntry { hash, offset, expires_s, forget } = *entry;
        let place = Located { hash, segment, offset, expires_s };
        if forget {
            seen.forgets += 1;
            self.forgets.push(place);
        } else {
            seen.records += 1;
            self.records.push(place);
        }
    }

    /// Keeps what the claims are read from, and what this segment says of earlier ones.
    fn follow_log(&mut self, segment: &Segment, position: u32, data: Option<Data>) -> Result<()> {
        let first = match &data {
            Some(data) => first_batch(data),
            None => read_first_batch(segment)?,
        };
        if let Some(first) = first {
            self.synced = first.synced;
        }
        if let Some(data) = data.filter(|_| !self.restated) {
            self.restated = first.is_some_and(|first| first.flags & FLAG_RESTATEMENT != 0);
            self.log.push((position, data));
        }
        Ok(())
    }

    /// Replays the claims and decides what counts.
    fn finish(mut self) -> Result<(Snapshot, Vec<Life>)> {
        let now = self.store_time.max(StoreTime(self.inspector.clock.wall_ms()));
        // Without a restatement nothing is known of the claims, as for whoever opens the store.
        let log = if self.restated { std::mem::take(&mut self.log) } else { Vec::new() };
        let mut claims = Claims::default();
        for (position, data) in log.iter().rev() {
            let Some(seen) = self.segments.get(*position as usize) else { continue };
            // What is malformed was noted when the segment was looked at.
            let _ = each_frame(&seen.segment, data, |_, frame| {
                let hash = name_of(&frame).map(|(scope, key)| self.hasher.hash(scope, key));
                claims.apply(&frame, hash);
                Ok(())
            });
        }
        let flights = claims.into_flights();
        drop(log);
        let owner = self.inspector.liveness.owner(&self.manifest);
        let mut resolved = resolve::resolve(&self.segments, self.records, self.forgets, flights)?;
        self.doubts.append(&mut resolved.doubts);
        resolved.records.sort_unstable_by_key(|place| (place.segment, !place.offset));
        resolved.flights.sort_unstable_by_key(|flight| flight.token);
        let snapshot = Snapshot {
            manifest: self.manifest,
            owner,
            segments: self.segments,
            records: resolved.records,
            flights: resolved.flights,
            damage: self.damage,
            lossy: self.lossy,
            store_time: self.store_time,
            now,
        };
        Ok((snapshot, self.doubts))
    }

    /// Notes what is lost. If it is because the segment's life is over, the view is taken again.
    fn lose(&mut self, entry: &SegmentEntry, offset: u32, what: &str) {
        self.lossy = true;
        self.note_damage(entry, offset, what);
    }

    /// Notes what cannot be used, and cost nothing.
    fn note_damage(&mut self, entry: &SegmentEntry, offset: u32, what: &str) {
        self.doubts.push((entry.id, entry.nonce));
        self.damage.push(DamageReport {
            file: entry.slot.file_name(),
            offset: u64::from(offset),
            bytes: 0,
            what: what.into(),
        });
    }
}

/// The first batch of a log segment, if it is there.
pub(super) fn first_batch(data: &Data) -> Option<BatchHeader> {
    let first = data.scan.batches.first();
    first.filter(|batch| batch.offset == SEGMENT_HEADER as u32).map(|batch| batch.header)
}

/// Whether the last batch says that it is the last.
pub(super) fn is_finished(data: &Data) -> bool {
    data.scan.batches.last().is_some_and(|batch| batch.header.flags & FLAG_CLEAN != 0)
}

/// The bytes of a segment up to the end of its data.
pub(super) fn data_of(seen: &Seen) -> Result<Vec<u8>> {
    reader::read_bytes(&seen.segment, seen.data_end)
}
