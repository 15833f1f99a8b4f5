//! The census: what each segment that the manifest names turned out to be.
//!
//! A sealed segment is known by its footer, and none of its data is read. One that is not sealed,
//! or whose footer is bad, is read and scanned batch by batch. Segments are looked at in any order
//! and by several threads; they are judged newest first, since a later one says what was synced of
//! an earlier.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::crew;
use super::read::Start;
use super::report::{DamageReport, RecoveryReport};
use crate::disk::{self, Disk};
use crate::engine::segment::{Contents, NewEntry, Segment};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{KeyHash, StoreTime, Token};
use crate::log::{
    BatchHeader, FLAG_CLEAN, Footer, FooterHead, Frame, FrameFault, HeaderProblem, Manifest, Place,
    SEGMENT_HEADER, Scan, ScanOptions, ScannedBatch, SegmentEntry, SegmentHeader, SegmentKind,
    frames,
};
use crate::progress::{Observer, Phase};
use crate::sabotage::{self, Bug};

/// A segment and what is known of it.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) segment: Arc<Segment>,
    /// What its footer says, if it is sealed. One that had to be made again is not written before
    /// all damage is known: a good footer would hide what is lost from the next open.
    pub(crate) footer: Option<FooterHead>,
    /// The first batch, in a log segment that has one.
    pub(crate) first: Option<BatchHeader>,
    /// Its bytes and batches, if it had to be read.
    pub(crate) data: Option<Data>,
    /// What its footer would say, if it was not sealed and can be where it lies.
    pub(crate) listed: Option<Contents>,
}

#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) bytes: Vec<u8>,
    pub(crate) scan: Scan,
}

pub(crate) struct Census<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) manifest: &'a Manifest,
    pub(crate) report: &'a mut RecoveryReport,
    pub(crate) observer: &'a Observer,
    /// The most threads that may look at one time.
    pub(crate) workers: usize,
}

/// What a look at a segment file found, whatever other segments say.
struct Look {
    /// `None` if there is no file.
    segment: Option<Arc<Segment>>,
    found: Found,
    damage: Vec<DamageReport>,
    repaired: Vec<DamageReport>,
}

enum Found {
    Nothing,
    Footer { head: FooterHead, first: Option<BatchHeader> },
    Data { start: Start, scan: Scan },
}

impl Census<'_> {
    /// Looks at every segment.
    pub(crate) fn take(&mut self) -> Result<Vec<Counted>> {
        let manifest = self.manifest;
        let entries: Vec<_> = manifest.segments.iter().rev().collect();
        let (seen, looker) = (AtomicUsize::new(0), &*self);
        let (_, looks) = crew::share(self.workers, entries.len(), Vec::new, |buffer, number| {
            let Some(entry) = entries.get(number) else { return Ok(None) };
            let look = looker.look(entry, buffer)?;
            let seen = seen.fetch_add(1, Ordering::Relaxed) + 1;
            looker.observer.tell(Phase::Segments, seen, entries.len());
            Ok(Some(look))
        })?;
        let mut counted: Vec<Counted> = Vec::new();
        for (entry, look) in entries.into_iter().zip(looks.into_iter().flatten()) {
            let synced = counted
                .iter()
                .rev()
                .find_map(|later| later.first)
                .map_or(Token(0), |first| first.synced);
            counted.extend(self.count(look, entry, synced)?);
        }
        counted.reverse();
        Ok(counted)
    }

    /// Looks at one segment file, with memory for a footer that is used again.
    fn look(&self, entry: &SegmentEntry, buffer: &mut Vec<u8>) -> Result<Look> {
        let (damage, repaired) = (Vec::new(), Vec::new());
        let mut look = Look { segment: None, found: Found::Nothing, damage, repaired };
        let Some(segment) = self.open(entry, &mut look)? else { return Ok(look) };
        look.segment = Some(segment.clone());
        if entry.sealed {
            match segment.look_for_entries(buffer)? {
                Ok((head, entries)) => {
                    *segment.contents() = Contents::of_footer(&head, entries, segment.base);
                    segment.sealed.store(true, Ordering::Release);
                    let first = read_first_batch(&segment)?;
                    look.found = Found::Footer { head, first };
                    return Ok(look);
                }
                Err(fault) => {
                    let what = format!("the footer cannot be used: {fault}; made again");
                    look.repair(&segment.slot.file_name(), u64::from(segment.size), &what);
                }
            }
        }
        let start = self.read_start(&segment, None)?;
        let scan = start.scan(ScanOptions::default());
        look.found = Found::Data { start, scan };
        Ok(look)
    }

    /// Opens a segment file and checks that it is in the life that the manifest means.
    fn open(&self, entry: &SegmentEntry, look: &mut Look) -> Result<Option<Arc<Segment>>> {
        let name = entry.slot.file_name();
        let size = self.manifest.segment_size;
        let file = match self.disk.open(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                look.lose(&name, 0, u64::from(size), "the file is missing, and all records in it");
                return Ok(None);
            }
            Err(error) => return Err(Error::io(format_args!("opening {name}"), error)),
        };
        let io = |error| Error::io(format_args!("reading {name}"), error);
        let len = file.len().map_err(io)?;
        if len < u64::from(size) {
            let what = format!("the file is cut short: {len} bytes of {size}");
            look.lose(&name, len, u64::from(size) - len, &what);
        }
        let mut page = vec![0; SEGMENT_HEADER];
        let count = disk::read(&*file, &mut page, 0).map_err(io)?;
        match SegmentHeader::decode(page.get(..count).unwrap_or_default()) {
            Ok(header) if header.nonce == entry.nonce && header.id == entry.id => {}
            // Nothing had been written to it, and an opening that was cut short took it.
            Ok(header) if !entry.sealed && header.id >= self.manifest.next_segment => {}
            Ok(_) => look.repair(&name, 0, "the header is of another life of the file"),
            Err(HeaderProblem::TooNew(version)) if entry.sealed => {
                look.repair(&name, 0, &format!("the header says format version {version}"));
            }
            Err(problem) => look.repair(&name, 0, &problem.to_string()),
        }
        let life = (entry.id, entry.nonce, entry.slot, entry.kind);
        let base = self.manifest.base;
        Ok(Some(Arc::new(Segment::new(life, size, base, file, Contents::empty()))))
    }

    /// Judges what was found of a segment, given what later ones say was synced.
    fn count(
        &mut self,
        look: Look,
        entry: &SegmentEntry,
        synced: Token,
    ) -> Result<Option<Counted>> {
        let Look { segment, found, mut damage, mut repaired } = look;
        self.report.damage.append(&mut damage);
        self.report.repaired.append(&mut repaired);
        let Some(segment) = segment else { return Ok(None) };
        let counted = |footer, first| Counted {
            segment: segment.clone(),
            footer,
            first,
            data: None,
            listed: None,
        };
        match found {
            Found::Nothing => Ok(None),
            Found::Footer { head, first } => Ok(Some(counted(Some(head), first))),
            Found::Data { start, scan } => {
                // A compacted segment numbers its batches for itself: what the log says was synced
                // is not about it.
                let is_log = segment.kind == SegmentKind::Log;
                let synced = if is_log { synced } else { Token(0) };
                let options = ScanOptions { synced, ..ScanOptions::default() };
                let scan = start.scan_again(scan, options);
                let data = Data { bytes: start.bytes, scan };
                self.judge(&segment, &data, entry.sealed);
                let first = first_batch(&data);
                let mut footer = None;
                if entry.sealed {
                    self.rebuild(&segment, &data)?;
                    footer = Some(segment.footer().head());
                }
                Ok(Some(Counted { data: Some(data), ..counted(footer, first) }))
            }
        }
    }

    /// Reads a sealed segment up to an offset, and scans it.
    pub(crate) fn read(&self, segment: &Segment, end: Option<u32>) -> Result<Data> {
        let start = self.read_start(segment, end)?;
        let scan = start.scan(ScanOptions { whole_until: end, ..ScanOptions::default() });
        Ok(Data { bytes: start.bytes, scan })
    }

    fn read_start(&self, segment: &Segment, whole_until: Option<u32>) -> Result<Start> {
        Start::read(segment, whole_until, self.workers)
            .map_err(|error| Error::io(format_args!("reading {}", segment.slot.file_name()), error))
    }

    /// Reports what a scan found wrong.
    fn judge(&mut self, segment: &Segment, data: &Data, sealed: bool) {
        let name = segment.slot.file_name();
        for damage in &data.scan.damage {
            let what = format!("{}: what was synced there is lost", damage.reason);
            self.lose(&name, u64::from(damage.offset), u64::from(damage.bytes), &what);
        }
        if let Some(torn) = &data.scan.torn {
            let report = DamageReport {
                file: name.clone(),
                offset: u64::from(torn.offset),
                bytes: u64::from(torn.bytes),
                what: format!("{}: a write that was cut short", torn.reason),
            };
            let list = if sealed { &mut self.report.damage } else { &mut self.report.torn };
            list.push(report);
        }
        if sealed && segment.kind == SegmentKind::Log && data.scan.batches.is_empty() {
            self.lose(&name, 0, u64::from(segment.size), "no batch is left of a sealed segment");
        }
        let finished = data.scan.batches.last().is_some_and(|b| b.header.flags & FLAG_CLEAN != 0);
        if sealed && segment.kind == SegmentKind::Compacted && !finished {
            let end = u64::from(data.scan.end);
            self.lose(&name, end, u64::from(segment.size) - end, "the last records are missing");
        }
    }

    /// Makes a segment's table of contents again from its data.
    fn rebuild(&self, segment: &Arc<Segment>, data: &Data) -> Result<()> {
        each_frame(segment, data, |offset, frame| {
            if let Some((scope, key, forget, expires_at)) = record_of(&frame) {
                let hash = self.hash(scope, key);
                let mut contents = segment.contents();
                let entry = NewEntry { hash, offset, forget, expires_at };
                segment.note_entry(&mut contents, entry);
            }
            Ok(())
        })?;
        let mut contents = segment.contents();
        contents.data_end =
            data.scan.end.min(segment.size - Footer::space(contents.entries.len()) as u32);
        if let Some(last) = data.scan.batches.last() {
            contents.highest = last.header.sequence;
            contents.store_time = last.header.store_time;
        }
        Ok(())
    }

    fn hash(&self, scope: &[u8], key: &[u8]) -> KeyHash {
        crate::index::KeyHasher::new(&self.manifest.hash_key).hash(scope, key)
    }

    pub(crate) fn lose(&mut self, file: &str, offset: u64, bytes: u64, what: &str) {
        self.report.damage.push(damage_report(file, offset, bytes, what));
    }
}

impl Look {
    fn lose(&mut self, file: &str, offset: u64, bytes: u64, what: &str) {
        self.damage.push(damage_report(file, offset, bytes, what));
    }

    fn repair(&mut self, file: &str, offset: u64, what: &str) {
        self.repaired.push(damage_report(file, offset, 0, what));
    }
}

fn damage_report(file: &str, offset: u64, bytes: u64, what: &str) -> DamageReport {
    DamageReport { file: file.into(), offset, bytes, what: what.into() }
}

/// The first batch of a sealed log segment, if it is good.
fn read_first_batch(segment: &Segment) -> Result<Option<BatchHeader>> {
    if segment.kind == SegmentKind::Compacted {
        return Ok(None);
    }
    let mut bytes = [0; crate::log::BATCH_HEADER];
    let offset = SEGMENT_HEADER as u32;
    disk::read(&*segment.file, &mut bytes, u64::from(offset))
        .map_err(|error| Error::io(format_args!("reading {}", segment.slot.file_name()), error))?;
    Ok(BatchHeader::decode(&bytes, segment.place(offset)).ok())
}

/// The first batch of a scanned log segment.
fn first_batch(data: &Data) -> Option<BatchHeader> {
    data.scan
        .batches
        .first()
        .filter(|batch| batch.offset == SEGMENT_HEADER as u32)
        .map(|batch| batch.header)
}

/// Hands every frame of the good batches to `each`, in order.
pub(crate) fn each_frame<'a>(
    segment: &Segment,
    data: &'a Data,
    each: impl FnMut(u32, Frame<'a>) -> Result<()>,
) -> Result<()> {
    each_frame_in(segment, data, &data.scan.batches, each)
}

/// Hands every frame of some of the good batches to `each`, in order.
pub(super) fn each_frame_in<'a>(
    segment: &Segment,
    data: &'a Data,
    batches: &[ScannedBatch],
    mut each: impl FnMut(u32, Frame<'a>) -> Result<()>,
) -> Result<()> {
    for batch in batches {
        let start = batch.offset as usize + crate::log::BATCH_HEADER;
        let end = start + batch.header.payload_len as usize;
        let payload = data.bytes.get(start..end).unwrap_or_default();
        let place = Place { nonce: batch.header.nonce, offset: start as u32 };
        for frame in frames(payload, place, segment.base) {
            match frame {
                Ok((offset, _, frame)) => each(offset, frame)?,
                Err(_) if sabotage::is_on(Bug::TornTail) => break,
                Err((offset, fault)) => return Err(malformed(segment, offset, &fault)),
            }
        }
    }
    Ok(())
}

/// The frame at an offset where one was found before.
pub(super) fn frame_at<'a>(segment: &Segment, data: &'a Data, offset: u32) -> Result<Frame<'a>> {
    let nonce = data.scan.batches.first().map_or(segment.nonce, |batch| batch.header.nonce);
    let bytes = data.bytes.get(offset as usize..).unwrap_or_default();
    match frames(bytes, Place { nonce, offset }, segment.base).next() {
        Some(Ok((_, _, frame))) => Ok(frame),
        Some(Err((offset, fault))) => Err(malformed(segment, offset, &fault)),
        None => Err(malformed(segment, offset, &FrameFault::Malformed("no frame"))),
    }
}

/// The batch's own checksum was right, so this was written so.
fn malformed(segment: &Segment, offset: u32, fault: &FrameFault) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "{} at offset {offset}: {fault}, in a batch whose checksum is right",
            segment.slot.file_name()
        ),
    )
}

/// The scope and the key that a frame names.
pub(crate) fn name_of<'a>(frame: &Frame<'a>) -> Option<(&'a [u8], &'a [u8])> {
    match frame {
        Frame::Claim(claim) => Some((claim.scope, claim.key)),
        Frame::Completion(record) => Some((record.scope, record.key)),
        Frame::Forget(forget) => Some((forget.scope, forget.key)),
        Frame::Release { .. } | Frame::Unresolved { .. } | Frame::Checkpoint { .. } => None,
    }
}

/// What a footer says of a frame: scope, key, whether it is a forget, and its expiry.
pub(crate) fn record_of<'a>(frame: &Frame<'a>) -> Option<(&'a [u8], &'a [u8], bool, StoreTime)> {
    match frame {
        Frame::Completion(record) => Some((record.scope, record.key, false, record.expires_at())),
        Frame::Forget(forget) => Some((forget.scope, forget.key, true, forget.expires_at)),
        _ => None,
    }
}
