//! Forgetting: removing a record before its TTL is over, for good.
//!
//! The forget frame hides every completion of its key with a lower token for as long as one could
//! be found on disk.

use super::Engine;
use super::flight::State;
use super::lookup::Searched;
use super::queue::{Effect, Ticket};
use crate::error::{Error, ErrorKind, Result};
use crate::index::Location;
use crate::log::{ForgetFrame, Frame};
use crate::types::{Key, Scope};

impl Engine {
    /// Forgets a key's record; says whether there was one. A key in flight or unresolved is
    /// refused.
    pub(crate) fn forget(&self, scope: &Scope, key: &Key) -> Result<(bool, Ticket)> {
        self.check_writable()?;
        let hash = self.hash(scope.as_bytes(), key.as_bytes());
        loop {
            let mut shard = self.shard(hash).lock();
            if let Some(flight) = shard.flight(hash, scope, key) {
                let (token, ticket) = (flight.token, flight.ticket);
                match flight.state {
                    State::Abandoned { .. } => {
                        drop(shard);
                        return self.release(hash, token).map(|ticket| (true, ticket));
                    }
                    State::Completing { .. } => {
                        drop(shard);
                        self.wait(ticket)?;
                        continue;
                    }
                    State::Held { .. } | State::Unresolved { .. } => return Err(in_flight()),
                }
            }
            let candidates = shard.index.candidates(self.geometry, hash);
            drop(shard);
            match self.search(hash, &candidates, scope, key)? {
                Searched::Stale => {}
                Searched::NotHere => return Ok((false, Ticket::DONE)),
                Searched::Here(spot, record) => {
                    self.check_room(record.response.body().len() as u64)?;
                    let mut shard = self.shard(hash).lock();
                    if shard.flight(hash, scope, key).is_some()
                        || !self.still_in(&shard, hash, spot)
                    {
                        continue;
                    }
                    let expires_at = record.expires_at;
                    let mut queue = self.queue.lock();
                    let frame = ForgetFrame {
                        sequence: queue.draw()?,
                        expires_at,
                        scope: scope.as_bytes(),
                        key: key.as_bytes(),
                    };
                    let effect = Effect::Forget { hash, expires_at };
                    let ticket = queue.push(&Frame::Forget(frame), Some(effect))?;
                    drop(queue);
                    shard.index.remove(self.geometry, hash, spot.location);
                    drop(shard);
                    self.counters.forgets.add(1);
                    self.note_dead(spot.location, record.response.body().len() as u64);
                    return Ok((expires_at > self.time.now(), ticket));
                }
            }
        }
    }

    /// Forgets every record of a scope, reading all records to find them; returns how many. Keys in
    /// flight stay.
    pub(crate) fn forget_scope(&self, scope: &Scope) -> Result<(u64, Ticket)> {
        self.check_writable()?;
        let (mut forgotten, mut last) = (0, Ticket::DONE);
        for shard in &self.shards {
            let locations = shard.lock().index.locations(self.geometry);
            for location in locations {
                let Some(key) = self.key_in_scope(location, scope)? else { continue };
                match self.forget(scope, &key) {
                    Ok((was_there, ticket)) => {
                        forgotten += u64::from(was_there);
                        last = last.max(ticket);
                    }
                    Err(error) if error.kind() == ErrorKind::InFlight => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok((forgotten, last))
    }

    /// The key of a record, if it is of this scope; `None` also if the record moved away meanwhile.
    fn key_in_scope(&self, location: Location, scope: &Scope) -> Result<Option<Key>> {
        let read = self.read(location, |frame| match frame {
            Frame::Completion(record) => {
                let hash = self.hash(record.scope, record.key);
                (record.scope == scope.as_bytes()).then(|| (hash, Key::from_bytes(record.key)))
            }
            _ => None,
        });
        match read {
            Ok(None) => Ok(None),
            Ok(Some((_, key))) => key.map(Some),
            Err(error) if self.table.get(location.slot).is_some() => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Counts a record's bytes as dead, in the segment it is in.
    pub(crate) fn note_dead(&self, location: Location, bytes: u64) {
        if let Some(segment) = self.table.get(location.slot) {
            segment.add_dead(bytes);
        }
    }
}

fn in_flight() -> Error {
    Error::new(
        ErrorKind::InFlight,
        "the key is in flight or unresolved: complete, release or resolve it first",
    )
}
