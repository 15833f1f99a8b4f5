//! Which of a key's frames counts: the newest record, unless it is forgotten or claimed again.
//!
//! A hash that only one record has needs no look at it. Where several have it, or a forget or a
//! claim does, the keys themselves are read: equal hashes do not make equal keys.

use std::collections::HashMap;

use super::reader::Life;
use super::snapshot::{Located, Seen, segment_of};
use crate::engine::Flight;
use crate::error::{ErrorKind, Result};
use crate::ids::{KeyHash, Token};
use crate::log::Frame;

/// What is left.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) records: Vec<Located>,
    pub(super) flights: Vec<Flight>,
    /// Segments with frames that could not be read.
    pub(super) doubts: Vec<Life>,
}

/// Who a frame on disk is about.
#[derive(Debug)]
struct Identity {
    scope: Vec<u8>,
    key: Vec<u8>,
    /// A completion's token or a forget's sequence.
    order: Token,
}

/// Decides what counts of all records, forgets and claims.
pub(super) fn resolve(
    segments: &[Seen],
    mut records: Vec<Located>,
    mut forgets: Vec<Located>,
    flights: Vec<Flight>,
) -> Result<Resolved> {
    let mut resolver = Resolver { segments, resolved: Resolved::default() };
    let mut claimed: HashMap<KeyHash, Vec<Flight>> = HashMap::new();
    for flight in flights {
        claimed.entry(flight.hash).or_default().push(flight);
    }
    records.sort_unstable_by_key(|place| place.hash);
    forgets.sort_unstable_by_key(|place| place.hash);
    let mut forgets = forgets.as_slice();
    for run in records.chunk_by(|one, next| one.hash == next.hash) {
        let Some(hash) = run.first().map(|place| place.hash) else { continue };
        let skip = forgets.partition_point(|place| place.hash < hash);
        forgets = forgets.get(skip..).unwrap_or_default();
        let count = forgets.partition_point(|place| place.hash == hash);
        let hiding = forgets.get(..count).unwrap_or_default();
        let flights = claimed.get_mut(&hash);
        if run.len() == 1 && hiding.is_empty() && flights.is_none() {
            resolver.resolved.records.extend(run);
        } else {
            resolver.settle(run, hiding, flights.unwrap_or(&mut Vec::new()))?;
        }
    }
    resolver.resolved.flights = claimed.into_values().flatten().collect();
    Ok(resolver.resolved)
}

struct Resolver<'a> {
    segments: &'a [Seen],
    resolved: Resolved,
}

impl Resolver<'_> {
    /// Settles the records of one hash.
    fn settle(
        &mut self,
        run: &[Located],
        hiding: &[Located],
        flights: &mut Vec<Flight>,
    ) -> Result<()> {
        let mut newest: Vec<(Identity, Located)> = Vec::new();
        for place in run {
            let Some(identity) = self.identity(place)? else {
                // Nobody can say whose it is: whoever reads it is told that it cannot be read.
                self.resolved.records.push(*place);
                continue;
            };
            match newest.iter_mut().find(|(known, _)| known.is_of_key_of(&identity)) {
                Some(known) if known.0.order < identity.order => *known = (identity, *place),
                Some(_) => {}
                None => newest.push((identity, *place)),
            }
        }
        for place in hiding {
            let Some(forget) = self.identity(place)? else { continue };
            newest.retain(|(known, _)| !known.is_of_key_of(&forget) || known.order >= forget.order);
        }
        flights.retain(|flight| {
            let is_of_key = |known: &Identity| {
                known.scope == flight.scope.as_bytes() && known.key == flight.key.as_bytes()
            };
            let completed = |known: &Identity| is_of_key(known) && known.order >= flight.token;
            if newest.iter().any(|(known, _)| completed(known)) {
                return false;
            }
            newest.retain(|(known, _)| !is_of_key(known));
            true
        });
        self.resolved.records.extend(newest.into_iter().map(|(_, place)| place));
        Ok(())
    }

    fn identity(&mut self, place: &Located) -> Result<Option<Identity>> {
        let segment = segment_of(self.segments, place)?;
        let read = segment.read_frame(place.offset, |frame| {
            let (scope, key, order) = match &frame {
                Frame::Completion(record) => (record.scope, record.key, record.token),
                Frame::Forget(forget) => (forget.scope, forget.key, forget.sequence),
                _ => return None,
            };
            Some(Identity { scope: scope.to_vec(), key: key.to_vec(), order })
        });
        match read {
            Ok(Some(identity)) => Ok(Some(identity)),
            Err(error) if error.kind() != ErrorKind::Corrupt => Err(error),
            Ok(None) | Err(_) => {
                self.resolved.doubts.push((segment.id, segment.nonce));
                Ok(None)
            }
        }
    }
}

impl Identity {
    fn is_of_key_of(&self, other: &Self) -> bool {
        self.scope == other.scope && self.key == other.key
    }
}
