//! Tests of the whole store that need its inside: a simulated world, steps in any order, crashes at any moment.

mod smoke;
mod world;
