//! Reports: what a trail's events add up to.
//!
//! A [`Summary`] takes events and what they were judged to be, in bounded memory; summaries of
//! parts of a trail, or of several stores, add up ([`Summary::merge`]). A [`Report`] is what a
//! summary says, as figures with stable names. `docs/reports.md` says what each means.
//!
//! | file | what |
//! | --- | --- |
//! | `summary.rs` | what is kept of events |
//! | `people.rs`, `crowd.rs` | figures for each client and operation; the busiest are kept |
//! | `spread.rs`, `distinct.rs`, `tally.rs`, `timeline.rs` | kinds of figures that add up |
//! | `claims.rs` | claims that have not ended |
//! | `tries.rs`, `backoff.rs` | how clients wait before they try again |
//! | `keys.rs`, `quality.rs` | what keys look like, and how good they are |
//! | `retention.rs`, `exposure.rs`, `tail.rs`, `ttl.rs` | how long records have to be kept |
//! | `example.rs`, `trust.rs` | events to look at; what is missing |
//! | `figures.rs`, `make.rs` | the report |
//!
//! Left to others: what makes events (the engine), what each collision was (verdicts), and how a
//! report is shown (the program).

mod backoff;
mod claims;
mod crowd;
mod distinct;
mod example;
mod exposure;
mod figures;
mod hex;
mod keys;
mod make;
mod people;
mod quality;
mod retention;
mod spread;
mod summary;
mod tail;
mod tally;
#[cfg(test)]
mod tests;
mod timeline;
mod tries;
mod trust;
mod ttl;

pub use backoff::{Backoff, Policy};
pub use claims::ClaimState;
pub use example::Example;
pub use figures::{
    ClientReport, Direction, OpenClaim, OpenClaims, OperationReport, PairReport, Rates, Report,
    ReportOptions, Rest, SpreadReport, TimelineReport, Totals, TrustReport, VerdictReport, Window,
};
pub use hex::Hex;
pub use keys::format_name;
pub use quality::{Grade, KeyQuality};
pub use summary::Summary;
pub use ttl::{TtlAdvice, TtlFacts, TtlLevel};
