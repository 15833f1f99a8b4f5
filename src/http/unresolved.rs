//! An unresolved request that a retry has met, for whoever can find out what became of it.

use crate::store::Unresolved;
use crate::types::DownstreamKey;

/// What a retry has met that was answered with
/// [`ProblemKind::Unresolved`](super::ProblemKind::Unresolved): among the extensions of that
/// answer. A layer outside of this one may ask the downstream system by the downstream key, and
/// [resolve](crate::backend::Backend::resolve) the attempt.
///
/// The retry is the same request: another one under its key would have been told so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnresolvedRequest {
    attempt: Unresolved,
    downstream_key: DownstreamKey,
}

impl UnresolvedRequest {
    pub(crate) fn new(attempt: Unresolved, operation: &str) -> Self {
        let downstream_key = DownstreamKey::derive(attempt.scope(), operation, attempt.key());
        Self { attempt, downstream_key }
    }

    /// The attempt whose effect is unknown.
    #[must_use]
    pub fn attempt(&self) -> &Unresolved {
        &self.attempt
    }

    /// The downstream key that it sent.
    #[must_use]
    pub fn downstream_key(&self) -> &DownstreamKey {
        &self.downstream_key
    }
}
