//! What is bounded, and how much of it is in use (promise 10).

use std::collections::HashMap;

use super::flight::{Flight, State};
use crate::error::{Error, ErrorKind, Result};
use crate::options::Options;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::types::{DropPolicy, Scope};

#[derive(Debug)]
pub(crate) struct Limits {
    max_in_flight: u64,
    max_in_flight_bytes: u64,
    max_unresolved: u64,
    in_flight: AtomicU64,
    /// What the claims in flight take when they are stated again.
    in_flight_bytes: AtomicU64,
    unresolved: AtomicU64,
    /// New keys of each scope in the present window, if that is limited.
    scopes: Option<ScopeLimit>,
}

#[derive(Debug)]
struct ScopeLimit {
    max_keys: u64,
    window_ms: u64,
    window: Mutex<ScopeWindow>,
}

#[derive(Debug, Default)]
struct ScopeWindow {
    number: u64,
    keys: HashMap<Scope, u64>,
}

impl Limits {
    pub(crate) fn new(options: &Options, segment_size: u32) -> Self {
        let window_ms = u64::try_from(options.scope_window.as_millis()).unwrap_or(u64::MAX).max(1);
        Self {
            max_in_flight: options.max_in_flight as u64,
            // The restatement must leave most of a segment to new frames.
            max_in_flight_bytes: u64::from(segment_size) / 4,
            max_unresolved: options.max_unresolved as u64,
            in_flight: AtomicU64::new(0),
            in_flight_bytes: AtomicU64::new(0),
            unresolved: AtomicU64::new(0),
            scopes: options.max_new_keys_per_scope.map(|max_keys| ScopeLimit {
                max_keys,
                window_ms,
                window: Mutex::default(),
            }),
        }
    }

    /// Counts a flight that is to begin, and its scope's new key; or refuses what would pass a
    /// limit. The flight is counted before it is judged, so that two at a time cannot both be the
    /// last: at the limit one may be refused for another's sake that is refused as well.
    pub(crate) fn admit(&self, flight: &Flight, now_ms: u64) -> Result<()> {
        let in_flight = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let bytes = self.in_flight_bytes.fetch_add(restated_bytes(flight), Ordering::Relaxed);
        let admitted = self.judge(in_flight, bytes, flight, now_ms);
        if admitted.is_err() {
            self.leave(flight);
        }
        admitted
    }

    fn judge(&self, in_flight: u64, bytes: u64, flight: &Flight, now_ms: u64) -> Result<()> {
        let refuse = |what: String| Err(Error::new(ErrorKind::LimitExceeded, what));
        if in_flight >= self.max_in_flight {
            return refuse(format!(
                "{in_flight} claims are in flight, as many as Options::max_in_flight allows"
            ));
        }
        if bytes >= self.max_in_flight_bytes {
            return refuse(format!(
                "the claims in flight fill a quarter of a segment ({} bytes); larger segments \
                 allow more",
                self.max_in_flight_bytes
            ));
        }
        self.admit_policy(flight.policy)?;
        self.scopes.as_ref().map_or(Ok(()), |limit| limit.admit(&flight.scope, now_ms))
    }

    /// Refuses a claim that could become unresolved while there are as many as there may be.
    pub(crate) fn admit_policy(&self, policy: DropPolicy) -> Result<()> {
        let unresolved = self.unresolved.load(Ordering::Relaxed);
        if policy != DropPolicy::Unresolved || unresolved < self.max_unresolved {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::LimitExceeded,
            format!(
                "{unresolved} attempts are unresolved, as many as Options::max_unresolved allows; \
                 resolve some"
            ),
        ))
    }

    /// Refuses a checkpoint if the claims in flight would then take too much of a segment to state
    /// again.
    pub(crate) fn admit_checkpoint(&self, flight: &Flight, bytes: u64) -> Result<()> {
        let others =
            self.in_flight_bytes.load(Ordering::Relaxed).saturating_sub(restated_bytes(flight));
        let limit = 2 * self.max_in_flight_bytes;
        if others + flight.reserve() + bytes <= limit {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::LimitExceeded,
            format!(
                "with this checkpoint the claims in flight would take more than half of a segment \
                 ({limit} bytes); larger segments allow more"
            ),
        ))
    }

    /// Counts a flight that was in flight when the store was opened.
    pub(crate) fn enter(&self, flight: &Flight) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.in_flight_bytes.fetch_add(restated_bytes(flight), Ordering::Relaxed);
        if matches!(flight.state, State::Unresolved { .. }) {
            self.unresolved.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a flight that ended.
    pub(crate) fn leave(&self, flight: &Flight) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.in_flight_bytes.fetch_sub(restated_bytes(flight), Ordering::Relaxed);
        if matches!(flight.state, State::Unresolved { .. }) {
            self.settle();
        }
    }

    /// Counts an unresolved attempt that is resolved by its completion.
    pub(crate) fn settle(&self) {
        self.unresolved.fetch_sub(1, Ordering::Relaxed);
    }

    /// Changes a flight, keeping the counts right.
    pub(crate) fn change<T>(
        &self,
        flight: &mut Flight,
        change: impl FnOnce(&mut Flight) -> T,
    ) -> T {
        let is_unresolved = |flight: &Flight| matches!(flight.state, State::Unresolved { .. });
        let (bytes, unresolved) = (restated_bytes(flight), is_unresolved(flight));
        let result = change(flight);
        // It stays in flight: by no moment may others take its place.
        self.in_flight_bytes.fetch_add(restated_bytes(flight), Ordering::Relaxed);
        self.in_flight_bytes.fetch_sub(bytes, Ordering::Relaxed);
        match (unresolved, is_unresolved(flight)) {
            (false, true) => drop(self.unresolved.fetch_add(1, Ordering::Relaxed)),
            (true, false) => self.settle(),
            _ => {}
        }
        result
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn unresolved(&self) -> u64 {
        self.unresolved.load(Ordering::Relaxed)
    }

    /// What must stay free so that all claims in flight can end: no more than stating them again
    /// would take.
    pub(crate) fn reserved_bytes(&self) -> u64 {
        self.in_flight_bytes.load(Ordering::Relaxed)
    }
}

fn restated_bytes(flight: &Flight) -> u64 {
    let checkpoint = flight
        .checkpoint
        .as_ref()
        .map_or(0, |checkpoint| checkpoint.name().len() + checkpoint.data().len());
    flight.reserve() + checkpoint as u64
}

impl ScopeLimit {
    fn admit(&self, scope: &Scope, now_ms: u64) -> Result<()> {
        let number = now_ms / self.window_ms;
        let mut window = self.window.lock();
        if window.number != number {
            window.number = number;
            window.keys.clear();
        }
        let keys = window.keys.entry(scope.clone()).or_default();
        if *keys >= self.max_keys {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!(
                    "the scope has claimed {keys} new keys in this window of {} ms, as many as \
                     Options::scope_limit allows",
                    self.window_ms
                ),
            ));
        }
        *keys += 1;
        Ok(())
    }
}
