//! Bugs that the simulator, the checker of histories and the sweeps found in a store that runs,
//! each by hand. Those that need a crash to show are in `found_crashes.rs`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::api_poll::ByHand;
use super::world::{
    HALF_HOUR, World, body, claim, claim_on_drop, claimed, key, outcome, places_used_again,
    request, scope,
};
use crate::index::with_masked_hashes;
use crate::simulation::Survival;
use crate::{DropPolicy, Options, Outcome, Store, StoredResponse};

const TTL: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(5);

/// A completion that nobody has written yet, and whose record has expired.
fn expired_on_its_way(world: &World, store: &Store, name: &str) {
    let held = claimed(store.claim(request(name).ttl(TTL)).wait().expect("an outcome"));
    drop(held.complete(StoredResponse::new("answer")));
    world.advance(TTL);
}

#[test]
fn promise_6_a_completion_that_expired_on_its_way_to_disk_is_not_replayed_by_a_claim() {
    let mut world = World::new();
    let store = world.open();
    expired_on_its_way(&world, &store, "a");
    let told = outcome(&store, "a");
    assert!(matches!(told, Outcome::InFlight(_)), "{told:?}");
    assert!(store.step_commit(), "it was told at once");
    assert!(claim(&store, "a").late_retry().is_some(), "now it is on disk, and the key free");
}

#[test]
fn promise_6_a_completion_that_expired_on_its_way_to_disk_is_not_found_by_get() {
    let mut world = World::new();
    let store = world.open();
    expired_on_its_way(&world, &store, "a");
    assert_eq!(store.get(&scope("acct"), &key("a")).wait().expect("a look"), None);
    expired_on_its_way(&world, &store, "b");
    assert!(!store.forget(&scope("acct"), &key("b")).wait().expect("forgotten"));
    assert!(claim(&store, "b").late_retry().is_none(), "it was forgotten all the same");
}

#[test]
fn promise_4_a_completion_that_expired_on_its_way_to_disk_is_a_mismatch_that_is_in_flight() {
    let mut world = World::new();
    let store = world.open();
    expired_on_its_way(&world, &store, "a");
    let other = store.claim(request("a").payload("another")).wait().expect("an outcome");
    let Outcome::Mismatch(mismatch) = other else { panic!("{other:?}") };
    assert!(mismatch.in_flight());
}

#[test]
fn promise_10_a_takeover_that_was_taken_back_while_unresolved_is_not_counted_as_unresolved() {
    let mut world = World::with(Options::new().max_unresolved(1));
    let store = world.open();
    let asked = || request("a").on_drop(DropPolicy::Unresolved).lease(LEASE);
    let first = claimed(store.claim(request("a").lease(LEASE)).wait().expect("an outcome"));
    world.advance(LEASE);
    let takeover = ByHand::begun(store.claim(asked()));
    // Its lease runs out before it is told of it, and somebody else finds that out.
    world.advance(LEASE);
    let finder = ByHand::begun(store.claim(asked()));
    assert_eq!(store.stats().unresolved, 1);
    drop(takeover);
    assert_eq!(store.stats().unresolved, 0);
    assert!(store.unresolved().is_empty());
    drop((finder, first));
    let other = claim_on_drop(&store, "b", DropPolicy::Unresolved);
    let next = claim_on_drop(&store, "a", DropPolicy::Unresolved);
    assert_eq!((other.attempt(), next.attempt()), (1, 3));
}

/// What lies where an expired record was moves, while the flight that is to replace the expired one
/// is still out. Says whether every record that lives is found after it has landed.
fn move_what_lies_where_a_replaced_record_was(pad: usize) -> bool {
    let (world, store, again, small) = places_used_again(pad, 4);
    world.advance(HALF_HOUR + Duration::from_secs(1));
    store.step_upkeep();
    // A share of the records' spread must be over before a segment counts as mostly dead.
    world.advance(Duration::from_secs(2700));
    store.step_upkeep();
    let _ = store.compact().wait();
    assert!(store.stats().compactions > 0);
    again.complete(StoredResponse::new("new")).wait().expect("completed");
    assert_eq!(body(&store, "a").as_deref(), Some(&b"new"[..]));
    small.iter().all(|name| body(&store, name).as_deref() == Some(b"kept"))
}

#[test]
fn promise_2_a_record_that_moved_is_not_taken_for_one_that_lay_there_in_another_life_of_the_file() {
    // A record must begin where the expired one did: a granule a try.
    let lost: Vec<usize> = with_masked_hashes(0, || {
        (0..25).filter(|pad| !move_what_lies_where_a_replaced_record_was(*pad)).collect()
    });
    assert!(lost.is_empty(), "records were lost with these pads: {lost:?}");
}

/// Two at once, on each of many abandoned claims: the slower finds nothing. It is the holder's
/// error that the key is another's, and a forget has no claim to lose.
#[test]
fn promise_4_two_forgets_of_an_abandoned_claim_never_get_the_error_of_a_holder() {
    const KEYS: usize = 4000;
    let mut world = World::new();
    world.options = world.options.clone().segment_bytes(1 << 23);
    let store = world.open();
    let names: Vec<String> = (0..KEYS).map(|i| format!("k{i}")).collect();
    let held: Vec<_> = names.iter().map(|name| claim(&store, name)).collect();
    world.crash(Survival::Everything, 0);
    drop((held, store));
    let store = world.open();
    let arrived = AtomicUsize::new(0);
    let forget_all = || -> Vec<bool> {
        let forget = |(turn, name): (usize, &String)| {
            // Both begin in the same moment.
            arrived.fetch_add(1, Ordering::SeqCst);
            for tries in 0.. {
                if arrived.load(Ordering::SeqCst) >= 2 * (turn + 1) {
                    break;
                }
                match tries < 1000 {
                    true => std::hint::spin_loop(),
                    false => std::thread::yield_now(),
                }
            }
            store.forget(&scope("acct"), &key(name))
        };
        let calls: Vec<_> = names.iter().enumerate().map(forget).collect();
        calls.into_iter().map(|call| call.wait().expect("no claim is lost")).collect()
    };
    let (one, other) = std::thread::scope(|threads| {
        let other = threads.spawn(forget_all);
        (forget_all(), other.join().expect("no panic"))
    });
    for ((one, other), name) in one.iter().zip(&other).zip(&names) {
        assert!(one ^ other, "{name} is forgotten once: {one} and {other}");
    }
}
