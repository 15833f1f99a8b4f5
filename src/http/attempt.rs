//! What the handler may know of its claim.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::backend::{Backend, Granted};
use crate::error::Result;
use crate::ids::Token;
use crate::store::Late;
use crate::types::{Checkpoint, DownstreamKey, Key, Scope};

type Saving = Pin<Box<dyn Future<Output = Result<()>> + Send>>;
type Save = Arc<dyn Fn(Checkpoint) -> Saving + Send + Sync>;

/// The claim that a request is executed under: an extension of the request (in axum,
/// `Extension<Attempt>`). A request without a key has none.
#[derive(Clone)]
pub struct Attempt {
    granted: Arc<Granted>,
    save: Save,
}

impl Attempt {
    pub(crate) fn new<B: Backend>(backend: &Arc<B>, granted: Arc<Granted>) -> Self {
        let (backend, claim) = (backend.clone(), granted.clone());
        let save = move |checkpoint| -> Saving {
            let (backend, claim) = (backend.clone(), claim.clone());
            Box::pin(async move { backend.checkpoint(claim.id(), checkpoint).await })
        };
        Self { granted, save: Arc::new(save) }
    }

    /// What a gateway deduplicates by: the same for every attempt at this key.
    #[must_use]
    pub fn downstream_key(&self) -> DownstreamKey {
        self.granted.downstream_key()
    }

    /// The fencing token: higher than that of every earlier claim. Send it along to whatever can
    /// refuse a lower one.
    #[must_use]
    pub fn token(&self) -> Token {
        self.granted.token()
    }

    /// 1 for the first attempt at this key, and one more each time it is taken over.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.granted.attempt()
    }

    /// The last checkpoint of an earlier attempt.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.granted.checkpoint()
    }

    /// The record that this request came too late for, if it is known that there was one.
    #[must_use]
    pub fn late_retry(&self) -> Option<Late> {
        self.granted.late_retry()
    }

    /// Whose key it is.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        self.granted.id().scope()
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &Key {
        self.granted.id().key()
    }

    /// Saves a recovery point for a later attempt.
    ///
    /// # Errors
    /// [`LeaseLost`](crate::ErrorKind::LeaseLost) if another attempt has begun, and those of a
    /// backend that cannot answer.
    pub async fn save_checkpoint(&self, checkpoint: Checkpoint) -> Result<()> {
        (self.save)(checkpoint).await
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").field("granted", &self.granted).finish_non_exhaustive()
    }
}
