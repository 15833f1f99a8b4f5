//! Bugs that fuzzing found in what is made of files that somebody forged: right checksums over
//! numbers to which no store counts. Whoever can write a store's files can make it say anything;
//! what he cannot do is make whoever opens it panic, run for ever, or take memory without bounds.

use super::late_runs::{expired, is_late};
use super::world::{HALF_HOUR, World, body, execute, fill_segment};
use crate::late::RunName;
use crate::log::fuzzing::seal_segment;
use crate::log::{Manifest, manifest};
use crate::simulation::Disk;
use crate::{ErrorKind, Options};

const LAST: u64 = u64::MAX;

fn late_world() -> World {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    world.options.late_pending = 16;
    world
}

#[test]
fn promise_10_files_whose_numbers_are_the_last_there_are_do_not_end_the_counting() {
    let mut world = late_world();
    drop(world.open());
    let names = [format!("late-{LAST}"), format!("late-journal-{LAST}")];
    for name in &names {
        world.disk.put_file(name, b"somebody else's".to_vec()).expect("a file");
    }
    for life in 0..3 {
        let store = world.open();
        let name = format!("k{life}");
        expired(&world, &store, &name, 20);
        store.prune().wait().expect("pruned");
        assert!(store.step_late());
        assert!((0..20).all(|number| is_late(&store, &format!("{name}-{number}"))));
        assert_eq!(store.stats().late_lost, 0);
    }
    for name in &names {
        assert_eq!(world.disk.file(name), Some(b"somebody else's".to_vec()), "not a store's");
    }
}

#[test]
fn promise_10_a_manifest_with_a_number_to_which_no_store_counts_is_refused() {
    type Change = fn(&mut Manifest);
    let changes: [(&str, Change); 5] = [
        ("tokens would repeat", |manifest| manifest.ceiling.0 = LAST),
        ("no epoch follows", |manifest| manifest.epoch = LAST),
        ("no segment follows", |manifest| manifest.next_segment.0 = LAST),
        ("no file has this slot", |manifest| manifest.segments[0].slot.0 = u32::MAX),
        ("nor this one", |manifest| manifest.segments[0].slot.0 = 100_000),
    ];
    for (what, change) in changes {
        let mut world = World::new();
        execute(&world.open(), "a", "answer");
        let read = manifest::read(&*world.disk).expect("a disk");
        let (mut forged, _) = read.expect("a manifest");
        change(&mut forged);
        world.disk.put_file("MANIFEST", forged.encode()).expect("a file");
        for accepts in [false, true] {
            world.options = world.options.clone().accept_damage(accepts);
            let error = world.try_open().map(drop).expect_err(what);
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
        }
    }
}

#[test]
fn promise_10_a_run_that_says_it_has_more_entries_than_its_pages_hold_is_damaged() {
    let mut world = late_world();
    let store = world.open();
    for name in ["k", "m"] {
        expired(&world, &store, name, 20);
        store.prune().wait().expect("pruned");
        assert!(store.step_late());
    }
    let id = store.id();
    drop(store);
    let names = world.disk.list().expect("names");
    let mut runs = names.iter().filter_map(|name| RunName::from_file_name(name));
    let run = runs.next().expect("a run");
    let mut bytes = world.disk.file(&run.file_name()).expect("a run");
    bytes[56..64].copy_from_slice(&LAST.to_le_bytes());
    crate::late::fuzzing::seal_run(&mut bytes, id, run);
    world.disk.put_file(&run.file_name(), bytes).expect("a file");
    let store = world.open();
    let damage = &store.recovery().late_damage;
    assert!(damage.iter().any(|damage| damage.file == run.file_name()), "{damage:?}");
    expired(&world, &store, "n", 20);
    store.prune().wait().expect("pruned");
    assert!(store.step_late() && is_late(&store, "n-7"));
}

#[test]
fn promise_10_a_footer_that_says_all_has_expired_does_not_have_a_look_go_on_for_ever() {
    let mut world = World::new();
    let store = world.open();
    execute(&store, "a", "answer");
    fill_segment(&store, "x");
    drop(store);
    let segments = world.disk.list().expect("names").into_iter();
    for name in segments.filter(|name| name.starts_with("segment-")) {
        let mut bytes = world.disk.file(&name).expect("a segment");
        let trailer = bytes.len() - 128;
        if bytes[trailer..].starts_with(b"OKF1") {
            // The latest expiry.
            bytes[trailer + 56..trailer + 64].fill(0);
            seal_segment(&mut bytes, false);
            world.disk.put_file(&name, bytes).expect("a file");
        }
    }
    assert_eq!(body(&world.open(), "a").as_deref(), Some(&b"answer"[..]));
}
