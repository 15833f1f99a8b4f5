//! What a fuzzer asks of this folder: whatever the bytes are, nothing panics, what is accepted
//! encodes to the bytes it was decoded from, and nothing is read beyond what is there.
//!
//! | file | what |
//! | --- | --- |
//! | `structures.rs` | frame, batch, segment header, footer, manifest |
//! | `segments.rs` | a segment of several batches, and its scan |
//! | `seal.rs` | right checksums over any bytes, so that a fuzzer gets behind them |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a property that does not hold is a panic"
)]

mod seal;
mod segments;
mod structures;

pub(crate) use seal::{seal_manifest, seal_segment};
pub(crate) use segments::scan;
pub(crate) use structures::{batch, footer, frame, manifest, segment_header};

use super::Place;
use crate::ids::{Nonce, StoreTime};

const BASE: StoreTime = StoreTime(1_700_000_000_000);
const FIRST: Place = Place { nonce: Nonce(0x1122_3344_5566_7788), offset: 4096 };

/// One frame of each kind, as it is in the log but for its checksum.
#[cfg(all(test, feature = "report"))]
pub(crate) fn golden() -> Vec<Vec<u8>> {
    let encode = |frame: super::Frame<'_>| {
        let mut bytes = Vec::new();
        frame.encode(BASE, &mut bytes).expect("a short frame");
        bytes
    };
    super::samples::golden_frames().into_iter().map(encode).collect()
}
