//! A guard refuses what it was asked to refuse, and nothing else; what it refuses changes nothing.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::world::{HALF_HOUR, World, claimed, key, outcome, request, scope};
use crate::audit::{Audit, Event, EventKind, Judgement, Rules, Verdict};
use crate::disk::Disk as _;
use crate::simulation::SimDisk;
use crate::{Caller, ClaimRequest, ErrorKind, Options, Outcome, Store, StoredResponse};

type Told = Arc<Mutex<Vec<(EventKind, Verdict)>>>;

/// A store that refuses what `refuses` is true of, and what its guard was asked.
fn guarded(
    refuses: impl Fn(&Event, &Judgement) -> bool + Send + Sync + 'static,
) -> (World, Store, Told) {
    let told = Told::default();
    let hears = told.clone();
    let guard = move |event: &Event, judgement: &Judgement| {
        hears.lock().push((event.kind, judgement.verdict));
        refuses(event, judgement)
    };
    let audit = Audit::new().guard(Rules::new(), guard);
    let mut world = World::with(Options::new().ttl(HALF_HOUR).audit(audit));
    world.disk.put_directory("audit", SimDisk::new());
    let store = world.open();
    (world, store, told)
}

fn asked(client: &str, ip: [u8; 4]) -> ClaimRequest {
    request("a").caller(Caller::new().client(client).user_agent(client).ip(ip.into()))
}

fn kind_of(answer: crate::Result<Outcome>) -> Option<ErrorKind> {
    answer.err().map(|error| error.kind())
}

#[test]
fn a_suspicious_replay_is_refused_and_an_honest_one_answered() {
    let suspicious = |_: &Event, judgement: &Judgement| {
        judgement.verdict == Verdict::SuspiciousReplay && judgement.against.is_none()
    };
    let (world, store, told) = guarded(suspicious);
    let held = claimed(store.claim(asked("ios", [192, 0, 2, 1])).wait().expect("an outcome"));
    held.complete(StoredResponse::new("secret")).wait().expect("completed");
    world.advance(Duration::from_secs(1200));
    let honest = store.claim(asked("ios", [192, 0, 2, 9])).wait().expect("an outcome");
    assert!(matches!(honest, Outcome::Replay(_)), "{honest:?}");
    world.advance(Duration::from_secs(300));
    let stolen = store.claim(asked("tool", [198, 51, 100, 1])).wait();
    assert_eq!(kind_of(stolen), Some(ErrorKind::Refused));
    let verdicts: Vec<Verdict> = told.lock().iter().map(|(_, verdict)| *verdict).collect();
    assert_eq!(verdicts, [Verdict::LegitimateRetry, Verdict::SuspiciousReplay]);
    let honest = store.claim(asked("ios", [192, 0, 2, 9])).wait().expect("an outcome");
    assert!(matches!(honest, Outcome::Replay(_)), "{honest:?}");
}

#[test]
fn what_is_refused_leaves_its_event_and_a_text_that_says_why() {
    let (world, store, _) = guarded(|_, _| true);
    let held = claimed(outcome(&store, "a"));
    let refused = store.claim(request("a")).wait().expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::Refused);
    let text = refused.to_string();
    assert!(text.contains("race") && text.contains("guard"), "{text}");
    held.complete(StoredResponse::new("")).wait().expect("the holder is not concerned");
    store.step_audit();
    let trail = world.disk.directory("audit").expect("a directory");
    let kinds: Vec<EventKind> = crate::audit::Trail::on(trail)
        .filter_map(|item| match item.expect("read") {
            crate::audit::TrailItem::Event(event) => Some(event.kind),
            _ => None,
        })
        .collect();
    use EventKind::{Claimed, Completed, InFlight, Refused};
    assert_eq!(kinds, [Claimed, InFlight, Refused, Completed]);
}

#[test]
fn promise_1_a_takeover_that_is_refused_is_taken_back() {
    let takeovers = |event: &Event, _: &Judgement| {
        event.kind == EventKind::TakenOver && event.context.client.is_some()
    };
    let (world, store, told) = guarded(takeovers);
    let slow = claimed(outcome(&store, "a"));
    world.advance(Duration::from_secs(61));
    let refused = store.claim(asked("tool", [198, 51, 100, 1])).wait();
    assert_eq!(kind_of(refused), Some(ErrorKind::Refused));
    let Outcome::Claimed(next) = outcome(&store, "a") else { panic!("the key is free") };
    assert!(next.attempt() > 1, "it is still no new key");
    assert_eq!(
        slow.complete(StoredResponse::new("")).wait().map(drop).map_err(|error| error.kind()),
        Err(ErrorKind::LeaseLost)
    );
    next.complete(StoredResponse::new("done")).wait().expect("completed");
    let takeovers = told.lock().iter().filter(|(kind, _)| *kind == EventKind::TakenOver).count();
    assert_eq!(takeovers, 2);
}

#[test]
fn a_late_retry_that_is_refused_is_still_late_afterwards() {
    let (world, store, _) =
        guarded(|event, _| event.kind == EventKind::LateRetry && event.context.client.is_some());
    claimed(outcome(&store, "a")).complete(StoredResponse::new("")).wait().expect("completed");
    world.advance(HALF_HOUR + Duration::from_secs(60));
    let refused = store.claim(asked("tool", [198, 51, 100, 1])).wait();
    assert_eq!(kind_of(refused), Some(ErrorKind::Refused));
    let late = claimed(outcome(&store, "a"));
    assert!(late.late_retry().is_some());
}

#[test]
fn a_guard_may_call_the_store_and_one_that_panics_refuses() {
    let place: Arc<Mutex<Option<Store>>> = Arc::default();
    let inside = place.clone();
    let (_world, store, _) = guarded(move |_, _| {
        let store = inside.lock().clone().expect("a store");
        store.get(&scope("acct"), &key("a")).wait().expect("a look").expect("a claim");
        panic!("a guard of a stranger");
    });
    *place.lock() = Some(store.clone());
    let held = claimed(outcome(&store, "a"));
    assert_eq!(kind_of(store.claim(request("a")).wait()), Some(ErrorKind::Refused));
    held.complete(StoredResponse::new("")).wait().expect("completed");
    *place.lock() = None;
}

#[test]
fn who_waits_is_judged_when_they_ask_and_when_they_are_answered() {
    let (_world, store, told) = guarded(|_, _| false);
    let held = claimed(outcome(&store, "a"));
    let Outcome::InFlight(flight) = outcome(&store, "a") else { panic!("it is in flight") };
    held.complete(StoredResponse::new("done")).wait().expect("completed");
    let answer = flight.wait(Duration::from_secs(1)).wait().expect("an outcome");
    assert!(matches!(answer, Outcome::Replay(_)));
    let kinds: Vec<EventKind> = told.lock().iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [EventKind::InFlight, EventKind::Waited]);
}
