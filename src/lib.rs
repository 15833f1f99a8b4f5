//! An embedded storage engine for one job: API idempotency records.
//!
//! A service claims a key by compare-and-swap, executes once, and completes the key with its
//! response; every retry gets the same bytes until the TTL runs out. See the README for a first
//! look, [`Store`] for the API, and `docs/` in the repository for the architecture, the format on
//! disk and what is promised when.
//!
//! ```
//! use oncekey::{ClaimRequest, Key, Outcome, Scope, Store, StoredResponse};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let store = Store::open_or_create(dir.path().join("idempotency"))?;
//! let request = ClaimRequest::new(Scope::new("acct_42")?, Key::new("key-1")?)
//!     .operation("POST /v1/charges")
//!     .payload("amount=100");
//! if let Outcome::Claimed(claim) = store.claim(request).wait()? {
//!     claim.complete(StoredResponse::new("charged")).wait()?;
//! }
//! # Ok(()) }
//! ```
//!
//! # Features
//! - `serde`: typed payloads (`StoredResponse::encode`, `StoredResponse::decode`).
//! - `conformance`: a suite of tests that any [`backend`] must pass.
//! - `sled`: a sled database as a [`backend`].
//! - `simulation`: a simulated disk, clock and randomness (the module `simulation`), for tests; and
//!   a simulator of the whole store that runs on them.
//! - `http`: a tower layer that gives an HTTP service idempotency keys (the module `http`).
//! - `metrics`: counters, gauges and histograms through the `metrics` facade; `tracing`: events
//!   through the `tracing` facade. `docs/metrics.md` in the repository lists both.
//! - `report`: what an audit trail adds up to (the module `audit::report`).
//! - `synth`: labelled traffic, to measure the verdicts of the [`audit`] on (the module
//!   `audit::synth`).
//! - `nats`: NATS JetStream as a sink of a trail (the module `audit::sink`), and as a source of a
//!   merge of trails (`audit::merge`).
//! - `cli`: the `oncekey` program.

pub mod audit;
pub mod backend;
mod block_on;
mod clock;
#[cfg(feature = "serde")]
mod codec;
mod disk;
mod engine;
mod error;
mod expiry;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "http")]
pub mod http;
mod ids;
mod index;
mod inspect;
mod late;
mod log;
mod options;
mod progress;
mod random;
mod reached;
mod sabotage;
#[cfg(all(test, oncekey_shuttle))]
mod schedules;
#[cfg(any(test, feature = "simulation"))]
mod simulator;
mod slip;
mod store;
mod sync;
mod telemetry;
#[cfg(test)]
mod tests;
mod types;

pub use engine::{Compacted, CompactionPause, DamageReport, Pruned, RecoveryReport, Stats};
pub use error::{Error, ErrorKind, Result};
pub use ids::{StoreId, StoreTime, Token};
pub use inspect::{
    Inspector, KeyDetail, KeyFilter, KeyRow, KeyState, Keys, Owner, SegmentSummary, Summary,
    VerifyReport,
};
pub use options::{Durability, Options};
pub use progress::{Phase, Progress};
pub use store::{
    Abort, Claim, ClaimCall, ClaimContext, CloseCall, Closed, CompleteCall, CompleteError, Entry,
    FlightCall, FlushCall, InFlight, Late, Mismatch, OnceCall, OnceError, Outcome, Pending, Record,
    Resolution, Store, Unresolved,
};
pub use types::{
    Caller, Checkpoint, ClaimRequest, Difference, DownstreamKey, DropPolicy, Fingerprint, Key,
    Scope, StoredResponse,
};

/// A simulated world to run a store in: a disk that loses, tears and refuses what a real one could,
/// a clock that is driven by hand, and randomness from a seed. And bugs that the store can be given
/// on purpose, to prove that a test notices them. [`Simulation`](simulation::Simulation) is a store
/// with clients in such a world, run from a seed and judged by a model.
#[cfg(any(test, feature = "simulation"))]
pub mod simulation {
    pub use crate::clock::{Clock, SimClock};
    pub use crate::disk::{
        CallKind, DirIdentity, DirLock, Disk, DiskFile, Fault, FaultPlan, LockAttempt, SimCall,
        SimCounters, SimDisk, Survival,
    };
    pub use crate::engine::Environment;
    pub use crate::random::{Random, SimRandom};
    pub use crate::sabotage::Bug;
    pub use crate::simulator::{Coverage, Failure, Length, Simulation, Steps};
}

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
