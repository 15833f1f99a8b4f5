//! Latencies, and what most of them stay below.

use std::time::Duration;

#[derive(Debug, Default)]
pub struct Latencies {
    ns: Vec<u64>,
}

impl Latencies {
    pub fn add(&mut self, took: Duration) {
        self.ns.push(took.as_nanos() as u64);
    }

    pub fn len(&self) -> usize {
        self.ns.len()
    }

    /// What so many of a thousand stay below, in microseconds.
    pub fn per_mille(&mut self, per_mille: usize) -> f64 {
        self.ns.sort_unstable();
        let at = (self.ns.len() * per_mille / 1000).min(self.ns.len().saturating_sub(1));
        self.ns.get(at).map_or(0.0, |ns| *ns as f64 / 1e3)
    }

    pub fn clear(&mut self) {
        self.ns.clear();
    }
}
