//! Keys of which something has expired, and nothing lives but a forget.
//!
//! What expired may be what was forgotten, or what that had replaced: of a forgotten key nothing is
//! told. Or the key was executed again after the forget, and with a shorter TTL: then it is a late
//! retry. Only the order of the frames tells, and footers do not have it; so for these keys, which
//! are few, footers are read once more and frames with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::pile::Entry;
use super::records::order_of;
use crate::engine::segment::Segment;
use crate::error::{ErrorKind, Result};
use crate::ids::{KeyHash, StoreTime, Token};
use crate::late::LateEntry;
use crate::log::FooterEntry;

/// What is known of one hash so far.
#[derive(Debug, Default)]
struct Found {
    /// The last forget. One that cannot be read hides all.
    forgotten: Option<Token>,
    /// What has expired, and its order.
    expired: Vec<(LateEntry, Token)>,
}

#[derive(Debug)]
pub(super) struct Forgotten {
    found: BTreeMap<KeyHash, Found>,
}

impl Forgotten {
    pub(super) fn new(hashes: Vec<KeyHash>) -> Self {
        let found = hashes.into_iter().map(|hash| (hash, Found::default())).collect();
        Self { found }
    }

    /// The expiries of records that were made after the last forget of their key.
    pub(super) fn after(
        mut self,
        segments: &[Arc<Segment>],
        tail: &[(Entry, Token)],
        now: StoreTime,
        remembers: impl Fn(StoreTime) -> bool,
    ) -> Result<Vec<LateEntry>> {
        let mut buffer = Vec::new();
        for segment in segments {
            let (_, entries) = segment.read_entries(&mut buffer)?;
            for entry in entries {
                let expires_at = entry.expires_at(segment.base);
                if entry.forget || (expires_at <= now && remembers(expires_at)) {
                    self.look_at(segment, &entry)?;
                }
            }
        }
        for (entry, order) in tail {
            let Some(found) = self.found.get_mut(&entry.hash) else { continue };
            match entry.remembered() {
                _ if entry.is_forget() => found.forgotten = found.forgotten.max(Some(*order)),
                Some(late) => found.expired.push((late, *order)),
                None => {}
            }
        }
        let after = self.found.into_values().flat_map(|Found { forgotten, expired }| {
            expired.into_iter().filter(move |(_, order)| Some(*order) > forgotten)
        });
        Ok(after.map(|(late, _)| late).collect())
    }

    fn look_at(&mut self, segment: &Segment, entry: &FooterEntry) -> Result<()> {
        let Some(found) = self.found.get_mut(&entry.hash) else { return Ok(()) };
        let order = match segment.read_frame(entry.offset, |frame| order_of(&frame)) {
            Ok(order) => order,
            Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
            // What would tell of a key that was forgotten is not told.
            Err(_) if entry.forget => Token(u64::MAX),
            Err(_) => Token(0),
        };
        if entry.forget {
            found.forgotten = found.forgotten.max(Some(order));
        } else if let Some(late) = LateEntry::expired(entry.hash, entry.expires_s) {
            found.expired.push((late, order));
        }
        Ok(())
    }
}
