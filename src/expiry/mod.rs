//! Time as records see it: store time, and what a segment's records have in common about their
//! ends.

#![cfg_attr(not(test), deny(clippy::disallowed_types))]

mod histogram;
#[cfg(all(test, oncekey_loom))]
mod orders;
mod store_clock;

pub(crate) use histogram::ExpiryHistogram;
pub(crate) use store_clock::{LeapRules, StoreClock};
