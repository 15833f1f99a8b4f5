//! What the store tells of itself while it runs: metrics (feature `metrics`) and events (feature
//! `tracing`). `docs/metrics.md` lists both; their names are stable.
//!
//! Without the features everything here has no size and does nothing: no clock is read, and nobody
//! is called. With them, a recorder and a subscriber are a stranger's code: they are called with
//! none of the store's locks held, and their panic stops here. No event and no label carries a
//! scope, a key or a payload; a key is named by its hash, which is keyed with a secret of the
//! store.
//!
//! Left to others: what is counted anyhow ([`crate::engine::Stats`]).

#[cfg(feature = "tracing")]
pub(crate) mod events;
#[cfg(not(feature = "tracing"))]
#[path = "no_events.rs"]
pub(crate) mod events;
#[cfg(feature = "metrics")]
mod meter;
#[cfg(not(feature = "metrics"))]
#[path = "no_meter.rs"]
mod meter;
#[cfg(feature = "metrics")]
mod metric;
#[cfg(feature = "metrics")]
mod published;
#[cfg(all(test, any(feature = "metrics", feature = "tracing")))]
mod tests;

pub(crate) use meter::{Meter, Stopwatch, SyncTimes};

/// Which call of a service is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "metrics"), allow(dead_code, reason = "nobody looks at it then"))]
pub(crate) enum Call {
    Claim,
    Wait,
    Complete,
}

/// How a claim, or the wait for another's claim, came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "metrics"), allow(dead_code, reason = "nobody looks at it then"))]
pub(crate) enum Came {
    Claimed,
    Takeover,
    Replay,
    InFlight,
    Mismatch,
    Unresolved,
    Expired,
    Error,
}

/// Calls a stranger's code; its panic is its own affair.
#[cfg(any(feature = "metrics", feature = "tracing"))]
fn guarded(call: impl FnOnce()) {
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
}
