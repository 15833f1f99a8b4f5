//! The store as a service sees it: one method a verb, claims as guards, outcomes as values.
//!
//! Every verb returns a value that is awaited on any executor or waited for by a thread. `claim`
//! does nothing until then; everything else is decided when it is called, and its value only waits
//! for the disk.
//!
//! Left to others: every decision ([`crate::engine`]).

#![cfg_attr(not(test), deny(clippy::disallowed_types))]

mod call;
mod claim;
mod claim_call;
mod close;
mod flight_call;
mod inner;
mod once;
mod outcome;
mod plain;
mod record;
mod unresolved;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use call::Pending;
pub use claim::{Claim, ClaimContext, CompleteCall, CompleteError};
pub use claim_call::ClaimCall;
pub use close::{CloseCall, Closed};
pub use flight_call::FlightCall;
pub(crate) use inner::{Creation, Inner};
pub use once::{Abort, OnceCall, OnceError};
pub use outcome::{InFlight, Late, Mismatch, Outcome};
pub(crate) use plain::Named;
pub use record::{Entry, Record, RecordParts};
pub use unresolved::{Resolution, Unresolved};

#[cfg(any(test, feature = "simulation"))]
use crate::engine::Pace;
use crate::engine::{Compacted, CompactionPause, Found, Pruned, RecoveryReport, Stats, Ticket};
use crate::error::Result;
use crate::ids::StoreId;
use crate::options::Options;
use crate::telemetry::events;
use crate::types::{ClaimRequest, Key, Scope};

/// A store of idempotency records. Cloning is cheap; all clones are one store.
///
/// The store stays open, and its directory locked, until the last clone, claim,
/// [`ClaimContext`] and waiter is gone, or until [`close`](Self::close) has closed it.
///
/// ```
/// use oncekey::{ClaimRequest, Key, Outcome, Scope, Store, StoredResponse};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("state");
/// let store = Store::open_or_create(&path)?;
/// let request = ClaimRequest::new(Scope::new("acct_42")?, Key::new("8e0bd2")?)
///     .operation("POST /v1/charges")
///     .payload(br#"{"amount": 100}"#);
///
/// match store.claim(request.clone()).wait()? {
///     Outcome::Claimed(claim) => {
///         // Charge the card here, sending claim.downstream_key() along; then:
///         claim.complete(StoredResponse::new("charged").with_status(201)).wait()?;
///     }
///     Outcome::Replay(record) => println!("{:?}", record.response()),
///     other => println!("not now: {other:?}"),
/// }
/// // Every retry gets the same bytes.
/// let Outcome::Replay(record) = store.claim(request).wait()? else { panic!() };
/// assert_eq!(record.response().body(), b"charged");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

impl Store {
    /// Opens the store in a directory, with the defaults of [`Options`].
    ///
    /// # Errors
    /// [`WrongStore`](crate::ErrorKind::WrongStore) if there is none,
    /// [`Locked`](crate::ErrorKind::Locked) if another process owns it (the text says which),
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if something durable is lost,
    /// [`VersionTooNew`](crate::ErrorKind::VersionTooNew) if a newer version wrote it, and
    /// [`DiskFull`](crate::ErrorKind::DiskFull) or [`Io`](crate::ErrorKind::Io) for what the system
    /// refuses.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Options::new().open(path)
    }

    /// Creates a store in a directory that is missing or empty, with the defaults of [`Options`].
    ///
    /// # Errors
    /// As [`open`](Self::open); [`WrongStore`](crate::ErrorKind::WrongStore) if there is something
    /// already.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        Options::new().create(path)
    }

    /// Opens the store in a directory, or creates it if the directory is missing or empty.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_or_create(path: impl AsRef<Path>) -> Result<Self> {
        Options::new().open_or_create(path)
    }

    pub(crate) fn with_options(path: &Path, options: &Options, creation: Creation) -> Result<Self> {
        let open = || Inner::open(path, options, creation);
        Ok(Self { inner: events::while_opening(path, open)? })
    }

    /// Claims a key. Nothing happens until the value is awaited or waited for.
    ///
    /// Dropping the future before it has an outcome releases the claim, whatever its policy.
    ///
    /// # Errors (of the awaited value)
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a TTL or lease of zero or over a
    /// hundred years, [`LimitExceeded`](crate::ErrorKind::LimitExceeded),
    /// [`DiskFull`](crate::ErrorKind::DiskFull) (nothing was decided),
    /// [`Poisoned`](crate::ErrorKind::Poisoned), [`Closed`](crate::ErrorKind::Closed), and
    /// [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) if the disk failed under it.
    pub fn claim(&self, request: ClaimRequest) -> ClaimCall {
        ClaimCall::new(self.inner.clone(), request)
    }

    /// All of it in one call: claims the key, runs `execute` if it was won, stores its response,
    /// and gives everybody else the first answer. See [`OnceCall`].
    pub fn once<F, Fut, E>(&self, request: ClaimRequest, execute: F) -> OnceCall<F>
    where
        F: FnOnce(ClaimContext) -> Fut,
        Fut: Future<Output = std::result::Result<crate::StoredResponse, Abort<E>>>,
    {
        OnceCall::new(self.clone(), request, execute)
    }

    /// Looks a key up without claiming it. Expired records are not found.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if the record is damaged: that never reads as
    /// "absent".
    pub fn get(&self, scope: &Scope, key: &Key) -> Pending<Option<Entry>> {
        let found = self.inner.engine.look_up(scope, key).map(|(found, ticket)| {
            let entry = match found {
                Found::Nothing => None,
                Found::Completed(completed) => Some(Entry::Completed(Record::new(completed, true))),
                Found::InFlight { token, attempt, claimed_at } => {
                    Some(Entry::InFlight { token, attempt, claimed_at })
                }
                Found::Unresolved { token, attempt, since } => Some(Entry::Unresolved(
                    Unresolved::new(scope.clone(), key.clone(), token, attempt, since),
                )),
            };
            (entry, ticket)
        });
        Pending::new(self.inner.clone(), found)
    }

    /// Settles an unresolved attempt. The key is replayed or free from then on.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if nothing is unresolved for the key (any more: the
    /// holder may complete it meanwhile),
    /// [`InFlight`](crate::ErrorKind::InFlight) if its holder may still decide.
    pub fn resolve(&self, scope: &Scope, key: &Key, resolution: Resolution) -> Pending<()> {
        let response = match resolution {
            Resolution::Completed(response) => Some(response),
            Resolution::NotExecuted => None,
        };
        let decided = self.inner.engine.resolve(scope, key, None, response);
        Pending::new(self.inner.clone(), decided.map(|ticket| ((), ticket)))
    }

    /// Every unresolved attempt, oldest first. Their number is limited by
    /// [`Options::max_unresolved`](crate::Options::max_unresolved).
    #[must_use]
    pub fn unresolved(&self) -> Vec<Unresolved> {
        let mut all: Vec<_> = self
            .inner
            .engine
            .unresolved()
            .into_iter()
            .map(|(scope, key, token, attempt, since)| {
                Unresolved::new(scope, key, token, attempt, since)
            })
            .collect();
        all.sort_by_key(|unresolved| (unresolved.since(), unresolved.token()));
        all
    }

    /// Forgets a key's record before its TTL is over; says whether there was one. The key may run
    /// again.
    ///
    /// # Errors
    /// [`InFlight`](crate::ErrorKind::InFlight) if the key is in flight or unresolved.
    pub fn forget(&self, scope: &Scope, key: &Key) -> Pending<bool> {
        Pending::new(self.inner.clone(), self.inner.engine.forget(scope, key))
    }

    /// Forgets every record of a scope, and says how many. Keys in flight or unresolved stay. It
    /// reads every record of the store to find them, on the calling thread.
    ///
    /// # Errors
    /// As [`forget`](Self::forget), of the first that fails; those before it are forgotten.
    pub fn forget_scope(&self, scope: &Scope) -> Pending<u64> {
        Pending::new(self.inner.clone(), self.inner.engine.forget_scope(scope))
    }

    /// Waits until everything decided so far is on stable storage, in either durability.
    ///
    /// # Errors
    /// [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) if the disk fails.
    pub fn flush(&self) -> FlushCall {
        FlushCall {
            pending: Pending::new(self.inner.clone(), Ok(((), self.inner.engine.everything()))),
        }
    }

    /// What the store holds and has done.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.engine.stats()
    }

    /// Hands the gauges and counters of [`stats`](Self::stats) to the recorder of the `metrics`
    /// facade now, rather than within a second, as the store does by itself.
    #[cfg(feature = "metrics")]
    pub fn publish_metrics(&self) {
        self.inner.engine.meter.publish(&self.inner.engine);
    }

    /// What opening it found.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.inner.engine.recovered
    }

    /// The store's identity, for [`Options::expect_id`](crate::Options::expect_id).
    #[must_use]
    pub fn id(&self) -> StoreId {
        self.inner.engine.store_id()
    }

    /// Refuses new claims, waits for the outstanding ones up to `timeout`, and closes the store if
    /// none remain; says how many do. With some remaining, the store closes when the last claim,
    /// claim's context, waiter and clone of it is gone.
    ///
    /// The timeout is counted by the store's clock. In a simulated world without threads waiting
    /// lets the time pass.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) or [`Poisoned`](crate::ErrorKind::Poisoned) if the end could
    /// not be written; the next open recovers then.
    pub fn close(&self, timeout: Duration) -> CloseCall {
        CloseCall::new(self.inner.clone(), timeout)
    }

    /// Removes every record that has expired by now, rather than in the background: whole segments
    /// give their room back, other records leave memory and give theirs back when their segment is
    /// compacted. It works on the calling thread, as fast as it can, also while compaction is
    /// paused.
    ///
    /// Where a hundred thousand records and more expire, their segments' room comes back some
    /// seconds later: once the store has written down, by itself and slowly enough for nobody to
    /// notice, which keys they were ([`Options::remember_late`](crate::Options::remember_late)). It
    /// comes back at once while compaction is paused, or the disk is short of room.
    ///
    /// # Errors
    /// [`Poisoned`](crate::ErrorKind::Poisoned), [`Closed`](crate::ErrorKind::Closed).
    pub fn prune(&self) -> Pending<Pruned> {
        let pruned = self.inner.engine.prune();
        Pending::new(self.inner.clone(), pruned.map(|pruned| (pruned, Ticket::DONE)))
    }

    /// Gives back what is dead by now, rather than in the background and once it is much: moves
    /// what lives in mostly dead segments, and drops the expired ones. It works on the calling
    /// thread, as fast as it can, also while compaction is paused.
    ///
    /// # Errors
    /// As [`prune`](Self::prune).
    pub fn compact(&self) -> Pending<Compacted> {
        let compacted = self.inner.engine.compact_all();
        Pending::new(self.inner.clone(), compacted.map(|done| (done, Ticket::DONE)))
    }

    /// Keeps the store from pruning and compacting by itself until the value is dropped: while a
    /// copy is made, or for a busy hour. Disk and memory in use grow meanwhile. What runs when it
    /// is called is waited for.
    pub fn pause_compaction(&self) -> CompactionPause {
        self.inner.engine.pause_compaction()
    }
}

/// What [`Store::flush`] returns.
#[derive(Debug)]
#[must_use = "nothing is waited for until it is awaited or waited for"]
pub struct FlushCall {
    pending: Pending<()>,
}

impl FlushCall {
    /// Waits on this thread.
    ///
    /// # Errors
    /// See [`Store::flush`].
    pub fn wait(self) -> Result<()> {
        let inner = self.pending.inner().clone();
        self.pending.wait()?;
        inner.engine.sync_now()
    }
}

impl Future for FlushCall {
    type Output = Result<()>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<()>> {
        let written = std::task::ready!(std::pin::Pin::new(&mut self.pending).poll(cx));
        // In `Sync` mode this finds nothing to do; in `Interval` mode it is one sync, on this
        // thread.
        std::task::Poll::Ready(written.and_then(|()| self.pending.inner().engine.sync_now()))
    }
}

/// The steps a store takes in the background, for tests that take them in their own order.
#[cfg(any(test, feature = "simulation"))]
impl Store {
    /// Opens a store in a simulated world, without threads unless `environment` says otherwise.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_in(
        environment: &crate::engine::Environment,
        options: &Options,
        create: bool,
    ) -> Result<Self> {
        let creation = if create { Creation::IfMissing } else { Creation::Never };
        Ok(Self { inner: Inner::open_in(environment, options, creation)? })
    }

    /// Commits what is queued; false if there was nothing to do.
    pub fn step_commit(&self) -> bool {
        self.inner.engine.step_commit()
    }

    /// One round of upkeep.
    pub fn step_upkeep(&self) {
        self.inner.engine.step_upkeep();
    }

    /// What the store is made of.
    pub(crate) fn engine(&self) -> &Arc<crate::engine::Engine> {
        &self.inner.engine
    }

    /// How many claims are in flight, counted one by one.
    #[cfg(test)]
    pub(crate) fn count_flights(&self) -> usize {
        self.inner.engine.count_flights()
    }

    /// How many waiters have a timer.
    #[cfg(test)]
    pub(crate) fn count_timers(&self) -> usize {
        self.inner.engine.timers.len()
    }

    /// One round of upkeep; says how long the next one may wait.
    #[cfg(test)]
    pub(crate) fn step_upkeep_for(&self) -> std::time::Duration {
        self.inner.engine.step_upkeep().rest
    }

    /// One round of the audit thread.
    pub fn step_audit(&self) {
        self.inner.engine.audit.step(&self.inner.engine.time);
    }

    /// One round of the audit thread, called since there is much for it: it writes what is due.
    pub(crate) fn step_audit_called(&self) {
        self.inner.engine.audit.step_called(&self.inner.engine.time);
    }

    /// Drops expired segments, as the compaction thread would; false if there were none.
    pub fn step_prune(&self) -> bool {
        let engine = &self.inner.engine;
        engine.step_prune(&mut Pace::background(engine)) > 0
    }

    /// One compaction, as [`compact`](Self::compact) would make it; false if none was worth it.
    pub fn step_compact(&self) -> bool {
        self.inner.engine.step_compact(Pace::hurried())
    }

    /// Makes a run of the expired keys that are remembered in memory alone; false if none is due.
    pub(crate) fn step_late(&self) -> bool {
        self.inner.engine.step_late(&mut Pace::hurried())
    }

    /// What the compaction thread would do next; false if that is nothing.
    pub fn step_rewrite(&self) -> bool {
        self.inner.engine.step_rewrite()
    }
}
