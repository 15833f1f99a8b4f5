//! Store time across a crash under a wall clock that was set back (promise 6): nobody is told of an
//! expiry that is then undone.

use std::time::Duration;

use super::world::{World, body, claimed, request};
use crate::simulation::{Clock, SimClock, Survival};
use crate::{Durability, Options, Outcome, StoredResponse};

const TTL: Duration = Duration::from_secs(600);

/// Kills the process, and sets the wall clock back to before the record had expired.
fn crash_and_step_back(world: &mut World) {
    world.crash(Survival::Everything, 0);
    let wall_ms = world.clock.wall_ms() - TTL.as_millis() as u64;
    world.clock = std::sync::Arc::new(SimClock::new(wall_ms));
}

fn expired_record(world: &mut World) -> crate::Store {
    let store = world.open();
    let claim = claimed(store.claim(request("k").ttl(TTL)).wait().expect("an outcome"));
    claim.complete(StoredResponse::new("answer")).wait().expect("completed");
    // The idle window is closed: nothing would be written for another reason.
    store.step_upkeep();
    store.step_upkeep();
    store.step_upkeep();
    world.advance(TTL);
    store
}

#[test]
fn promise_6_an_expiry_that_a_look_told_of_is_not_undone() {
    for durability in [Durability::Sync, Durability::Interval(Duration::from_secs(5))] {
        let mut world = World::with(Options::new().durability(durability));
        let store = expired_record(&mut world);
        assert_eq!(body(&store, "k"), None);
        store.step_upkeep();
        crash_and_step_back(&mut world);
        drop(store);
        assert_eq!(body(&world.open(), "k"), None, "{durability:?}");
    }
}

#[test]
fn promise_6_an_expiry_that_a_late_retry_was_told_of_is_not_undone() {
    let mut world = World::with(Options::new().refuse_late_retries(true));
    let store = expired_record(&mut world);
    let told = store.claim(request("k")).wait().expect("an outcome");
    assert!(matches!(told, Outcome::Expired(_)), "{told:?}");
    store.step_upkeep();
    crash_and_step_back(&mut world);
    drop(store);
    let store = world.open();
    let told = store.claim(request("k")).wait().expect("an outcome");
    assert!(!matches!(told, Outcome::Replay(_)), "{told:?}");
}

#[test]
fn an_idle_store_that_tells_of_nothing_writes_nothing() {
    let mut world = World::new();
    let store = expired_record(&mut world);
    let writes = world.disk.counters().writes;
    for _ in 0..100 {
        world.advance(Duration::from_secs(1));
        store.step_upkeep();
    }
    assert_eq!(world.disk.counters().writes, writes);
}

#[test]
fn promise_6_time_is_written_down_also_where_the_segment_is_full() {
    for size in (4000..8000).step_by(16) {
        let mut world = World::new();
        let store = expired_record(&mut world);
        let name = "x";
        let claim = claimed(store.claim(request(name).ttl(TTL)).wait().expect("an outcome"));
        let mut left = Some(claim);
        // Fill the active segment to some way before its end.
        for i in 0..8 {
            super::world::execute(&store, &format!("f{i}"), &"y".repeat(7000));
        }
        let full = left.take().expect("a claim").complete(StoredResponse::new("z".repeat(size)));
        full.wait().expect("completed");
        for _ in 0..4 {
            assert_eq!(body(&store, "k"), None);
            store.step_upkeep();
        }
        assert!(!store.stats().poisoned);
        crash_and_step_back(&mut world);
        drop(store);
        let store = world.open();
        assert_eq!(body(&store, "k"), None);
        assert!(store.recovery().damage.is_empty());
    }
}
