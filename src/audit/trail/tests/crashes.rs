//! What was synced survives a crash at any call; what was not is said to be missing.

use super::*;
use crate::simulation::{Fault, Survival};

/// Writes rounds of events; returns how many were synced when the disk failed for good.
fn script(disk: &Arc<SimDisk>) -> u64 {
    let Ok(mut writer) = TrailWriter::open(disk.clone(), origin(2), bounds()) else { return 0 };
    let mut synced = 0;
    for round in 0..30 {
        for sequence in round * 100..(round + 1) * 100 {
            if writer.append(&event(2, sequence), nameless()).is_err() {
                return synced;
            }
        }
        if writer.write().is_err() {
            return synced;
        }
        if round % 3 == 0 {
            if writer.sync().is_err() {
                return synced;
            }
            synced = (round + 1) * 100;
        }
    }
    if writer.end(3000, START).is_err() { synced } else { 3000 }
}

fn before() -> Arc<SimDisk> {
    let disk = SimDisk::new();
    let mut writer = writer(&disk, 1);
    append(&mut writer, 1, 0..5);
    writer.end(5, START).expect("ended");
    disk.crash(Survival::Everything, 0)
}

#[test]
fn a_crash_at_every_call_keeps_what_was_synced() {
    let whole = before();
    assert_eq!(script(&whole), 3000);
    for call in 0..whole.calls() {
        for (seed, survival) in [Survival::Nothing, Survival::Random].into_iter().enumerate() {
            let disk = before();
            disk.crash_at(call);
            let synced = script(&disk);
            let disk = disk.crash(survival, call + seed as u64);
            let mut last = writer(&disk, 3);
            append(&mut last, 3, 0..2);
            let told = read(&disk);
            let ids: Vec<EventId> = told.iter().filter_map(id_of).collect();
            let of = |boot| ids.iter().filter(move |id| id.boot == boot).map(|id| id.sequence);
            assert_eq!(of(1).collect::<Vec<_>>(), (0..5).collect::<Vec<_>>(), "call {call}");
            let kept: Vec<u64> = of(2).collect();
            let first = kept.iter().zip(0..).take_while(|(kept, at)| **kept == *at).count();
            assert!(first as u64 >= synced, "call {call}: {first} of {synced} synced");
            assert!(kept.is_sorted(), "call {call}");
            assert_eq!(of(3).collect::<Vec<_>>(), [0, 1], "call {call}");
            let gaps = || told.iter().filter_map(lost_in);
            let holes = kept.last().map_or(0, |last| last + 1 - kept.len() as u64);
            assert_eq!(gaps().flatten().sum::<u64>(), holes, "call {call}");
            // Its end is unknown, and said to be, unless the last block is there.
            let is_known = kept.is_empty() || kept.len() == 3000;
            assert!(is_known || gaps().any(|lost| lost.is_none()), "call {call}");
        }
    }
}

fn id_of(item: &TrailItem) -> Option<EventId> {
    match item {
        TrailItem::Event(event) => Some(event.id),
        _ => None,
    }
}

fn lost_in(item: &TrailItem) -> Option<Option<u64>> {
    match item {
        TrailItem::Gap(gap) => Some(gap.lost),
        _ => None,
    }
}

#[test]
fn a_failed_call_costs_a_known_number_of_events_and_nothing_else() {
    let whole = before();
    script(&whole);
    for call in 0..whole.calls() {
        for fault in [Fault::Io, Fault::ShortWrite, Fault::FailedSync, Fault::Full] {
            let disk = before();
            disk.fail_at(call, fault);
            let (mut lost, mut opened) = (0, None);
            while opened.is_none() {
                opened = TrailWriter::open(disk.clone(), origin(2), bounds()).ok();
            }
            let mut writer = opened.expect("opened");
            for sequence in 0..3000 {
                if let Err(error) = writer.append(&event(2, sequence), nameless()) {
                    lost += error.events;
                }
                if sequence % 100 == 99 {
                    lost += writer.write().map_or_else(|error| error.events, |()| 0);
                }
                if sequence % 300 == 99 {
                    lost += writer.sync().map_or_else(|error| error.events, |()| 0);
                }
            }
            let ended = writer.end(3000, START);
            lost += ended.as_ref().map_or_else(|error| error.events, |()| 0);
            let told = read(&disk);
            let kept = told.iter().filter_map(id_of).filter(|id| id.boot == 2).count() as u64;
            assert_eq!(kept + lost, 3000, "call {call}, {fault:?}");
            let missing = told.iter().map(|item| match item {
                TrailItem::Gap(gap) if gap.after.is_some() => gap.lost.unwrap_or(0),
                _ => 0,
            });
            if ended.is_ok() {
                assert_eq!(missing.sum::<u64>(), lost, "call {call}, {fault:?}");
            }
        }
    }
}
