//! The audit: what the store decided, kept as a trail that explains every collision afterwards.
//!
//! Nothing here delays or fails a request (promise 9): what cannot be taken in time is dropped and
//! counted.
//!
//! Left to others: the decisions themselves (`crate::engine`).

mod event;

pub use event::{Context, Event, EventId, EventKind, KeyFormat, KeyShape, Label};
