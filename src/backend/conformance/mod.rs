//! A suite of tests that any [`Backend`] must pass, whoever wrote it.
//!
//! Each case is a promise of the [contract](super), checked through the contract alone: calls, many
//! threads, answers that are thrown away, reopening, and the clock where it can be driven. No
//! runtime is assumed; a backend that needs one runs the suite's futures itself
//! ([`Subject::block_on`]).
//!
//! ```
//! use oncekey::backend::conformance::{self, Subject};
//! use oncekey::{Result, Store};
//!
//! struct Embedded(tempfile::TempDir);
//!
//! impl Subject for Embedded {
//!     type Backend = Store;
//!
//!     fn open(&self) -> Result<Store> {
//!         Store::open_or_create(self.0.path().join("state"))
//!     }
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! let report = conformance::run(&Embedded(tempfile::tempdir()?));
//! report.assert_passed();
//! // Without a clock that can be driven, the cases about time are passed over.
//! assert!(report.skipped() > 0);
//! # Ok(()) }
//! ```
//!
//! What it cannot see: a power cut, and a disk that lies. [`Capabilities`](super::Capabilities)
//! declare what survives those.

mod claims;
mod durable;
mod fences;
mod input;
mod leases;
mod matching;
mod owners;
mod report;
mod resolving;
mod stage;
#[cfg(test)]
mod tests;
mod times;
mod waits;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

pub use report::{CaseReport, Report, Verdict};
use stage::Stage;

use super::Backend;
use crate::block_on;
use crate::error::Result;

/// What is put to the test: a way to open a backend, again and again.
pub trait Subject: Sync {
    /// The backend.
    type Backend: Backend;

    /// Opens the backend on the records that it left when it was last open; the first time, on
    /// none or on whatever there is. All that was opened before has been dropped by then, so that
    /// reopening is a clean restart.
    ///
    /// # Errors
    /// Whatever keeps it from opening; the case fails with it.
    fn open(&self) -> Result<Self::Backend>;

    /// Moves the backend's clock forward, for all that is measured by it: leases, TTLs and limits
    /// of waits. False if that cannot be done: the cases that need it are passed over. A case that
    /// waits does not end if this says that time has passed where it has not.
    fn advance(&self, by: Duration) -> bool {
        let _ = by;
        false
    }

    /// Runs a future to its end on this thread. The default needs no runtime and offers none.
    fn block_on<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        block_on::block_on(future)
    }
}

/// One promise, and how it is checked.
struct Case<S: Subject> {
    /// Group and number; never given anew.
    number: &'static str,
    promise: &'static str,
    needs: Needs,
    check: fn(&Stage<'_, S>) -> Checked,
}

/// What a case cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    /// A clock that can be driven.
    Clock,
    /// That outcomes survive the process.
    Durability,
    /// That waiting waits.
    Waiting,
    WaitingAndClock,
}

/// What a check came to; the error says what is wrong.
type Checked = std::result::Result<(), Failed>;

/// What is wrong, for a person.
#[derive(Debug)]
struct Failed(String);

impl From<crate::Error> for Failed {
    fn from(error: crate::Error) -> Self {
        Self(format!("an error that was not expected: {error:?}"))
    }
}

/// Fails a check unless something holds.
macro_rules! ensure {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err($crate::backend::conformance::Failed(format!($($what)+)));
        }
    };
}
use ensure;

/// Runs every case that the backend's capabilities and clock allow, one after another, each on keys
/// of its own. Records that are there already are not touched.
#[must_use]
pub fn run<S: Subject>(subject: &S) -> Report {
    let groups = [
        claims::cases(),
        durable::cases(),
        matching::cases(),
        fences::cases(),
        times::cases(),
        leases::cases(),
        owners::cases(),
        waits::cases(),
        resolving::cases(),
        input::cases(),
    ];
    let cases = groups.into_iter().flatten();
    Report::new(cases.map(|case| run_case(subject, &case)).collect())
}

fn run_case<S: Subject>(subject: &S, case: &Case<S>) -> CaseReport {
    let judge = || match Stage::new(subject, case.number) {
        Ok(stage) => match stage.lacks(case.needs) {
            Ok(Some(what)) => Verdict::Skipped(what),
            Ok(None) => match (case.check)(&stage) {
                Ok(()) => Verdict::Passed,
                Err(Failed(what)) => Verdict::Failed(what),
            },
            Err(Failed(what)) => Verdict::Failed(what),
        },
        Err(error) => Verdict::Failed(format!("no owner id: {error}")),
    };
    let verdict = catch_unwind(AssertUnwindSafe(judge))
        .unwrap_or_else(|_| Verdict::Failed("it panicked".to_owned()));
    CaseReport { number: case.number, promise: case.promise, verdict }
}
