//! Opening: what it reads, and what it tells meanwhile.

use std::sync::{Arc, Mutex};

use super::world::{World, execute, key, scope};
use crate::simulation::Survival;
use crate::{Entry, Inspector, Options, Phase, Progress, Store};

const RECORDS: usize = 2000;

/// A store of many sealed segments, whose process died.
fn crashed(options: Options) -> (World, u64) {
    let mut world = World::with(options);
    let store = world.open();
    for number in 0..RECORDS {
        execute(&store, &format!("k{number}"), &"answer ".repeat(50));
        if number % 50 == 0 {
            store.step_upkeep();
        }
    }
    store.step_upkeep();
    let segments = store.stats().segments;
    assert!(segments > 15, "{segments}");
    world.crash(Survival::Everything, 0);
    drop(store);
    (world, segments)
}

fn assert_all(store: &Store) {
    for number in 0..RECORDS {
        let found = store.get(&scope("acct"), &key(&format!("k{number}"))).wait();
        assert!(matches!(found, Ok(Some(Entry::Completed(_)))), "k{number}");
    }
}

type Told = Arc<Mutex<Vec<Progress>>>;

fn telling() -> (Told, impl Fn(Progress) + Send + Sync + 'static) {
    let told = Told::default();
    let into = told.clone();
    (told, move |progress| into.lock().expect("no panic").push(progress))
}

/// The last step of each phase that was told of, and that the steps before came in order.
fn last_steps(told: &Told) -> Vec<Progress> {
    let told = told.lock().expect("no panic");
    let phases = told.chunk_by(|one, next| one.phase == next.phase);
    let steps = phases.inspect(|steps| assert!(steps.is_sorted_by_key(|step| step.done)));
    steps.filter_map(|steps| steps.last().copied()).collect()
}

#[test]
fn p7_opening_reads_the_tables_of_contents_and_the_tail_and_no_other_data() {
    let (mut world, segments) = crashed(Options::new());
    let before = world.disk.counters().bytes_read;
    let store = world.open();
    let read = world.disk.counters().bytes_read - before;
    // The log's last segments are read whole: the active one, the one prepared after it, and one
    // that is sealed meanwhile. Of each other a page of header, and its footer twice.
    let footer = 16 * (RECORDS as u64 / segments + 50) + 128;
    let limit = 3 * 65_536 + segments * (4096 + 64 + 2 * footer) + 32_768;
    assert!(read < limit, "{read} bytes of {segments} segments, not {limit}");
    assert_all(&store);
}

#[test]
fn whoever_waits_for_an_open_is_told_how_far_it_has_come() {
    let (told, call) = telling();
    let (mut world, segments) = crashed(Options::new().on_progress(call));
    told.lock().expect("no panic").clear();
    assert_all(&world.open());
    let last = last_steps(&told);
    let phases: Vec<Phase> = last.iter().map(|step| step.phase).collect();
    assert_eq!(phases, [Phase::Segments, Phase::Tail, Phase::Index]);
    assert!(last.iter().all(|step| step.done == step.total), "{last:?}");
    assert!(last[0].total >= segments, "{last:?}");
}

#[test]
fn whoever_panics_when_told_is_not_told_again_and_the_store_opens() {
    let calls = Arc::new(Mutex::new(0));
    let count = calls.clone();
    let (mut world, _) = crashed(Options::new().on_progress(move |_| {
        *count.lock().expect("no panic under it") += 1;
        std::panic::resume_unwind(Box::new("told"));
    }));
    assert_all(&world.open());
    assert_eq!(*calls.lock().expect("no panic under it"), 1);
}

#[test]
fn whoever_waits_for_a_look_is_told_how_far_it_has_come() {
    let (world, _) = crashed(Options::new());
    let (told, call) = telling();
    let inspector = Inspector::open_in(&world.environment(), false).expect("a store");
    let inspector = inspector.on_progress(call);
    inspector.summary().expect("a summary");
    assert!(inspector.verify().expect("a report").is_whole());
    let last = last_steps(&told);
    let phases: Vec<Phase> = last.iter().map(|step| step.phase).collect();
    assert_eq!(phases, [Phase::Segments, Phase::Verify]);
    assert!(last.iter().all(|step| step.done == step.total), "{last:?}");
}
