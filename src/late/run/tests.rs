//! Runs: what is written reads back, by looks and by pages, and nothing else is believed.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::simulation::SimDisk;

const STORE: StoreId = StoreId([7; 16]);
const NAME: RunName = RunName(3);

fn write(disk: &SimDisk, all: &BTreeMap<u64, (u32, bool)>) -> Run {
    let names = (RunName(2), NAME);
    let count = all.len() as u64;
    let mut writer = RunWriter::begin(disk, STORE, names, StoreTime(9), count).expect("begun");
    for (hash, (seconds, hidden)) in all {
        let hash = KeyHash(*hash);
        let mark = hidden.then(|| LateEntry::mark(hash, seconds / 2));
        let expired = LateEntry::expired(hash, *seconds);
        writer.add(expired.into_iter().chain(mark), &mut |_| Ok(())).expect("written");
    }
    writer.finish(&mut |_| Ok(())).expect("finished").expect("not empty")
}

/// Hashes all over, and many in a row.
fn keys() -> impl Strategy<Value = BTreeMap<u64, (u32, bool)>> {
    let hash = prop_oneof![any::<u64>(), 0..2000_u64];
    proptest::collection::btree_map(hash, (0..1_u32 << 31, any::<bool>()), 1..1500)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_key_is_found_with_its_expiry(
        all in keys(), others in proptest::collection::vec(any::<u64>(), 50),
    ) {
        let disk = SimDisk::new();
        let written = write(&disk, &all);
        let (opened, faults) = Run::open(&*disk, STORE, NAME).expect("opened");
        prop_assert!(faults.is_empty());
        prop_assert_eq!(opened.head, written.head);
        for run in [written, opened] {
            for (hash, (seconds, hidden)) in &all {
                let hash = KeyHash(*hash);
                prop_assert!(run.may_know(hash));
                let told = run.look(hash).expect("readable");
                prop_assert_eq!(told.expired_s(0), Some(*seconds).filter(|at| *at > 0));
                prop_assert_eq!(told.hidden_s(), hidden.then_some(seconds / 2));
            }
            for other in others.iter().filter(|other| !all.contains_key(other)) {
                prop_assert_eq!(run.look(KeyHash(*other)).expect("readable"), Told::default());
            }
        }
        let (bytes, faults) = Run::verify(&*disk, STORE, NAME).expect("read");
        prop_assert!(faults.is_empty());
        prop_assert_eq!(bytes, disk.file(&NAME.file_name()).expect("there").len() as u64);
    }
}

#[test]
fn p7_every_flipped_bit_is_found_and_costs_at_most_its_page() {
    let disk = SimDisk::new();
    let spread = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let all: BTreeMap<u64, _> = (0..700).map(|i| (spread(i), (i as u32 + 1, i % 7 == 0))).collect();
    let pages = write(&disk, &all).head.pages;
    let file = NAME.file_name();
    let len = disk.file(&file).expect("there").len();
    for at in (0..len as u64).filter(|at| at % 13 == 0 || at % 4096 < 90) {
        disk.flip_bit(&file, at, (at % 8) as u8).expect("a bit");
        let verified = Run::verify(&*disk, STORE, NAME);
        assert!(verified.map_or(true, |(_, faults)| !faults.is_empty()), "byte {at}");
        let page = (at / PAGE as u64).checked_sub(1);
        if let Ok((run, _)) = Run::open(&*disk, STORE, NAME) {
            let missed = all.iter().filter(|(hash, (seconds, _))| {
                let told = run.look(KeyHash(**hash)).unwrap_or_default();
                let right = told.expired_s(0) == Some(*seconds) && run.may_know(KeyHash(**hash));
                !right
            });
            let missed = missed.count();
            let in_page = page.is_some_and(|page| page < u64::from(pages));
            assert!(missed <= if in_page { ENTRIES_A_PAGE } else { 0 }, "byte {at}: {missed}");
        } else {
            assert!(at < PAGE as u64, "byte {at}: all of it is lost");
        }
        disk.flip_bit(&file, at, (at % 8) as u8).expect("flipped back");
    }
    for len in [0, 1, PAGE, 2 * PAGE - 1, len - 1] {
        disk.truncate_file(&file, len as u64).expect("cut");
        assert!(Run::verify(&*disk, STORE, NAME).map_or(true, |(_, faults)| !faults.is_empty()));
    }
}

#[test]
fn a_run_of_another_store_or_under_another_name_is_not_believed() {
    let disk = SimDisk::new();
    write(&disk, &(1..9).map(|hash| (hash, (5, false))).collect());
    assert!(Run::open(&*disk, StoreId([8; 16]), NAME).is_err());
    disk.rename(&NAME.file_name(), &RunName(4).file_name()).expect("renamed");
    assert!(Run::open(&*disk, STORE, RunName(4)).is_err());
}

#[test]
fn names_read_back_and_no_other_name_is_one() {
    for number in [0, 1, 9_999_999_999, (1 << 63) - 1] {
        let name = RunName(number).file_name();
        assert_eq!(RunName::from_file_name(&name), Some(RunName(number)));
    }
    for other in ["late-1", "late-journal", "late.tmp", "late-00000000001", "segment-00001"] {
        assert_eq!(RunName::from_file_name(other), None, "{other}");
    }
}
