//! The memory against a map: what was noted or became a run is told, whatever was merged, dropped
//! and opened again; and there are never more runs than there may be.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::simulation::SimDisk;

const STORE: (StoreId, StoreTime) = (StoreId([7; 16]), StoreTime(0));
const REMEMBER_MS: u64 = 100_000;

#[derive(Debug, Clone)]
enum Step {
    /// Keys of few hashes expire, or are hidden, and become a run.
    Write(Vec<(u8, bool)>),
    Pass(u64),
    DropOld,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let keys = proptest::collection::vec((any::<u8>(), prop::bool::weighted(0.2)), 1..40);
    prop_oneof![
        6 => keys.prop_map(Step::Write),
        3 => (1..60_000_u64).prop_map(Step::Pass),
        1 => Just(Step::DropOld),
        2 => Just(Step::Reopen),
    ]
}

/// The latest expiry of a hash and what hides it, in seconds.
type Known = BTreeMap<u8, (Option<u32>, Option<u32>)>;

fn hash(key: u8) -> KeyHash {
    KeyHash(u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn check(memory: &LateMemory, known: &Known, now: StoreTime) {
    let (runs, since_s) = (memory.runs(), memory.since_s(now));
    assert!(memory.runs.len() <= MAX_RUNS, "{} runs", memory.runs.len());
    for key in 0..=u8::MAX {
        let (expired, hidden) = known.get(&key).copied().unwrap_or_default();
        let expected =
            expired.filter(|at| *at > since_s && hidden.is_none_or(|hidden| *at > hidden));
        let (told, is_whole) = runs.look(hash(key));
        assert!(is_whole);
        assert_eq!(told.expired_s(since_s), expected, "key {key}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_tells_what_a_map_does(steps in proptest::collection::vec(step(), 1..40)) {
        let disk = SimDisk::new();
        let mut now = StoreTime(1_000_000);
        let open = |now| LateMemory::open(disk.clone(), STORE, REMEMBER_MS, now).expect("opened");
        let (mut memory, mut known) = (open(now).memory, Known::new());
        for step in steps {
            match step {
                Step::Write(keys) => {
                    let seconds = seconds_before(now, StoreTime(0));
                    let mut entries = Vec::new();
                    for (key, mark) in keys {
                        let known = known.entry(key).or_default();
                        let (place, entry) = match mark {
                            true => (&mut known.1, Some(LateEntry::mark(hash(key), seconds))),
                            false => (&mut known.0, LateEntry::expired(hash(key), seconds)),
                        };
                        *place = Some(seconds);
                        entries.extend(entry);
                    }
                    entries.sort_unstable();
                    entries.dedup();
                    memory.write_run(&entries, now, &mut |_| Ok(())).expect("written");
                }
                Step::Pass(ms) => now = now.plus_ms(ms),
                Step::DropOld => drop(memory.drop_old(now)),
                Step::Reopen => {
                    let opened = open(now);
                    prop_assert!(opened.pending.is_empty() && opened.faults.runs.is_empty());
                    memory = opened.memory;
                }
            }
            check(&memory, &known, now);
        }
        let files = disk.list().expect("a list").len();
        prop_assert_eq!(files, memory.runs.len(), "files of no run are left");
    }
}

#[test]
fn what_a_crash_left_beside_the_run_that_stands_for_it_goes() {
    let disk = SimDisk::new();
    let now = StoreTime(1_000_000);
    let open = || LateMemory::open(disk.clone(), STORE, REMEMBER_MS, now).expect("opened").memory;
    let mut memory = open();
    let write = |memory: &mut LateMemory, key| {
        let entry = LateEntry::expired(hash(key), 999).expect("small");
        memory.write_run(&[entry], now, &mut |_| Ok(())).expect("written");
    };
    write(&mut memory, 1);
    let (name, old) = ("late-0000000001", disk.file("late-0000000001").expect("a run"));
    write(&mut memory, 2);
    assert!(disk.file(name).is_none(), "the second stands for it");
    disk.put_file(name, old).expect("as a crash leaves it");
    let memory = open();
    assert_eq!((memory.runs.len(), disk.list().expect("a list").len()), (1, 1));
    assert_eq!(memory.runs().look(hash(1)).0.expired_s(0), Some(999));
}
