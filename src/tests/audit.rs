//! Every decision leaves its event, through the public API; and nothing that should not be kept is.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::world::{
    DAY, HALF_HOUR, World, claim, claim_on_drop, claimed, execute, fill_segment, key, outcome,
    request, scope, sparse_segments,
};
use crate::audit::{Audit, Classifier, Event, EventKind, Privacy, Rules, Trail, TrailItem};
use crate::backend::OwnerId;
use crate::simulation::{Disk, Fault, SimDisk, Survival};
use crate::{
    Caller, Difference, DropPolicy, ErrorKind, Options, Outcome, Resolution, Store, StoredResponse,
};

/// A world with a disk for the trail.
struct Audited {
    world: World,
    trail: Arc<SimDisk>,
}

impl Audited {
    fn with(options: Options) -> Self {
        let trail = SimDisk::new();
        let world = World::with(options);
        world.disk.put_directory("audit", trail.clone());
        Self { world, trail }
    }

    fn new() -> Self {
        Self::with(Options::new().audit(Audit::new()))
    }

    fn open(&mut self) -> Store {
        self.world.open()
    }

    fn reader(&self) -> Trail {
        Trail::on(self.trail.clone())
    }

    /// All events, once the store has had them written.
    fn events(&self, store: &Store) -> Vec<Event> {
        store.step_audit();
        let mut events = Vec::new();
        for item in self.reader() {
            match item.expect("read") {
                TrailItem::Event(event) => events.push(event),
                other => panic!("{other:?}"),
            }
        }
        events
    }

    fn kinds(&self, store: &Store) -> Vec<EventKind> {
        self.events(store).iter().map(|event| event.kind).collect()
    }
}

fn caller(client: &str, ip: &str, request: &str) -> Caller {
    let ip = ip.parse().expect("an address");
    Caller::new().client(client).ip(ip).user_agent(format!("{client}/1.0")).request_id(request)
}

#[test]
fn a_key_has_its_story() {
    use EventKind::{Claimed, Completed, Forgotten, InFlight, Mismatch, Replayed};
    let mut audited = Audited::new();
    let store = audited.open();
    let holder = claim(&store, "a");
    audited.world.advance(Duration::from_millis(40));
    drop(outcome(&store, "a"));
    drop(store.claim(request("a").payload("other")).wait().expect("an outcome"));
    holder.complete(StoredResponse::new("done")).wait().expect("completed");
    audited.world.advance(Duration::from_millis(60));
    drop(outcome(&store, "a"));
    drop(store.claim(request("a").operation("other")).wait().expect("an outcome"));
    assert!(store.forget(&scope("acct"), &key("a")).wait().expect("forgotten"));
    let events = audited.events(&store);
    let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [Claimed, InFlight, Mismatch, Completed, Replayed, Mismatch, Forgotten]);
    let [claimed, in_flight, mismatch, completed, replayed, other, forgotten] = events[..] else {
        unreachable!()
    };
    for (sequence, event) in (0..).zip(&events) {
        assert_eq!(event.id.sequence, sequence);
        assert_eq!(event.key_hash, claimed.key_hash);
        assert_eq!(event.scope, claimed.scope);
        assert_eq!(event.token, claimed.token);
        assert_eq!(event.attempt, 1);
    }
    let mut classifier = Classifier::new(Rules::new());
    let mut observed = events.clone();
    for event in &mut observed {
        classifier.observe(event);
    }
    let gaps: Vec<_> = observed.iter().map(|event| event.gap_ms).collect();
    assert_eq!(gaps, [None, Some(40), Some(0), None, Some(60), Some(0), None]);
    assert_eq!((claimed.age_ms, claimed.duration_ms), (None, None));
    assert_eq!(claimed.shape.map(|shape| shape.len), Some(1));
    assert_eq!(in_flight.age_ms, Some(40));
    assert_eq!(mismatch.age_ms, Some(40));
    assert_eq!(mismatch.differs, Some(Difference::Payload));
    assert_eq!(completed.duration_ms, Some(40));
    assert_eq!(completed.operation, claimed.operation);
    assert_eq!(replayed.age_ms, Some(60));
    assert_eq!(other.differs, Some(Difference::Operation));
    assert_ne!(other.operation, claimed.operation);
    assert_eq!(forgotten.age_ms, Some(60));
}

#[test]
fn a_claim_that_nobody_ends_has_its_story() {
    use EventKind::{Claimed, Completed, Dropped, Released, StaleHolder, TakenOver};
    let mut audited = Audited::new();
    let store = audited.open();
    drop(claim(&store, "a"));
    let slow = claim(&store, "b");
    audited.world.advance(Duration::from_secs(61));
    let second = claim(&store, "b");
    assert_eq!(
        slow.complete(StoredResponse::new("")).wait().map(|_| ()).map_err(|e| e.kind()),
        Err(ErrorKind::LeaseLost)
    );
    second.complete(StoredResponse::new("")).wait().expect("completed");
    claim(&store, "c").release().wait().expect("released");
    let events = audited.events(&store);
    let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [Claimed, Dropped, Claimed, TakenOver, StaleHolder, Completed, Claimed, Released]
    );
    let [_, dropped, first, taken, stale, done, ..] = events[..] else { unreachable!() };
    assert_eq!(dropped.duration_ms, Some(0));
    assert_eq!((taken.attempt, taken.age_ms), (2, Some(61_000)));
    assert_eq!(stale.token, first.token, "the stale one names its own claim");
    assert_eq!(done.token, taken.token);
}

#[test]
fn an_unresolved_attempt_has_its_story() {
    use EventKind::{Claimed, LeftUnresolved, MetUnresolved, Resolved};
    let mut audited = Audited::new();
    let store = audited.open();
    for (name, resolution) in [
        ("a", Resolution::NotExecuted),
        ("b", Resolution::Completed(StoredResponse::new("it was"))),
    ] {
        drop(claim_on_drop(&store, name, DropPolicy::Unresolved));
        assert!(matches!(outcome(&store, name), Outcome::Unresolved(_)));
        store.resolve(&scope("acct"), &key(name), resolution).wait().expect("resolved");
    }
    let late = claim_on_drop(&store, "c", DropPolicy::Unresolved);
    audited.world.advance(Duration::from_secs(61));
    assert!(matches!(outcome(&store, "c"), Outcome::Unresolved(_)));
    let story = [Claimed, LeftUnresolved, MetUnresolved, Resolved];
    assert_eq!(audited.kinds(&store), [&story[..], &story, &story[..3]].concat());
    let held = claim_on_drop(&store, "d", DropPolicy::Unresolved);
    audited.world.crash(Survival::Everything, 0);
    audited.trail = SimDisk::new();
    audited.world.disk.put_directory("audit", audited.trail.clone());
    drop((late, held, store));
    let store = audited.open();
    assert_eq!(audited.kinds(&store), [LeftUnresolved], "one more than before the crash");
}

#[test]
fn late_retries_and_limits_have_theirs() {
    use EventKind::{Claimed, Completed, Expired, LateRetry, Limited};
    for refuse in [false, true] {
        let options = Options::new().ttl(Duration::from_secs(600)).refuse_late_retries(refuse);
        let mut audited = Audited::with(options.max_in_flight(1).audit(Audit::new()));
        let store = audited.open();
        execute(&store, "a", "done");
        audited.world.advance(Duration::from_secs(605));
        let again = outcome(&store, "a");
        let refused = store.claim(request("b")).wait();
        assert_eq!(refused.is_err(), !refuse);
        let events = audited.events(&store);
        let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
        match refuse {
            true => assert_eq!(kinds, [Claimed, Completed, Expired, Claimed]),
            false => assert_eq!(kinds, [Claimed, Completed, LateRetry, Limited]),
        }
        assert_eq!(events[2].age_ms, Some(5000));
        assert_eq!(events[2].shape.is_some(), !refuse);
        drop((again, refused));
    }
}

#[test]
fn clock_and_disk_have_theirs() {
    use EventKind::{Claimed, ClockStep, Poisoned};
    let mut audited = Audited::new();
    let store = audited.open();
    store.step_upkeep();
    audited.world.clock.step_wall(-5000);
    store.step_upkeep();
    audited.world.advance(Duration::from_secs(7200));
    store.step_upkeep();
    store.step_upkeep();
    let disk = &audited.world.disk;
    disk.fail_from(disk.calls(), Fault::Io);
    assert!(store.claim(request("a")).wait().is_err());
    let events = audited.events(&store);
    let told: Vec<_> = events.iter().map(|event| (event.kind, event.duration_ms)).collect();
    let step = |ms| (ClockStep, Some(ms));
    assert_eq!(told, [step(5000), step(7_200_000), (Claimed, None), (Poisoned, None)]);
    assert_eq!(events[3].key_hash, 0);
}

#[test]
fn a_wait_is_one_event_however_often_it_looks() {
    use EventKind::{Claimed, InFlight, Waited};
    let mut audited = Audited::new();
    let store = audited.open();
    let holder = claim(&store, "a");
    let Outcome::InFlight(flight) = outcome(&store, "a") else { panic!("it is in flight") };
    let told = flight.wait(Duration::ZERO).wait().expect("an outcome");
    assert!(matches!(told, Outcome::InFlight(_)));
    let events = audited.events(&store);
    let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [Claimed, InFlight, Waited]);
    assert_eq!(events[2].duration_ms, Some(0));
    drop((told, holder));
}

#[test]
fn a_stale_owner_without_a_guard_is_told_of() {
    use EventKind::{Claimed, StaleHolder};
    let mut audited = Audited::new();
    let store = audited.open();
    let owner = OwnerId::from_bytes([1; 16]);
    let held = store.claim_as(owner, request("a")).wait().expect("an outcome");
    let (scope, key) = (scope("acct"), key("a"));
    let stale = crate::store::Named { scope: &scope, key: &key, token: crate::Token::new(1) };
    let refused = store.extend_named(&stale, Duration::from_secs(1));
    assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::LeaseLost));
    let events = audited.events(&store);
    let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [Claimed, StaleHolder]);
    assert_eq!(events[1].token, Some(crate::Token::new(1)));
    drop(held);
}

/// A request of a caller, and a retry of it from elsewhere.
fn two_callers(store: &Store) {
    let asked = |caller| request("a").caller(caller);
    let first = asked(caller("ios", "192.0.2.7", "req-1"));
    let held = claimed(store.claim(first).wait().expect("an outcome"));
    held.complete(StoredResponse::new("")).wait().expect("completed");
    for (client, ip, id) in [("ios", "192.0.2.99", "req-2"), ("bot", "198.51.100.1", "req-3")] {
        drop(store.claim(asked(caller(client, ip, id))).wait().expect("an outcome"));
    }
}

#[test]
fn who_held_a_key_is_known_after_a_restart_and_a_compaction() {
    let mut audited = Audited::with(Options::new().audit(Audit::new()).ttl(HALF_HOUR));
    let store = audited.open();
    two_callers(&store);
    let held = request("b").ttl(DAY).caller(caller("ios", "192.0.2.7", "req-4"));
    let held = claimed(store.claim(held).wait().expect("an outcome"));
    sparse_segments(&audited.world, &store);
    let kept = request("c").ttl(DAY).caller(caller("ios", "192.0.2.7", "req-5"));
    let done = claimed(store.claim(kept).wait().expect("an outcome"));
    done.complete(StoredResponse::new("")).wait().expect("completed");
    fill_segment(&store, "more");
    while store.step_prune() || store.step_compact() {}
    store.close(Duration::ZERO).wait().expect("closed");
    drop((held, store));
    let store = audited.open();
    for (name, client, ip) in [("b", "ios", "192.0.2.9"), ("c", "bot", "192.0.2.9")] {
        let asked = request(name).caller(caller(client, ip, "req-6"));
        drop(store.claim(asked).wait().expect("an outcome"));
    }
    store.step_audit();
    let events = audited.reader().filter_map(|item| match item.expect("read") {
        TrailItem::Event(event) if event.holder.is_some() => Some(event),
        _ => None,
    });
    let events: Vec<Event> = events.collect();
    let same = |event: &Event| {
        let (asked, held) = (event.context, event.holder.expect("a holder"));
        [asked.client == held.client, asked.network == held.network, asked.agent == held.agent]
    };
    let told: Vec<_> = events.iter().map(|event| (event.kind, same(event))).collect();
    assert_eq!(
        told,
        [
            (EventKind::Replayed, [true, true, true]),
            (EventKind::Replayed, [false, false, false]),
            (EventKind::TakenOver, [true, true, true]),
            (EventKind::Replayed, [false, true, false]),
        ]
    );
    let nobody = events[3].holder.and_then(|holder| holder.client).expect("a client");
    assert!(nobody.get() <= u64::from(u32::MAX), "half a label");
}

#[test]
fn names_are_reduced_by_default_and_plain_by_choice() {
    for privacy in [Privacy::Reduced, Privacy::Plain] {
        let mut audited = Audited::with(Options::new().audit(Audit::new().privacy(privacy)));
        let store = audited.open();
        two_callers(&store);
        store.step_audit();
        let mut reader = audited.reader();
        let events: Vec<Event> = std::iter::from_fn(|| reader.next())
            .map(|item| match item.expect("read") {
                TrailItem::Event(event) => event,
                other => panic!("{other:?}"),
            })
            .collect();
        let first = events[0];
        let name = |label: Option<_>| reader.name(label.expect("a label")).map(Cow::into_owned);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(name(first.operation), some("POST /v1/charges"));
        assert_eq!(name(first.context.client), some("ios"));
        assert_eq!(name(first.context.network), some("192.0.2.0/24"));
        let plain = privacy == Privacy::Plain;
        let if_plain = |text: &str| plain.then(|| text.to_owned());
        assert_eq!(name(first.scope), if_plain("acct"));
        assert_eq!(name(first.context.agent), if_plain("ios/1.0"));
        assert_eq!(name(first.context.request), if_plain("req-1"));
        let bytes: Vec<u8> = (1..3)
            .filter_map(|n| audited.trail.file(&format!("trail-{n:010}")))
            .flatten()
            .collect();
        let has = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(!has("192.0.2.7") && !has("192.0.2.99"), "an address is nowhere");
        assert_eq!((has("acct"), has("ios/1.0"), has("req-2")), (plain, plain, plain));
    }
}

#[test]
fn promise_9_off_is_off() {
    for options in [Options::new(), Options::new().audit(Audit::off())] {
        let mut audited = Audited::with(options);
        let store = audited.open();
        execute(&store, "a", "done");
        store.step_audit();
        assert_eq!(audited.trail.calls(), 0);
        assert_eq!(store.stats().audit_events, 0);
    }
}

#[test]
fn promise_9_a_failing_trail_fails_nothing_and_is_tried_again() {
    let mut audited = Audited::new();
    let store = audited.open();
    audited.trail.fail_from(0, Fault::Io);
    execute(&store, "a", "done");
    store.step_audit();
    execute(&store, "b", "done");
    store.step_audit();
    let stats = store.stats();
    assert_eq!((stats.audit_events, stats.audit_dropped), (0, 4));
    assert_eq!(stats.audit_failures, 1, "it is left alone for a while");
    assert!(!stats.poisoned);
    audited.trail.clear_faults();
    audited.world.advance(Duration::from_secs(1));
    execute(&store, "c", "done");
    store.step_audit();
    let told: Vec<_> = audited.reader().map(|item| item.expect("read")).collect();
    let TrailItem::Gap(gap) = &told[0] else { panic!("{:?}", told[0]) };
    assert_eq!((gap.lost, told.len()), (Some(4), 3));
    assert_eq!(store.stats().audit_events, 2);
}

#[test]
fn promise_9_what_a_failed_write_has_cost_is_not_counted_as_told() {
    let mut audited = Audited::new();
    let store = audited.open();
    execute(&store, "a", "done");
    store.step_audit();
    execute(&store, "b", "done");
    audited.trail.fail_at(audited.trail.calls(), Fault::Io);
    store.step_audit();
    let stats = store.stats();
    assert_eq!((stats.audit_events, stats.audit_dropped, stats.audit_failures), (2, 2, 1));
    assert_eq!(audited.reader().count(), 2);
}

#[test]
fn promise_9_what_a_full_ring_drops_is_counted_and_a_gap() {
    let mut audited = Audited::with(Options::new().audit(Audit::new().max_pending(4)));
    let store = audited.open();
    for number in 0..20 {
        execute(&store, &number.to_string(), "done");
    }
    let dropped = store.stats().audit_dropped;
    let kept = 40 - dropped as usize;
    assert!((4..20).contains(&kept), "{kept}");
    store.step_audit();
    execute(&store, "d", "done");
    store.step_audit();
    let told: Vec<_> = audited.reader().map(|item| item.expect("read")).collect();
    assert_eq!(told.len(), kept + 3);
    let gap = &told[kept];
    assert!(matches!(gap, TrailItem::Gap(gap) if gap.lost == Some(dropped)), "{gap:?}");
}

/// What was decided while the store's disk was full is told of at the end even where the trail had
/// nothing before it.
#[test]
fn promise_9_a_trail_of_nothing_but_what_was_dropped_says_how_much_that_is() {
    let mut audited = Audited::new();
    let store = audited.open();
    store.engine().audit.make_way(true);
    execute(&store, "a", "done");
    store.step_audit();
    store.engine().audit.make_way(false);
    assert_eq!((store.stats().audit_dropped, store.stats().audit_bytes), (2, 0));
    store.close(Duration::from_secs(1)).wait().expect("closed");
    let told: Vec<_> = audited.reader().map(|item| item.expect("read")).collect();
    assert!(matches!(&told[..], [TrailItem::Gap(gap)] if gap.lost == Some(2)), "{told:?}");
}

/// The store gives up a spare file for what cannot wait: that room must not go to the trail.
#[test]
fn promise_8_a_trail_makes_way_for_a_store_whose_disk_is_full() {
    let mut audited = Audited::with(Options::new().segment_bytes(1 << 16).audit(Audit::new()));
    let store = audited.open();
    execute(&store, "before", "done");
    store.step_audit();
    let files = audited.world.disk.list().expect("a list");
    let used: usize =
        files.iter().map(|name| audited.world.disk.file(name).expect("a file").len()).sum();
    audited.world.disk.set_capacity(used as u64);
    let mut refused = 0;
    for number in 0..2000 {
        store.step_upkeep();
        let request = request(&format!("full-{number}"));
        match store.claim(request).wait() {
            Ok(Outcome::Claimed(claim)) => {
                claim.complete(StoredResponse::new("done")).wait().expect("completed");
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::DiskFull);
                refused += 1;
            }
        }
        if refused > 3 {
            break;
        }
    }
    assert!(refused > 3 && store.stats().short_of_room);
    let before = store.stats();
    store.step_audit();
    let full = store.stats();
    assert_eq!(full.audit_bytes, before.audit_bytes, "nothing is written");
    assert!(full.audit_dropped > before.audit_dropped, "and what is not is counted");
    audited.world.disk.set_capacity(u64::MAX);
    store.step_upkeep();
    assert!(!store.stats().short_of_room);
    execute(&store, "after", "done");
    store.step_audit();
    let told: Vec<_> = audited.reader().map(|item| item.expect("read")).collect();
    let gap = &told[2];
    let dropped = full.audit_dropped;
    assert!(matches!(gap, TrailItem::Gap(gap) if gap.lost == Some(dropped)), "{gap:?}");
    assert_eq!(told.len(), 5);
}

#[test]
fn each_opening_has_a_number_and_a_crash_is_a_gap() {
    let mut audited = Audited::new();
    let store = audited.open();
    execute(&store, "a", "done");
    store.step_audit();
    execute(&store, "lost", "done");
    audited.world.crash(Survival::Everything, 0);
    audited.trail = audited.trail.crash(Survival::Everything, 0);
    audited.world.disk.put_directory("audit", audited.trail.clone());
    drop(store);
    let store = audited.open();
    drop(outcome(&store, "a"));
    store.close(Duration::ZERO).wait().expect("closed");
    drop(store);
    let store = audited.open();
    drop(outcome(&store, "a"));
    store.step_audit();
    let mut reader = audited.reader();
    let told: Vec<_> =
        std::iter::from_fn(|| reader.next()).map(|item| item.expect("read")).collect();
    let boots: Vec<u64> = told
        .iter()
        .filter_map(|item| match item {
            TrailItem::Event(event) => Some(event.id.boot),
            _ => None,
        })
        .collect();
    assert!(boots.is_sorted() && boots.len() >= 4, "{boots:?}");
    let gaps: Vec<_> = told.iter().filter(|item| matches!(item, TrailItem::Gap(_))).collect();
    assert!(matches!(gaps[..], [TrailItem::Gap(gap)] if gap.lost.is_none()), "{gaps:?}");
}
