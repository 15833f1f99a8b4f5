//! What a fuzzer asks of this folder: whatever the bytes of a file are, nothing panics, nothing is
//! told that is not there, and what was written whole is told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a property that does not hold is a panic"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use super::entry::{ENTRY, LateEntry, Told};
use super::journal::{self, Journal, JournalName};
use super::run::{self, PAGE, Run, RunName, RunWriter};
use crate::fuzzing::Input;
use crate::ids::{KeyHash, StoreId, StoreTime};
use crate::simulation::{Disk, SimDisk};

const STORE: StoreId = StoreId(*b"store-id-16bytes");
const NUMBER: RunName = RunName(7);

/// Makes the checksums of a run right: of its table, of its pages, of its first page.
pub(crate) fn seal_run(bytes: &mut [u8], store: StoreId, number: RunName) {
    let Some(pages) = field(bytes, 12).map(u32::from_le_bytes) else { return };
    let table = (u64::from(pages) + 1) * PAGE as u64;
    let table = usize::try_from(table).ok().and_then(|at| bytes.get(at..));
    let checksum = table.map(|table| run::checksum(store, number, u32::MAX, table));
    if let (Some(checksum), Some(place)) = (checksum, bytes.get_mut(72..76)) {
        place.copy_from_slice(&checksum.to_le_bytes());
    }
    for (page, bytes) in (0..=pages).zip(bytes.chunks_exact_mut(PAGE)) {
        let at = if page == 0 { 8 } else { 4 };
        let checksum = run::checksum(store, number, page, &bytes[at..]);
        bytes[at - 4..at].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// Makes the checksums of a journal's file right, record by record.
pub(crate) fn seal_journal(bytes: &mut [u8], store: StoreId, name: JournalName) {
    let mut at = 0;
    while let Some(count) = field(bytes, at + 4).map(u32::from_le_bytes) {
        let end = (count as usize).checked_mul(ENTRY).and_then(|len| len.checked_add(at + 8));
        let Some(record) = end.and_then(|end| bytes.get(at + 4..end)) else { break };
        let checksum = journal::checksum(store, (name, at as u64), record).to_le_bytes();
        let end = at + 4 + record.len();
        bytes[at..at + 4].copy_from_slice(&checksum);
        at = end;
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn entry(input: &mut Input<'_>) -> LateEntry {
    let spread = input.byte();
    let hash = KeyHash((u64::from(spread) << 56) | u64::from(input.byte()));
    let seconds = u32::from(input.u16());
    match spread % 3 {
        0 => LateEntry::mark(hash, seconds),
        _ => LateEntry::expired(hash, seconds).expect("within 68 years"),
    }
}

/// A run that is written, hurt as the input says, and read: what was written is told while the file
/// is whole, and nothing but that while no checksum was forged.
pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut known: BTreeMap<KeyHash, Told> = BTreeMap::new();
    for _ in 0..u16::from(input.byte()) * 8 {
        if input.is_empty() {
            break;
        }
        let entry = entry(&mut input);
        known.entry(entry.hash()).or_default().take(entry);
    }
    let disk = SimDisk::new();
    if !write(&disk, &known) {
        return;
    }
    check(&disk, &known, true);
    let name = NUMBER.file_name();
    let mut bytes = disk.file(&name).expect("a run");
    let mut is_forged = false;
    while !input.is_empty() {
        is_forged |= hurt(&mut bytes, &mut input);
    }
    disk.put_file(&name, bytes).expect("a file");
    match is_forged {
        false => check(&disk, &known, false),
        true => drop(read(&disk, &known)),
    }
}

fn write(disk: &Arc<SimDisk>, known: &BTreeMap<KeyHash, Told>) -> bool {
    let begun = (NUMBER, NUMBER);
    let at_most = known.len() as u64 * 2;
    let mut writer = RunWriter::begin(&**disk, STORE, begun, StoreTime(1), at_most).expect("a run");
    for (hash, told) in known {
        let entries = told.entries(*hash, 0).into_iter().flatten();
        writer.add(entries, &mut |_| Ok(())).expect("added");
    }
    writer.finish(&mut |_| Ok(())).expect("written").is_some()
}

/// What is told of each hash; `None` where the run cannot be read.
fn read(disk: &Arc<SimDisk>, known: &BTreeMap<KeyHash, Told>) -> Option<Vec<(bool, Told)>> {
    let verified = Run::verify(&**disk, STORE, NUMBER);
    let (run, faults) = Run::open(&**disk, STORE, NUMBER).ok()?;
    assert!(verified.is_ok() || !faults.is_empty());
    let told = known.keys().map(|hash| {
        let told = run.look(*hash).unwrap_or_default();
        (run.may_know(*hash), told)
    });
    Some(told.collect())
}

fn check(disk: &Arc<SimDisk>, known: &BTreeMap<KeyHash, Told>, is_whole: bool) {
    let told = read(disk, known);
    assert!(told.is_some() || !is_whole, "a run that was written cannot be read");
    for ((hash, known), (may_know, told)) in known.iter().zip(told.into_iter().flatten()) {
        let kept = known.entries(*hash, 0);
        let told = told.entries(*hash, 0);
        match is_whole {
            true => assert_eq!((kept, may_know || kept == [None; 2]), (told, true), "{hash:?}"),
            false => assert!(told == kept || told == [None; 2], "{hash:?}: {told:?}, {kept:?}"),
        }
    }
    if is_whole {
        let (_, faults) = Run::verify(&**disk, STORE, NUMBER).expect("read");
        assert!(faults.is_empty(), "{faults:?}");
    }
}

/// Does something to a file; returns whether it has right checksums over wrong bytes then.
fn hurt(bytes: &mut Vec<u8>, input: &mut Input<'_>) -> bool {
    let how = input.byte();
    let at = match how & 0x20 {
        0 => input.below(96.min(bytes.len())),
        _ => input.below(bytes.len()),
    };
    match how % 6 {
        0 | 1 => bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << (how >> 6)),
        2 => bytes.truncate(at),
        3 => {
            let new = input.string();
            let end = (at + new.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&new[..end - at]);
        }
        4 => {
            let number = input.number().to_le_bytes();
            let end = (at + 4 + usize::from(how & 4)).min(bytes.len());
            bytes[at..end].copy_from_slice(&number[..end - at]);
        }
        _ => {
            seal_run(bytes, STORE, NUMBER);
            return true;
        }
    }
    // Whoever writes what he likes can write the right checksum, too.
    matches!(how % 6, 3 | 4)
}

/// A journal's file: what is read of it is what was written up to where it was hurt, and as much of
/// it says the same by itself.
pub(crate) fn journal(data: &[u8]) {
    const NAME: JournalName = JournalName(3);
    let mut input = Input::new(data);
    let is_sealed = input.byte() & 1 == 1;
    let mut bytes = Vec::new();
    let mut written = Vec::new();
    for _ in 0..input.byte() % 8 {
        let entries: Vec<_> = (0..input.byte() % 16).map(|_| entry(&mut input)).collect();
        let at = bytes.len() as u64;
        bytes.extend(journal::encode(STORE, (NAME, at), &entries));
        written.extend(entries);
    }
    let whole = bytes.len();
    let at = input.below(whole + 1);
    bytes.truncate(at);
    let raw = input.rest();
    bytes.extend(raw);
    if is_sealed {
        seal_journal(&mut bytes, STORE, NAME);
    }
    let disk = SimDisk::new();
    disk.put_file(&NAME.file_name(), bytes.clone()).expect("a file");
    let (entries, len, fault) = Journal::read(&*disk, STORE, NAME).expect("no error of the disk");
    assert_eq!(len, bytes.len() as u64);
    if at == whole && !is_sealed {
        assert!(entries.starts_with(&written));
    }
    if let Some(fault) = fault {
        assert_eq!(fault.offset + fault.bytes, len);
        let good = bytes[..fault.offset as usize].to_vec();
        disk.put_file(&NAME.file_name(), good).expect("a file");
        let again = Journal::read(&*disk, STORE, NAME).expect("no error of the disk");
        assert_eq!(again, (entries, fault.offset, None));
    } else {
        assert!(disk.list().is_ok_and(|names| names.len() == 1));
    }
}
