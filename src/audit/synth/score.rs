//! How verdicts compare with the truth.

use super::super::Verdict;

/// Counts of verdicts against truths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Score {
    /// By truth, then by verdict, in the order of [`Verdict::ALL`].
    counts: [[u64; Verdict::ALL.len()]; Verdict::ALL.len()],
}

impl Score {
    /// Nothing counted.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one collision.
    pub fn add(&mut self, truth: Verdict, verdict: Verdict) {
        let row = self.counts.get_mut(truth as usize);
        if let Some(count) = row.and_then(|row| row.get_mut(verdict as usize)) {
            *count += 1;
        }
    }

    /// Adds what another counted.
    pub fn merge(&mut self, other: &Self) {
        let pairs = self.counts.iter_mut().flatten().zip(other.counts.iter().flatten());
        pairs.for_each(|(mine, theirs)| *mine += theirs);
    }

    /// How many of this truth were given this verdict.
    #[must_use]
    pub fn count(&self, truth: Verdict, verdict: Verdict) -> u64 {
        let row = self.counts.get(truth as usize);
        row.and_then(|row| row.get(verdict as usize)).copied().unwrap_or(0)
    }

    /// How many truly were this.
    #[must_use]
    pub fn truths(&self, truth: Verdict) -> u64 {
        Verdict::ALL.iter().map(|verdict| self.count(truth, *verdict)).sum()
    }

    /// How many were given this verdict.
    #[must_use]
    pub fn verdicts(&self, verdict: Verdict) -> u64 {
        Verdict::ALL.iter().map(|truth| self.count(*truth, verdict)).sum()
    }

    /// The share of this verdict that was right; 1 if it was never given.
    #[must_use]
    pub fn precision(&self, verdict: Verdict) -> f64 {
        share(self.count(verdict, verdict), self.verdicts(verdict))
    }

    /// The share of this truth that was found; 1 if there was none.
    #[must_use]
    pub fn recall(&self, truth: Verdict) -> f64 {
        share(self.count(truth, truth), self.truths(truth))
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}
