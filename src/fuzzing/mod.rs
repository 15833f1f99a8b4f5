//! What a fuzzer calls: a function for everything that reads bytes from outside, each with a
//! property beyond "it does not panic". No part of the API.
//!
//! `fuzz/` has a target for each, by the name in [`TARGETS`], and the inputs that were found
//! worth keeping; the tests here replay those. What one folder alone knows about its bytes is in a
//! `fuzzing` module of that folder.
//!
//! | file | what |
//! | --- | --- |
//! | `input.rs` | a fuzzer's bytes as numbers and strings |
//! | `stores.rs` | a few stores, as their files |
//! | `attack.rs` | one of those, hurt or forged, then opened and worked with |
//! | `payloads.rs` | typed payloads |
//! | `calls.rs` | calls, crashes and faults: the simulator, led by bytes in place of a seed |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a property that does not hold is a panic"
)]

mod attack;
mod calls;
mod input;
#[cfg(feature = "serde")]
mod payloads;
#[cfg(all(test, feature = "report"))]
mod seeds;
mod stores;
#[cfg(test)]
mod tests;

pub(crate) use input::Input;

/// A target: it panics if a property does not hold of some bytes.
pub type Target = fn(&[u8]);

/// A function of each name, and the list of them.
macro_rules! targets {
    ($($(#[$when:meta])* $name:ident => $target:path,)*) => {
        $(
            /// A target.
            $(#[$when])*
            pub fn $name(data: &[u8]) {
                $target(data);
            }
        )*

        /// The targets of this build, by name.
        pub const TARGETS: &[(&str, Target)] = &[
            $($(#[$when])* (stringify!($name), $name),)*
        ];
    };
}

targets! {
    frame => crate::log::fuzzing::frame,
    batch => crate::log::fuzzing::batch,
    scan => crate::log::fuzzing::scan,
    segment_header => crate::log::fuzzing::segment_header,
    footer => crate::log::fuzzing::footer,
    manifest => crate::log::fuzzing::manifest,
    late_run => crate::late::fuzzing::run,
    late_journal => crate::late::fuzzing::journal,
    trail => crate::audit::trail_fuzzing::trail,
    trail_events => crate::audit::trail_fuzzing::events,
    directory => attack::directory,
    api => calls::api,
    #[cfg(feature = "serde")]
    typed => payloads::decode,
    #[cfg(feature = "http")]
    key_header => crate::http::fuzzing::key,
    #[cfg(feature = "http")]
    kept_response => crate::http::fuzzing::kept_response,
    #[cfg(feature = "http")]
    canonical_json => crate::http::fuzzing::canonical_json,
    #[cfg(feature = "report")]
    export_line => crate::audit::json_fuzzing::item,
    #[cfg(feature = "report")]
    told_lines => crate::audit::json_fuzzing::told,
    #[cfg(feature = "report")]
    snapshot => crate::audit::json_fuzzing::snapshot,
    #[cfg(feature = "report")]
    sink_cursor => crate::audit::sink_fuzzing::cursor,
}
