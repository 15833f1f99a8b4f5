//! What the clients saw, counted: each request ends in exactly one of the columns.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

/// How one request ended, as its client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// Answered by the request that ran the handler.
    Executed,
    /// Answered from the record, at once.
    Replayed,
    /// Answered from the record of another request that it waited for.
    Waited,
    Mismatch,
    InFlight,
    Unresolved,
    /// The handler or the store failed, and said so.
    Failed,
    /// The connection ended without an answer.
    Lost,
}

/// The counts of one scenario.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    answers: Mutex<Vec<(Answer, u32)>>,
}

/// A tally, added up.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Row {
    pub(crate) scenario: String,
    /// Distinct payments.
    pub(crate) payments: usize,
    pub(crate) sent: usize,
    pub(crate) executed: usize,
    pub(crate) replayed: usize,
    pub(crate) waited: usize,
    pub(crate) rejected: Rejected,
    pub(crate) p50_us: u32,
    pub(crate) p99_us: u32,
}

/// Requests that got no stored answer, by reason.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Rejected {
    pub(crate) mismatch: usize,
    pub(crate) in_flight: usize,
    pub(crate) unresolved: usize,
    pub(crate) failed: usize,
    pub(crate) connection_lost: usize,
}

impl Tally {
    pub(crate) fn count(&self, answer: Answer, took: Duration) {
        let took_us = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).push((answer, took_us));
    }

    pub(crate) fn row(&self, scenario: &str, payments: usize) -> Row {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        add_up(scenario, payments, answers)
    }
}

/// The row of all scenarios together.
pub(crate) fn total<'a>(tallies: impl Iterator<Item = &'a Tally>, payments: usize) -> Row {
    let mut all = Vec::new();
    for tally in tallies {
        all.extend_from_slice(&tally.answers.lock().unwrap_or_else(PoisonError::into_inner));
    }
    add_up("total", payments, all)
}

fn add_up(scenario: &str, payments: usize, mut answers: Vec<(Answer, u32)>) -> Row {
    let mut row = Row { scenario: scenario.to_owned(), payments, ..Row::default() };
    row.sent = answers.len();
    for (answer, _) in &answers {
        *match answer {
            Answer::Executed => &mut row.executed,
            Answer::Replayed => &mut row.replayed,
            Answer::Waited => &mut row.waited,
            Answer::Mismatch => &mut row.rejected.mismatch,
            Answer::InFlight => &mut row.rejected.in_flight,
            Answer::Unresolved => &mut row.rejected.unresolved,
            Answer::Failed => &mut row.rejected.failed,
            Answer::Lost => &mut row.rejected.connection_lost,
        } += 1;
    }
    answers.sort_unstable_by_key(|(_, took_us)| *took_us);
    row.p50_us = percentile(&answers, 50);
    row.p99_us = percentile(&answers, 99);
    row
}

/// The nearest-rank percentile of what is sorted.
fn percentile(sorted: &[(Answer, u32)], percent: usize) -> u32 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or(0, |(_, took_us)| *took_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_in_one_column() {
        let tally = Tally::default();
        for us in 1..=100 {
            let answer = if us % 2 == 0 { Answer::Executed } else { Answer::Lost };
            tally.count(answer, Duration::from_micros(us));
        }
        let row = tally.row("some", 7);
        assert_eq!((row.sent, row.executed, row.rejected.connection_lost), (100, 50, 50));
        assert_eq!((row.p50_us, row.p99_us, row.payments), (50, 99, 7));
        assert_eq!(Tally::default().row("none", 0).p99_us, 0);
    }
}
