//! Compressed responses: the same bytes come back, whatever the setting was and is.

use std::time::Duration;

use super::inspect::{assert_whole, inspector};
use super::world::{
    DAY, HALF_HOUR, World, body, claimed, execute, key, outcome, replayed, request, scope,
};
use crate::simulation::Survival;
use crate::{Store, StoredResponse};

fn long_answer(i: usize) -> String {
    format!("answer {i}: {}", "{\"status\":\"succeeded\",\"amount\":100}".repeat(60))
}

fn fill(world: &mut World, first: usize) -> u64 {
    let store = world.open();
    for i in first..first + 50 {
        execute(&store, &i.to_string(), &long_answer(i));
        store.step_upkeep();
    }
    let bytes = store.stats().log_bytes;
    store.close(Duration::ZERO).wait().expect("closed");
    bytes
}

#[test]
fn p3_a_compressed_response_has_the_same_bytes_through_crash_and_compaction() {
    let mut world = World::new();
    world.options = world.options.clone().compress_from_bytes(100);
    let store = world.open();
    for i in 0..900 {
        let lasts = if i % 3 == 0 { DAY } else { Duration::from_secs(60) };
        let claim = claimed(store.claim(request(&i.to_string()).ttl(lasts)).wait().expect("told"));
        claim.complete(StoredResponse::new(long_answer(i))).wait().expect("completed");
        store.step_upkeep();
    }
    world.advance(HALF_HOUR * 2);
    store.step_upkeep();
    while store.step_compact() {}
    assert!(store.stats().compactions > 0, "{:?}", store.stats());
    let check = |store: &Store| {
        for i in (0..900).step_by(3) {
            let record = replayed(outcome(store, &i.to_string()));
            assert_eq!(record.response().body(), long_answer(i).as_bytes());
        }
    };
    check(&store);
    world.crash(Survival::Nothing, 0);
    drop(store);
    check(&world.open());
}

#[test]
fn either_setting_reads_what_the_other_wrote() {
    let mut world = World::new();
    let plain_bytes = fill(&mut world, 0);
    world.options = world.options.clone().compress_from_bytes(1000);
    let packed_bytes = fill(&mut world, 50);
    assert!(packed_bytes * 3 < plain_bytes, "{packed_bytes} of {plain_bytes}");
    for threshold in [0, usize::MAX] {
        world.options = world.options.clone().compress_from_bytes(threshold);
        let store = world.open();
        for i in 0..100 {
            assert_eq!(body(&store, &i.to_string()), Some(long_answer(i).into_bytes()));
        }
    }
}

#[test]
fn the_inspector_shows_the_response_and_not_how_it_is_stored() {
    let mut world = World::new();
    world.options = world.options.clone().compress_from_bytes(1000);
    fill(&mut world, 0);
    let inspector = inspector(&world, false);
    let found = inspector.key(&scope("acct"), &key("7")).expect("read").expect("there");
    let expected = long_answer(7);
    assert_eq!(found.row.body_bytes, Some(expected.len() as u64));
    assert_eq!(found.response.expect("a response").body(), expected.as_bytes());
    assert_whole(&inspector);
}
