//! Every write lands in another place of its file, and the disk says that all is well (promises 4
//! and 7): what is told is right, or an error. What was acknowledged is missing without a word only
//! if it was in the last batch before an unclean stop, which cannot be told from one that was never
//! written.

use super::crash_sweep::Syncs;
use super::fault_sweep::{Purpose, Survey};
use super::script::Phase;
use super::sweep::{sample, sweep, thousands};
use crate::ErrorKind;
use crate::simulation::{CallKind, Fault, Survival};

/// How many calls after the write the machine goes off, or never.
const STOPS: [Option<u64>; 4] = [Some(2), Some(12), Some(70), None];

fn misdirect(syncs: Syncs) {
    let survey = Survey::new(syncs);
    let calls = (0..).zip(&survey.calls);
    let writes = calls.filter(|(_, call)| call.kind == CallKind::Write).map(|(at, _)| at);
    let all: Vec<_> = writes.flat_map(|at| STOPS.map(|stop| (at, stop))).collect();
    let cases = sample(all, 7);
    let title = format!(
        "misdirected sweep, {syncs:?}, each write of {} calls x {} stops",
        thousands(survey.calls.len()),
        STOPS.len()
    );
    let name = |case: &(u64, Option<u64>)| {
        format!("{}, off after {:?}", survey.name((case.0, Fault::Misdirected)), case.1)
    };
    sweep(&title, &cases, name, |&(at, stop)| play(&survey, syncs, at, stop));
}

fn play(survey: &Survey, syncs: Syncs, at: u64, stop: Option<u64>) -> usize {
    let mut run = syncs.run(false);
    run.world.disk.fail_at(at, Fault::Misdirected);
    let end = stop.map_or(u64::MAX, |stop| at + stop);
    run.world.disk.crash_at(end);
    run.play();
    // A batch after it says that it was synced, or at least that it is missing.
    let later = (at + 1..end.min(survey.calls.len() as u64)).filter(|later| {
        survey.calls[*later as usize].kind == CallKind::Write
            && survey.purpose(*later) == Purpose::Log
            && survey.run.phase_at(*later) == Phase::Serve
    });
    let may_be_last = later.count() == 0;
    let survivals = match syncs {
        Syncs::EachBatch => &[Survival::Everything, Survival::Nothing][..],
        Syncs::Interval => &[Survival::Everything][..],
    };
    for survival in survivals {
        let mut next = run.world.fork();
        next.crash(*survival, 1);
        let store = match next.try_open() {
            Ok(store) => store,
            Err(error) => {
                let kinds = [ErrorKind::Corrupt, ErrorKind::WrongStore];
                assert!(kinds.contains(&error.kind()), "{survival:?}: {error:?}");
                continue;
            }
        };
        let lost = run.ledger.losses(&store);
        let report = store.recovery();
        let excused = !report.clean && (may_be_last || !report.torn.is_empty());
        assert!(lost.is_empty() || excused, "{survival:?}: {lost:?} lost, and told: {report:?}");
    }
    survivals.len()
}

#[test]
fn promise_7_a_write_that_lands_elsewhere_is_never_a_wrong_answer() {
    misdirect(Syncs::EachBatch);
}

#[test]
fn promise_7_a_write_that_lands_elsewhere_is_never_a_wrong_answer_in_intervals() {
    misdirect(Syncs::Interval);
}
