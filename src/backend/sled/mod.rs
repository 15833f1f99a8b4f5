//! A sled database as a backend, for services that own one already (feature `sled`).
//!
//! A key is one value in one tree; each verb is one transaction, and sled runs transactions one at
//! a time, so that reading a value, drawing a token and writing the next value are one step. Tokens
//! are sled's own ids, which it promises on disk in blocks and never gives out twice, also after a
//! kill. What is told was flushed before.
//!
//! Left to others: every decision (`decide.rs`), the bytes (`value.rs`), waking (`alarm.rs`).

mod alarm;
mod decide;
#[cfg(test)]
mod tests;
mod value;

use std::cell::Cell;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use ::sled::transaction::{ConflictableTransactionError, TransactionError, TransactionalTree};
use parking_lot::Mutex;

use alarm::Alarm;
use decide::{Asked, Moment, Next};
use value::{State, Value};

use super::{Backend, Capabilities, ClaimId, Outcome, OwnerId, Survives, Waiting};
use crate::clock::{Clock, RealClock};
use crate::error::{Error, ErrorKind, Result};
use crate::expiry::{LeapRules, StoreClock};
use crate::ids::{StoreTime, Token};
use crate::options::{KeptFor, Options, check_duration};
use crate::store::{Entry, Record, Resolution, Unresolved};
use crate::types::{Checkpoint, ClaimRequest, Key, Scope, StoredResponse};

/// The tree that holds everything.
const TREE: &str = "oncekey";
/// The key of the last store time; those of records begin with another byte.
const TIME: &[u8] = &[0];
const RECORD: u8 = 1;
/// A claim looks at so many other records, and removes those that have expired.
const SWEPT: usize = 2;
/// Who waits looks at least so often, in case another handle of the same database made the change.
const LOOK_MS: u64 = 1000;

/// Idempotency records in a [`sled::Db`](::sled::Db). Cloning is cheap; all clones are one backend.
///
/// It keeps the contract with a weaker durability, which it declares: sled's flush hands data to
/// the operating system and does not flush the device, so what was told survives the death of the
/// process ([`Survives::ProcessDeath`]) and not a power cut. After one of those a key may run
/// again, and a token may be given again. One process has a sled database open, so it is not
/// shared, either.
///
/// Leases are on disk: a claim whose process died is taken over when its lease is over, not at the
/// next opening. There is no limit on claims in flight or unresolved. Expired records are removed a
/// few at a time by the claims that come after them, or all at once by [`prune`](Self::prune).
///
/// ```
/// use oncekey::ClaimRequest;
/// use oncekey::backend::{Backend, Survives, SledBackend};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// let db = sled::open(dir.path().join("db"))?;
/// let backend = SledBackend::open(&db)?;
/// assert_eq!(backend.capabilities().survives(), Survives::ProcessDeath);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct SledBackend {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    tree: ::sled::Tree,
    time: Arc<StoreClock>,
    options: Options,
    alarm: Alarm,
    /// Where the next sweep begins.
    sweep: Mutex<Vec<u8>>,
}

impl SledBackend {
    /// Keeps records in a tree named `oncekey` of this database, with the defaults of [`Options`].
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) for what sled refuses.
    pub fn open(db: &::sled::Db) -> Result<Self> {
        Self::with_options(db, &Options::new())
    }

    /// The same with other defaults. Of the options these count: TTL, lease, policy, the largest
    /// response, whether late retries are refused, and when a leap of the clock is believed.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for options that cannot be, [`Io`](ErrorKind::Io)
    /// for what sled refuses.
    pub fn with_options(db: &::sled::Db, options: &Options) -> Result<Self> {
        Self::open_at(db, options, Arc::new(RealClock))
    }

    /// The same under a clock that is driven by hand.
    ///
    /// # Errors
    /// As [`with_options`](Self::with_options).
    #[cfg(any(test, feature = "simulation"))]
    pub fn with_clock(db: &::sled::Db, options: &Options, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::open_at(db, options, clock)
    }

    fn open_at(db: &::sled::Db, options: &Options, clock: Arc<dyn Clock>) -> Result<Self> {
        options.validate()?;
        let tree = db.open_tree(TREE).map_err(|error| unavailable(&error))?;
        let last = tree.get(TIME).map_err(|error| unavailable(&error))?;
        let last = last.and_then(|bytes| bytes.as_ref().try_into().ok()).map(u64::from_be_bytes);
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let rules = LeapRules {
            threshold_ms: ms(options.leap_threshold),
            confirmation_ms: ms(options.leap_confirmation),
        };
        let time = Arc::new(StoreClock::resume(clock, rules, last.map(StoreTime)));
        let (alarm, sweep) = (Alarm::new(), Mutex::new(vec![RECORD]));
        let options = options.clone();
        Ok(Self { inner: Arc::new(Inner { tree, time, options, alarm, sweep }) })
    }

    /// Removes every record that has expired; says how many.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) for what sled refuses, [`Corrupt`](ErrorKind::Corrupt) for a value
    /// that is no record.
    pub fn prune(&self) -> Result<u64> {
        let mut removed = 0;
        for pair in self.inner.tree.range([RECORD]..) {
            let (name, bytes) = pair.map_err(|error| unavailable(&error))?;
            removed += u64::from(self.inner.remove_if_expired(&name, &bytes)?);
        }
        Ok(removed)
    }
}

/// What a transaction came to.
struct Changed<T> {
    told: T,
    /// Whether it may rest on what is not flushed yet.
    flush: bool,
    wrote: bool,
}

impl Inner {
    /// One step of a key: reads its value, decides, and writes what follows.
    fn step<T>(
        &self,
        name: &[u8],
        decide: impl Fn(Option<Value>, Moment, &dyn Fn() -> Drawn) -> Step<T>,
    ) -> Result<Changed<T>> {
        self.time.tick();
        // From then on a failure may have left a part behind.
        let committing = Cell::new(false);
        let done = self.tree.transaction(|tree: &TransactionalTree| {
            let moment = self.moment();
            let value = tree.get(name)?.map(|bytes| Value::decode(&bytes)).transpose();
            let value = value.map_err(ConflictableTransactionError::Abort)?;
            let draw = || Ok(tree.generate_id()?.saturating_add(1));
            let (told, next) = decide(value, moment, &draw)?;
            let wrote = !matches!(next, Next::Same);
            match next {
                Next::Same => {}
                Next::Put(value) => drop(tree.insert(name, value.encode())?),
                Next::Remove => drop(tree.remove(name)?),
            }
            if wrote {
                tree.insert(TIME, &moment.now_ms.to_be_bytes())?;
                committing.set(true);
            }
            Ok(Changed { told, flush: true, wrote })
        });
        done.map_err(|error| match error {
            TransactionError::Abort(error) => error,
            TransactionError::Storage(error) if committing.get() => unknown(&error),
            TransactionError::Storage(error) => unavailable(&error),
        })
    }

    fn moment(&self) -> Moment {
        let now_ms = self.time.now().as_millis();
        Moment { now_ms, latest_ms: self.time.latest().as_millis().max(now_ms) }
    }

    /// Tells what was decided once it is flushed, and who waits that something changed.
    async fn tell<T>(&self, name: &[u8], changed: Changed<T>) -> Result<T> {
        if changed.flush {
            let flushed = self.tree.flush_async().await;
            if let Err(error) = flushed {
                self.alarm.ring(name);
                return Err(unknown(&error));
            }
        }
        if changed.wrote {
            self.alarm.ring(name);
        }
        Ok(changed.told)
    }

    fn asked(&self, owner: OwnerId, request: ClaimRequest) -> Result<Asked> {
        let options = &self.options;
        let KeptFor { ttl_ms, lease_ms, policy } = options.keep(&request.terms)?;
        let refuse_late = options.refuse_late_retries;
        Ok(Asked { request, owner, ttl_ms, lease_ms, policy, refuse_late })
    }

    fn decide_claim(&self, name: &[u8], asked: &Asked) -> Result<Changed<Outcome>> {
        let mut changed =
            self.step(name, |value, moment, draw| decide::claim(asked, value, moment, draw))?;
        // That somebody is in flight may be told at once.
        changed.flush = !matches!(changed.told, Outcome::InFlight(_));
        if changed.wrote {
            self.sweep()?;
        }
        Ok(changed)
    }

    async fn claim(&self, name: &[u8], asked: &Asked) -> Result<Outcome> {
        let changed = self.decide_claim(name, asked)?;
        self.tell(name, changed).await
    }

    /// A verb that names a claim.
    async fn end<T>(
        &self,
        name: Vec<u8>,
        decide: impl Fn(Option<Value>, Moment) -> Result<(T, Next)> + Send,
    ) -> Result<T> {
        let changed = self.step(&name, |value, moment, _| {
            decide(value, moment).map_err(ConflictableTransactionError::Abort)
        })?;
        self.tell(&name, changed).await
    }

    /// Looks at the next few records, and removes what has expired.
    fn sweep(&self) -> Result<()> {
        let Some(mut from) = self.sweep.try_lock() else { return Ok(()) };
        let start = Bound::Excluded(from.clone());
        let mut seen = 0;
        for pair in self.tree.range::<Vec<u8>, _>((start, Bound::Unbounded)).take(SWEPT) {
            let (name, bytes) = pair.map_err(|error| unavailable(&error))?;
            self.remove_if_expired(&name, &bytes)?;
            *from = name.to_vec();
            seen += 1;
        }
        if seen < SWEPT {
            *from = vec![RECORD];
        }
        Ok(())
    }

    fn remove_if_expired(&self, name: &[u8], bytes: &::sled::IVec) -> Result<bool> {
        let value = Value::decode(bytes)?;
        let over = matches!(value.state, State::Completed { .. })
            && value.expires_ms() <= self.moment().now_ms;
        // Late retries can only be refused while the record is known.
        if !over || self.options.refuse_late_retries {
            return Ok(false);
        }
        let removed = self.tree.compare_and_swap(name, Some(bytes), None::<&[u8]>);
        Ok(removed.map_err(|error| unavailable(&error))?.is_ok())
    }

    fn check_size(&self, response: &StoredResponse) -> Result<()> {
        let (bytes, limit) = (response.body().len(), self.options.max_response_bytes);
        if bytes <= limit {
            return Ok(());
        }
        let what = format!(
            "the response has {bytes} bytes; at most {limit} are allowed \
             (Options::max_response_bytes)"
        );
        Err(Error::new(ErrorKind::LimitExceeded, what))
    }
}

type Conflictable = ConflictableTransactionError<Error>;
type Drawn = std::result::Result<u64, Conflictable>;
type Step<T> = std::result::Result<(T, Next), Conflictable>;

impl Backend for SledBackend {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Survives::ProcessDeath, Waiting::Notified)
    }

    async fn claim(&self, owner: OwnerId, request: ClaimRequest) -> Result<Outcome> {
        let name = name_of(&request.scope, &request.key);
        let asked = self.inner.asked(owner, request)?;
        self.inner.claim(&name, &asked).await
    }

    async fn wait(
        &self,
        owner: OwnerId,
        request: ClaimRequest,
        limit: Duration,
    ) -> Result<Outcome> {
        let Inner { time, alarm, .. } = &*self.inner;
        let name = name_of(&request.scope, &request.key);
        let asked = self.inner.asked(owner, request)?;
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let deadline_ms = time.monotonic_ms().saturating_add(limit_ms);
        loop {
            let signal = alarm.signal(&name);
            let mut listener = signal.clone().listen();
            let outcome = self.inner.claim(&name, &asked).await?;
            let Outcome::InFlight(flight) = &outcome else { return Ok(outcome) };
            let now_ms = time.monotonic_ms();
            if now_ms >= deadline_ms {
                return Ok(outcome);
            }
            let left = flight.lease_left().map_or(u64::MAX, |left| left.as_millis() as u64);
            let due_ms = now_ms.saturating_add(left.min(LOOK_MS)).min(deadline_ms);
            let _timer = alarm.ring_at(due_ms, signal, time)?;
            std::future::poll_fn(|cx| listener.poll(cx)).await;
        }
    }

    async fn complete(&self, claim: &ClaimId, response: StoredResponse) -> Result<Record> {
        self.inner.check_size(&response)?;
        let token = claim.token().get();
        let decide = |value, moment| decide::complete(token, &response, value, moment);
        self.inner.end(name_of(claim.scope(), claim.key()), decide).await
    }

    async fn release(&self, claim: &ClaimId) -> Result<()> {
        let decide = |value, _| decide::release(claim.token().get(), value);
        self.inner.end(name_of(claim.scope(), claim.key()), decide).await
    }

    async fn abandon(&self, claim: &ClaimId) -> Result<()> {
        let decide = |value, moment| decide::abandon(claim.token().get(), value, moment);
        self.inner.end(name_of(claim.scope(), claim.key()), decide).await
    }

    async fn extend(&self, claim: &ClaimId, lease: Duration) -> Result<()> {
        let lease_ms = check_duration("lease", lease)?;
        let decide = |value, moment| decide::extend(claim.token().get(), lease_ms, value, moment);
        self.inner.end(name_of(claim.scope(), claim.key()), decide).await
    }

    async fn checkpoint(&self, claim: &ClaimId, checkpoint: Checkpoint) -> Result<()> {
        let decide = |value, _| decide::checkpoint(claim.token().get(), &checkpoint, value);
        self.inner.end(name_of(claim.scope(), claim.key()), decide).await
    }

    async fn get(&self, scope: &Scope, key: &Key) -> Result<Option<Entry>> {
        let name = name_of(scope, key);
        let bytes = self.inner.tree.get(&name).map_err(|error| unavailable(&error))?;
        let value = bytes.map(|bytes| Value::decode(&bytes)).transpose()?;
        self.inner.tree.flush_async().await.map_err(|error| unavailable(&error))?;
        let Some(value) = value else { return Ok(None) };
        let (token, attempt) = (Token::new(value.token), value.attempt);
        let since = StoreTime::from_millis(value.since_ms);
        Ok(match value.state {
            State::Completed { .. } if value.expires_ms() <= self.inner.moment().now_ms => None,
            State::Completed { .. } => Some(Entry::Completed(decide::record(value, true))),
            State::Held { .. } => Some(Entry::InFlight { token, attempt, claimed_at: since }),
            State::Unresolved => {
                let (scope, key) = (scope.clone(), key.clone());
                Some(Entry::Unresolved(Unresolved::new(scope, key, token, attempt, since)))
            }
        })
    }

    async fn resolve(&self, attempt: &Unresolved, resolution: Resolution) -> Result<()> {
        if let Resolution::Completed(response) = &resolution {
            self.inner.check_size(response)?;
        }
        let token = attempt.token().get();
        let decide = |value, moment| decide::resolve(token, &resolution, value, moment);
        self.inner.end(name_of(attempt.scope(), attempt.key()), decide).await
    }
}

/// The key of a record: the scope's length, which is at most 255, keeps the two apart.
fn name_of(scope: &Scope, key: &Key) -> Vec<u8> {
    let mut name = vec![RECORD, scope.as_bytes().len() as u8];
    name.extend(scope.as_bytes());
    name.extend(key.as_bytes());
    name
}

fn unavailable(error: &::sled::Error) -> Error {
    Error::new(ErrorKind::Io, format!("sled: {error}"))
}

fn unknown(error: &::sled::Error) -> Error {
    let what = format!("sled failed in the middle of a change, which may have been made: {error}");
    Error::new(ErrorKind::OutcomeUnknown, what)
}
