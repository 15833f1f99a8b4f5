//! What a store tells of itself, from a script in which everything happens that there is a word
//! for. No name, no key, no body of it may be told.

#[cfg(feature = "metrics")]
mod counted;
#[cfg(feature = "metrics")]
mod documented;
#[cfg(feature = "tracing")]
mod logged;

use std::time::Duration;

use crate::simulation::{Disk, Fault, Survival};
use crate::tests::world::{HALF_HOUR, World, claimed};
use crate::{
    Checkpoint, ClaimRequest, DropPolicy, Key, Options, Outcome, Scope, Store, StoredResponse,
};

/// Is a part of every scope, key, operation, payload, checkpoint and response of the script.
const SECRET: &str = "hush";

fn secret(name: &str) -> String {
    format!("{SECRET}-{name}")
}

fn request(name: &str) -> ClaimRequest {
    let scope = Scope::new(secret("scope")).expect("a good scope");
    let key = Key::new(secret(name)).expect("a good key");
    ClaimRequest::new(scope, key).operation(secret("operation")).payload(secret(name))
}

fn outcome(store: &Store, request: ClaimRequest) -> Outcome {
    store.claim(request).wait().expect("an outcome")
}

fn complete(store: &Store, name: &str) {
    let response = StoredResponse::new(secret("response"));
    claimed(outcome(store, request(name))).complete(response).wait().expect("completed");
}

/// A store in which every outcome has happened, and each error that a caller makes.
fn busy_store(world: &mut World) -> Store {
    let store = world.open();
    let first = claimed(outcome(&store, request("a")));
    let Outcome::InFlight(flight) = outcome(&store, request("a")) else { panic!("not in flight") };
    assert!(matches!(flight.wait(Duration::ZERO).wait(), Ok(Outcome::InFlight(_))));
    let Outcome::InFlight(flight) = outcome(&store, request("a")) else { panic!("not in flight") };
    assert!(matches!(outcome(&store, request("a").payload("other")), Outcome::Mismatch(_)));
    let too_long = StoredResponse::new(secret(&"x".repeat(1 << 16)));
    let refused = first.complete(too_long).wait().expect_err("too long");
    let (first, _) = refused.into_claim().expect("the claim comes back");
    first.complete(StoredResponse::new(secret("response"))).wait().expect("completed");
    assert!(matches!(flight.wait(HALF_HOUR).wait(), Ok(Outcome::Replay(_))));
    assert!(matches!(outcome(&store, request("a")), Outcome::Replay(_)));
    store.claim(request("z").ttl(Duration::ZERO)).wait().expect_err("no TTL");

    drop(claimed(outcome(&store, request("b").on_drop(DropPolicy::Unresolved))));
    assert!(matches!(outcome(&store, request("b")), Outcome::Unresolved(_)));
    let lease = Duration::from_secs(1);
    let slow = claimed(outcome(&store, request("c").lease(lease)));
    let checkpoint = Checkpoint::new(secret("checkpoint"), secret("data")).expect("a checkpoint");
    slow.save_checkpoint(checkpoint).wait().expect("saved");
    world.advance(lease);
    let taken = claimed(outcome(&store, request("c")));
    assert_eq!(taken.attempt(), 2);
    taken.complete(StoredResponse::new(secret("response"))).wait().expect("completed");
    claimed(outcome(&store, request("d"))).release().wait().expect("released");
    world.advance(HALF_HOUR);
    store.step_upkeep();
    complete(&store, "a");
    store
}

/// The same store after a kill, on a disk that gets full, has room again, and fails; and one that
/// refuses late retries.
fn troubles() {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    drop(busy_store(&mut world));
    world.options = world.options.clone().refuse_late_retries(true);
    world.crash(Survival::Nothing, 1);
    let store = world.open();
    assert!(!store.stats().poisoned);
    world.advance(HALF_HOUR);
    assert!(matches!(outcome(&store, request("a")), Outcome::Expired(_)));

    let names = world.disk.list().expect("a list");
    let used: usize = names.iter().map(|name| world.disk.file(name).expect("a file").len()).sum();
    world.disk.set_capacity(used as u64);
    for i in 0.. {
        store.step_upkeep();
        let stats = store.stats();
        if stats.short_of_room {
            break;
        }
        assert!(i < 500, "the disk does not get full: {stats:?}");
        let claim = claimed(outcome(&store, request(&format!("fill-{i}"))));
        let _ = claim.complete(StoredResponse::new(secret(&"x".repeat(5000)))).wait();
    }
    world.disk.set_capacity(u64::MAX);
    store.step_upkeep();
    assert!(!store.stats().short_of_room);

    world.disk.fail_from(world.disk.calls(), Fault::FailedSync);
    store.claim(request("last")).wait().expect_err("the disk failed");
    store.step_upkeep();
}
