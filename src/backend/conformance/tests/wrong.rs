//! For each way of being wrong: the suite notices, and in the group that is about it.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::Embedded;
use super::wrong_backend::{Fault, Wrong};
use crate::Options;
use crate::backend::conformance::{Subject, run};
use crate::error::Result;

struct WrongSubject {
    fault: Fault,
    right: Embedded,
    /// How often it was opened.
    opened: AtomicU64,
}

impl Subject for WrongSubject {
    type Backend = Wrong;

    fn open(&self) -> Result<Wrong> {
        let opened = self.opened.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let store = match self.fault {
            // A fresh store each time, under the same clock.
            Fault::Forgetful => self.right.emptied().open()?,
            _ => self.right.open()?,
        };
        Ok(Wrong::new(store, self.fault, opened))
    }

    fn advance(&self, by: Duration) -> bool {
        self.right.advance(by)
    }
}

fn failed_groups(fault: Fault) -> BTreeSet<String> {
    let right = Embedded::new(Options::new());
    let report = run(&WrongSubject { fault, right, opened: AtomicU64::new(0) });
    let group = |number: &str| number.split('.').next().unwrap_or_default().to_owned();
    report.failures().map(|case| group(case.number)).collect()
}

/// Each fault, and the group of cases that must notice it.
const NOTICED_BY: &[(Fault, &str)] = &[
    (Fault::TwoHolders, "1"),
    (Fault::ReleaseDoesNothing, "1"),
    (Fault::LostRaceUnavailable, "1"),
    (Fault::NotFenced, "1"),
    (Fault::Forgetful, "2"),
    (Fault::CheckpointLost, "2"),
    (Fault::BodyCut, "3"),
    (Fault::StatusLost, "3"),
    (Fault::MismatchLast, "4"),
    (Fault::Blind, "4"),
    (Fault::ScopesMixed, "4"),
    (Fault::NamesJoined, "4"),
    (Fault::TokensFall, "5"),
    (Fault::TokensRestart, "5"),
    (Fault::TokensIgnored, "5"),
    (Fault::ExpiresEarly, "6"),
    (Fault::ExpiresLate, "6"),
    (Fault::LeaseTooShort, "7"),
    (Fault::ExtendDoesNothing, "7"),
    (Fault::AttemptLost, "7"),
    (Fault::OwnersUnknown, "8"),
    (Fault::CompletesOnce, "8"),
    (Fault::DoesNotWait, "9"),
    (Fault::WaitsAsAnybody, "8"),
    (Fault::RunsUnresolved, "10"),
    (Fault::ResolvesAny, "10"),
    (Fault::AbandonReleases, "10"),
    (Fault::ZeroIsOne, "11"),
];

#[test]
fn every_way_of_being_wrong_is_noticed() {
    let unnoticed: Vec<_> = NOTICED_BY
        .iter()
        .map(|(fault, group)| (fault, group, failed_groups(*fault)))
        .filter(|(_, group, failed)| !failed.contains(**group))
        .collect();
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
}

#[test]
fn each_group_notices_something() {
    let groups: BTreeSet<_> = NOTICED_BY.iter().map(|(_, group)| *group).collect();
    assert_eq!(groups.len(), 11);
    assert!(failed_groups(Fault::None).is_empty(), "a backend that is right fails");
}
