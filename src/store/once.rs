//! Claim, execute, complete, replay: all in one call.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use super::{Claim, ClaimContext, InFlight, Late, Mismatch, Outcome, Record, Store, Unresolved};
use crate::block_on::block_on;
use crate::error::Error;
use crate::types::{ClaimRequest, StoredResponse};

/// How long `once` waits for somebody else's claim, unless told otherwise.
const WAIT_LIMIT: Duration = Duration::from_secs(30);

/// Why a handler did not produce a response, and whether the key is free again.
///
/// `?` on any error makes one that keeps the claim: its effect is unknown, so the claim follows its
/// policy.
#[derive(Debug)]
pub struct Abort<E> {
    error: E,
    release: bool,
}

impl<E> Abort<E> {
    /// Nothing took effect: a retry may run at once.
    pub fn release(error: E) -> Self {
        Self { error, release: true }
    }

    /// Something may have taken effect: the claim follows its policy.
    pub fn keep(error: E) -> Self {
        Self { error, release: false }
    }
}

impl<E> From<E> for Abort<E> {
    fn from(error: E) -> Self {
        Self::keep(error)
    }
}

/// Why `once` has no response.
#[derive(Debug)]
#[non_exhaustive]
pub enum OnceError<E> {
    /// The handler failed.
    Handler(E),
    /// The store failed. If it was in completing, the handler has run.
    Store(Error),
    /// The key belongs to another request.
    Mismatch(Mismatch),
    /// Somebody else was still executing the key when the wait limit was reached.
    InFlight(InFlight),
    /// An earlier attempt's effect is unknown.
    Unresolved(Unresolved),
    /// The request came too late, and the store refuses such.
    Expired(Late),
}

impl<E: fmt::Display> fmt::Display for OnceError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handler(error) => write!(f, "the handler failed: {error}"),
            Self::Store(error) => write!(f, "the store failed: {error}"),
            Self::Mismatch(mismatch) => {
                write!(f, "the key belongs to another request ({} differs)", mismatch.differs_in())
            }
            Self::InFlight(_) => f.write_str("the key is still being executed"),
            Self::Unresolved(_) => f.write_str("an earlier attempt's effect is unknown"),
            Self::Expired(_) => f.write_str("the key's record has expired"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for OnceError<E> {}

impl<E> From<Error> for OnceError<E> {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// What [`Store::once`](crate::Store::once) returns: awaited on any executor, or waited for by a
/// thread.
///
/// - The handler runs at most once at a time for a key, and only if the key was won.
/// - An error of the handler releases the key only if it says so ([`Abort::release`]).
/// - A panic follows the claim's policy and goes on.
/// - Somebody else's claim is waited for up to a limit of 30 seconds
///   ([`wait_limit`](Self::wait_limit)).
///
/// ```
/// use oncekey::{Abort, ClaimRequest, Key, Scope, Store, StoredResponse};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::create(dir.path().join("state"))?;
/// let request = ClaimRequest::new(Scope::new("acct_42")?, Key::new("k1")?).payload("100 EUR");
/// let record = store
///     .once(request, |claim| async move {
///         let receipt = format!("charged under {}", claim.downstream_key());
///         Ok::<_, Abort<std::io::Error>>(StoredResponse::new(receipt))
///     })
///     .wait()?;
/// assert!(record.response().body().starts_with(b"charged"));
/// # Ok(()) }
/// ```
#[must_use = "nothing happens until this is awaited or waited for"]
pub struct OnceCall<F> {
    store: Store,
    request: ClaimRequest,
    execute: F,
    limit: Duration,
}

impl<F> OnceCall<F> {
    pub(crate) fn new(store: Store, request: ClaimRequest, execute: F) -> Self {
        Self { store, request, execute, limit: WAIT_LIMIT }
    }

    /// How long to wait for somebody else's claim.
    pub fn wait_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs all of it on this thread.
    ///
    /// # Errors
    /// See [`OnceError`].
    pub fn wait<Fut, E>(self) -> Result<Record, OnceError<E>>
    where
        F: FnOnce(ClaimContext) -> Fut,
        Fut: Future<Output = Result<StoredResponse, Abort<E>>>,
    {
        let Self { store, request, execute, limit } = self;
        let mut outcome = store.claim(request).wait()?;
        if let Outcome::InFlight(flight) = outcome {
            outcome = flight.wait(limit).wait()?;
        }
        let claim = match won(outcome) {
            Ok(claim) => claim,
            Err(answer) => return answer,
        };
        match block_on(execute(claim.context().clone())) {
            Ok(response) => Ok(claim.complete(response).wait().map_err(Error::from)?),
            Err(Abort { error, release }) => {
                if release {
                    // A claim that was lost meanwhile is somebody else's to release; the handler's
                    // error is the news.
                    let _ = claim.release().wait();
                }
                Err(OnceError::Handler(error))
            }
        }
    }

    async fn run<Fut, E>(self) -> Result<Record, OnceError<E>>
    where
        F: FnOnce(ClaimContext) -> Fut,
        Fut: Future<Output = Result<StoredResponse, Abort<E>>>,
    {
        let mut outcome = self.store.claim(self.request).await?;
        if let Outcome::InFlight(flight) = outcome {
            outcome = flight.wait(self.limit).await?;
        }
        match won(outcome) {
            Ok(claim) => run_claimed(claim, self.execute).await,
            Err(answer) => answer,
        }
    }
}

/// The claim if it was won, and what to answer if not.
fn won<E>(outcome: Outcome) -> Result<Claim, Result<Record, OnceError<E>>> {
    Err(match outcome {
        Outcome::Claimed(claim) => return Ok(claim),
        Outcome::Replay(record) => Ok(record),
        Outcome::InFlight(flight) => Err(OnceError::InFlight(flight)),
        Outcome::Mismatch(mismatch) => Err(OnceError::Mismatch(mismatch)),
        Outcome::Unresolved(unresolved) => Err(OnceError::Unresolved(unresolved)),
        Outcome::Expired(late) => Err(OnceError::Expired(late)),
    })
}

async fn run_claimed<F, Fut, E>(claim: Claim, execute: F) -> Result<Record, OnceError<E>>
where
    F: FnOnce(ClaimContext) -> Fut,
    Fut: Future<Output = Result<StoredResponse, Abort<E>>>,
{
    match execute(claim.context().clone()).await {
        Ok(response) => Ok(claim.complete(response).await.map_err(Error::from)?),
        Err(Abort { error, release }) => {
            if release {
                // A claim that was lost meanwhile is somebody else's to release; the handler's
                // error is the news.
                let _ = claim.release().await;
            }
            Err(OnceError::Handler(error))
        }
    }
}

impl<F, Fut, E> IntoFuture for OnceCall<F>
where
    F: FnOnce(ClaimContext) -> Fut + Send + 'static,
    Fut: Future<Output = Result<StoredResponse, Abort<E>>> + Send + 'static,
    E: Send + 'static,
{
    type Output = Result<Record, OnceError<E>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<F> fmt::Debug for OnceCall<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceCall").field("limit", &self.limit).finish_non_exhaustive()
    }
}
