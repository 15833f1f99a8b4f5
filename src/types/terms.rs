//! How a claim and its record are to be kept, as far as whoever asks says so.

use std::time::Duration;

use super::DropPolicy;

/// What a request, or a rule for requests, says of how a claim and its record are to be kept. What
/// is `None` is left to the backend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    /// How long the record is replayed, counted from completion.
    pub(crate) ttl: Option<Duration>,
    /// Until when nobody may take the claim over, counted from the claim.
    pub(crate) lease: Option<Duration>,
    /// What becomes of the claim if nobody ends it.
    pub(crate) on_drop: Option<DropPolicy>,
}
