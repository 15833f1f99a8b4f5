//! A reader follows a trail that is being written.

use super::super::header::file_name;
use super::*;
use crate::disk::Disk;

#[test]
fn a_reader_follows_a_live_trail() {
    let disk = SimDisk::new();
    let mut trail = Trail::on(disk.clone());
    assert_eq!(items(&mut trail), []);
    let mut writer = writer(&disk, 1);
    // Enough for several segments.
    for round in 0..60 {
        append(&mut writer, 1, round * 400..(round + 1) * 400);
        assert!(items(&mut trail) == events(1, round * 400..(round + 1) * 400), "{round}");
    }
    assert!(disk.file(&file_name(5)).is_some(), "it went on over segments");
    drop(writer);
    append(&mut super::writer(&disk, 2), 2, 0..1);
    let told = [vec![gap(Some((1, 23_999)), Some((2, 0)), None)], events(2, 0..1)].concat();
    assert_eq!(items(&mut trail), told);
}

#[test]
fn a_reader_meets_a_write_at_any_moment() {
    let disk = SimDisk::new();
    let mut first = writer(&disk, 1);
    append(&mut first, 1, 0..30);
    append(&mut first, 1, 30..50);
    first.end(50, START).expect("ended");
    let bytes = disk.file(&file_name(1)).expect("a segment");
    let live = SimDisk::new();
    let mut trail = Trail::on(live.clone());
    let mut told = items(&mut trail);
    let file = live.create(&file_name(1)).expect("created");
    for (at, part) in (0..).step_by(7).zip(bytes.chunks(7)) {
        file.write_at(part, at).expect("written");
        told.extend(items(&mut trail));
    }
    assert!(told == events(1, 0..50), "{} items", told.len());
    assert!(trail.is_ended());
}

#[test]
fn a_segment_that_was_removed_meanwhile_is_a_gap() {
    let disk = SimDisk::new();
    let mut writer = writer(&disk, 1);
    append(&mut writer, 1, 0..100);
    let mut trail = Trail::on(disk.clone());
    assert_eq!(items(&mut trail).len(), 100);
    append(&mut writer, 1, 100..200_000);
    let told = items(&mut trail);
    let gaps: Vec<_> = told.iter().filter(|item| !matches!(item, TrailItem::Event(_))).collect();
    assert!(matches!(gaps[..], [TrailItem::Gap(Gap { lost: Some(_), .. })]), "{gaps:?}");
    let TrailItem::Gap(Gap { lost: Some(lost), .. }) = gaps[0] else { unreachable!() };
    assert_eq!(told.len() as u64 - 1 + lost, 199_900);
}
