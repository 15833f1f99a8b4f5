//! The audit's ring: what is pushed is taken once or counted as dropped, numbers leave no gap but
//! for what was dropped, and the audit thread comes when it was called.

use std::sync::Arc;

use super::{expect_found, explore, join_all};
use crate::audit::{Audit, Auditor, Draft, EventKind, Ground, Trail, TrailItem};
use crate::expiry::{LeapRules, StoreClock};
use crate::ids::{StoreId, StoreTime};
use crate::simulation::{SimClock, SimDisk};
use crate::slip::Slip;
use crate::sync::thread::{self, JoinHandle};

const PUSHERS: u64 = 3;

struct Audited {
    auditor: Auditor,
    time: StoreClock,
    trail: Arc<SimDisk>,
}

impl Audited {
    /// An audit whose ring holds so many events.
    fn new(max_pending: usize) -> Arc<Self> {
        let (disk, trail) = (SimDisk::new(), SimDisk::new());
        disk.put_directory("audit", trail.clone());
        let rules = LeapRules { threshold_ms: 3_600_000, confirmation_ms: 600_000 };
        let time = StoreClock::resume(Arc::new(SimClock::new(1_790_000_000_000)), rules, None);
        let ground = Ground { disk, store_id: StoreId([1; 16]), hash_key: &[1; 16], boot: 1 };
        let auditor = Auditor::new(&Audit::new().max_pending(max_pending), ground, &time);
        Arc::new(Self { auditor, time, trail })
    }

    fn start(self: &Arc<Self>) -> JoinHandle<()> {
        let audited = self.clone();
        thread::spawn(move || audited.auditor.run(&audited.time))
    }

    /// So many threads push so many events each.
    fn push(self: &Arc<Self>, each: u64) -> Vec<JoinHandle<()>> {
        let push = |pusher: u64| {
            let audited = self.clone();
            thread::spawn(move || {
                for number in 0..each {
                    let at = StoreTime(1000 * pusher + number);
                    audited.auditor.record(|| Draft::new(EventKind::Claimed, at));
                }
            })
        };
        (0..PUSHERS).map(push).collect()
    }
}

#[test]
fn promise_9_what_is_pushed_is_taken_once_or_counted() {
    explore("ring", || {
        let audited = Audited::new(4);
        let (pushing, thread) = (audited.push(4), audited.start());
        join_all(pushing);
        audited.auditor.stop();
        thread.join().expect("stopped");
        audited.auditor.end(&audited.time);
        let counts = audited.auditor.counts();
        assert_eq!(counts.events + counts.dropped, 4 * PUSHERS);
        let (mut next, mut events) = (0, Vec::new());
        for item in Trail::on(audited.trail.clone()) {
            match item.expect("read") {
                TrailItem::Event(event) => {
                    assert_eq!(event.id.sequence, next);
                    next += 1;
                    events.push(event.at.as_millis());
                }
                TrailItem::Gap(gap) => next += gap.lost.expect("counted"),
                TrailItem::Damage(damage) => panic!("{damage:?}"),
            }
        }
        assert_eq!((next, events.len() as u64), (4 * PUSHERS, counts.events));
        for pusher in 0..PUSHERS {
            let own = events.iter().filter(|at| **at / 1000 == pusher);
            assert!(own.is_sorted_by(|earlier, later| earlier < later), "{events:?}");
        }
    });
}

/// Whoever finds an eighth of the ring in use calls the thread; nothing else does, and no time
/// passes. Each pusher's events fill more than that.
fn whoever_calls_is_heard() {
    let audited = Audited::new(4);
    let (pushing, thread) = (audited.push(6), audited.start());
    join_all(pushing);
    while audited.auditor.counts().events == 0 {
        thread::yield_now();
    }
    audited.auditor.stop();
    thread.join().expect("stopped");
}

#[test]
fn the_audit_thread_comes_when_it_is_called() {
    explore("ring, calls", whoever_calls_is_heard);
}

#[test]
fn an_audit_thread_that_lets_itself_be_called_too_late_is_found() {
    expect_found(Slip::LateCome, 50_000, whoever_calls_is_heard);
}
