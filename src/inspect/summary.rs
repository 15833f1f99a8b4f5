//! The store in numbers.

use super::Inspector;
use super::owner::Owner;
use super::row::{KeyRow, KeyState};
use super::snapshot::{Seen, Snapshot};
use crate::engine::DamageReport;
use crate::error::{Error, Result};
use crate::ids::{Slot, StoreId, StoreTime, Token};
use crate::log::{FORMAT_VERSION, FooterEntry, SegmentKind};

/// What a store holds, as seen from outside. What [`Inspector::summary`] returns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Where it is.
    pub path: String,
    /// Which store it is.
    pub store_id: StoreId,
    /// The version of its format.
    pub format_version: u32,
    /// Who has it open.
    pub owner: Owner,
    /// How often it has been opened.
    pub epoch: u64,
    /// Whether the directory is a copy, or a restored backup, of the one it was when last open.
    pub copied: bool,
    /// When it was made.
    pub created_at: StoreTime,
    /// The last time in its log.
    pub store_time: StoreTime,
    /// The moment by which expiry is judged: the wall clock, or the store's time if that is later.
    pub now: StoreTime,
    /// No token at or above it has been given out.
    pub ceiling: Token,
    /// Records that are replayed.
    pub completed: u64,
    /// Records, and abandoned claims, that have expired and are still on disk. A record counts as
    /// expired up to a second late here.
    pub expired: u64,
    /// Claims whose owner runs.
    pub in_flight: u64,
    /// Claims whose owner is gone.
    pub abandoned: u64,
    /// Attempts whose effect is unknown.
    pub unresolved: u64,
    /// Since when the oldest of the claims in flight is claimed.
    pub oldest_in_flight: Option<StoreTime>,
    /// Since when the oldest of the unresolved is.
    pub oldest_unresolved: Option<StoreTime>,
    /// When the first of the records that are replayed expires, to the second.
    pub next_expiry: Option<StoreTime>,
    /// Bytes of a segment file.
    pub segment_bytes: u64,
    /// Bytes of all segment files, spare ones included.
    pub disk_bytes: u64,
    /// Segment files that no segment uses.
    pub spare_files: u64,
    /// The segments, oldest first.
    pub segments: Vec<SegmentSummary>,
    /// Damage that was met on the way; [`Inspector::verify`] finds all.
    pub damage: Vec<DamageReport>,
}

/// One segment of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentSummary {
    /// Its file.
    pub file: String,
    /// Its number; rises.
    pub id: u64,
    /// Whether compaction or recovery made it, rather than the log.
    pub compacted: bool,
    /// Whether it has its table of contents.
    pub sealed: bool,
    /// Completions in it, also those that count no more.
    pub records: u64,
    /// Forgets in it.
    pub forgets: u64,
    /// Bytes of data.
    pub data_bytes: u64,
    /// When the last of its records expires; `None` if it has none.
    pub latest_expiry: Option<StoreTime>,
}

impl Summary {
    pub(super) fn of(inspector: &Inspector, snapshot: &Snapshot) -> Result<Self> {
        let io = |error| Error::io("looking at the directory", error);
        let manifest = &snapshot.manifest;
        let names = inspector.disk.list().map_err(io)?;
        let is_named = |slot: &Slot| manifest.segments.iter().any(|entry| entry.slot == *slot);
        let files: Vec<Slot> = names.iter().filter_map(|name| Slot::from_file_name(name)).collect();
        let identity = inspector.disk.identity().map_err(io)?;
        let mut summary = Self {
            path: inspector.disk.describe(),
            store_id: manifest.store_id,
            format_version: FORMAT_VERSION,
            owner: snapshot.owner,
            epoch: manifest.epoch,
            copied: manifest.epoch > 0 && identity != manifest.identity,
            created_at: manifest.base,
            store_time: snapshot.store_time,
            now: snapshot.now,
            ceiling: manifest.ceiling,
            completed: 0,
            expired: 0,
            in_flight: 0,
            abandoned: 0,
            unresolved: 0,
            oldest_in_flight: None,
            oldest_unresolved: None,
            next_expiry: None,
            segment_bytes: u64::from(manifest.segment_size),
            disk_bytes: files.len() as u64 * u64::from(manifest.segment_size),
            spare_files: files.iter().filter(|slot| !is_named(slot)).count() as u64,
            segments: snapshot.segments.iter().rev().map(SegmentSummary::of).collect(),
            damage: snapshot.damage.clone(),
        };
        summary.count(snapshot);
        Ok(summary)
    }

    fn count(&mut self, snapshot: &Snapshot) {
        for flight in &snapshot.flights {
            let row = KeyRow::of_flight(flight, snapshot.owner, snapshot.now);
            let (count, oldest) = match row.state {
                KeyState::InFlight => (&mut self.in_flight, Some(&mut self.oldest_in_flight)),
                KeyState::Unresolved => (&mut self.unresolved, Some(&mut self.oldest_unresolved)),
                KeyState::Abandoned => (&mut self.abandoned, None),
                KeyState::Completed | KeyState::Expired => (&mut self.expired, None),
            };
            *count += 1;
            if let Some(oldest) = oldest {
                *oldest = Some(oldest.map_or(row.since, |known| known.min(row.since)));
            }
        }
        for place in &snapshot.records {
            let entry = FooterEntry {
                hash: place.hash,
                offset: place.offset,
                forget: false,
                expires_s: place.expires_s,
            };
            let expires_at = entry.expires_at(snapshot.manifest.base);
            if expires_at <= snapshot.now {
                self.expired += 1;
            } else {
                self.completed += 1;
                let next = self.next_expiry.map_or(expires_at, |known| known.min(expires_at));
                self.next_expiry = Some(next);
            }
        }
    }
}

impl SegmentSummary {
    fn of(seen: &Seen) -> Self {
        Self {
            file: seen.segment.slot.file_name(),
            id: seen.segment.id.0,
            compacted: seen.segment.kind == SegmentKind::Compacted,
            sealed: seen.sealed,
            records: seen.records,
            forgets: seen.forgets,
            data_bytes: u64::from(seen.data_end).saturating_sub(crate::log::SEGMENT_HEADER as u64),
            latest_expiry: Some(seen.latest_expiry).filter(|at| at.as_millis() > 0),
        }
    }
}
