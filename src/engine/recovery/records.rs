//! The records: from footers into the index, each key's newest and no forgotten one.

use std::sync::Arc;

use super::census::{Counted, each_frame, record_of};
use super::late::{Expired, Remembered};
use super::load::Loader;
use super::pile::Entry;
use super::report::DamageReport;
use crate::engine::Engine;
use crate::engine::catalog::{Catalog, Need};
use crate::engine::flight::Flight;
use crate::engine::lookup::Spot;
use crate::engine::rewriter::Rewriter;
use crate::engine::segment::{NewEntry, Segment, SegmentTable};
use crate::engine::shard::LockedShard;
use crate::error::{ErrorKind, Result};
use crate::ids::{StoreTime, Token};
use crate::index::{Geometry, KeyHasher, Location};
use crate::log::{FooterEntry, Frame, SegmentKind};
use crate::progress::{Observer, Phase};

pub(crate) struct Records {
    geometry: Geometry,
    hasher: KeyHasher,
    now: StoreTime,
    shards: Box<[LockedShard]>,
    /// Segments that records were loaded from, for reading keys.
    table: SegmentTable,
    rewritten: Vec<Arc<Segment>>,
    /// What has expired in segments that were not sealed, and its order.
    tail: Vec<(Entry, Token)>,
    pub(crate) expired: Expired,
    pub(crate) count: u64,
    /// Segments in which nothing is alive.
    pub(crate) dropped: u64,
    /// Forgets that cannot be read.
    pub(crate) damage: Vec<DamageReport>,
}

/// Who a frame on disk is about.
#[derive(Debug)]
pub(super) struct Identity {
    scope: Vec<u8>,
    key: Vec<u8>,
    /// A completion's token or a forget's sequence.
    pub(super) order: Token,
}

impl Identity {
    /// The scope and the key.
    pub(super) fn of_key(&self) -> (&[u8], &[u8]) {
        (&self.scope, &self.key)
    }
}

impl Records {
    pub(crate) fn new(
        geometry: Geometry,
        hasher: KeyHasher,
        now: StoreTime,
        expired: Expired,
    ) -> Self {
        Self {
            geometry,
            hasher,
            now,
            shards: Engine::empty_shards(),
            table: SegmentTable::default(),
            rewritten: Vec::new(),
            tail: Vec::new(),
            expired,
            count: 0,
            dropped: 0,
            damage: Vec::new(),
        }
    }

    /// The shards, with what has expired in them or in the memory's files.
    pub(crate) fn finish(self, remember_ms: u64) -> (Box<[LockedShard]>, Remembered) {
        let remembered = self.expired.finish(&self.shards, remember_ms);
        (self.shards, remembered)
    }

    /// Rewrites what lives in segments that were not sealed.
    pub(crate) fn rewrite_tail(
        &mut self,
        counted: &[Counted],
        catalog: &mut Catalog,
        observer: &Observer,
    ) -> Result<()> {
        let mut rewriter: Option<Rewriter> = None;
        let unsealed: Vec<_> = counted.iter().filter(|c| c.footer.is_none()).collect();
        for (done, open) in (1..).zip(&unsealed) {
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
                    let base = open.segment.base;
                    if self.expired.remembers(FooterEntry::rounded(expires_at, base)) {
                        let hash = self.hasher.hash(scope, key);
                        let seconds = FooterEntry::seconds(expires_at, base);
                        let entry = Entry::expired(hash, forget, seconds);
                        self.tail.push((entry, order_of(&frame)));
                    }
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
            observer.tell(Phase::Tail, done, unsealed.len());
        }
        if let Some(rewriter) = rewriter {
            self.rewritten.push(rewriter.finish()?);
        }
        Ok(())
    }

    /// Fills the index from every footer; returns the segments that stay: those in which anything
    /// is alive.
    pub(crate) fn load(
        &mut self,
        counted: Vec<Counted>,
        workers: usize,
        observer: &Observer,
    ) -> Result<Vec<Arc<Segment>>> {
        let sealed = counted.into_iter().filter(|counted| counted.footer.is_some());
        let mut segments: Vec<_> = sealed.map(|counted| counted.segment).collect();
        segments.append(&mut self.rewritten);
        let found = segments.len();
        let (now, since) = (self.now, self.expired.since);
        let lives_at =
            |segment: &Arc<Segment>, time| segment.contents().is_alive(segment.base, time);
        segments.iter().filter(|segment| lives_at(segment, now)).for_each(|segment| {
            self.table.put(segment.clone());
        });
        segments.retain(|segment| lives_at(segment, since));
        let loader = Loader {
            geometry: self.geometry,
            now,
            segments: &segments,
            table: &self.table,
            shards: &self.shards,
            observer,
            workers,
            tail: &self.tail,
            expired: &self.expired,
        };
        let mut loaded = loader.load()?;
        self.tail = Vec::new();
        segments.retain(|segment| lives_at(segment, now));
        self.dropped = (found - segments.len()) as u64;
        self.count = loaded.records;
        self.damage.append(&mut loaded.damage);
        Ok(segments)
    }

    /// Leaves out claims of whose key a later forget is there. Only damage brings such a claim
    /// back, by taking what had ended it, and at the next open that forget would hide what
    /// completes it.
    pub(crate) fn leave_forgotten(
        &self,
        flights: &mut Vec<Flight>,
        segments: &[Arc<Segment>],
    ) -> Result<()> {
        let mut buffer = Vec::new();
        for segment in segments {
            let (_, entries) = segment.read_entries(&mut buffer)?;
            let forgets = entries.filter(|entry| entry.forget);
            for forget in forgets.filter(|forget| forget.expires_at(segment.base) > self.now) {
                if !flights.iter().any(|flight| flight.hash == forget.hash) {
                    continue;
                }
                let location = Location { slot: segment.slot, offset: forget.offset };
                let Some(forget) = identity(&self.table, location)? else { continue };
                flights.retain(|flight| {
                    let of_flight = (flight.scope.as_bytes(), flight.key.as_bytes());
                    forget.of_key() != of_flight || forget.order < flight.token
                });
            }
        }
        Ok(())
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
                let Some(record) = identity(&self.table, candidate)? else { continue };
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
}

/// Who the frame at a location is about; `None` if it is damaged.
pub(super) fn identity(table: &SegmentTable, location: Location) -> Result<Option<Identity>> {
    let Some(segment) = table.get(location.slot) else { return Ok(None) };
    let read = segment.read_frame(location.offset, |frame| {
        let (scope, key) = match &frame {
            Frame::Completion(record) => (record.scope, record.key),
            Frame::Forget(forget) => (forget.scope, forget.key),
            _ => (&[][..], &[][..]),
        };
        Identity { scope: scope.to_vec(), key: key.to_vec(), order: order_of(&frame) }
    });
    match read {
        Ok(identity) => Ok(Some(identity)),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
        Err(error) => Err(error),
    }
}

/// A completion's token or a forget's sequence.
pub(super) fn order_of(frame: &Frame<'_>) -> Token {
    match frame {
        Frame::Completion(record) => record.token,
        Frame::Forget(forget) => forget.sequence,
        _ => Token(0),
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
