//! The simulator: a whole store with hundreds of clients in a world that one number decides.
//!
//! A seed draws a [profile](profile) (how many keys, which faults, which clock) and a schedule of
//! [steps](step). Clients are tasks on an [executor](executor) without threads; the disk, the clock
//! and randomness are simulated; in the middle of a disk call [others may run](interlude), time may
//! pass, or the machine may go off. Every decision is judged by a [model](model) in the moment it
//! is taken, and after each crash the next process must find what the model says it may. What
//! clients are told is [written down](witness) as well, and [must be linearizable](linear). The
//! [audit trail](trail) is on a disk of its own, and tells what was decided and nothing else.
//!
//! Two runs of a seed are the same, to the byte.

#![allow(clippy::unit_arg, reason = "what cannot be refused is judged like what can")]

mod client;
#[cfg(test)]
mod corpus;
mod coverage;
mod dice;
mod executor;
mod failure;
mod interlude;
mod life;
pub(crate) mod linear;
mod model;
mod profile;
mod run;
mod simulation;
mod step;
mod steps;
mod trail;
mod watch;
mod witness;
mod world;

pub use coverage::Coverage;
pub use failure::Failure;
pub use profile::Length;
pub use simulation::Simulation;
pub use steps::Steps;

#[cfg(test)]
mod tests;
