//! The audit: what the store decided, kept as a trail that explains every collision afterwards.
//!
//! Nothing here delays or fails a request (promise 9): what cannot be taken in time is dropped and
//! counted.
//!
//! | file | what |
//! | --- | --- |
//! | `event.rs` | a decision, as the trail keeps it |
//! | `draft.rs` | what a decision hands over |
//! | `ring.rs`, `packed.rs` | the way to the audit thread, and drafts as words on it |
//! | `auditor.rs`, `keeper.rs` | the engine's side of it, and the thread's |
//! | `label.rs`, `known.rs` | what stands for a text, and whose names are known |
//! | `shape.rs` | what is seen of a key |
//! | `trail/` | events on disk |
//! | `options.rs` | what is kept |
//! | `guard.rs` | an opt-in: what a service refuses |
//! | `verdict/` | how a collision is judged |
//! | `key_hasher.rs` | what stands for a key |
//! | `story/` | what happened to one key |
//! | `json/` | an item of a trail as a line of JSON, and back |
//! | `merge/` | many trails as one |
//! | `sink/` | a trail sent to where others read it |
//! | `report/` | what a trail adds up to |
//! | `synth/` | made-up traffic whose truth is known |
//!
//! Left to others: the decisions themselves (the engine).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::disallowed_types
    )
)]

mod auditor;
mod draft;
mod event;
mod guard;
#[cfg(feature = "report")]
mod json;
mod keeper;
#[cfg(feature = "report")]
mod key_hasher;
mod known;
mod label;
#[cfg(feature = "report")]
pub mod merge;
mod options;
mod packed;
#[cfg(feature = "report")]
pub mod report;
mod ring;
mod shape;
#[cfg(feature = "report")]
pub mod sink;
#[cfg(feature = "report")]
pub mod story;
#[cfg(any(test, feature = "synth"))]
pub mod synth;
mod trail;
mod verdict;

#[cfg(any(test, feature = "simulation"))]
pub(crate) use auditor::AuditCounts;
pub(crate) use auditor::{Auditor, Ground};
pub(crate) use draft::{Draft, Seen};
pub use event::{Context, Event, EventId, EventKind, KeyFormat, KeyShape, Label};
pub(crate) use guard::Judged;
#[cfg(feature = "report")]
pub use json::{
    Origin, ParsedEvent, ParsedItem, event_json, item_json, parse_event, parse_item, rfc3339,
};
#[cfg(feature = "report")]
pub use key_hasher::KeyHasher;
pub(crate) use label::Digest;
pub use options::{Audit, Privacy};
#[cfg(all(test, feature = "report"))]
pub(crate) use trail::RESERVED_TOKENS;
#[cfg(any(test, fuzzing))]
pub(crate) use trail::fuzzing as trail_fuzzing;
pub use trail::{Damage, Gap, Trail, TrailItem};
pub use verdict::{Classifier, Judgement, Reason, Reasons, Rules, Verdict};
#[cfg(all(any(test, fuzzing), feature = "report"))]
pub(crate) use {json::fuzzing as json_fuzzing, sink::fuzzing as sink_fuzzing};
