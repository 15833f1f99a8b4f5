//! All keys one after another, and one key alone.
//!
//! Records are read a segment at a time. Where a segment's file went on to another life before it
//! was read, a later view says where its records are now; those that are nowhere have expired, or
//! were forgotten, since the look began.

use std::collections::HashSet;

use super::reader::all_named;
use super::row::{KeyDetail, KeyRow, KeyState};
use super::snapshot::{Located, Snapshot, data_of};
use super::{Inspector, TRIES, changes_too_fast};
use crate::engine::DamageReport;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{KeyHash, StoreTime};
use crate::index::KeyHasher;
use crate::log::{CompletionFrame, Frame};
use crate::types::{Key, Scope, StoredResponse};

/// Which keys are wanted. The default is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyFilter {
    scope: Option<Scope>,
    state: Option<KeyState>,
}

impl KeyFilter {
    /// All keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only keys of this scope.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// Only keys in this state.
    #[must_use]
    pub fn state(mut self, state: KeyState) -> Self {
        self.state = Some(state);
        self
    }

    fn passes(&self, row: &KeyRow) -> bool {
        self.scope.as_ref().is_none_or(|scope| *scope == row.scope)
            && self.state.is_none_or(|state| state == row.state)
    }
}

/// The keys of a store. What [`Inspector::keys`] returns.
#[derive(Debug)]
pub struct Keys<'a> {
    inspector: &'a Inspector,
    filter: KeyFilter,
    snapshot: Snapshot,
    flights: usize,
    records: usize,
    /// A segment and its bytes.
    loaded: Option<(u32, Vec<u8>)>,
    /// Records whose segment was gone before they were read.
    missing: HashSet<KeyHash>,
    tries: usize,
    failed: bool,
}

impl<'a> Keys<'a> {
    pub(super) fn new(inspector: &'a Inspector, snapshot: Snapshot, filter: KeyFilter) -> Self {
        Self {
            inspector,
            filter,
            snapshot,
            flights: 0,
            records: 0,
            loaded: None,
            missing: HashSet::new(),
            tries: 0,
            failed: false,
        }
    }

    /// What could not be read before the first key, and may have held others.
    #[must_use]
    pub fn damage(&self) -> &[DamageReport] {
        &self.snapshot.damage
    }

    /// The moment by which expiry is judged.
    #[must_use]
    pub fn now(&self) -> StoreTime {
        self.snapshot.now
    }

    fn advance(&mut self) -> Result<Option<KeyRow>> {
        loop {
            if let Some(flight) = self.snapshot.flights.get(self.flights) {
                self.flights += 1;
                let row = KeyRow::of_flight(flight, self.snapshot.owner, self.snapshot.now);
                if self.filter.passes(&row) {
                    return Ok(Some(row));
                }
            } else if let Some(place) = self.snapshot.records.get(self.records).copied() {
                self.records += 1;
                if let Some(row) = self.record(&place)?.filter(|row| self.filter.passes(row)) {
                    return Ok(Some(row));
                }
            } else if self.missing.is_empty() {
                return Ok(None);
            } else {
                self.look_again()?;
            }
        }
    }

    /// The row of a record; `None` if it has moved.
    fn record(&mut self, place: &Located) -> Result<Option<KeyRow>> {
        if self.loaded.as_ref().is_none_or(|(segment, _)| *segment != place.segment) {
            let Some(seen) = self.snapshot.segments.get(place.segment as usize) else {
                return Ok(None);
            };
            self.loaded = Some((place.segment, data_of(seen)?));
        }
        let bytes = self.loaded.as_ref().map_or(&[][..], |(_, bytes)| bytes);
        let bytes = bytes.get(place.offset as usize..).unwrap_or_default();
        let segment = self.snapshot.segment_of(place)?;
        let name = segment.slot.file_name();
        match Frame::decode(bytes, segment.place(place.offset), segment.base) {
            Ok((Frame::Completion(frame), _)) => {
                let place = (name, u64::from(place.offset));
                KeyRow::of_completion(&frame, place, self.snapshot.now).map(Some)
            }
            _ if all_named(self.inspector, &[(segment.id, segment.nonce)])? => Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "{name} is damaged at offset {}: the record there cannot be read (`oncekey \
                         verify` lists all damage)",
                    place.offset
                ),
            )),
            _ => {
                self.missing.insert(place.hash);
                Ok(None)
            }
        }
    }

    /// Finds what has moved in a later view. What it has besides came later and is left out.
    fn look_again(&mut self) -> Result<()> {
        if self.tries == TRIES {
            return Err(changes_too_fast());
        }
        self.tries += 1;
        let mut snapshot = Snapshot::take(self.inspector)?;
        // Two keys that share all 64 bits of a hash could be told twice here, or one in the place
        // of the other; in a listing of a store that changes, that is let pass.
        snapshot.records.retain(|place| self.missing.contains(&place.hash));
        snapshot.flights.clear();
        self.missing.clear();
        self.loaded = None;
        self.flights = 0;
        self.records = 0;
        self.snapshot = snapshot;
        Ok(())
    }
}

impl Iterator for Keys<'_> {
    type Item = Result<KeyRow>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.advance().transpose();
        // Damage is one record's; anything else would come back for ever.
        self.failed = matches!(&item, Some(Err(error)) if error.kind() != ErrorKind::Corrupt);
        item
    }
}

/// What is known of one key.
pub(super) fn find(inspector: &Inspector, scope: &Scope, key: &Key) -> Result<Option<KeyDetail>> {
    for _ in 0..TRIES {
        let snapshot = Snapshot::take(inspector)?;
        let mut flights = snapshot.flights.iter();
        if let Some(flight) = flights.find(|flight| flight.is_for(scope, key)) {
            return Ok(Some(KeyDetail {
                row: KeyRow::of_flight(flight, snapshot.owner, snapshot.now),
                response: None,
                checkpoint: flight.checkpoint.clone(),
                now: snapshot.now,
            }));
        }
        let hash =
            KeyHasher::new(&snapshot.manifest.hash_key).hash(scope.as_bytes(), key.as_bytes());
        match find_record(&snapshot, hash, scope, key) {
            Ok(None) if snapshot.lossy => return Err(cannot_tell(&snapshot.damage)),
            Ok(found) => return Ok(found),
            Err((error, life)) => {
                if error.kind() != ErrorKind::Corrupt || all_named(inspector, &[life])? {
                    return Err(error);
                }
            }
        }
    }
    Err(changes_too_fast())
}

/// A key that was not found in a store of which something is lost.
fn cannot_tell(damage: &[DamageReport]) -> Error {
    let first = damage.first().map_or_else(String::new, |first| format!(": {first}"));
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "the key was not found, and that it never was there cannot be told, since part of the \
             store is damaged{first} (`oncekey verify` lists all damage)"
        ),
    )
}

type LifeError = (Error, super::reader::Life);

fn find_record(
    snapshot: &Snapshot,
    hash: KeyHash,
    scope: &Scope,
    key: &Key,
) -> std::result::Result<Option<KeyDetail>, LifeError> {
    for place in snapshot.records.iter().filter(|place| place.hash == hash) {
        let Ok(segment) = snapshot.segment_of(place) else { continue };
        let told_at = (segment.slot.file_name(), u64::from(place.offset));
        let read = segment.read_frame(place.offset, |frame| match frame {
            Frame::Completion(frame) if is_of(&frame, scope, key) => {
                let body = frame.response.unpack().ok_or_else(|| cannot_unpack(&told_at))?;
                let response = StoredResponse::new(body).with_status(frame.status);
                let row = KeyRow::of_completion(&frame, told_at, snapshot.now)?;
                Ok(Some(KeyDetail {
                    row,
                    response: Some(response),
                    checkpoint: None,
                    now: snapshot.now,
                }))
            }
            _ => Ok(None),
        });
        match read.flatten() {
            Ok(None) => {}
            Ok(found) => return Ok(found),
            Err(error) => return Err((error, (segment.id, segment.nonce))),
        }
    }
    Ok(None)
}

fn cannot_unpack((file, offset): &(String, u64)) -> Error {
    let message = format!("the response at offset {offset} of {file} cannot be unpacked");
    Error::new(ErrorKind::Corrupt, message)
}

fn is_of(frame: &CompletionFrame<'_>, scope: &Scope, key: &Key) -> bool {
    frame.scope == scope.as_bytes() && frame.key == key.as_bytes()
}
