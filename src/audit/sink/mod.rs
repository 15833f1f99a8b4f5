//! Sinks: a trail as an outbox, sent to where others read it.
//!
//! Each sink has a cursor of its own in the trail: what it has acknowledged. It is written, at once
//! or not at all, after the sink has acknowledged, so every event arrives at least once, whenever
//! either side dies; a [`Merge`](crate::audit::merge::Merge) takes each once.
//!
//! | file | what |
//! | --- | --- |
//! | `cursor.rs` | how far a sink has acknowledged |
//! | `shipper.rs` | from the trail to a sink, and the cursor after it |
//! | `file.rs`, `stdout.rs` | lines of JSON in a file, or on any output |
//! | `nats.rs` | NATS JetStream (feature `nats`) |
//!
//! Another sink is another file, with a [`Sink`] in it, and a line in `oncekey audit ship`.

mod cursor;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
#[cfg(feature = "nats")]
pub(in crate::audit) mod nats;
mod shipper;
mod stdout;
#[cfg(test)]
mod tests;

pub use cursor::Cursor;
pub use file::FileSink;
#[cfg(feature = "nats")]
pub use nats::{NatsAddress, NatsSink};
pub use shipper::Shipper;
pub use stdout::OutputSink;

use std::fmt::Debug;

use crate::error::Result;

/// One thing that is sent: a line of JSON (see
/// [`told_json`](crate::audit::merge::told_json)), and an id that is the same whenever it is sent
/// again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// For an event `store/boot/sequence`.
    pub id: String,
    /// Without the line's end.
    pub line: String,
}

impl Message {
    /// A line with its id.
    #[must_use]
    pub fn new(id: impl Into<String>, line: impl Into<String>) -> Self {
        Self { id: id.into(), line: line.into() }
    }
}

/// Where messages go.
pub trait Sink: Debug {
    /// What it is, as a cursor remembers it: another sink needs another cursor.
    fn describe(&self) -> String;

    /// Sends all of them, in their order, and returns once they are as safe as this sink can make
    /// them.
    ///
    /// # Errors
    /// Any of them may have arrived then, and all of them are sent again.
    /// [`Unavailable`](crate::ErrorKind::Unavailable) says that it may work later.
    fn send(&mut self, messages: &[Message]) -> Result<()>;
}
