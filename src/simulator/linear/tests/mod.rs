//! Tests of the checker: histories written by hand, and histories of a store, made wrong.

mod crashes;
mod hand;
mod overlaps;
mod promises;
mod times;
