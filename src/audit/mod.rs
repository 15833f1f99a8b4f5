//! The audit: what the store decided, kept as a trail that explains every collision afterwards.
//!
//! Nothing here delays or fails a request (promise 9): what cannot be taken in time is dropped and
//! counted.
//!
//! Left to others: the decisions themselves (the engine).

mod event;
#[cfg(any(test, feature = "synth"))]
pub mod synth;
mod verdict;

pub use event::{Context, Event, EventId, EventKind, KeyFormat, KeyShape, Label};
pub use verdict::{Classifier, Judgement, Reason, Reasons, Rules, Verdict};
