//! The embedded store passes the suite; and backends that are wrong on purpose do not.

mod wrong;
mod wrong_backend;

use std::sync::Arc;
use std::time::Duration;

use super::{Report, Subject, Verdict, run};
use crate::backend::DynBackend;
use crate::error::Result;
use crate::simulation::{Environment, SimClock, SimDisk, SimRandom};
use crate::{Durability, Options, Store};

/// A Tuesday in 2026.
const START_MS: u64 = 1_790_000_000_000;

/// The embedded store on a simulated disk, with threads of its own, under a clock that is driven.
pub(super) struct Embedded {
    disk: Arc<SimDisk>,
    clock: Arc<SimClock>,
    options: Options,
}

impl Embedded {
    pub(super) fn new(options: Options) -> Self {
        Self {
            disk: SimDisk::new(),
            clock: Arc::new(SimClock::new(START_MS)),
            options: options.segment_bytes(1 << 20),
        }
    }
}

impl Embedded {
    /// The same world without its disk.
    pub(super) fn emptied(&self) -> Self {
        Self { disk: SimDisk::new(), clock: self.clock.clone(), options: self.options.clone() }
    }
}

impl Subject for Embedded {
    type Backend = Store;

    fn open(&self) -> Result<Store> {
        let environment = Environment {
            disk: self.disk.clone(),
            clock: self.clock.clone(),
            random: Arc::new(SimRandom::new(1)),
            threads: true,
        };
        Store::open_in(&environment, &self.options, true)
    }

    fn advance(&self, by: Duration) -> bool {
        self.clock.advance(by);
        true
    }
}

/// The same behind a pointer.
struct Boxed(Embedded);

impl Subject for Boxed {
    type Backend = DynBackend;

    fn open(&self) -> Result<DynBackend> {
        self.0.open().map(DynBackend::new)
    }

    fn advance(&self, by: Duration) -> bool {
        self.0.advance(by)
    }
}

fn assert_all_checked(report: &Report) {
    report.assert_passed();
    assert_eq!(report.skipped(), 0, "\n{report}");
}

#[test]
fn the_embedded_store_keeps_the_contract() {
    assert_all_checked(&run(&Embedded::new(Options::new())));
}

#[test]
fn the_embedded_store_keeps_the_contract_with_intervals() {
    let durability = Durability::Interval(Duration::from_millis(20));
    assert_all_checked(&run(&Embedded::new(Options::new().durability(durability))));
}

#[test]
fn a_backend_behind_a_pointer_keeps_the_contract() {
    assert_all_checked(&run(&Boxed(Embedded::new(Options::new()))));
}

#[test]
fn cases_have_numbers_of_their_own_and_say_what_they_promise() {
    let report = run(&Embedded::new(Options::new()));
    let mut numbers: Vec<_> = report.cases().iter().map(|case| case.number).collect();
    let count = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), count);
    assert!(count > 70, "{count} cases");
    assert!(report.cases().iter().all(|case| !case.promise.is_empty()));
    let shown = report.to_string();
    assert_eq!(shown.lines().count(), count);
    assert!(report.cases().iter().all(|case| case.verdict == Verdict::Passed), "{shown}");
}
