//! The records: from footers into the index, each key's newest and no forgotten one.

use std::sync::Arc;

use parking_lot::Mutex;

use super::census::{Counted, each_frame, record_of};
use super::report::DamageReport;
use crate::engine::Engine;
use crate::engine::catalog::{Catalog, Need};
use crate::engine::flight::Flight;
use crate::engine::lookup::Spot;
use crate::engine::rewriter::Rewriter;
use crate::engine::segment::{NewEntry, Segment, SegmentTable};
use crate::engine::shard::Shard;
use crate::error::{ErrorKind, Result};
use crate::ids::{KeyHash, StoreTime, Token};
use crate::index::{Geometry, KeyHasher, Location};
use crate::log::{Footer, FooterEntry, Frame, SegmentKind};
use crate::sabotage::{self, Bug};

pub(crate) struct Records {
    geometry: Geometry,
    hasher: KeyHasher,
    now: StoreTime,
    shards: Box<[Mutex<Shard>]>,
    /// Segments that records were loaded from, for reading keys.
    table: SegmentTable,
    rewritten: Vec<Arc<Segment>>,
    pub(crate) count: u64,
    /// Segments in which nothing is alive.
    pub(crate) dropped: u64,
    /// Forgets that cannot be read.
    pub(crate) damage: Vec<DamageReport>,
}

/// Who a frame on disk is about.
struct Identity {
    scope: Vec<u8>,
    key: Vec<u8>,
    /// A completion's token or a forget's sequence.
    order: Token,
}

impl Records {
    pub(crate) fn new(geometry: Geometry, hasher: KeyHasher, now: StoreTime) -> Self {
        Self {
            geometry,
            hasher,
            now,
            shards: Engine::empty_shards(),
            table: SegmentTable::default(),
            rewritten: Vec::new(),
            count: 0,
            dropped: 0,
            damage: Vec::new(),
        }
    }

    pub(crate) fn into_shards(self) -> Box<[Mutex<Shard>]> {
        self.shards
    }

    /// Rewrites what lives in segments that were not sealed.
    pub(crate) fn rewrite_tail(
        &mut self,
        counted: &[Counted],
        catalog: &mut Catalog,
    ) -> Result<()> {
        let mut rewriter: Option<Rewriter> = None;
        for open in counted.iter().filter(|counted| counted.footer.is_none()) {
            let Some(data) = &open.data else { continue };
            each_frame(&open.segment, data, |_, frame| {
                let Some((scope, key, forget, expires_at)) = record_of(&frame) else {
                    return Ok(());
                };
                let gone_at = match forget {
                    true => FooterEntry::rounded(expires_at, open.segment.base),
                    false => expires_at,
                };
                if gone_at <= self.now {
                    return Ok(());
                }
                let len = frame_bytes(&frame);
                if let Some(full) = rewriter.take_if(|rewriter| !rewriter.has_room(len)) {
                    self.rewritten.push(full.finish()?);
                }
                let rewriter = match &mut rewriter {
                    Some(rewriter) => rewriter,
                    none => none.insert(Rewriter::new(
                        catalog.new_segment(Need::Open, SegmentKind::Compacted)?,
                        self.now,
                    )),
                };
                let hash = self.hasher.hash(scope, key);
                rewriter.add(&frame, NewEntry { hash, offset: 0, forget, expires_at })?;
                Ok(())
            })?;
        }
        if let Some(rewriter) = rewriter {
            self.rewritten.push(rewriter.finish()?);
        }
        Ok(())
    }

    /// Fills the index from every footer; returns the segments that stay: those in which anything
    /// is alive.
    pub(crate) fn load(&mut self, counted: Vec<Counted>) -> Result<Vec<Arc<Segment>>> {
        let mut footers: Vec<(Arc<Segment>, Footer)> = Vec::new();
        for counted in counted {
            if let Some(footer) = counted.footer {
                footers.push((counted.segment, footer));
            }
        }
        for segment in std::mem::take(&mut self.rewritten) {
            let footer = segment.read_footer()?;
            footers.push((segment, footer));
        }
        for (segment, _) in &footers {
            self.table.put(segment.clone());
        }
        let mut forgets = Vec::new();
        for (segment, footer) in &footers {
            for entry in &footer.entries {
                let location = Location { slot: segment.slot, offset: entry.offset };
                if entry.expires_at(segment.base) <= self.now {
                    continue;
                }
                if entry.forget {
                    forgets.push((entry.hash, location));
                } else {
                    self.insert(entry, location)?;
                }
            }
        }
        for (hash, location) in forgets {
            self.forget(hash, location)?;
        }
        let found = footers.len();
        let now = self.now;
        footers.retain(|(segment, footer)| {
            footer.entries.iter().any(|entry| entry.expires_at(segment.base) > now)
        });
        self.dropped = (found - footers.len()) as u64;
        Ok(footers.into_iter().map(|(segment, _)| segment).collect())
    }

    /// Adds a record. Where the hash bits are known already, the keys are read: the newer record of
    /// one key counts.
    fn insert(&mut self, entry: &FooterEntry, location: Location) -> Result<()> {
        let shards = &self.shards;
        let Some(shard) = shards.get(entry.hash.shard()) else { return Ok(()) };
        let mut shard = shard.lock();
        let candidates = shard.index.candidates(self.geometry, entry.hash);
        if !candidates.is_empty() {
            let new = self.identity(location)?;
            for candidate in candidates.iter() {
                // What cannot be read stays listed: whoever looks it up is told of the damage.
                let (Some(new), Some(known)) = (&new, self.identity(candidate)?) else { continue };
                if known.scope == new.scope && known.key == new.key {
                    if known.order < new.order {
                        shard.index.replace(self.geometry, entry.hash, candidate, location);
                    }
                    return Ok(());
                }
            }
        }
        shard.index.insert(self.geometry, entry.hash, location);
        self.count += 1;
        Ok(())
    }

    /// Hides what a forget hides.
    fn forget(&mut self, hash: KeyHash, location: Location) -> Result<()> {
        let shards = &self.shards;
        let Some(shard) = shards.get(hash.shard()) else { return Ok(()) };
        let mut shard = shard.lock();
        let candidates = shard.index.candidates(self.geometry, hash);
        if candidates.is_empty() {
            return Ok(());
        }
        let Some(forget) = self.identity(location)? else {
            self.damage.push(DamageReport {
                file: location.slot.file_name(),
                offset: u64::from(location.offset),
                bytes: 0,
                what: "a forget cannot be read: the record that it hides may be back".into(),
            });
            return Ok(());
        };
        for candidate in candidates.iter() {
            let Some(record) = self.identity(candidate)? else { continue };
            let same = record.scope == forget.scope && record.key == forget.key;
            let spared = sabotage::is_on(Bug::UndeadCopy) && self.is_copy(candidate);
            if same && record.order < forget.order && !spared {
                shard.index.remove(self.geometry, hash, candidate);
                self.count -= 1;
            }
        }
        Ok(())
    }

    /// Whether a location is in a segment that compaction, or an earlier recovery, made of others.
    fn is_copy(&self, location: Location) -> bool {
        self.table.get(location.slot).is_some_and(|found| found.kind == SegmentKind::Compacted)
    }

    /// Puts the claims into their shards, but for those whose own completion is there; returns how
    /// many.
    pub(crate) fn add_flights(&mut self, flights: Vec<Flight>) -> Result<u64> {
        let mut added = 0;
        for mut flight in flights {
            let Some(shard) = self.shards.get(flight.hash.shard()) else { continue };
            let mut shard = shard.lock();
            let mut completed = false;
            for candidate in shard.index.candidates(self.geometry, flight.hash).iter() {
                let Some(record) = self.identity(candidate)? else { continue };
                if record.scope == flight.scope.as_bytes() && record.key == flight.key.as_bytes() {
                    completed |= record.order >= flight.token;
                    flight.replaces = self
                        .table
                        .get(candidate.slot)
                        .map(|segment| Spot { location: candidate, segment: segment.id });
                }
            }
            if !completed {
                shard.add(Box::new(flight));
                added += 1;
            }
        }
        Ok(added)
    }

    /// Who the frame at a location is about; `None` if it is damaged.
    fn identity(&self, location: Location) -> Result<Option<Identity>> {
        let Some(segment) = self.table.get(location.slot) else { return Ok(None) };
        let read = segment.read_frame(location.offset, |frame| {
            let (scope, key, order) = match &frame {
                Frame::Completion(record) => (record.scope, record.key, record.token),
                Frame::Forget(forget) => (forget.scope, forget.key, forget.sequence),
                _ => (&[][..], &[][..], Token(0)),
            };
            Identity { scope: scope.to_vec(), key: key.to_vec(), order }
        });
        match read {
            Ok(identity) => Ok(Some(identity)),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A bound on a frame's length.
pub(crate) fn frame_bytes(frame: &Frame<'_>) -> usize {
    const FIXED: usize = 8 + 8 * 10 + 32 + 16;
    FIXED
        + match frame {
            Frame::Completion(record) => {
                record.scope.len() + record.key.len() + record.response.stored().len()
            }
            Frame::Forget(forget) => forget.scope.len() + forget.key.len(),
            _ => 0,
        }
}
