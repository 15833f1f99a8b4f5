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
mod api_races;
mod api_told;
mod api_waiters;
mod api_wakers;
mod chaos;
mod closed;
mod compaction;
mod crash_sweep;
mod damage;
mod fault_sweep;
mod full_segments;
mod histories;
mod inspect;
mod inspect_damage;
mod interval;
mod ledger;
mod linear;
mod model;
mod script;
mod shortage;
mod sizes;
mod smoke;
mod store_time;
mod stress_rewrites;
mod stress_waiters;
mod world;
