//! The journal: what was added is read by the next process, whatever came between, and nothing else
//! is believed.

use proptest::prelude::*;

use super::*;
use crate::ids::KeyHash;
use crate::simulation::{Fault, SimDisk, Survival};

const STORE: StoreId = StoreId([7; 16]);

fn entries(hashes: &[u64]) -> Vec<LateEntry> {
    hashes.iter().map(|hash| LateEntry::mark(KeyHash(*hash), 5)).collect()
}

fn reopen(disk: &Arc<SimDisk>, store: StoreId) -> (Journal, Vec<LateEntry>, Vec<JournalFault>) {
    let names = disk.list().expect("a list");
    Journal::take_over(disk.clone(), store, &names)
}

#[derive(Debug, Clone)]
enum Step {
    Add(Vec<u64>),
    /// A run is begun of all there is, and is there at the next of these.
    Turn,
    Rewrite,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => proptest::collection::vec(any::<u64>(), 1..20).prop_map(Step::Add),
        3 => Just(Step::Turn),
        1 => Just(Step::Rewrite),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #[test]
    fn what_is_in_no_run_reads_back(steps in proptest::collection::vec(step(), 1..20)) {
        let mut disk = SimDisk::new();
        let mut journal = reopen(&disk, STORE).0;
        let (mut pending, mut written) = (Vec::new(), None);
        for step in steps {
            match step {
                Step::Add(hashes) => {
                    journal.write(&entries(&hashes)).expect("written");
                    journal.sync().expect("synced");
                    pending.extend(entries(&hashes));
                }
                Step::Turn => {
                    if let Some((last, count)) = written.take() {
                        journal.release(last);
                        pending.drain(..count);
                    }
                    written = Some((journal.turn(), pending.len()));
                }
                Step::Rewrite => {
                    journal.rewrite(&pending).expect("written");
                    prop_assert!(!journal.is_in_doubt());
                    written = None;
                }
                Step::Reopen => {
                    disk = disk.crash(Survival::Nothing, 1);
                    let (opened, found, faults) = reopen(&disk, STORE);
                    prop_assert_eq!(faults, []);
                    prop_assert_eq!(opened.is_in_doubt(), opened.bytes() > 0);
                    // A file that had been removed may be back, before the others.
                    prop_assert!(found.ends_with(&pending), "{found:?} of {pending:?}");
                    (journal, written, pending) = (opened, None, found);
                }
            }
        }
        let (_, _, faults) = reopen(&disk, StoreId([8; 16]));
        prop_assert!(pending.is_empty() || !faults.is_empty(), "it is of another store");
    }
}

#[test]
fn p8_what_was_told_to_be_on_disk_is_whatever_call_fails_and_doubt_is_known() {
    for fault in [Fault::Full, Fault::Io, Fault::ShortWrite, Fault::FailedSync] {
        for at in 0..12 {
            let disk = SimDisk::new();
            let mut journal = reopen(&disk, STORE).0;
            disk.fail_at(at, fault);
            let (mut pending, mut told) = (Vec::new(), Vec::new());
            for hash in 0..4 {
                pending.extend(entries(&[hash]));
                let noted = match journal.is_in_doubt() {
                    true => journal.rewrite(&pending),
                    false => journal.write(&entries(&[hash])).and_then(|()| journal.sync()),
                };
                if noted.is_ok() {
                    told.clone_from(&pending);
                }
                assert_eq!(noted.is_err(), journal.is_in_doubt(), "{fault:?} at {at}");
                if hash == 1 {
                    journal.turn();
                }
            }
            let (_, found, _) = reopen(&disk.crash(Survival::Nothing, 1), STORE);
            assert!(told.iter().all(|entry| found.contains(entry)), "{fault:?} at {at}");
        }
    }
}

#[test]
fn p7_every_flipped_bit_and_every_cut_is_found() {
    let (one, two) = (entries(&[1, 2]), entries(&[3]));
    let name = JournalName(4);
    let bytes = encode(STORE, (name, 0), &one);
    let bytes = [&bytes[..], &encode(STORE, (name, bytes.len() as u64), &two)].concat();
    let whole: Vec<_> = [one.clone(), two].concat();
    assert_eq!(decode(STORE, name, &bytes), (whole.clone(), None));
    assert!(decode(STORE, JournalName(5), &bytes).1.is_some(), "it is another file's");
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let (found, fault) = decode(STORE, name, &flipped);
        assert!(fault.is_some() && whole.starts_with(&found), "bit {bit}");
    }
    let ends = [0, bytes.len() - 20, bytes.len()];
    for len in 0..=bytes.len() {
        let (found, fault) = decode(STORE, name, &bytes[..len]);
        assert!(whole.starts_with(&found));
        assert_eq!(fault.is_none(), ends.contains(&len), "{len} bytes");
    }
}
