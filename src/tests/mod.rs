//! Tests of the whole store that need its inside: a simulated world, steps in any order, crashes at
//! any moment.

mod api_cancel;
mod api_claims;
mod api_clock;
mod api_close;
mod api_drops;
mod api_limits;
mod api_once;
mod api_poll;
mod api_told;
mod api_waiters;
mod closed;
mod crash_sweep;
mod damage;
mod fault_sweep;
mod full_segments;
mod histories;
mod inspect;
mod inspect_damage;
mod ledger;
mod model;
mod script;
mod smoke;
mod world;
