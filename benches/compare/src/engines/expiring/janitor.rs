//! A peer's records and their index in order of expiry, and the janitor that prunes by it.

use std::thread;

use super::{Expiring, Pace, Pruned};
use crate::workload::Request;

/// Records a transaction of a load.
const LOAD_BATCH: usize = 10_000;
/// Bytes of an expiry at the head of an index entry.
pub const EXPIRY_BYTES: usize = 8;

/// A completed record and its entry in the index.
pub struct Step {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    /// When it expires, big-endian, and the key: sorts by time.
    pub due: Vec<u8>,
}

impl Step {
    pub fn new(request: &Request, expires_ms: u64) -> Self {
        let (key, value) = (request.joined(), request.completed_value());
        let mut due = expires_ms.to_be_bytes().to_vec();
        due.extend_from_slice(&key);
        Self { key, value, due }
    }
}

/// A store with a table of records and an index in order of expiry. Each call is one durable
/// transaction.
pub trait Indexed: Send + Sync {
    /// Stores the value if the key is absent; false if it is present.
    fn claim(&self, key: &[u8], value: &[u8]) -> bool;

    /// Stores completed records and their index entries.
    fn complete(&self, steps: &[Step]);

    /// Removes up to `limit` records, with their entries, that come after `after` in the index and
    /// before `end`. Answers how many, and leaves the last entry in `after`.
    fn expire(&self, after: &mut Vec<u8>, end: &[u8], limit: usize) -> usize;
}

/// The key in an index entry.
pub fn key_of(due: &[u8]) -> &[u8] {
    &due[EXPIRY_BYTES..]
}

/// Prunes an indexed store, one paced transaction after the other.
pub struct Janitor<S> {
    pub store: S,
    pub pace: Pace,
}

impl<S: Indexed> Expiring for Janitor<S> {
    fn load(&self, requests: &mut dyn Iterator<Item = (Request, u64)>) {
        loop {
            let steps = requests.take(LOAD_BATCH);
            let steps: Vec<_> =
                steps.map(|(request, expires_ms)| Step::new(&request, expires_ms)).collect();
            if steps.is_empty() {
                break;
            }
            self.store.complete(&steps);
        }
    }

    fn cycle(&self, request: &Request, expires_ms: u64) -> bool {
        let won = self.store.claim(&request.joined(), &request.claimed_value());
        if won {
            self.store.complete(&[Step::new(request, expires_ms)]);
        }
        won
    }

    fn prune(&self, expired_ms: u64) -> Pruned {
        let end = (expired_ms + 1).to_be_bytes();
        let (mut after, mut pruned) = (Vec::new(), 0);
        loop {
            let count = self.store.expire(&mut after, &end, self.pace.batch);
            pruned += count as u64;
            if count < self.pace.batch {
                return Pruned::just_now(pruned);
            }
            thread::sleep(self.pace.pause);
        }
    }
}
