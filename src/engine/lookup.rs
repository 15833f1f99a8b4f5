//! Finding a key's record: hash bits to candidates, candidates to bytes, bytes to the key itself.

use std::sync::Arc;

use super::Engine;
use super::batch::Ticket;
use super::flight::{Completed, State};
use super::segment::Segment;
use super::shard::Shard;
use crate::audit::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{KeyHash, SegmentId, StoreTime, Token};
use crate::index::{Candidates, Location};
use crate::log::Frame;
use crate::sabotage::{self, Bug};
use crate::types::{Fingerprint, Key, Scope, StoredResponse};

/// A key's candidates with their segments pinned, both as of one moment under the key's lock: each
/// is read in the life that it was found in, whatever is moved, dropped or recycled meanwhile.
/// While the pins are held no other life can use the same places.
#[derive(Debug, Default)]
pub(crate) struct Pinned {
    candidates: Candidates,
    /// Of the first candidate, and of the others.
    first: Option<Arc<Segment>>,
    more: Vec<Option<Arc<Segment>>>,
}

impl Pinned {
    #[cfg(test)]
    pub(crate) fn unpin(&mut self) {
        (self.first, self.more) = (None, Vec::new());
    }

    fn iter(&self) -> impl Iterator<Item = (Location, Option<&Arc<Segment>>)> {
        let segments = std::iter::once(&self.first).chain(&self.more).map(Option::as_ref);
        self.candidates.iter().zip(segments)
    }
}

/// What reading the candidates came to.
pub(crate) enum Searched {
    /// The key's record, alive when it was read, and where it is.
    Live(Spot, Completed),
    /// The key's record, which has expired; no other candidate may be a newer one.
    Expired(Spot, Completed),
    /// None of them was this key's when they were pinned.
    NotHere,
    /// The index changed meanwhile: look again.
    Stale,
}

/// A location in one life of its segment: locations are used again when segments are recycled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) location: Location,
    pub(crate) segment: SegmentId,
}

/// What is known of a key, for a look that claims nothing.
#[derive(Debug)]
pub(crate) enum Found {
    Nothing,
    Completed(Arc<Completed>),
    InFlight { token: Token, attempt: u32, claimed_at: StoreTime },
    Unresolved { token: Token, attempt: u32, since: StoreTime },
}

impl Engine {
    /// Looks a key up. What it finds may be told once the ticket is done.
    pub(crate) fn look_up(&self, scope: &Scope, key: &Key) -> Result<(Found, Ticket)> {
        self.check_open()?;
        let hash = self.hash(scope.as_bytes(), key.as_bytes());
        loop {
            let mut shard = self.shard(hash).lock();
            if let Some(flight) = shard.flight(hash, scope, key) {
                let (token, attempt) = (flight.token, flight.attempt);
                let found = match &flight.state {
                    State::Completing { record } if record.expires_at <= self.time.now() => {
                        self.note_expiry_told();
                        Found::Nothing
                    }
                    State::Completing { record } => Found::Completed(record.clone()),
                    State::Unresolved { since } => {
                        Found::Unresolved { token, attempt, since: *since }
                    }
                    State::Held { .. } | State::Abandoned { .. } => {
                        Found::InFlight { token, attempt, claimed_at: flight.claimed_at }
                    }
                };
                return Ok((found, flight.ticket));
            }
            let pinned = self.pin(&shard, hash);
            drop(shard);
            let Some(pinned) = pinned else { return Ok((Found::Nothing, Ticket::DONE)) };
            match self.search(hash, &pinned, scope, key)? {
                Searched::Stale => {}
                Searched::NotHere => return Ok((Found::Nothing, Ticket::DONE)),
                Searched::Expired(..) => {
                    self.note_expiry_told();
                    return Ok((Found::Nothing, Ticket::DONE));
                }
                Searched::Live(_, record) => {
                    return Ok((Found::Completed(Arc::new(record)), Ticket::DONE));
                }
            }
        }
    }

    /// Where a key's record may be, to be read without the lock; `None` if there is nothing.
    pub(crate) fn pin(&self, shard: &Shard, hash: KeyHash) -> Option<Pinned> {
        let candidates = shard.index.candidates(self.geometry, hash);
        if candidates.is_empty() {
            return None;
        }
        let mut segments = candidates.iter().map(|location| self.table.get(location.slot));
        let first = segments.next().flatten();
        let more = segments.collect();
        Some(Pinned { candidates, first, more })
    }

    /// Whether no record of these hash bits has come, gone or moved since they were pinned.
    pub(crate) fn is_as_pinned(&self, shard: &Shard, hash: KeyHash, pinned: &Pinned) -> bool {
        shard.index.candidates(self.geometry, hash) == pinned.candidates
    }

    /// Reads candidates until one is this key's record. A record of another key with the same hash
    /// bits is passed over; one that cannot be read never means "absent". One that has expired ends
    /// the search only if the others can be read: a newer record that was damaged before the store
    /// was opened is listed beside the one that it replaced.
    pub(crate) fn search(
        &self,
        hash: KeyHash,
        pinned: &Pinned,
        scope: &Scope,
        key: &Key,
    ) -> Result<Searched> {
        let mut expired: Option<(Spot, Completed)> = None;
        for (location, segment) in pinned.iter() {
            let Some(segment) = segment else { return Ok(Searched::Stale) };
            let spot = Spot { location, segment: segment.id };
            match self.read_record(segment, spot, scope, key) {
                Ok(Ok(Some(record))) if record.expires_at > self.time.now() => {
                    return Ok(Searched::Live(spot, record));
                }
                Ok(Ok(Some(record))) => {
                    if expired.as_ref().is_none_or(|(_, known)| known.token < record.token) {
                        expired = Some((spot, record));
                    }
                }
                Ok(Ok(None)) => {}
                Ok(Err(())) | Err(_) if !self.is_at(hash, spot) => return Ok(Searched::Stale),
                Ok(Err(())) => return Err(self.not_a_record(hash, location)),
                Err(error) => return Err(error),
            }
        }
        Ok(match expired {
            Some((spot, record)) => Searched::Expired(spot, record),
            None => Searched::NotHere,
        })
    }

    /// Reads a candidate, from memory if it is there.
    fn read_record(&self, segment: &Segment, spot: Spot, scope: &Scope, key: &Key) -> Result<Read> {
        let kept = self.cache.get(spot, |bytes| {
            debug_assert!(
                segment.has(spot.location.offset, bytes) || sabotage::is_on(Bug::OldSegment),
                "the frame of another spot"
            );
            // Its checksum was right when it was read.
            let (frame, _) = Frame::decode_unchecked(bytes, segment.base).map_err(|_| ())?;
            completed_if(&frame, scope, key)
        });
        if let Some(read) = kept {
            return Ok(read);
        }
        segment.read_frame_bytes(spot.location.offset, |frame, bytes| {
            let read = completed_if(&frame, scope, key);
            if let Ok(Some(record)) = &read {
                self.cache.offer(spot, bytes, record.response.body().len());
            }
            read
        })
    }

    /// Whether the index still says that a record is there.
    fn is_at(&self, hash: KeyHash, spot: Spot) -> bool {
        self.still_in(&self.shard(hash).lock(), hash, spot)
    }

    /// The same, with the shard's lock held. An index entry is removed before its segment leaves
    /// the table, so an entry and a segment that are both there belong together.
    pub(crate) fn still_in(&self, shard: &Shard, hash: KeyHash, spot: Spot) -> bool {
        self.lives(spot) && shard.index.holds(self.geometry, hash, spot.location)
    }

    /// Whether a spot's segment is still in the life it was seen in.
    pub(crate) fn lives(&self, spot: Spot) -> bool {
        let believed = sabotage::is_on(Bug::OldSegment);
        let found = self.table.get(spot.location.slot);
        found.is_some_and(|segment| segment.id == spot.segment || believed)
    }

    fn not_a_record(&self, hash: KeyHash, location: Location) -> Error {
        Error::new(
            ErrorKind::Corrupt,
            format!(
                "the frame at offset {} of {} (key hash {hash}) is not a record, or its response \
                 cannot be unpacked",
                location.offset,
                location.slot.file_name()
            ),
        )
    }
}

/// The record, if it is this key's. The error is a frame that is no record, or a response that
/// cannot be unpacked.
type Read = std::result::Result<Option<Completed>, ()>;

fn completed_if(frame: &Frame<'_>, scope: &Scope, key: &Key) -> Read {
    let Frame::Completion(frame) = frame else { return Err(()) };
    let same = frame.scope == scope.as_bytes() && frame.key == key.as_bytes();
    if !same && !sabotage::is_on(Bug::HashForKey) {
        return Ok(None);
    }
    let response = frame.response.unpack().ok_or(())?;
    Ok(Some(Completed {
        token: frame.token,
        attempt: frame.attempt,
        fingerprint: Fingerprint::from_bytes(*frame.fingerprint),
        completed_at: frame.completed_at,
        expires_at: frame.expires_at(),
        response: StoredResponse::new(response).with_status(frame.status),
        digest: frame.caller.as_ref().map(Digest::from_bytes),
    }))
}
