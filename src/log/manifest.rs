//! The manifest: which segments there are, and the few facts that outlive them.
//!
//! The file holds the same bytes twice, so that one rotten sector does not lose a store, and it is
//! replaced whole, so that a crash leaves the old one or the new one. A manifest that would not
//! read back equal is never put in place.
//!
//! Left to others: whether the segments it names are there.

use std::{fmt, io};

use super::FORMAT_VERSION;
use super::segment_header::SegmentKind;
use super::varint::Reader;
use crate::disk::{self, DirIdentity, Disk};
use crate::ids::{FURTHEST, Nonce, SegmentId, Slot, StoreId, StoreTime, Token};

/// The manifest's file.
pub(crate) const MANIFEST_FILE: &str = "MANIFEST";
/// A manifest in the making, or zeros that keep the room for the next one; what is in it means
/// nothing.
pub(crate) const MANIFEST_TMP: &str = "MANIFEST.tmp";

const MAGIC: [u8; 8] = *b"ONCEKEY1";
/// Where the checksummed bytes start.
const CHECKED_FROM: usize = 12;
/// Bytes before the segments.
const FIXED: usize = 128;
const ENTRY: usize = 32;
const PAGE: usize = 4096;
/// Far more than all segments that can be named take; no larger file is read into memory.
const FILE_LIMIT: u64 = 16 << 20;
const FLAG_CLEAN: u32 = 1;
const SEGMENT_SIZES: std::ops::RangeInclusive<u32> = 64 << 10..=1 << 30;

/// What a manifest says of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentEntry {
    pub(crate) id: SegmentId,
    pub(crate) nonce: Nonce,
    pub(crate) slot: Slot,
    pub(crate) kind: SegmentKind,
    pub(crate) sealed: bool,
}

/// A manifest, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) store_id: StoreId,
    /// Of the hash that turns keys into [`KeyHash`](crate::ids::KeyHash)es.
    pub(crate) hash_key: [u8; 16],
    /// What frame times count from.
    pub(crate) base: StoreTime,
    /// A power of two, 64 KiB to 1 GiB.
    pub(crate) segment_size: u32,
    pub(crate) owner_pid: u32,
    pub(crate) clean: bool,
    /// One more at each open.
    pub(crate) epoch: u64,
    /// No sequence or token at or above it has been given out.
    pub(crate) ceiling: Token,
    pub(crate) store_time: StoreTime,
    /// Higher than that of every segment.
    pub(crate) next_segment: SegmentId,
    pub(crate) identity: DirIdentity,
    /// By rising id, no two in one slot.
    pub(crate) segments: Vec<SegmentEntry>,
}

/// One copy was bad and the other was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ManifestDamage {
    /// 1 or 2.
    pub(crate) copy: u8,
    /// Where in the file the bad copy starts.
    pub(crate) offset: u64,
    pub(crate) reason: &'static str,
}

/// Why there is no manifest in some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ManifestFault {
    /// They do not start like one.
    NotAManifest,
    /// It is of this later version.
    TooNew(u32),
    /// Neither copy is what was written.
    Damaged(String),
}

impl fmt::Display for ManifestDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { copy, offset, reason } = self;
        write!(f, "copy {copy} of the manifest, at offset {offset}, is damaged ({reason})")
    }
}

impl fmt::Display for ManifestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAManifest => f.write_str("this is not a manifest"),
            Self::TooNew(version) => write!(f, "the manifest is of the later format {version}"),
            Self::Damaged(what) => write!(f, "the manifest is damaged ({what})"),
        }
    }
}

/// Why a copy is bad.
enum CopyFault {
    NoMagic,
    TooNew(u32),
    Damaged(&'static str),
}

impl CopyFault {
    fn reason(&self) -> &'static str {
        match self {
            Self::NoMagic => "no magic",
            Self::TooNew(_) => "format version",
            Self::Damaged(reason) => reason,
        }
    }
}

impl Manifest {
    /// The whole file: both copies.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let len = FIXED.saturating_add(self.segments.len().saturating_mul(ENTRY));
        let mut body = Vec::with_capacity(len);
        body.extend(FORMAT_VERSION.to_le_bytes());
        // What does not fit its field does not read back, and is not put in place.
        body.extend(u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
        body.extend((if self.clean { FLAG_CLEAN } else { 0 }).to_le_bytes());
        body.extend(self.store_id.0);
        body.extend(self.hash_key);
        body.extend(self.base.0.to_le_bytes());
        body.extend(self.segment_size.to_le_bytes());
        body.extend(self.owner_pid.to_le_bytes());
        body.extend(self.epoch.to_le_bytes());
        body.extend(self.ceiling.0.to_le_bytes());
        body.extend(self.store_time.0.to_le_bytes());
        body.extend(self.next_segment.0.to_le_bytes());
        body.extend(self.identity.device.to_le_bytes());
        body.extend(self.identity.inode.to_le_bytes());
        body.extend(u32::try_from(self.segments.len()).unwrap_or(u32::MAX).to_le_bytes());
        body.extend([0; 4]);
        self.segments.iter().for_each(|segment| segment.encode(&mut body));
        let checksum = crc32fast::hash(&body).to_le_bytes();
        let mut copy = [&MAGIC[..], &checksum, &body].concat();
        copy.resize(copy.len().next_multiple_of(PAGE), 0);
        copy.repeat(2)
    }

    /// Decodes a file: its first good copy, and which copy is bad, if one is.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Self, Option<ManifestDamage>), ManifestFault> {
        let half = bytes.len() / 2;
        let (first, second) = bytes.split_at_checked(half).unwrap_or_default();
        let damage = |copy, reason| {
            let offset = if copy == 1 { 0 } else { half as u64 };
            Some(ManifestDamage { copy, offset, reason })
        };
        match (Self::decode_copy(first), Self::decode_copy(second)) {
            (Ok(one), Ok(two)) if one == two => Ok((one, None)),
            (Ok(one), Ok(_)) => Ok((one, damage(2, "differs from the first copy"))),
            (Ok(one), Err(fault)) => Ok((one, damage(2, fault.reason()))),
            (Err(fault), Ok(two)) => Ok((two, damage(1, fault.reason()))),
            (Err(one), Err(two)) => Err(neither(&one, &two)),
        }
    }

    fn decode_copy(bytes: &[u8]) -> Result<Self, CopyFault> {
        let fields = bytes.strip_prefix(&MAGIC).ok_or(CopyFault::NoMagic)?;
        let short = || CopyFault::Damaged("cut short");
        let mut fields = Reader::new(fields);
        let checksum = fields.u32().ok_or_else(short)?;
        let version = fields.u32().ok_or_else(short)?;
        if version > FORMAT_VERSION {
            return Err(CopyFault::TooNew(version));
        }
        let len = fields.u32().ok_or_else(short)? as usize;
        let body = bytes.get(CHECKED_FROM..len).ok_or(CopyFault::Damaged("length"))?;
        if version != FORMAT_VERSION || checksum != crc32fast::hash(body) {
            return Err(CopyFault::Damaged("checksum"));
        }
        let fields = bytes.get(CHECKED_FROM + 8..len).unwrap_or_default();
        let manifest = Self::decode_fields(&mut Reader::new(fields));
        let manifest = manifest.ok_or(CopyFault::Damaged("fields"))?;
        if !manifest.holds() {
            return Err(CopyFault::Damaged("contradicts itself"));
        }
        Ok(manifest)
    }

    fn decode_fields(fields: &mut Reader<'_>) -> Option<Self> {
        let flags = fields.u32().filter(|flags| flags & !FLAG_CLEAN == 0)?;
        let mut manifest = Self {
            clean: flags & FLAG_CLEAN != 0,
            store_id: StoreId(*fields.array()?),
            hash_key: *fields.array()?,
            base: StoreTime(fields.u64()?),
            segment_size: fields.u32()?,
            owner_pid: fields.u32()?,
            epoch: fields.u64()?,
            ceiling: Token(fields.u64()?),
            store_time: StoreTime(fields.u64()?),
            next_segment: SegmentId(fields.u64()?),
            identity: DirIdentity { device: fields.u64()?, inode: fields.u64()? },
            segments: Vec::new(),
        };
        let count = fields.u32()?;
        fields.u32()?;
        for _ in 0..count {
            manifest.segments.push(SegmentEntry::decode(fields)?);
        }
        fields.end()?;
        Some(manifest)
    }

    /// Whether it says what a manifest can say.
    fn holds(&self) -> bool {
        let ids = self.segments.iter().map(|segment| segment.id);
        let rising = ids.clone().zip(ids.skip(1)).all(|(one, next)| one < next);
        let below_next = self.segments.last().is_none_or(|last| last.id < self.next_segment);
        let mut slots: Vec<_> = self.segments.iter().map(|segment| segment.slot).collect();
        slots.sort_unstable();
        slots.dedup();
        let in_reach = |number: u64| number < FURTHEST;
        let counts = [self.epoch, self.ceiling.0, self.next_segment.0].into_iter().all(in_reach)
            && slots.last().is_none_or(|slot| slot.0 < Slot::COUNT);
        let size = self.segment_size;
        let size_holds = size.is_power_of_two() && SEGMENT_SIZES.contains(&size);
        let is_apart = slots.len() == self.segments.len();
        rising && below_next && is_apart && counts && size_holds
    }
}

impl SegmentEntry {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.id.0.to_le_bytes());
        out.extend(self.nonce.0.to_le_bytes());
        out.extend(self.slot.0.to_le_bytes());
        out.extend(self.kind.code().to_le_bytes());
        out.extend(u32::from(self.sealed).to_le_bytes());
        out.extend([0; 4]);
    }

    fn decode(fields: &mut Reader<'_>) -> Option<Self> {
        let entry = Self {
            id: SegmentId(fields.u64()?),
            nonce: Nonce(fields.u64()?),
            slot: Slot(fields.u32()?),
            kind: SegmentKind::from_code(fields.u32()?)?,
            sealed: fields.u32().filter(|state| *state <= 1)? == 1,
        };
        fields.u32()?;
        Some(entry)
    }
}

/// A version that a reader of this one cannot check is believed only if no copy is good: a flipped
/// bit in it must not refuse a store that the other copy can open.
fn neither(one: &CopyFault, two: &CopyFault) -> ManifestFault {
    match (one, two) {
        (CopyFault::TooNew(version), _) | (_, CopyFault::TooNew(version)) => {
            ManifestFault::TooNew(*version)
        }
        (CopyFault::NoMagic, CopyFault::NoMagic) => ManifestFault::NotAManifest,
        _ => {
            let (one, two) = (one.reason(), two.reason());
            ManifestFault::Damaged(format!("both copies are bad: {one}; {two}"))
        }
    }
}

/// Replaces the store's manifest. An error that says the disk is full, or of another shortage,
/// means that the old one is still there; after any other either may be.
pub(crate) fn write(disk: &dyn Disk, manifest: &Manifest) -> io::Result<()> {
    let bytes = manifest.encode();
    let read_back = Manifest::decode(&bytes);
    let same = matches!(&read_back, Ok((read, None)) if read == manifest);
    if !same || bytes.len() as u64 > FILE_LIMIT {
        let message = format!("refusing to write a manifest that does not hold: {read_back:?}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let len = bytes.len() as u64;
    let kept = || disk.open(MANIFEST_TMP).ok().filter(|file| file.len().is_ok_and(|at| at == len));
    let file = kept().map_or_else(|| disk.create(MANIFEST_TMP), Ok);
    let written = file.and_then(|file| {
        file.write_at(&bytes, 0)?;
        file.sync()
    });
    if let Err(error) = written {
        // What was made of it would only keep others from the room.
        let _ = disk.remove(MANIFEST_TMP);
        return Err(error);
    }
    let in_place = disk.rename(MANIFEST_TMP, MANIFEST_FILE).and_then(|()| disk.sync_dir());
    // A shortage here must not pass for one that left the old manifest in place.
    in_place.map_err(|error| io::Error::other(error.to_string()))
}

/// Keeps room on the disk for a manifest of this one's size to replace it.
pub(crate) fn keep_room(disk: &dyn Disk, manifest: &Manifest) -> io::Result<()> {
    let len = manifest.encode().len() as u64;
    match disk.open(MANIFEST_TMP).and_then(|file| file.len()) {
        Ok(kept) if kept == len => Ok(()),
        _ => {
            let filled = disk.create(MANIFEST_TMP)?.zero_fill(len).and_then(|()| disk.sync_dir());
            if filled.is_err() {
                // What was made of it would only keep others from the room.
                let _ = disk.remove(MANIFEST_TMP);
            }
            filled
        }
    }
}

/// Reads the store's manifest. The outer error is the disk's: `NotFound` if there is no manifest.
pub(crate) fn read(
    disk: &dyn Disk,
) -> io::Result<Result<(Manifest, Option<ManifestDamage>), ManifestFault>> {
    let file = disk.open_read_only(MANIFEST_FILE)?;
    let len = file.len()?;
    if len > FILE_LIMIT {
        return Ok(Err(ManifestFault::Damaged(format!("{len} bytes are no manifest"))));
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    let read = disk::read(&*file, &mut bytes, 0)?;
    bytes.truncate(read);
    Ok(Manifest::decode(&bytes))
}

#[cfg(test)]
mod tests;
