//! Promise 10: the trail stays within its bounds, and the oldest goes first.

use super::super::header::file_name;
use super::*;
use crate::disk::Disk;

fn bytes_of(disk: &Arc<SimDisk>) -> u64 {
    let names = disk.list().expect("a list");
    names.iter().map(|name| disk.file(name).map_or(0, |bytes| bytes.len() as u64)).sum()
}

#[test]
fn promise_10_size_stays_bounded_and_the_newest_stay() {
    let disk = SimDisk::new();
    let mut writer = writer(&disk, 1);
    let mut most = 0;
    for round in 0..200 {
        append(&mut writer, 1, round * 500..(round + 1) * 500);
        most = most.max(bytes_of(&disk));
        assert_eq!(writer.bytes(), bytes_of(&disk));
    }
    assert!(most <= bounds().max_bytes, "{most}");
    assert!(most > bounds().max_bytes / 2, "{most}");
    let mut told = read(&disk).into_iter();
    let Some(TrailItem::Gap(gap)) = told.next() else { panic!("the oldest are gone") };
    let first = gap.lost.expect("a number");
    assert!(first > 10_000, "{first}");
    assert!(told.eq(events(1, first..100_000)));
}

#[test]
fn promise_10_many_openings_stay_bounded() {
    let disk = SimDisk::new();
    for boot in 1..1100 {
        append(&mut writer(&disk, boot), boot, 0..1);
    }
    assert_eq!(disk.list().expect("a list").len(), 1024);
    assert!(disk.file(&file_name(1099)).is_some(), "the newest are kept");
}

#[test]
fn what_is_too_old_goes() {
    let disk = SimDisk::new();
    let bounds = Bounds { max_age_ms: 16_000, ..bounds() };
    let mut writer = writer_within(&disk, 1, bounds);
    // An event every three milliseconds, in segments of a second.
    for round in 0..200 {
        append(&mut writer, 1, round * 100..(round + 1) * 100);
    }
    let now = event(1, 20_000).at;
    let oldest = |now: StoreTime| {
        let told = read(&disk).into_iter().find_map(|item| match item {
            TrailItem::Event(event) => Some(event.at),
            _ => None,
        });
        now.ms_since(told.expect("an event"))
    };
    assert!((16_000..18_100).contains(&oldest(now)), "{}", oldest(now));
    writer.remove_old(now.plus_ms(10_000)).expect("removed");
    assert!((16_000..18_100).contains(&oldest(now.plus_ms(10_000))));
    writer.remove_old(now.plus_ms(100_000)).expect("removed");
    assert_eq!(disk.list().expect("a list").len(), 1, "the one that is written to stays");
}
