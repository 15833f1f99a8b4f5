//! Which claims were in flight: the newest restatement, and every frame after it.
//!
//! Claims are believed from the newest valid restatement on and from nowhere else, so that a claim
//! frame in an old segment cannot come back after its completion has expired with a younger one.

use std::collections::{BTreeMap, HashMap};

use super::census::{Census, Counted, each_frame};
use crate::engine::batch::Ticket;
use crate::engine::flight::{Flight, State};
use crate::error::Result;
use crate::ids::{KeyHash, StoreTime, Token};
use crate::index::KeyHasher;
use crate::log::{ClaimFrame, ClaimState, FLAG_RESTATEMENT, Frame, ScanOptions, SegmentKind};
use crate::sabotage::{self, Bug};
use crate::types::{Checkpoint, DropPolicy, Fingerprint, Key, Scope};

/// The claims in flight, by token; at most one a key.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// In the order of their tokens, so that what follows from them is the same on every run.
    flights: BTreeMap<Token, Flight>,
    by_key: HashMap<(Scope, Key), Token>,
}

impl Claims {
    /// Replays the log from the newest restatement on.
    pub(crate) fn replay(
        census: &mut Census<'_>,
        counted: &mut [Counted],
        hasher: &KeyHasher,
    ) -> Result<Self> {
        let mut claims = Self::default();
        let restated = |c: &Counted| {
            c.segment.kind == SegmentKind::Log
                && c.first.is_some_and(|first| first.flags & FLAG_RESTATEMENT != 0)
        };
        let newest = match sabotage::is_on(Bug::UndeadClaim) {
            false => counted.iter().rposition(restated),
            true => counted.iter().position(restated),
        };
        let Some(from) = newest else {
            let is_log = |c: &&Counted| c.segment.kind == SegmentKind::Log;
            if let Some(last) = counted.iter().rfind(is_log) {
                let name = last.segment.slot.file_name();
                census.lose(&name, 0, 0, "no segment states the claims in flight: they are lost");
            }
            return Ok(claims);
        };
        for counted in counted.iter_mut().skip(from) {
            if counted.segment.kind != SegmentKind::Log {
                continue;
            }
            if counted.data.is_none() {
                let end = counted.footer.as_ref().map(|footer| footer.data_end);
                let options = ScanOptions { whole_until: end, ..ScanOptions::default() };
                let data = census.read(&counted.segment, options)?;
                let name = counted.segment.slot.file_name();
                for damage in &data.scan.damage {
                    let what = format!("{}: claims stated there are lost", damage.reason);
                    census.lose(&name, u64::from(damage.offset), u64::from(damage.bytes), &what);
                }
                counted.data = Some(data);
            }
            if let Some(data) = &counted.data {
                each_frame(&counted.segment, data, |_, frame| {
                    claims.apply(&frame, hasher);
                    Ok(())
                })?;
            }
        }
        Ok(claims)
    }

    /// Takes in the next frame of the log.
    pub(crate) fn apply(&mut self, frame: &Frame<'_>, hasher: &KeyHasher) {
        match frame {
            Frame::Claim(claim) => self.claim(claim, hasher),
            Frame::Completion(completion) => {
                self.end_of_key(completion.scope, completion.key, completion.token)
            }
            Frame::Release { token } => {
                if let Some(flight) = self.flights.remove(token) {
                    self.by_key.remove(&(flight.scope, flight.key));
                }
            }
            Frame::Unresolved { token, since } => {
                if let Some(flight) = self.flights.get_mut(token) {
                    flight.state = State::Unresolved { since: *since };
                }
            }
            Frame::Checkpoint { token, name, data } => {
                if let Some(flight) = self.flights.get_mut(token) {
                    flight.checkpoint = Some(Checkpoint::from_disk(name, data));
                }
            }
            Frame::Forget(_) => {}
        }
    }

    /// The newest claim of a key counts; a restated one may be older than what follows it, never
    /// newer.
    fn claim(&mut self, claim: &ClaimFrame<'_>, hasher: &KeyHasher) {
        let (Ok(scope), Ok(key)) = (Scope::from_bytes(claim.scope), Key::from_bytes(claim.key))
        else {
            return;
        };
        let name = (scope, key);
        if let Some(known) = self.by_key.get(&name) {
            if *known > claim.token {
                return;
            }
            self.flights.remove(known);
        }
        self.by_key.insert(name.clone(), claim.token);
        let hash = hasher.hash(claim.scope, claim.key);
        self.flights.insert(claim.token, flight_of(claim, name, hash));
    }

    fn end_of_key(&mut self, scope: &[u8], key: &[u8], token: Token) {
        let (Ok(scope), Ok(key)) = (Scope::from_bytes(scope), Key::from_bytes(key)) else { return };
        let name = (scope, key);
        if self.by_key.get(&name).is_some_and(|known| *known <= token)
            && let Some(known) = self.by_key.remove(&name)
        {
            self.flights.remove(&known);
        }
    }

    /// The claims, as the log left them.
    pub(crate) fn into_flights(self) -> impl Iterator<Item = Flight> {
        self.flights.into_values()
    }

    /// The claims, ownerless now: their process is gone. One that must not run twice becomes
    /// unresolved.
    pub(crate) fn ownerless(self, now: StoreTime) -> impl Iterator<Item = Flight> {
        self.flights.into_values().map(move |mut flight| {
            if matches!(flight.state, State::Held { .. }) {
                flight.state = match flight.policy {
                    DropPolicy::Unresolved => State::Unresolved { since: now },
                    DropPolicy::Hold | DropPolicy::Release => State::Abandoned { at: now },
                };
            }
            flight
        })
    }
}

fn flight_of(claim: &ClaimFrame<'_>, name: (Scope, Key), hash: KeyHash) -> Flight {
    Flight {
        hash,
        scope: name.0,
        key: name.1,
        fingerprint: Fingerprint::from_bytes(*claim.fingerprint),
        token: claim.token,
        attempt: claim.attempt,
        claimed_at: claim.claimed_at,
        ttl_ms: claim.ttl_ms,
        policy: DropPolicy::from_byte(claim.policy),
        state: match claim.state {
            ClaimState::Held => State::Held { until_ms: None, dropped: true },
            ClaimState::Abandoned { at } => State::Abandoned { at },
            ClaimState::Unresolved { since } => State::Unresolved { since },
        },
        checkpoint: claim.checkpoint.map(|(name, data)| Checkpoint::from_disk(name, data)),
        caller: None,
        ticket: Ticket::DONE,
        replaces: None,
        ended: None,
    }
}
