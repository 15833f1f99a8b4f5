//! Many trails, one view: events of many stores in the order of time, how far each of them is
//! complete, what is missing, and what only all of them together show.
//!
//! | file | what |
//! | --- | --- |
//! | `told.rs` | what a source tells of a store |
//! | `feed.rs` | a trail as a source |
//! | `line.rs` | the same as lines of JSON |
//! | `ranges.rs`, `head.rs` | one producer: what came, what is missing |
//! | `merger.rs` | all of them in one order |
//! | `keys.rs`, `finding.rs` | who executed a key; findings |
//! | `view.rs` | watermarks and gaps |
//! | `snapshot.rs` | summaries that take each other's place |
//! | `options.rs` | bounds |
//! | `nats.rs` | NATS JetStream as a source (feature `nats`) |
//!
//! What is told may come in any order, more than once, from several sources, and late. An event is
//! known by store, opening and sequence. Memory is bounded, and what does not fit is counted.
//!
//! What is assumed of clocks: a store's time does not go back
//! ([`MergeOptions::max_skew_ms`] says how far those of two stores may be apart). The stream is in
//! the order of the stores' own times; a finding calls two executions overlapping, or one after the
//! other, only where clocks that differ by so much cannot have turned it round.
//!
//! Left to others: what a collision was (verdicts), what events add up to (reports), where lines
//! come from.

mod feed;
mod finding;
mod head;
mod keys;
mod line;
mod merger;
#[cfg(feature = "nats")]
mod nats;
mod options;
mod ranges;
mod snapshot;
#[cfg(test)]
mod tests;
mod told;
mod view;

pub use feed::{Fed, TrailFeed};
pub use finding::{Execution, Finding, FindingKind, Timing};
pub use keys::Ending;
pub use line::{ToldLine, parse_told, told_json};
pub use merger::{Merge, Merged, Pressure, SourceId};
#[cfg(feature = "nats")]
pub use nats::{NatsSource, Received};
pub use options::MergeOptions;
pub use snapshot::{Snapshot, SnapshotMaker, Snapshots};
pub use told::{Producer, Told};
pub use view::{MergeGap, StoreState, StoreView};
