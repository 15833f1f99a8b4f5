//! What the handler may know of its claim.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use super::exchange::Exchange;
use crate::backend::{Backend, ClaimId, Granted};
use crate::error::Result;
use crate::ids::Token;
use crate::store::Late;
use crate::types::{Checkpoint, DownstreamKey, Key, Scope};

/// A claim that was won, where it was won.
#[derive(Debug)]
pub(crate) struct Held<B> {
    exchange: Arc<Exchange<B>>,
    granted: Granted,
}

impl<B> Held<B> {
    pub(crate) fn new(exchange: Arc<Exchange<B>>, granted: Granted) -> Self {
        Self { exchange, granted }
    }

    pub(crate) fn exchange(&self) -> &Exchange<B> {
        &self.exchange
    }

    pub(crate) fn granted(&self) -> &Granted {
        &self.granted
    }

    pub(crate) fn id(&self) -> &ClaimId {
        self.granted.id()
    }
}

type Saving = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// The same without the backend's type.
trait Holding: Send + Sync {
    fn granted(&self) -> &Granted;
    fn save(self: Arc<Self>, checkpoint: Checkpoint) -> Saving;
}

impl<B: Backend> Holding for Held<B> {
    fn granted(&self) -> &Granted {
        &self.granted
    }

    fn save(self: Arc<Self>, checkpoint: Checkpoint) -> Saving {
        Box::pin(
            async move { self.exchange.shared.backend.checkpoint(self.id(), checkpoint).await },
        )
    }
}

/// The claim that a request is executed under: an extension of the request (in axum,
/// `Extension<Attempt>`). A request without a key has none.
#[derive(Clone)]
pub struct Attempt {
    held: Arc<dyn Holding>,
}

impl Attempt {
    pub(crate) fn new<B: Backend>(held: Arc<Held<B>>) -> Self {
        Self { held }
    }

    /// What a gateway deduplicates by: the same for every attempt at this key.
    #[must_use]
    pub fn downstream_key(&self) -> DownstreamKey {
        self.held.granted().downstream_key()
    }

    /// The fencing token: higher than that of every earlier claim. Send it along to whatever can
    /// refuse a lower one.
    #[must_use]
    pub fn token(&self) -> Token {
        self.held.granted().token()
    }

    /// 1 for the first attempt at this key, and one more each time it is taken over.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.held.granted().attempt()
    }

    /// The last checkpoint of an earlier attempt.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.held.granted().checkpoint()
    }

    /// The record that this request came too late for, if it is known that there was one.
    #[must_use]
    pub fn late_retry(&self) -> Option<Late> {
        self.held.granted().late_retry()
    }

    /// Whose key it is.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        self.held.granted().id().scope()
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &Key {
        self.held.granted().id().key()
    }

    /// Saves a recovery point for a later attempt.
    ///
    /// # Errors
    /// [`LeaseLost`](crate::ErrorKind::LeaseLost) if another attempt has begun, and those of a
    /// backend that cannot answer.
    pub async fn save_checkpoint(&self, checkpoint: Checkpoint) -> Result<()> {
        self.held.clone().save(checkpoint).await
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").field("granted", self.held.granted()).finish_non_exhaustive()
    }
}
