//! What a run of the suite came to.

use std::fmt;

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The promise was kept.
    Passed,
    /// It was not; what was seen instead.
    Failed(String),
    /// It could not be checked; what is lacking.
    Skipped(&'static str),
}

/// One case of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaseReport {
    /// Group and number; the same in every version.
    pub number: &'static str,
    /// What is promised.
    pub promise: &'static str,
    /// How it ended.
    pub verdict: Verdict,
}

/// What a run came to: every case, in order. [`Display`](fmt::Display) has a line for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    cases: Vec<CaseReport>,
}

impl Report {
    pub(super) fn new(cases: Vec<CaseReport>) -> Self {
        Self { cases }
    }

    /// Every case.
    #[must_use]
    pub fn cases(&self) -> &[CaseReport] {
        &self.cases
    }

    /// Those that failed.
    pub fn failures(&self) -> impl Iterator<Item = &CaseReport> {
        self.cases.iter().filter(|case| matches!(case.verdict, Verdict::Failed(_)))
    }

    /// How many could not be checked.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.cases.iter().filter(|case| matches!(case.verdict, Verdict::Skipped(_))).count()
    }

    /// Ends a test.
    ///
    /// # Panics
    /// If a case failed, with all of the report.
    pub fn assert_passed(&self) {
        assert!(self.failures().next().is_none(), "\n{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for CaseReport { number, promise, verdict } in &self.cases {
            match verdict {
                Verdict::Passed => writeln!(f, "  ok     {number} {promise}")?,
                Verdict::Failed(what) => writeln!(f, "  FAILED {number} {promise}: {what}")?,
                Verdict::Skipped(what) => writeln!(f, "  -      {number} {promise} ({what})")?,
            }
        }
        Ok(())
    }
}
