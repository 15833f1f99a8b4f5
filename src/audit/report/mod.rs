//! Reports: what a trail's events add up to.
//!
//! Left to others: what makes events (the engine), what each collision was (verdicts).
