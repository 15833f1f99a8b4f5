//! Tests of the whole store that need its inside: a simulated world, steps in any order, crashes at
//! any moment.

mod api_cancel;
mod api_claims;
mod api_clock;
mod api_close;
mod api_drops;
mod api_limits;
mod api_once;
mod api_owners;
mod api_poll;
mod api_races;
mod api_told;
mod api_waiters;
mod api_wakers;
mod audit;
mod audit_guard;
mod audit_threads;

pub(crate) mod chaos;
mod closed;
mod compaction;
mod compression;
mod crash_sweep;
mod damage;
mod damage_sweep;
mod fault_sweep;
mod found;
mod found_crashes;
mod found_meanwhile;
mod full_segments;
mod histories;
mod inspect;
mod inspect_damage;
mod interval;
mod late;
mod late_runs;
mod late_sweep;
mod ledger;
mod lifecycle;
pub(crate) mod linear;
mod misdirected_sweep;
mod model;
mod opening;
mod record_cache;
mod sabotage;
mod script;
mod short_reads;
mod shortage;
mod sizes;
mod smoke;
mod store_time;
#[cfg(feature = "report")]
mod story;
mod stress_rewrites;
mod stress_waiters;
mod sweep;
pub(crate) mod world;
