//! A backend that is chosen at run time.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::{Backend, Capabilities, ClaimId, Outcome, OwnerId};
use crate::error::Result;
use crate::store::{Entry, Record, Resolution, Unresolved};
use crate::types::{Checkpoint, ClaimRequest, Key, Scope, StoredResponse};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Any backend, its futures boxed. Cloning is cheap; all clones are one backend.
///
/// ```
/// use oncekey::Store;
/// use oncekey::backend::{Backend, DynBackend, Survives};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// let store = Store::create(dir.path().join("state"))?;
/// let backend = DynBackend::new(store);
/// assert_eq!(backend.capabilities().survives(), Survives::PowerCut);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct DynBackend {
    backend: Arc<dyn Erased>,
}

impl DynBackend {
    /// Hides which backend it is.
    pub fn new(backend: impl Backend) -> Self {
        Self { backend: Arc::new(backend) }
    }
}

impl fmt::Debug for DynBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynBackend")
            .field("capabilities", &self.backend.capabilities())
            .finish_non_exhaustive()
    }
}

/// The same contract in a form that a pointer can be to.
trait Erased: Send + Sync {
    fn capabilities(&self) -> Capabilities;
    fn claim(&self, owner: OwnerId, request: ClaimRequest) -> Boxed<'_, Outcome>;
    fn wait(&self, owner: OwnerId, request: ClaimRequest, limit: Duration) -> Boxed<'_, Outcome>;
    fn complete<'a>(&'a self, claim: &'a ClaimId, response: StoredResponse) -> Boxed<'a, Record>;
    fn release<'a>(&'a self, claim: &'a ClaimId) -> Boxed<'a, ()>;
    fn abandon<'a>(&'a self, claim: &'a ClaimId) -> Boxed<'a, ()>;
    fn extend<'a>(&'a self, claim: &'a ClaimId, lease: Duration) -> Boxed<'a, ()>;
    fn checkpoint<'a>(&'a self, claim: &'a ClaimId, checkpoint: Checkpoint) -> Boxed<'a, ()>;
    fn get<'a>(&'a self, scope: &'a Scope, key: &'a Key) -> Boxed<'a, Option<Entry>>;
    fn resolve<'a>(&'a self, attempt: &'a Unresolved, resolution: Resolution) -> Boxed<'a, ()>;
}

impl<B: Backend> Erased for B {
    fn capabilities(&self) -> Capabilities {
        Backend::capabilities(self)
    }

    fn claim(&self, owner: OwnerId, request: ClaimRequest) -> Boxed<'_, Outcome> {
        Box::pin(Backend::claim(self, owner, request))
    }

    fn wait(&self, owner: OwnerId, request: ClaimRequest, limit: Duration) -> Boxed<'_, Outcome> {
        Box::pin(Backend::wait(self, owner, request, limit))
    }

    fn complete<'a>(&'a self, claim: &'a ClaimId, response: StoredResponse) -> Boxed<'a, Record> {
        Box::pin(Backend::complete(self, claim, response))
    }

    fn release<'a>(&'a self, claim: &'a ClaimId) -> Boxed<'a, ()> {
        Box::pin(Backend::release(self, claim))
    }

    fn abandon<'a>(&'a self, claim: &'a ClaimId) -> Boxed<'a, ()> {
        Box::pin(Backend::abandon(self, claim))
    }

    fn extend<'a>(&'a self, claim: &'a ClaimId, lease: Duration) -> Boxed<'a, ()> {
        Box::pin(Backend::extend(self, claim, lease))
    }

    fn checkpoint<'a>(&'a self, claim: &'a ClaimId, checkpoint: Checkpoint) -> Boxed<'a, ()> {
        Box::pin(Backend::checkpoint(self, claim, checkpoint))
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a Key) -> Boxed<'a, Option<Entry>> {
        Box::pin(Backend::get(self, scope, key))
    }

    fn resolve<'a>(&'a self, attempt: &'a Unresolved, resolution: Resolution) -> Boxed<'a, ()> {
        Box::pin(Backend::resolve(self, attempt, resolution))
    }
}

impl Backend for DynBackend {
    fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }

    async fn claim(&self, owner: OwnerId, request: ClaimRequest) -> Result<Outcome> {
        self.backend.claim(owner, request).await
    }

    async fn wait(
        &self,
        owner: OwnerId,
        request: ClaimRequest,
        limit: Duration,
    ) -> Result<Outcome> {
        self.backend.wait(owner, request, limit).await
    }

    async fn complete(&self, claim: &ClaimId, response: StoredResponse) -> Result<Record> {
        self.backend.complete(claim, response).await
    }

    async fn release(&self, claim: &ClaimId) -> Result<()> {
        self.backend.release(claim).await
    }

    async fn abandon(&self, claim: &ClaimId) -> Result<()> {
        self.backend.abandon(claim).await
    }

    async fn extend(&self, claim: &ClaimId, lease: Duration) -> Result<()> {
        self.backend.extend(claim, lease).await
    }

    async fn checkpoint(&self, claim: &ClaimId, checkpoint: Checkpoint) -> Result<()> {
        self.backend.checkpoint(claim, checkpoint).await
    }

    async fn get(&self, scope: &Scope, key: &Key) -> Result<Option<Entry>> {
        self.backend.get(scope, key).await
    }

    async fn resolve(&self, attempt: &Unresolved, resolution: Resolution) -> Result<()> {
        self.backend.resolve(attempt, resolution).await
    }
}
