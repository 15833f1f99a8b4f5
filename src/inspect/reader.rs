//! Manifest and segments, opened for reading.
//!
//! A segment's file is used again only after a manifest that does not name its old life any more is
//! in place. So whatever was read is of the life that was meant if the manifest still names it
//! afterwards; and whatever passes its checksum is in any case, since the life is part of it.

use std::io;

use super::Inspector;
use crate::disk;
use crate::engine::{Contents, Data, Segment};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{Nonce, SegmentId};
use crate::log::manifest::{self, ManifestDamage};
use crate::log::{
    BATCH_HEADER, BatchHeader, Manifest, ManifestFault, SEGMENT_HEADER, ScanOptions, SegmentEntry,
    scan,
};

/// How often a segment is read again because a batch seemed to be lost.
const READS: usize = 8;

/// One life of a segment file.
pub(super) type Life = (SegmentId, Nonce);

/// Reads the manifest, and which copy of it is bad, if one is.
pub(super) fn read_manifest(inspector: &Inspector) -> Result<(Manifest, Option<ManifestDamage>)> {
    try_manifest(inspector)?.map_err(|fault| manifest_error(inspector, &fault))
}

/// The same, with its fault told apart from the disk's.
pub(super) fn try_manifest(
    inspector: &Inspector,
) -> Result<std::result::Result<(Manifest, Option<ManifestDamage>), ManifestFault>> {
    manifest::read(&*inspector.disk).map_err(|error| Error::io("reading MANIFEST", error))
}

/// A fault of the manifest as an error for a person.
pub(super) fn manifest_error(inspector: &Inspector, fault: &ManifestFault) -> Error {
    let place = inspector.disk.describe();
    let (kind, what) = match fault {
        ManifestFault::TooNew(_) => (ErrorKind::VersionTooNew, "look with a newer oncekey"),
        ManifestFault::NotAManifest => (ErrorKind::WrongStore, "is this a store's directory?"),
        ManifestFault::Damaged(_) => (ErrorKind::Corrupt, "restore it from a copy"),
    };
    Error::new(kind, format!("MANIFEST in {place}: {fault}; {what}"))
}

/// Whether the manifest of this moment names all these lives.
pub(super) fn all_named(inspector: &Inspector, lives: &[Life]) -> Result<bool> {
    if lives.is_empty() {
        return Ok(true);
    }
    let (manifest, _) = read_manifest(inspector)?;
    let named =
        |life: &Life| manifest.segments.iter().any(|entry| (entry.id, entry.nonce) == *life);
    Ok(lives.iter().all(named))
}

/// Opens a segment's file; `None` if there is none.
pub(super) fn open_segment(
    inspector: &Inspector,
    manifest: &Manifest,
    entry: &SegmentEntry,
) -> Result<Option<Segment>> {
    let name = entry.slot.file_name();
    let file = match inspector.disk.open_read_only(&name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(format_args!("opening {name}"), error)),
    };
    let life = (entry.id, entry.nonce, entry.slot, entry.kind);
    let (size, base) = (manifest.segment_size, manifest.base);
    Ok(Some(Segment::new(life, size, base, file, Contents::empty())))
}

/// Reads the bytes of a segment from its beginning, all that are there of `len`.
pub(super) fn read_bytes(segment: &Segment, len: u32) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len as usize];
    let count = disk::read(&*segment.file, &mut bytes, 0)
        .map_err(|error| Error::io(format_args!("reading {}", segment.slot.file_name()), error))?;
    bytes.truncate(count);
    Ok(bytes)
}

/// The first batch's header, if it is good.
pub(super) fn read_first_batch(segment: &Segment) -> Result<Option<BatchHeader>> {
    let offset = SEGMENT_HEADER as u32;
    let mut bytes = [0; BATCH_HEADER];
    disk::read(&*segment.file, &mut bytes, u64::from(offset))
        .map_err(|error| Error::io(format_args!("reading {}", segment.slot.file_name()), error))?;
    Ok(BatchHeader::decode(&bytes, segment.place(offset)).ok())
}

/// Reads a segment whole and scans it.
///
/// The bytes are not read at one moment: while the owner writes, a batch may be in them and the one
/// before it not yet, which looks like a loss or a torn tail. What is lost is still lost at the
/// next look.
pub(super) fn read_data(segment: &Segment, options: ScanOptions) -> Result<Data> {
    let look = || -> Result<Data> {
        let bytes = read_bytes(segment, segment.size)?;
        let scan = scan(&bytes, segment.nonce, options);
        Ok(Data { bytes, scan })
    };
    let mut data = look()?;
    for _ in 0..READS {
        if data.scan.damage.is_empty() && data.scan.torn.is_none() {
            return Ok(data);
        }
        let before: Vec<_> = data.scan.damage.iter().map(|d| (d.offset, d.reason)).collect();
        data = look()?;
        if data.scan.damage.iter().all(|d| before.contains(&(d.offset, d.reason))) {
            return Ok(data);
        }
        data.scan.damage.retain(|d| before.contains(&(d.offset, d.reason)));
    }
    Ok(data)
}
