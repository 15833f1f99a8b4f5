//! The trail: events on disk, in append-only segments of their own beside the store's files.
//!
//! | file | what |
//! | --- | --- |
//! | `header.rs` | a segment's first bytes, and its name |
//! | `block.rs` | the events that are written together |
//! | `code.rs` | one event |
//! | `dictionary.rs` | labels as small numbers, and the names behind them |
//! | `writer.rs` | appends, begins segments, removes old ones |
//! | `cursor.rs`, `reader.rs` | read a segment; read all of a trail |
//!
//! All bytes are hostile until a checksum says otherwise, and nothing here panics on them.

mod block;
mod code;
mod cursor;
mod dictionary;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod header;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use code::EventNames;
pub(crate) use dictionary::Names;
#[cfg(all(test, feature = "report"))]
pub(crate) use reader::RESERVED_TOKENS;
pub use reader::{Damage, Gap, Trail, TrailItem};
pub(crate) use writer::{Bounds, Lost, Origin, TrailWriter};

/// The directory in a store's directory.
pub(crate) const TRAIL_DIRECTORY: &str = "audit";
