//! The census: what each segment that the manifest names turned out to be.
//!
//! A sealed segment is known by its footer, and none of its data is read. One that is not sealed,
//! or whose footer is bad, is read and scanned batch by batch.

use std::sync::Arc;

use super::read::read_and_scan;
use super::report::{DamageReport, RecoveryReport};
use crate::disk::{self, Disk};
use crate::engine::segment::{Contents, NewEntry, Segment};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{KeyHash, StoreTime, Token};
use crate::log::{
    BatchHeader, FLAG_CLEAN, Footer, FooterHead, Frame, HeaderProblem, Manifest, Place,
    SEGMENT_HEADER, Scan, ScanOptions, SegmentEntry, SegmentHeader, SegmentKind, frames,
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
    /// Memory for what is read.
    pub(crate) buffer: Vec<u8>,
}

impl Census<'_> {
    /// Looks at every segment, newest first, since a later one says what was synced of an earlier.
    pub(crate) fn take(&mut self) -> Result<Vec<Counted>> {
        let mut counted: Vec<Counted> = Vec::new();
        let total = self.manifest.segments.len();
        for (done, entry) in (1..).zip(self.manifest.segments.iter().rev()) {
            let synced = counted
                .iter()
                .rev()
                .find_map(|later| later.first)
                .map_or(Token(0), |first| first.synced);
            if let Some(segment) = self.open(entry)? {
                counted.push(self.count(segment, entry, synced)?);
            }
            self.observer.tell(Phase::Segments, done, total);
        }
        counted.reverse();
        Ok(counted)
    }

    /// Opens a segment file and checks that it is in the life that the manifest means.
    fn open(&mut self, entry: &SegmentEntry) -> Result<Option<Arc<Segment>>> {
        let name = entry.slot.file_name();
        let size = self.manifest.segment_size;
        let file = match self.disk.open(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.lose(&name, 0, u64::from(size), "the file is missing, and all records in it");
                return Ok(None);
            }
            Err(error) => return Err(Error::io(format_args!("opening {name}"), error)),
        };
        let io = |error| Error::io(format_args!("reading {name}"), error);
        let len = file.len().map_err(io)?;
        if len < u64::from(size) {
            let what = format!("the file is cut short: {len} bytes of {size}");
            self.lose(&name, len, u64::from(size) - len, &what);
        }
        let mut page = vec![0; SEGMENT_HEADER];
        let count = disk::read(&*file, &mut page, 0).map_err(io)?;
        match SegmentHeader::decode(page.get(..count).unwrap_or_default()) {
            Ok(header) if header.nonce == entry.nonce && header.id == entry.id => {}
            // Nothing had been written to it, and an opening that was cut short took it.
            Ok(header) if !entry.sealed && header.id >= self.manifest.next_segment => {}
            Ok(_) => self.repair(&name, 0, "the header is of another life of the file"),
            Err(HeaderProblem::TooNew(version)) if entry.sealed => {
                self.repair(&name, 0, &format!("the header says format version {version}"));
            }
            Err(problem) => self.repair(&name, 0, &problem.to_string()),
        }
        let life = (entry.id, entry.nonce, entry.slot, entry.kind);
        let base = self.manifest.base;
        Ok(Some(Arc::new(Segment::new(life, size, base, file, Contents::empty()))))
    }

    fn count(
        &mut self,
        segment: Arc<Segment>,
        entry: &SegmentEntry,
        synced: Token,
    ) -> Result<Counted> {
        let name = segment.slot.file_name();
        if entry.sealed {
            match segment.look_for_entries(&mut self.buffer)? {
                Ok((head, entries)) => {
                    *segment.contents() = Contents::of_footer(&head, entries, segment.base);
                    return sealed(segment, head);
                }
                Err(fault) => {
                    let what = format!("the footer cannot be used: {fault}; made again");
                    self.repair(&name, u64::from(segment.size), &what);
                }
            }
        }
        // A compacted segment numbers its batches for itself: what the log says was synced is not
        // about it.
        let synced = if segment.kind == SegmentKind::Log { synced } else { Token(0) };
        let data = self.read(&segment, ScanOptions { synced, ..ScanOptions::default() })?;
        self.judge(&segment, &data, entry.sealed);
        let first = first_batch(&data);
        if !entry.sealed {
            return Ok(Counted { segment, footer: None, first, data: Some(data) });
        }
        self.rebuild(&segment, &data)?;
        let head = segment.footer().head();
        Ok(Counted { segment, footer: Some(head), first, data: Some(data) })
    }

    /// Reads what matters of a segment and scans it. If nothing is in it, the memory is kept for
    /// the next.
    pub(crate) fn read(&mut self, segment: &Segment, options: ScanOptions) -> Result<Data> {
        let mut bytes = std::mem::take(&mut self.buffer);
        let scan = read_and_scan(segment, options, &mut bytes).map_err(|error| {
            Error::io(format_args!("reading {}", segment.slot.file_name()), error)
        })?;
        if scan.batches.is_empty() {
            self.buffer = std::mem::take(&mut bytes);
        }
        Ok(Data { bytes, scan })
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
        self.report.damage.push(DamageReport {
            file: file.into(),
            offset,
            bytes,
            what: what.into(),
        });
    }

    fn repair(&mut self, file: &str, offset: u64, what: &str) {
        self.report.repaired.push(DamageReport {
            file: file.into(),
            offset,
            bytes: 0,
            what: what.into(),
        });
    }
}

/// A segment whose footer is good, and whose contents are known.
fn sealed(segment: Arc<Segment>, head: FooterHead) -> Result<Counted> {
    segment.sealed.store(true, std::sync::atomic::Ordering::Release);
    let first = match segment.kind {
        SegmentKind::Compacted => None,
        SegmentKind::Log => {
            let mut bytes = [0; crate::log::BATCH_HEADER];
            let offset = SEGMENT_HEADER as u32;
            disk::read(&*segment.file, &mut bytes, u64::from(offset)).map_err(|error| {
                Error::io(format_args!("reading {}", segment.slot.file_name()), error)
            })?;
            BatchHeader::decode(&bytes, segment.place(offset)).ok()
        }
    };
    Ok(Counted { segment, footer: Some(head), first, data: None })
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
    mut each: impl FnMut(u32, Frame<'a>) -> Result<()>,
) -> Result<()> {
    for batch in &data.scan.batches {
        let start = batch.offset as usize + crate::log::BATCH_HEADER;
        let end = start + batch.header.payload_len as usize;
        let payload = data.bytes.get(start..end).unwrap_or_default();
        let place = Place { nonce: batch.header.nonce, offset: start as u32 };
        for frame in frames(payload, place, segment.base) {
            match frame {
                Ok((offset, _, frame)) => each(offset, frame)?,
                Err(_) if sabotage::is_on(Bug::TornTail) => break,
                // The batch's own checksum was right, so this was written so.
                Err((offset, fault)) => {
                    return Err(Error::new(
                        ErrorKind::Corrupt,
                        format!(
                            "{} at offset {offset}: {fault}, in a batch whose checksum is right",
                            segment.slot.file_name()
                        ),
                    ));
                }
            }
        }
    }
    Ok(())
}

/// What a footer says of a frame: scope, key, whether it is a forget, and its expiry.
pub(crate) fn record_of<'a>(frame: &Frame<'a>) -> Option<(&'a [u8], &'a [u8], bool, StoreTime)> {
    match frame {
        Frame::Completion(record) => Some((record.scope, record.key, false, record.expires_at())),
        Frame::Forget(forget) => Some((forget.scope, forget.key, true, forget.expires_at)),
        _ => None,
    }
}
