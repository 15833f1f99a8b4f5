//! The narrow contract between a service and whatever keeps its idempotency records.
//!
//! [`Store`](crate::Store) is an engine inside the process, with guards and borrowed time. A
//! [`Backend`] is the same promises as plain data, so that a shared database can keep them too:
//! claims are named by [`ClaimId`]s rather than held as guards, and every call may be repeated when
//! its answer was lost. The layers for services (HTTP) are written on this and run on any of them.
//!
//! # The contract
//! The promises are numbered as in `docs/durability.md`; the suite of the module `conformance`
//! (feature `conformance`) checks them on any backend.
//!
//! - **One holder.** A key has one holder at a time. A second claim needs a release, or a lease
//!   that ran out, or an owner that is known to be dead; its token and attempt are higher, and from
//!   then on every verb that names the earlier claim is refused with
//!   [`LeaseLost`](crate::ErrorKind::LeaseLost). A lease that ran out ends nothing by itself: until
//!   the next claim its holder may still complete, also from unresolved.
//! - **Durable before told**, to the degree that [`Capabilities::survives`] declares.
//! - **The same bytes** for every retry, until the TTL is over.
//! - **No wrong answer.** Another fingerprint is a `Mismatch`, whoever asks and whatever the state;
//!   that question comes before all others.
//! - **Fenced.** Tokens rise with each claim in a backend, never repeat and never restart.
//! - **Its own claim.** A repeated claim with the same owner id and key, while that claim is in
//!   flight, is `Claimed` again: the same token, the same attempt, and a lease that begins anew.
//! - **Owners that vanish.** Nobody needs to say that a claim is over. A lease that nobody extends
//!   runs out; the next claim takes the key over ([`Hold`](crate::DropPolicy::Hold),
//!   [`Release`](crate::DropPolicy::Release)) or finds it
//!   [`Unresolved`](crate::DropPolicy::Unresolved).
//!
//! # Errors
//! - [`LeaseLost`](crate::ErrorKind::LeaseLost): a lost race. Somebody else decides about the key;
//!   stop, and claim again to learn the outcome.
//! - [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown): the call was sent and its answer was
//!   lost. Repeat it, under the same owner id.
//! - [`InvalidInput`](crate::ErrorKind::InvalidInput),
//!   [`LimitExceeded`](crate::ErrorKind::LimitExceeded): this request is refused, and nothing was
//!   changed. Mend it, or come back later.
//! - [`NotFound`](crate::ErrorKind::NotFound), [`InFlight`](crate::ErrorKind::InFlight): only from
//!   `resolve`. Look at the key again.
//! - Every other ([`ErrorKind::is_unavailable`](crate::ErrorKind::is_unavailable)): the backend
//!   cannot answer, and nothing was changed by this call. Fail closed.
//!
//! A backend never reports a lost race as unavailable, nor the other way round.
//!
//! # Futures
//! No runtime is assumed. A future does nothing for certain before it is polled. Dropping it before
//! it is ready leaves the same doubt as a lost answer.
//!
//! ```
//! use std::time::Duration;
//! use oncekey::backend::{Backend, Outcome, OwnerId};
//! use oncekey::{ClaimRequest, ErrorKind, Result, StoredResponse};
//!
//! /// Executes a request once, on any backend.
//! async fn execute(backend: &impl Backend, request: ClaimRequest) -> Result<StoredResponse> {
//!     let owner = OwnerId::random()?;
//!     let outcome = match backend.wait(owner, request.clone(), Duration::from_secs(10)).await {
//!         // Perhaps it was won: the same owner id finds out.
//!         Err(error) if error.is_outcome_unknown() => backend.claim(owner, request).await?,
//!         other => other?,
//!     };
//!     match outcome {
//!         Outcome::Claimed(claim) => {
//!             // Charge the card here, sending claim.downstream_key() along; then:
//!             let record = backend.complete(claim.id(), StoredResponse::new("charged")).await?;
//!             Ok(record.response().clone())
//!         }
//!         Outcome::Replay(record) => Ok(record.response().clone()),
//!         other => panic!("not now: {other:?}"),
//!     }
//! }
//! ```

mod capabilities;
mod claim;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod dynamic;
mod embedded;
mod outcome;
#[cfg(feature = "sled")]
mod sled;

use std::time::Duration;

pub use capabilities::{Capabilities, Survives, Waiting};
pub use claim::{ClaimId, Granted};
pub use dynamic::DynBackend;
pub use outcome::{InFlight, Outcome};
#[cfg(feature = "sled")]
pub use sled::SledBackend;

use crate::error::Result;
pub use crate::store::RecordParts;
use crate::store::{Entry, Record, Resolution, Unresolved};
use crate::types::{Checkpoint, ClaimRequest, Key, Scope, StoredResponse};
pub use crate::types::{OwnerId, RequestParts};

/// Whatever keeps the records of keys: the contract is that of [the module](self).
///
/// [`Store`](crate::Store) is one. All calls may be made at one time, from any thread.
pub trait Backend: Send + Sync + 'static {
    /// What this backend promises beyond the contract. Always the same.
    fn capabilities(&self) -> Capabilities;

    /// Claims a key for `owner`. What the request leaves open (TTL, lease, policy) is the
    /// backend's to fill in.
    ///
    /// Repeated with the same owner id while its claim is in flight, it answers that claim again
    /// and begins its lease anew.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput),
    /// [`LimitExceeded`](crate::ErrorKind::LimitExceeded),
    /// [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) (repeat it), and those of a backend
    /// that cannot answer.
    fn claim(
        &self,
        owner: OwnerId,
        request: ClaimRequest,
    ) -> impl Future<Output = Result<Outcome>> + Send;

    /// Claims a key, and waits up to `limit` while somebody else executes it. The answer is an
    /// outcome as that of [`claim`](Self::claim): a replay as a rule, the claim if the holder gave
    /// up or its lease is over, or `InFlight` once the limit is reached.
    ///
    /// # Errors
    /// As [`claim`](Self::claim).
    fn wait(
        &self,
        owner: OwnerId,
        request: ClaimRequest,
        limit: Duration,
    ) -> impl Future<Output = Result<Outcome>> + Send;

    /// Stores the response: every retry gets it until the TTL is over, counted from now.
    ///
    /// Repeated after its answer was lost, with the same response, it answers the record again.
    ///
    /// # Errors
    /// [`LeaseLost`](crate::ErrorKind::LeaseLost) if the claim is over.
    /// [`LimitExceeded`](crate::ErrorKind::LimitExceeded) for a response that is too large and
    /// [`DiskFull`](crate::ErrorKind::DiskFull): the claim goes on, and may complete with a smaller
    /// response or none. [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) (repeat it), and
    /// those of a backend that cannot answer.
    fn complete(
        &self,
        claim: &ClaimId,
        response: StoredResponse,
    ) -> impl Future<Output = Result<Record>> + Send;

    /// Gives the key back: a retry may run at once. For requests that had no effect.
    ///
    /// # Errors
    /// [`LeaseLost`](crate::ErrorKind::LeaseLost) if the claim is over: a release that is repeated
    /// after its answer was lost may find that. Else as [`complete`](Self::complete).
    fn release(&self, claim: &ClaimId) -> impl Future<Output = Result<()>> + Send;

    /// Lets go of a claim whose effect is not known (a panic, a handler that was cancelled): it
    /// follows the policy of its request at once, as the drop of a [`Claim`](crate::Claim) does.
    /// `Hold` stays in flight until the lease is over, and cannot be extended any more; `Release`
    /// may be claimed at once, by a takeover unless this was the first attempt; `Unresolved` is
    /// unresolved.
    ///
    /// # Errors
    /// As [`release`](Self::release).
    fn abandon(&self, claim: &ClaimId) -> impl Future<Output = Result<()>> + Send;

    /// Moves the lease's end to this long from now. A lease that is over may be extended as long as
    /// nobody has claimed the key since.
    ///
    /// # Errors
    /// [`LeaseLost`](crate::ErrorKind::LeaseLost) if the claim is over, unresolved, or abandoned.
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a lease of zero.
    fn extend(&self, claim: &ClaimId, lease: Duration) -> impl Future<Output = Result<()>> + Send;

    /// Saves a recovery point, which the next attempt is told.
    ///
    /// # Errors
    /// [`LeaseLost`](crate::ErrorKind::LeaseLost) if the claim is over, or unresolved.
    fn checkpoint(
        &self,
        claim: &ClaimId,
        checkpoint: Checkpoint,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Looks a key up without claiming it. Expired records are not found.
    ///
    /// # Errors
    /// Those of a backend that cannot answer.
    fn get(&self, scope: &Scope, key: &Key) -> impl Future<Output = Result<Option<Entry>>> + Send;

    /// Settles an unresolved attempt, as it was found: the key is replayed or free from then on. An
    /// attempt that came after it is not touched.
    ///
    /// Repeated after its answer was lost, a resolution by a response succeeds again; one as not
    /// executed may find nothing.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if this attempt is not unresolved any more,
    /// [`InFlight`](crate::ErrorKind::InFlight) if its holder may still decide. Else as
    /// [`complete`](Self::complete).
    fn resolve(
        &self,
        attempt: &Unresolved,
        resolution: Resolution,
    ) -> impl Future<Output = Result<()>> + Send;
}
