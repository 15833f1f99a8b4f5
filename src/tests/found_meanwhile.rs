//! Lookups in whose middle what they read is moved or dropped, and its file used again: each found
//! by hand or by the simulator, where pruning and compaction happen in the middle of a read.

use std::collections::HashMap;

use super::chaos::{ChaosDisk, How};
use super::world::{
    DAY, HALF_HOUR, World, body, execute, execute_for, fill_segment, key, outcome, replayed, scope,
    sparse_segments,
};
use crate::index::with_masked_hashes;
use crate::simulation::Environment;
use crate::{Options, Store};

/// Of a key's hash these bits are left: the number of its shard.
const SHARD_BITS: u64 = 0xFFF0_0000_0000_0000;

/// A name with the same hash bits as `name`.
fn twin_of(store: &Store, name: &str) -> String {
    let hash = |name: &str| store.engine().hash(b"acct", name.as_bytes());
    let names = (0..).map(|i| format!("{name}-twin-{i}"));
    names.into_iter().find(|twin| hash(twin) == hash(name)).expect("a twin")
}

/// Looks a key up in whose hash bits there is another, earlier record. While that one is read, the
/// key's own is compacted away and its file used again, with records all over it.
fn look_while_it_moves<T>(pad: usize, look: impl FnOnce(&Store) -> T) -> T {
    let world = World::with(Options::new().ttl(HALF_HOUR));
    let disk = ChaosDisk::new(world.disk.clone(), How::Errors);
    let env = Environment { disk: disk.clone(), ..world.environment() };
    let store = Store::open_in(&env, &world.options, true).expect("the store opens");
    execute_for(&store, &twin_of(&store, "long-2"), DAY, "twin");
    sparse_segments(&world, &store);
    let inner = store.clone();
    disk.after_next_read(move || {
        while inner.step_prune() || inner.step_compact() {}
        assert!(inner.stats().compactions > 0);
        let mut begun = 0;
        for i in 0..900 {
            let segments = inner.stats().segments;
            if begun != segments {
                begun = segments;
                execute_for(&inner, &format!("pad-{begun}"), DAY, &"x".repeat(16 * pad));
            }
            execute_for(&inner, &format!("s-{i:03}"), DAY, "other");
            inner.step_upkeep();
        }
    });
    look(&store)
}

#[test]
fn promise_7_a_record_that_moves_during_a_look_is_still_found() {
    let wrong = |pad: &usize| look_while_it_moves(*pad, |store| body(store, "long-2")).is_none();
    let lost: Vec<usize> = with_masked_hashes(SHARD_BITS, || (0..30).filter(wrong).collect());
    assert_eq!(lost, [0; 0], "with these pads it is said not to be there");
}

#[test]
fn promise_4_a_record_that_moves_while_it_is_forgotten_is_forgotten() {
    let wrong = |pad: &usize| {
        look_while_it_moves(*pad, |store| {
            !store.forget(&scope("acct"), &key("long-2")).wait().expect("an answer")
        })
    };
    let kept: Vec<usize> = with_masked_hashes(SHARD_BITS, || (0..30).filter(wrong).collect());
    assert_eq!(kept, [0; 0], "with these pads there was nothing to forget");
}

#[test]
fn promise_1_a_record_that_moves_during_a_claim_is_replayed() {
    let replay = |pad: usize| look_while_it_moves(pad, |store| outcome(store, "long-2"));
    with_masked_hashes(SHARD_BITS, || {
        for pad in 0..30 {
            drop(replayed(replay(pad)));
        }
    });
}

/// Between the two looks of a claim the file of the only candidate, of another key, is used again
/// by so many lives, and the claim's own key completed at the same offset. Says whether the claim
/// would take the index for unchanged.
fn completed_between_two_looks(lives: usize, holds_pins: bool) -> bool {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    let store = world.open();
    // Of one length, as tokens and times are from here on: all lives are laid out alike.
    let mut names = (0..).map(|i| format!("key-{i:05}"));
    let mut by_hash = HashMap::new();
    let (name, twin) = names
        .find_map(|name| {
            let hash = store.engine().hash(b"acct", name.as_bytes());
            Some((by_hash.insert(hash, name.clone())?, name))
        })
        .expect("two of the same hash");
    for _ in 0..2 {
        world.advance(HALF_HOUR);
        store.step_upkeep();
    }
    (0..100).for_each(|i| drop(execute(&store, &format!("w-{i:02}"), "small")));
    fill_segment(&store, "f-00");
    execute(&store, &twin, "small");
    fill_segment(&store, "f-01");
    world.advance(HALF_HOUR);
    let engine = store.engine();
    engine.is_as_pinned_after((&scope("acct"), &key(&name)), holds_pins, || {
        while store.step_prune() {}
        for life in 0..lives {
            execute(&store, &format!("life-{life:04}"), "small");
            fill_segment(&store, &format!("g-{life:02}"));
        }
        execute(&store, &name, "small");
        assert!(body(&store, &name).is_some());
    })
}

#[test]
fn promise_1_a_key_completed_where_another_life_of_the_file_was_read_is_not_granted_again() {
    let same = |holds_pins: bool| -> Vec<usize> {
        let is_same = |lives: &usize| completed_between_two_looks(*lives, holds_pins);
        with_masked_hashes(SHARD_BITS, || (0..12).filter(is_same).collect())
    };
    assert_ne!(same(false), [0; 0], "the scenario: it was completed at the same place");
    assert_eq!(same(true), [0; 0], "it would be claimed and completed again");
}
