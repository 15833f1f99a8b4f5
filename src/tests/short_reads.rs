//! A read that returns less than there is (promise 7): never taken for the end of a file, of the
//! log or of a torn tail, and never for an absent record.

use super::crash_sweep::{Syncs, calls_of_script};
use super::script::Run;
use super::world::{World, execute, key, scope};
use crate::simulation::{Fault, SimDisk, Survival};
use crate::{Entry, ErrorKind, Inspector};

/// Opens what a kill left, with reads that fall short, and again without.
fn open_short(run: &Run, call: u64, plan: impl Fn(&SimDisk, u64)) -> bool {
    let mut world = run.world.fork();
    world.crash(Survival::Everything, 0);
    plan(&world.disk, call);
    let over = match world.try_open() {
        Ok(store) => {
            let over = world.disk.calls() <= call;
            world.disk.clear_faults();
            run.check(&store, Survival::Everything);
            assert_eq!(store.recovery().damage, [], "call {call}");
            over
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Io, "call {call}: {error}");
            false
        }
    };
    world.crash(Survival::Everything, 0);
    let store = world.open();
    run.check(&store, Survival::Everything);
    assert_eq!(store.recovery().repaired, [], "call {call}");
    over
}

#[test]
fn promise_7_a_short_read_in_recovery_never_cuts_the_log() {
    let calls = calls_of_script(Syncs::EachBatch);
    for part in [2, 5, 9, 10] {
        let mut run = Syncs::EachBatch.run(true);
        run.world.disk.crash_at(calls * part / 10);
        run.play();
        for during in 0.. {
            let once = open_short(&run, during, |disk, call| disk.fail_at(call, Fault::ShortRead));
            let on = open_short(&run, during, |disk, call| disk.fail_from(call, Fault::ShortRead));
            if once && on {
                break;
            }
        }
    }
}

#[test]
fn promise_7_a_short_read_of_a_record_is_an_error_and_never_absent() {
    for size in [10, 400, 5000] {
        let mut world = World::new();
        let store = world.open();
        let body = "x".repeat(size);
        execute(&store, "k", &body);
        // Twice, as the first reading teaches the store how long records are.
        for _ in 0..2 {
            for later in 0..3 {
                world.disk.fail_at(world.disk.calls() + later, Fault::ShortRead);
                match store.get(&scope("acct"), &key("k")).wait() {
                    Ok(Some(Entry::Completed(record))) => {
                        assert_eq!(record.response().body(), body.as_bytes());
                    }
                    Ok(other) => panic!("{other:?}"),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Io, "{error}"),
                }
                world.disk.clear_faults();
            }
        }
        assert!(!store.stats().poisoned, "reads harm nothing");
    }
}

#[test]
fn promise_7_an_inspector_takes_a_short_read_for_an_error() {
    let mut world = World::new();
    let store = world.open();
    for i in 0..12 {
        execute(&store, &format!("k{i}"), &"x".repeat(6000));
        store.step_upkeep();
    }
    drop(store);
    let look = |during: Option<u64>| {
        let mut other = world.fork();
        other.crash(Survival::Everything, 0);
        if let Some(call) = during {
            other.disk.fail_at(call, Fault::ShortRead);
        }
        let told = Inspector::open_in(&other.environment(), false).and_then(|inspector| {
            let report = inspector.verify()?;
            assert!(report.is_whole(), "call {during:?}: {report:?}");
            Ok(inspector.summary()?.completed)
        });
        (told, other.disk.calls())
    };
    let (records, calls) = look(None);
    let records = records.expect("a whole store");
    for during in 0..calls {
        match look(Some(during)).0 {
            Ok(found) => assert_eq!(found, records, "call {during}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Io, "call {during}: {error}"),
        }
    }
}
