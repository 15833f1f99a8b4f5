//! Forgetting: removing a record before its TTL is over, for good.
//!
//! The forget frame hides every completion of its key with a lower token for as long as one could
//! be found on disk.

use std::sync::Arc;

use super::Engine;
use super::batch::{Effect, Ticket};
use super::flight::{State, reserve};
use super::lookup::Searched;
use super::segment::Segment;
use super::shard::{LockedShard, Shard};
use super::signal::Wakers;
use crate::audit::EventKind;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{KeyHash, StoreTime, Token};
use crate::index::Location;
use crate::late::Ask;
use crate::log::{FooterEntry, ForgetFrame, Frame};
use crate::slip::{self, Slip};
use crate::sync::MutexGuard;
use crate::types::{Key, Scope};

impl Engine {
    /// Forgets a key's record; says whether there was one. A key in flight or unresolved is
    /// refused.
    pub(crate) fn forget(&self, scope: &Scope, key: &Key) -> Result<(bool, Ticket)> {
        self.check_writable()?;
        let hash = self.hash(scope.as_bytes(), key.as_bytes());
        let (named, mut wakers) = ((hash, scope, key), Wakers::default());
        // What the memory said last, of which nothing is told any more.
        let (mut hidden, mut noted): (Option<Ask>, Option<u32>) = (None, None);
        loop {
            let mut shard = self.shard(hash).lock();
            let ask = shard.late.ask(hash);
            let asked = |shard: &Shard| {
                hidden.as_ref().map_or(ask.is_none(), |hidden| shard.late.is_as_asked(hidden))
            };
            if let Some(flight) = shard.flight(hash, scope, key)
                && matches!(flight.state, State::Held { .. } | State::Unresolved { .. })
            {
                return Err(in_flight());
            }
            // An older expiry of the key must not be told either, and is hidden first.
            if !asked(&shard) {
                drop(shard);
                let now_s = FooterEntry::seconds(self.time.now(), self.base);
                let to_hide = ask.as_ref().and_then(|ask| ask.to_hide(now_s));
                if let Some(expired_s) = to_hide.filter(|_| to_hide > noted) {
                    self.hide_remembered(hash, expired_s)?;
                    noted = to_hide;
                }
                hidden = ask;
                continue;
            }
            if shard.flight(hash, scope, key).is_some() {
                return self.forget_flight(shard, named, &mut wakers);
            }
            let pinned = self.pin(&shard, hash);
            drop(shard);
            let Some(pinned) = pinned else { return Ok((false, Ticket::DONE)) };
            match self.search(hash, &pinned, scope, key)? {
                Searched::Stale => {}
                Searched::NotHere => {
                    let shard = self.shard(hash).lock();
                    if asked(&shard) && self.is_as_pinned(&shard, hash, &pinned) {
                        return Ok((false, Ticket::DONE));
                    }
                }
                Searched::Live(spot, record) | Searched::Expired(spot, record) => {
                    let hold = self.find_room(reserve(scope, key))?;
                    let mut shard = self.shard(hash).lock();
                    if shard.flight(hash, scope, key).is_some()
                        || !self.still_in(&shard, hash, spot)
                        || !asked(&shard)
                    {
                        continue;
                    }
                    let expires_at = record.expires_at;
                    // Asked while nobody else can claim the key: it is free from here on.
                    let was_there = expires_at > self.time.now();
                    let ticket = self.enqueue_forget(named, expires_at)?;
                    drop(hold);
                    shard.index.remove(self.geometry, hash, spot.location);
                    if was_there {
                        self.audit_forgotten(named, &record);
                    }
                    drop(shard);
                    self.counters.forgets.add(1);
                    self.note_dead(spot.location, record.response.body().len() as u64);
                    return Ok((was_there, ticket));
                }
            }
        }
    }

    /// Forgets a key whose claim has ended, one way or the other.
    fn forget_flight(
        &self,
        mut shard: MutexGuard<'_, Shard>,
        named: (KeyHash, &Scope, &Key),
        wakers: &mut Wakers,
    ) -> Result<(bool, Ticket)> {
        let (hash, scope, key) = named;
        let Some(flight) = shard.flight(hash, scope, key) else { return Err(in_flight()) };
        let token = flight.token;
        match &flight.state {
            State::Abandoned { .. } => {
                let kind = EventKind::Forgotten;
                let released = self.release_flight(shard, (hash, token), kind);
                released.map(|ticket| (true, ticket))
            }
            State::Completing { record } => {
                let (record, expires_at) = (record.clone(), record.expires_at);
                let ticket =
                    self.forget_completing(&mut shard, named, token, expires_at, wakers)?;
                let was_there = expires_at > self.time.now();
                if was_there {
                    self.audit_forgotten(named, &record);
                }
                Ok((was_there, ticket))
            }
            State::Held { .. } | State::Unresolved { .. } => Err(in_flight()),
        }
    }

    /// Forgets a record whose completion is on its way. Its flight goes at once, so that there is
    /// nothing to put into the index when the completion is on disk, before the forget or with it.
    fn forget_completing(
        &self,
        shard: &mut Shard,
        named: (KeyHash, &Scope, &Key),
        token: Token,
        expires_at: StoreTime,
        wakers: &mut Wakers,
    ) -> Result<Ticket> {
        let hash = named.0;
        let ticket = self.enqueue_forget(named, expires_at)?;
        if let Some(flight) = shard.remove(hash, token) {
            if let Some(old) = flight.replaces.filter(|old| self.lives(*old)) {
                shard.index.remove(self.geometry, hash, old.location);
            }
            self.limits.leave(&flight);
            flight.ring(wakers);
        }
        self.counters.forgets.add(1);
        Ok(ticket)
    }

    fn enqueue_forget(
        &self,
        (hash, scope, key): (KeyHash, &Scope, &Key),
        expires_at: StoreTime,
    ) -> Result<Ticket> {
        let mut queue = self.queue.lock();
        let frame = ForgetFrame {
            sequence: queue.draw()?,
            expires_at,
            scope: scope.as_bytes(),
            key: key.as_bytes(),
        };
        queue.push(&Frame::Forget(frame), Some(Effect::Forget { hash, expires_at }))
    }

    /// Forgets every record of a scope, reading all records to find them; returns how many. Keys in
    /// flight stay.
    pub(crate) fn forget_scope(&self, scope: &Scope) -> Result<(u64, Ticket)> {
        self.check_writable()?;
        let (mut forgotten, mut last) = (0, Ticket::DONE);
        for shard in &self.shards {
            for (segment, offset) in self.pinned_records(shard) {
                let Some(key) = self.key_in_scope(&segment, offset, scope)? else { continue };
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

    /// Where a shard's records are, with their segments pinned: each can be read, even if it is
    /// moved or pruned meanwhile.
    fn pinned_records(&self, shard: &LockedShard) -> Vec<(Arc<Segment>, u32)> {
        let shard = shard.lock();
        // An entry is removed before its segment leaves the table, so every entry has its segment.
        let locations = shard.index.locations(self.geometry).into_iter();
        let _held = (!slip::is_on(Slip::LatePin)).then_some(shard);
        locations.filter_map(|at| Some((self.table.get(at.slot)?, at.offset))).collect()
    }

    /// The key of a record, if it is of this scope.
    fn key_in_scope(&self, segment: &Segment, offset: u32, scope: &Scope) -> Result<Option<Key>> {
        let read = segment.read_frame(offset, |frame| match frame {
            Frame::Completion(record) if record.scope == scope.as_bytes() => {
                Some(Key::from_bytes(record.key))
            }
            _ => None,
        });
        read?.transpose()
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
