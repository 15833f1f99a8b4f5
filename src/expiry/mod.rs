//! Time as records see it: store time, and what a segment's records have in common about their
//! ends.

mod histogram;
mod store_clock;

pub(crate) use histogram::ExpiryHistogram;
pub(crate) use store_clock::{LeapRules, StoreClock};
