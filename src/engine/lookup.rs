//! Finding a key's record: hash bits to candidates, candidates to bytes, bytes to the key itself.

use std::sync::Arc;

use super::Engine;
use super::batch::Ticket;
use super::flight::{Completed, State};
use super::shard::Shard;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{KeyHash, SegmentId, StoreTime, Token};
use crate::index::{Candidates, Location};
use crate::log::{CompletionFrame, Frame};
use crate::sabotage::{self, Bug};
use crate::types::{Fingerprint, Key, Scope, StoredResponse};

/// What reading the candidates came to.
pub(crate) enum Searched {
    /// The key's record, and where it is.
    Here(Spot, Completed),
    /// None of them is this key's.
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
            let candidates = shard.index.candidates(self.geometry, hash);
            drop(shard);
            if candidates.is_empty() {
                return Ok((Found::Nothing, Ticket::DONE));
            }
            match self.search(hash, &candidates, scope, key)? {
                Searched::Stale => {}
                Searched::NotHere => return Ok((Found::Nothing, Ticket::DONE)),
                Searched::Here(_, record) if record.expires_at <= self.time.now() => {
                    self.note_expiry_told();
                    return Ok((Found::Nothing, Ticket::DONE));
                }
                Searched::Here(_, record) => {
                    return Ok((Found::Completed(Arc::new(record)), Ticket::DONE));
                }
            }
        }
    }

    /// Reads candidates until one is this key's record. A record of another key with the same hash
    /// bits is passed over; one that cannot be read never means "absent".
    pub(crate) fn search(
        &self,
        hash: KeyHash,
        candidates: &Candidates,
        scope: &Scope,
        key: &Key,
    ) -> Result<Searched> {
        for location in candidates.iter() {
            let Some(segment) = self.table.get(location.slot) else { return Ok(Searched::Stale) };
            let spot = Spot { location, segment: segment.id };
            let read = segment.read_frame(location.offset, |frame| match frame {
                Frame::Completion(completion) => completed_if(&completion, scope, key),
                _ => Err(()),
            });
            match read {
                Ok(Ok(Some(record))) => return Ok(Searched::Here(spot, record)),
                Ok(Ok(None)) => {}
                Ok(Err(())) | Err(_) if !self.is_at(hash, spot) => return Ok(Searched::Stale),
                Ok(Err(())) => return Err(self.not_a_record(hash, location)),
                Err(error) => return Err(error),
            }
        }
        Ok(Searched::NotHere)
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

/// The record, if it is this key's. The error is a response that cannot be unpacked.
fn completed_if(
    frame: &CompletionFrame<'_>,
    scope: &Scope,
    key: &Key,
) -> std::result::Result<Option<Completed>, ()> {
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
    }))
}
