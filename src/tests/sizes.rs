//! What a key costs on disk: the log's bytes a cycle, and a record's bytes after compaction.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::world::{World, claimed};
use crate::{ClaimRequest, Fingerprint, Key, Options, Scope, Store, StoredResponse};

const SCOPE: &str = "acct_000042";
const RESPONSE: [u8; 256] = [7; 256];
const SHORT: Duration = Duration::from_secs(60);

/// Bytes of scope, key and fingerprint.
const NAMED: usize = SCOPE.len() + 36 + 32;

fn request(number: u32) -> ClaimRequest {
    let key = format!("{number:08}-0000-4000-8000-{number:012}");
    ClaimRequest::new(Scope::new(SCOPE).expect("a scope"), Key::new(key).expect("a key"))
        .fingerprint(Fingerprint::from_bytes([3; 32]))
}

/// Runs 32 cycles whose claims share a batch, and whose completions do: what 64 callers come to.
fn shared_cycles(store: &Store, first: u32) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut calls: Vec<_> =
        (first..first + 32).map(|number| Box::pin(store.claim(request(number)))).collect();
    calls.iter_mut().for_each(|call| assert!(call.as_mut().poll(&mut cx).is_pending()));
    store.step_commit();
    let mut completions = Vec::new();
    for mut call in calls {
        let Poll::Ready(outcome) = call.as_mut().poll(&mut cx) else { panic!("not told") };
        completions.push(claimed(outcome.expect("an outcome")).complete(response()));
    }
    store.step_commit();
    for completion in completions {
        assert!(pin!(completion).poll(&mut cx).is_ready());
    }
}

fn response() -> StoredResponse {
    StoredResponse::new(RESPONSE)
}

fn large_segments() -> World {
    let mut world = World::with(Options::new());
    world.options = world.options.clone().segment_bytes(1 << 20);
    world
}

#[test]
fn a_cycle_writes_little_more_than_its_names_twice_and_its_response() {
    let mut world = large_segments();
    let store = world.open();
    let before = store.stats().log_bytes;
    (0..32).for_each(|round| shared_cycles(&store, round * 32));
    let bytes = (store.stats().log_bytes - before) as f64 / (32.0 * 32.0);
    let bare = (2 * NAMED + RESPONSE.len()) as f64;
    assert!(bytes <= 1.2 * bare, "{bytes} bytes a cycle, {} times the bare {bare}", bytes / bare);
}

#[test]
fn a_compacted_record_takes_little_more_than_its_names_and_its_response() {
    let mut world = large_segments();
    world.options = world.options.clone().ttl(Duration::from_secs(60));
    let store = world.open();
    for number in 0..6000 {
        let ttl = if number % 4 == 0 { Duration::from_secs(24 * 3600) } else { SHORT };
        let outcome = store.claim(request(number).ttl(ttl)).wait().expect("an outcome");
        claimed(outcome).complete(response()).wait().expect("completed");
        store.step_upkeep();
    }
    world.advance(Duration::from_secs(50 * 60));
    assert!(store.step_compact(), "three quarters of the records have expired");
    let inspector = crate::Inspector::open_in(&world.environment(), true).expect("a look");
    let segments = inspector.summary().expect("a summary").segments;
    let compacted: Vec<_> = segments.iter().filter(|segment| segment.compacted).collect();
    let records: u64 = compacted.iter().map(|segment| segment.records).sum();
    assert!(records > 500, "{records} records moved");
    // Data, less the header's page, and 16 bytes of the footer each.
    let data: u64 = compacted.iter().map(|segment| segment.data_bytes - 4096).sum();
    let bytes = data as f64 / records as f64 + 16.0;
    let bare = (NAMED + RESPONSE.len()) as f64;
    assert!(bytes <= 1.25 * bare, "{bytes} bytes a record, {} times the bare {bare}", bytes / bare);
}
