//! The simulated disk as the engine and its tests see it.

#![allow(clippy::disallowed_methods, reason = "reads as the disk gives them")]

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;

use super::super::{Disk, DiskFile, LockAttempt};
use super::*;

const SECTOR: usize = 512;

/// A disk with a durable file `f` of `len` bytes of `old`.
fn disk_with(len: usize) -> (Arc<SimDisk>, Arc<dyn DiskFile>) {
    let disk = SimDisk::new();
    disk.put_file("f", vec![b'o'; len]).expect("a good name");
    let file = disk.open("f").expect("it is there");
    (disk, file)
}

fn names(disk: &SimDisk) -> Vec<String> {
    disk.list().expect("listed")
}

/// What `f` can be after a crash, over many seeds.
fn remains(disk: &SimDisk, survival: Survival) -> BTreeSet<Vec<u8>> {
    (0..400).map(|seed| disk.crash(survival, seed).file("f").expect("a durable name")).collect()
}

/// A content, a letter a sector.
fn letters(content: &[u8]) -> String {
    content.chunks(SECTOR).map(|sector| char::from(sector[0])).collect()
}

#[test]
fn it_is_a_disk() {
    let disk = SimDisk::new();
    assert_eq!(disk.open("f").expect_err("none").kind(), ErrorKind::NotFound);
    let file = disk.create("f").expect("created");
    file.write_at(b"hello", 3).expect("written");
    let mut buf = [0xFF; 16];
    assert_eq!(file.read_at(&mut buf, 0).expect("read"), 8);
    assert_eq!(&buf[..8], b"\0\0\0hello");
    assert_eq!(file.read_at(&mut buf, 99).expect("read"), 0);
    let reader = disk.open_read_only("f").expect("opens");
    assert_eq!(reader.len().expect("length"), 8);
    assert!(reader.write_at(b"x", 0).is_err());
    assert!(reader.zero_fill(0).is_err());
    disk.rename("f", "g").expect("renamed");
    assert_eq!(names(&disk), ["g"]);
    assert_eq!(disk.rename("f", "h").expect_err("none").kind(), ErrorKind::NotFound);
    disk.remove("g").expect("removed");
    assert_eq!(disk.remove("g").expect_err("none").kind(), ErrorKind::NotFound);
    assert_eq!(reader.len().expect("an open file outlives its name"), 8);
    for bad in ["..", "a/b", "LOCK"] {
        assert_eq!(disk.create(bad).expect_err("bad").kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn zero_fill_is_durable_and_exact() {
    let (disk, file) = disk_with(4);
    file.zero_fill(1000).expect("filled");
    assert_eq!(disk.crash(Survival::Nothing, 0).file("f"), Some(vec![0; 1000]));
    file.zero_fill(10).expect("filled");
    assert_eq!(disk.crash(Survival::Nothing, 0).file("f"), Some(vec![0; 10]));
}

#[test]
fn only_what_was_synced_survives_a_power_cut() {
    let (disk, file) = disk_with(3);
    file.write_at(b"N", 0).expect("written");
    file.sync().expect("synced");
    file.write_at(b"N", 1).expect("written");
    let created = disk.create("new").expect("created");
    created.write_at(b"x", 0).expect("written");
    created.sync().expect("synced");
    let after = disk.crash(Survival::Nothing, 0);
    assert_eq!(after.file("f").expect("there"), b"Noo");
    assert_eq!(after.file("new"), None, "its name was not synced");
    disk.sync_dir().expect("synced");
    let after = disk.crash(Survival::Nothing, 0);
    assert_eq!(after.file("new").expect("there"), b"x");
    assert_eq!(disk.file("f").expect("the old disk goes on"), b"NNo");
}

#[test]
fn a_killed_process_leaves_all_but_not_for_good() {
    let (disk, file) = disk_with(2);
    file.write_at(b"N", 1).expect("written");
    disk.rename("f", "g").expect("renamed");
    let killed = disk.crash(Survival::Everything, 0);
    assert_eq!(killed.file("g").expect("there"), b"oN");
    let cut = killed.crash(Survival::Nothing, 0);
    assert_eq!((cut.file("f"), cut.file("g")), (Some(b"oo".to_vec()), None));
    killed.open("g").expect("opens").sync().expect("synced");
    killed.sync_dir().expect("synced");
    assert_eq!(killed.crash(Survival::Nothing, 0).file("g").expect("there"), b"oN");
}

#[test]
fn a_truncation_is_not_durable_before_a_sync() {
    let (disk, _) = disk_with(2 * SECTOR);
    let file = disk.create("f").expect("truncated");
    file.write_at(&[b'n'; SECTOR], SECTOR as u64).expect("written");
    assert_eq!(
        disk.crash(Survival::Nothing, 0).file("f").map(|f| letters(&f)).as_deref(),
        Some("oo")
    );
    let seen: BTreeSet<_> =
        remains(&disk, Survival::Random).iter().map(|content| letters(content)).collect();
    let want = ["", "\0\0", "\0n", "oo"].map(str::to_owned);
    assert_eq!(seen, BTreeSet::from(want), "the write never survives without the truncation");
}

#[test]
fn random_survival_takes_any_sectors_and_no_part_of_one() {
    let (disk, file) = disk_with(3 * SECTOR);
    file.write_at(&[b'n'; 2 * SECTOR], SECTOR as u64 / 2).expect("written");
    let remains = remains(&disk, Survival::Random);
    assert_eq!(remains.len(), 8, "all subsets of three sectors");
    for content in remains {
        assert_eq!(content.len(), 3 * SECTOR);
        assert!(content[..SECTOR / 2].iter().all(|byte| *byte == b'o'), "outside of the range");
        for piece in content.chunks(SECTOR / 2).skip(1) {
            assert!(piece.iter().all(|byte| *byte == piece[0]));
        }
    }
}

#[test]
fn random_survival_may_grow_a_file_by_zeros() {
    let (disk, file) = disk_with(0);
    file.write_at(&[b'n'; SECTOR], 0).expect("written");
    let seen: BTreeSet<_> =
        remains(&disk, Survival::Random).iter().map(|content| letters(content)).collect();
    assert_eq!(seen, BTreeSet::from(["", "\0", "n"].map(str::to_owned)));
}

#[test]
fn later_writes_bring_earlier_ones_to_their_sector() {
    let (disk, file) = disk_with(SECTOR);
    file.write_at(b"1", 0).expect("written");
    file.write_at(b"2", 1).expect("written");
    for survival in [Survival::Random, Survival::Reordered, Survival::Torn] {
        for content in remains(&disk, survival) {
            assert_ne!(&content[..2], b"o2", "{survival:?}");
        }
    }
}

#[test]
fn torn_survival_keeps_the_order_across_files() {
    let (disk, file) = disk_with(4 * SECTOR);
    disk.put_file("g", vec![b'o'; SECTOR]).expect("put");
    let other = disk.open("g").expect("opens");
    file.write_at(&[b'1'; 2 * SECTOR], 0).expect("written");
    other.write_at(&[b'2'; SECTOR], 0).expect("written");
    file.write_at(&[b'3'; 2 * SECTOR], 2 * SECTOR as u64).expect("written");
    let seen: BTreeSet<_> = (0..400)
        .map(|seed| disk.crash(Survival::Torn, seed))
        .map(|disk| ["f", "g"].map(|name| letters(&disk.file(name).expect("there"))))
        .collect();
    let want = [["oooo", "o"], ["1ooo", "o"], ["11oo", "o"], ["11oo", "2"], ["113o", "2"]]
        .into_iter()
        .chain([["1133", "2"]])
        .map(|pair| pair.map(str::to_owned));
    assert_eq!(seen, want.collect());
}

#[test]
fn reordered_survival_keeps_one_later_write_whole() {
    let (disk, file) = disk_with(3 * SECTOR);
    for (at, letter) in [b'1', b'2', b'3'].into_iter().enumerate() {
        file.write_at(&[letter; SECTOR], (at * SECTOR) as u64).expect("written");
    }
    let seen: BTreeSet<_> =
        remains(&disk, Survival::Reordered).iter().map(|content| letters(content)).collect();
    assert_eq!(seen, BTreeSet::from(["o2o", "oo3"].map(str::to_owned)));
}

#[test]
fn directory_changes_survive_as_a_prefix() {
    let disk = SimDisk::new();
    disk.put_file("manifest", b"1".to_vec()).expect("put");
    let new = disk.create("manifest.new").expect("created");
    new.write_at(b"2", 0).expect("written");
    new.sync().expect("synced");
    disk.rename("manifest.new", "manifest").expect("renamed");
    let seen: BTreeSet<_> = (0..100)
        .map(|seed| disk.crash(Survival::Random, seed))
        .map(|disk| (names(&disk), disk.file("manifest").expect("never neither")))
        .collect();
    let both = vec!["manifest".to_owned(), "manifest.new".to_owned()];
    let one = vec!["manifest".to_owned()];
    let want = [(one.clone(), b"1".to_vec()), (both, b"1".to_vec()), (one, b"2".to_vec())];
    assert_eq!(seen, BTreeSet::from(want));
}

#[test]
fn a_removed_file_may_come_back() {
    let (disk, file) = disk_with(2);
    drop(file);
    disk.remove("f").expect("removed");
    assert_eq!(disk.crash(Survival::Nothing, 0).file("f").expect("back"), b"oo");
    disk.sync_dir().expect("synced");
    assert_eq!(disk.crash(Survival::Nothing, 0).file("f"), None);
    assert!(disk.state.lock().inodes.is_empty(), "what nothing reaches is dropped");
}

#[test]
fn the_same_seed_leaves_the_same_bytes() {
    let (disk, file) = disk_with(0);
    for at in 0..50 {
        file.write_at(&[at as u8 + 1; 700], at * 300).expect("written");
    }
    for survival in [Survival::Random, Survival::Torn, Survival::Reordered] {
        let content = |seed| disk.crash(survival, seed).file("f");
        assert_eq!(content(7), content(7));
        assert!((0..20).any(|seed| content(seed) != content(7)));
    }
}

#[test]
fn an_io_fault_changes_nothing_and_happens_once() {
    let (disk, file) = disk_with(1);
    disk.fail_at(disk.calls(), Fault::Io);
    assert!(file.write_at(b"N", 0).is_err());
    assert_eq!(disk.file("f").expect("there"), b"o");
    file.write_at(b"N", 0).expect("written");
    disk.fail_from(disk.calls() + 1, Fault::Io);
    file.sync().expect("not yet");
    assert!(file.sync().is_err() && file.len().is_err() && disk.list().is_err());
    assert!(disk.identity().is_err() && disk.try_lock().is_err());
    disk.clear_faults();
    file.sync().expect("synced");
}

#[test]
fn a_full_disk_refuses_growth_alone() {
    let (disk, file) = disk_with(4);
    disk.fail_from(disk.calls(), Fault::Full);
    let full = |result: io::Result<()>| result.expect_err("full").kind() == ErrorKind::StorageFull;
    assert!(full(file.write_at(b"NN", 3)));
    assert!(full(file.zero_fill(9)));
    assert!(full(disk.create("g").map(drop)));
    assert_eq!(names(&disk), ["f"]);
    file.write_at(b"NN", 2).expect("it fits");
    file.sync().expect("synced");
    disk.rename("f", "g").expect("renamed");
    assert_eq!(disk.file("g").expect("there"), b"ooNN");
}

#[test]
fn capacity_is_shared_and_given_back() {
    let (disk, file) = disk_with(4);
    disk.set_capacity(10);
    let other = disk.create("g").expect("created");
    let error = other.write_at(&[1; 8], 0).expect_err("two too many");
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(other.len().expect("length"), 6, "what fitted is there");
    assert_eq!(file.zero_fill(5).expect_err("full").kind(), ErrorKind::StorageFull);
    file.write_at(&[2; 4], 0).expect("it does not grow");
    disk.remove("f").expect("removed");
    assert!(other.write_at(&[1; 8], 0).is_err(), "an open file keeps its space");
    drop(file);
    other.write_at(&[1; 8], 0).expect("there is room");
    assert!(disk.crash(Survival::Everything, 0).open("g").expect("opens").zero_fill(11).is_err());
}

#[test]
fn a_short_write_does_its_first_half() {
    let (disk, file) = disk_with(4);
    disk.fail_at(disk.calls(), Fault::ShortWrite);
    file.sync().expect("not a write: it passes");
    disk.fail_at(disk.calls(), Fault::ShortWrite);
    assert!(file.write_at(b"NNNN", 0).is_err());
    assert_eq!(disk.file("f").expect("there"), b"NNoo");
    disk.fail_at(disk.calls(), Fault::ShortWrite);
    assert!(file.zero_fill(6).is_err());
    assert_eq!(disk.file("f").expect("there"), b"\0\0\0o");
}

#[test]
fn a_short_read_says_that_the_file_ends_early() {
    let (disk, file) = disk_with(5);
    let mut buf = [0; 9];
    disk.fail_at(disk.calls(), Fault::ShortRead);
    assert_eq!(file.read_at(&mut buf, 1).expect("no error"), 2, "half of what is there");
    assert_eq!(file.read_at(&mut buf, 1).expect("read"), 4);
    disk.fail_from(disk.calls(), Fault::ShortRead);
    assert_eq!(file.read_at(&mut buf[..1], 0).expect("no error"), 0);
    assert_eq!(file.read_at(&mut buf, 5).expect("read"), 0);
    assert_eq!(file.len().expect("not a read"), 5);
    file.write_at(b"N", 0).expect("not a read");
}

#[test]
fn a_misdirected_write_lands_elsewhere_in_the_file() {
    const PAGE: usize = 4096;
    let written = |odd: u64, offset: usize, len: usize| {
        let (disk, file) = disk_with(3 * PAGE);
        let call = disk.calls() + (disk.calls() + odd) % 2;
        disk.fail_from(call, Fault::Misdirected);
        while disk.calls() < call {
            file.len().expect("not a write");
        }
        file.write_at(&vec![b'N'; len], offset as u64).expect("it says so");
        file.sync().expect("synced");
        let content = disk.crash(Survival::Nothing, 0).file("f").expect("there");
        assert_eq!(content.len(), 3 * PAGE, "it does not grow");
        let at: Vec<_> = (0..content.len()).filter(|at| content[*at] == b'N').collect();
        at.first().map(|first| (*first, at.len()))
    };
    assert_eq!(written(0, PAGE + 7, 9), Some((2 * PAGE + 7, 9)));
    assert_eq!(written(1, PAGE + 7, 9), Some((7, 9)));
    assert_eq!(written(1, 7, 9), Some((PAGE + 7, 9)), "nothing is before it");
    assert_eq!(written(0, PAGE + 7, 2 * PAGE), Some((2 * PAGE + 7, PAGE - 7)));
    assert_eq!(written(0, 2 * PAGE, 9), None, "past the end it is lost");
    assert_eq!(written(0, 3 * PAGE, 9), None);
    assert_eq!(written(1, 3 * PAGE, 9), Some((2 * PAGE, 9)));
}

#[test]
fn a_failed_sync_loses_what_it_was_for() {
    let (disk, file) = disk_with(2);
    file.write_at(b"N", 0).expect("written");
    disk.fail_at(disk.calls(), Fault::FailedSync);
    assert!(file.sync().is_err());
    file.sync().expect("a retry proves nothing");
    assert_eq!(disk.file("f").expect("there"), b"No");
    assert_eq!(disk.crash(Survival::Everything, 0).file("f").expect("there"), b"No");
    for survival in [Survival::Nothing, Survival::Random, Survival::Torn, Survival::Reordered] {
        assert_eq!(disk.crash(survival, 0).file("f").expect("there"), b"oo");
    }
    disk.create("g").expect("created");
    disk.fail_at(disk.calls(), Fault::FailedSync);
    assert!(disk.sync_dir().is_err());
    disk.sync_dir().expect("a retry proves nothing");
    assert_eq!(names(&disk.crash(Survival::Nothing, 0)), ["f"]);
    assert_eq!(names(&disk), ["f", "g"]);
}

#[test]
fn a_machine_that_is_off_does_nothing() {
    let (disk, file) = disk_with(2);
    file.write_at(b"N", 0).expect("written");
    disk.crash_at(disk.calls());
    assert!(file.sync().is_err() && file.write_at(b"N", 1).is_err());
    assert!(disk.create("g").is_err() && disk.remove("f").is_err() && disk.sync_dir().is_err());
    let after = disk.crash(Survival::Everything, 0);
    assert_eq!(after.file("f").expect("there"), b"No");
    assert_eq!(names(&after), ["f"]);
    assert_eq!(after.calls(), 1, "the listing: a restarted machine counts anew, and works");
    assert_eq!(disk.crash(Survival::Nothing, 0).file("f").expect("there"), b"oo");
}

#[test]
fn rot_and_cuts_are_at_rest() {
    let (disk, _file) = disk_with(3);
    let calls = disk.calls();
    disk.flip_bit("f", 1, 0).expect("a bit");
    disk.truncate_file("f", 2).expect("a file");
    assert_eq!(disk.file("f").expect("there"), b"on");
    assert_eq!(disk.crash(Survival::Nothing, 0).file("f").expect("there"), b"on");
    assert!(disk.flip_bit("f", 2, 0).is_err() && disk.flip_bit("g", 0, 0).is_err());
    assert!(disk.truncate_file("g", 0).is_err() && disk.put_file("a/b", vec![]).is_err());
    assert_eq!(disk.calls(), calls);
}

#[test]
fn a_copy_is_another_directory() {
    let (disk, file) = disk_with(2);
    file.write_at(b"N", 0).expect("written");
    let _lock = disk.try_lock().expect("locks");
    let (copy, again) = (disk.copy(), disk.copy());
    assert_eq!(copy.crash(Survival::Nothing, 0).file("f").expect("all durable"), b"No");
    assert!(matches!(copy.try_lock().expect("locks"), LockAttempt::Held(_)));
    let identities: BTreeSet<_> = [&disk, &copy, &again, &copy.copy()]
        .map(|disk| disk.identity().expect("identity").inode)
        .into();
    assert_eq!(identities.len(), 4);
    let restarted = disk.crash(Survival::Nothing, 0);
    assert_eq!(restarted.identity().expect("identity"), disk.identity().expect("identity"));
    file.write_at(b"X", 0).expect("written");
    assert_eq!(copy.file("f").expect("apart"), b"No");
}

#[test]
fn the_lock_is_one_and_ends_with_its_holder() {
    let disk = SimDisk::new();
    let LockAttempt::Held(lock) = disk.try_lock().expect("locks") else { panic!("busy") };
    assert!(matches!(disk.try_lock().expect("answers"), LockAttempt::Busy(Some(1))));
    let after = disk.crash(Survival::Nothing, 0);
    assert!(matches!(after.try_lock().expect("locks"), LockAttempt::Held(_)));
    drop(lock);
    assert!(matches!(disk.try_lock().expect("locks"), LockAttempt::Held(_)));
    assert!(names(&disk).is_empty());
}

#[test]
fn everything_is_counted() {
    let disk = SimDisk::new();
    let file = disk.create("f").expect("created");
    file.write_at(&[1; 5], 0).expect("written");
    file.zero_fill(3).expect("filled");
    file.read_at(&mut [0; 9], 1).expect("read");
    file.sync().expect("synced");
    disk.sync_dir().expect("synced");
    disk.rename("f", "g").expect("renamed");
    disk.remove("g").expect("removed");
    let want = SimCounters {
        reads: 1,
        bytes_read: 2,
        writes: 2,
        bytes_written: 8,
        misdirected: 0,
        syncs: 2,
        dir_syncs: 1,
        creates: 1,
        renames: 1,
        removes: 1,
    };
    assert_eq!(disk.counters(), want);
    assert_eq!(disk.calls(), 8);
    assert!(disk.recorded_calls().is_empty(), "nobody asked");
    disk.record_calls();
    assert!(disk.open("g").is_err());
    assert_eq!(disk.calls(), 9, "a call that fails counts too");
    let other = disk.create("h").expect("created");
    other.len().expect("length");
    disk.rename("h", "i").expect("renamed");
    other.write_at(b"x", 0).expect("written");
    disk.sync_dir().expect("synced");
    let calls: Vec<_> =
        disk.recorded_calls().into_iter().map(|call| (call.kind, call.file)).collect();
    let want = [
        (CallKind::Open, "g"),
        (CallKind::Create, "h"),
        (CallKind::Len, "h"),
        (CallKind::Rename, "h"),
        (CallKind::Write, "i"),
        (CallKind::SyncDir, ""),
    ];
    assert_eq!(calls, want.map(|(kind, name)| (kind, name.to_owned())));
}
