//! One segment: its file, its header, its batches and frames, and its footer against them.

use super::report::Found;
use crate::engine::{Data, Segment, record_of};
use crate::error::{Error, Result};
use crate::ids::{StoreTime, Token};
use crate::index::KeyHasher;
use crate::inspect::reader::read_data;
use crate::inspect::snapshot::{first_batch, is_finished};
use crate::log::{
    BATCH_HEADER, BatchHeader, FLAG_RESTATEMENT, Footer, FooterEntry, Frame, Manifest,
    SEGMENT_HEADER, ScanOptions, SegmentEntry, SegmentHeader, SegmentKind, frames,
};

/// The check of one segment.
pub(super) struct Check<'a> {
    manifest: &'a Manifest,
    entry: &'a SegmentEntry,
    synced: Token,
    pub(super) found: Found,
    /// The first batch, in a log segment that has one.
    pub(super) first: Option<BatchHeader>,
}

/// What the frames of a segment would have a footer say.
#[derive(Debug, Default)]
struct Expected {
    entries: Vec<FooterEntry>,
    latest_expiry: u64,
}

impl<'a> Check<'a> {
    /// A check of a segment of which later ones say that this much was synced.
    pub(super) fn new(manifest: &'a Manifest, entry: &'a SegmentEntry, synced: Token) -> Self {
        // They speak of the log only.
        let synced = if entry.kind == SegmentKind::Log { synced } else { Token(0) };
        Self { manifest, entry, synced, found: Found::default(), first: None }
    }

    pub(super) fn restates(&self) -> bool {
        self.first.is_some_and(|first| first.flags & FLAG_RESTATEMENT != 0)
    }

    pub(super) fn missing(&mut self) {
        let size = u64::from(self.manifest.segment_size);
        self.damaged(0, size, "the file is missing, and all records in it");
    }

    pub(super) fn run(&mut self, segment: &Segment) -> Result<()> {
        self.check_length(segment)?;
        let footer = if self.entry.sealed { self.read_footer(segment)? } else { None };
        let whole_until = footer.as_ref().map(|footer| footer.data_end);
        let options = ScanOptions { synced: self.synced, whole_until, ..Default::default() };
        let data = read_data(segment, options)?;
        self.found.bytes = data.bytes.len() as u64;
        self.check_header(data.bytes.get(..SEGMENT_HEADER).unwrap_or(&data.bytes));
        self.judge(segment, &data);
        let expected = self.check_frames(segment, &data);
        if let Some(footer) = &footer {
            self.compare(segment, footer, &expected, &data);
        }
        if segment.kind == SegmentKind::Log {
            self.first = first_batch(&data);
        }
        Ok(())
    }

    fn check_length(&mut self, segment: &Segment) -> Result<()> {
        let len = segment.file.len().map_err(|error| {
            Error::io(format_args!("looking at {}", segment.slot.file_name()), error)
        })?;
        let size = u64::from(segment.size);
        if len < size {
            let what = format!("the file is cut short: {len} bytes of {size}");
            self.damaged(len, size - len, &what);
        } else if len > size {
            self.damaged(size, len - size, "the file is longer than a segment");
        }
        Ok(())
    }

    fn check_header(&mut self, page: &[u8]) {
        let manifest = self.manifest;
        let expected = SegmentHeader {
            store_id: manifest.store_id,
            id: self.entry.id,
            nonce: self.entry.nonce,
            base: manifest.base,
            slot: self.entry.slot,
            kind: self.entry.kind,
            size: manifest.segment_size,
        };
        let expected_page = expected.encode();
        if page == expected_page {
            return;
        }
        let what = match SegmentHeader::decode(page) {
            Err(problem) => problem.to_string(),
            Ok(header) if header == expected => "the page's rest is not zero".into(),
            Ok(_) => "the header is of another life of the file".into(),
        };
        let wrong = page.iter().zip(&expected_page).position(|(found, right)| found != right);
        let what = format!("{what}; no record depends on it");
        self.damaged(wrong.unwrap_or(page.len()) as u64, 1, &what);
    }

    /// The footer of a sealed segment, unless it is bad.
    fn read_footer(&mut self, segment: &Segment) -> Result<Option<Footer>> {
        match segment.look_for_footer()? {
            Ok(footer) => Ok(Some(footer)),
            Err(fault) => {
                let what = format!("the footer cannot be used: {fault}; open makes it again");
                self.damaged(u64::from(segment.size), 0, &what);
                Ok(None)
            }
        }
    }

    fn judge(&mut self, segment: &Segment, data: &Data) {
        for damage in &data.scan.damage {
            let what = format!("{}: what was synced there is lost", damage.reason);
            self.damaged(u64::from(damage.offset), u64::from(damage.bytes), &what);
        }
        if let Some(torn) = &data.scan.torn {
            let (offset, bytes) = (u64::from(torn.offset), u64::from(torn.bytes));
            if self.entry.sealed {
                self.damaged(offset, bytes, torn.reason);
            } else {
                let what = format!("{}: a write that is unfinished", torn.reason);
                self.found.torn.push((offset, bytes, what));
            }
        }
        if self.entry.sealed && segment.kind == SegmentKind::Compacted && !is_finished(data) {
            let end = data.scan.end;
            let bytes = u64::from(segment.size.saturating_sub(end));
            self.damaged(u64::from(end), bytes, "the last records are missing");
        }
    }

    /// Checks every frame of the good batches.
    fn check_frames(&mut self, segment: &Segment, data: &Data) -> Expected {
        let hasher = KeyHasher::new(&self.manifest.hash_key);
        let mut expected = Expected::default();
        for batch in &data.scan.batches {
            self.found.batches += 1;
            let place = segment.place(batch.offset).plus(BATCH_HEADER);
            let start = place.offset as usize;
            let payload = data.bytes.get(start..).unwrap_or_default();
            let payload = payload.get(..batch.header.payload_len as usize).unwrap_or_default();
            let mut count = 0;
            for frame in frames(payload, place, segment.base) {
                match frame {
                    Ok((offset, _, frame)) => {
                        count += 1;
                        if let Frame::Completion(record) = &frame {
                            self.found.records += 1;
                            if record.response.unpack().is_none() {
                                self.damaged(
                                    u64::from(offset),
                                    0,
                                    "the response cannot be unpacked",
                                );
                            }
                        }
                        expected.note(&hasher, segment.base, offset, &frame);
                    }
                    Err((offset, fault)) => {
                        let what = format!("{fault}, in a batch whose checksum is right");
                        self.damaged(u64::from(offset), 0, &what);
                    }
                }
            }
            self.found.frames += count;
            if count != u64::from(batch.header.frames) {
                let what = format!("{count} frames where there should be {}", batch.header.frames);
                self.damaged(u64::from(batch.offset), 0, &what);
            }
        }
        expected
    }

    /// Compares a footer with what is in the segment.
    fn compare(&mut self, segment: &Segment, footer: &Footer, expected: &Expected, data: &Data) {
        self.found.footers += 1;
        if !data.scan.damage.is_empty() {
            // What is lost is named already.
            return;
        }
        let last = data.scan.batches.last().map(|batch| batch.header);
        let rounded = footer.entries.iter().map(|entry| entry.expires_at(segment.base));
        let latest = expected.latest_expiry..=rounded.max().unwrap_or(StoreTime(0)).0;
        let wrong = if footer.entries != expected.entries {
            "the footer lists other records than there are"
        } else if footer.data_end != data.scan.end {
            "the footer says that the data ends elsewhere"
        } else if !latest.contains(&footer.latest_expiry.0) {
            "the footer says another latest expiry"
        } else if last.is_some_and(|last| {
            footer.highest != last.sequence || footer.store_time != last.store_time
        }) {
            "the footer is not of the last batch"
        } else {
            return;
        };
        self.damaged(u64::from(segment.size), 0, &format!("{wrong}, and its checksum is right"));
    }

    fn damaged(&mut self, offset: u64, bytes: u64, what: &str) {
        self.found.damage.push((offset, bytes, what.into()));
    }
}

impl Expected {
    fn note(&mut self, hasher: &KeyHasher, base: StoreTime, offset: u32, frame: &Frame<'_>) {
        let Some((scope, key, forget, expires_at)) = record_of(frame) else { return };
        let hash = hasher.hash(scope, key);
        let expires_s = FooterEntry::seconds(expires_at, base);
        self.latest_expiry = self.latest_expiry.max(expires_at.0);
        self.entries.push(FooterEntry { hash, offset, forget, expires_s });
    }
}
