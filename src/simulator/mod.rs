//! A simulator of many processes that work with one store, and what judges their runs.

pub(crate) mod linear;
