//! Promise 7 for the trail: every flipped bit and every cut is found or harmless.

use super::super::header::file_name;
use super::*;

/// A trail that was closed: two segments of one opening, then one of another.
fn closed() -> Arc<SimDisk> {
    let disk = SimDisk::new();
    let mut first = writer(&disk, 1);
    append(&mut first, 1, 0..20);
    append(&mut first, 1, 20..40);
    first.end(40, START).expect("ended");
    let mut second = writer(&disk, 2);
    append(&mut second, 2, 0..20);
    append(&mut second, 2, 20..30);
    second.end(30, START).expect("ended");
    disk
}

fn whole() -> Vec<TrailItem> {
    [events(1, 0..40), events(2, 0..30)].concat()
}

/// What a damaged trail tells must be true, and must say that something is wrong unless nothing is.
fn check(disk: &Arc<SimDisk>, what: &str) {
    let mut trail = Trail::on(disk.clone());
    let told = items(&mut trail);
    let mut all = whole().into_iter();
    for item in told.iter().filter(|item| matches!(item, TrailItem::Event(_))) {
        assert!(all.any(|known| known == *item), "{what}: {item:?} was never written");
    }
    let is_said = told.iter().any(|item| !matches!(item, TrailItem::Event(_)))
        || trail.unread_bytes().expect("a length") > 0
        || !trail.is_ended();
    assert!(is_said || told == whole(), "{what}: nothing is said");
}

#[test]
fn every_flipped_bit_is_found_or_harmless() {
    let disk = closed();
    for number in [1, 2] {
        let name = file_name(number);
        let len = disk.file(&name).expect("a segment").len() as u64;
        for offset in 0..len {
            for bit in [0, 3, 7] {
                let damaged = disk.copy();
                damaged.flip_bit(&name, offset, bit).expect("flipped");
                check(&damaged, &format!("{name}, byte {offset}, bit {bit}"));
            }
        }
    }
}

#[test]
fn every_cut_is_found() {
    let disk = closed();
    for number in [1, 2] {
        let name = file_name(number);
        let len = disk.file(&name).expect("a segment").len() as u64;
        for offset in 0..len {
            let damaged = disk.copy();
            damaged.truncate_file(&name, offset).expect("cut");
            check(&damaged, &format!("{name} cut at {offset}"));
        }
    }
}

#[test]
fn a_damaged_block_costs_its_events_and_those_with_its_labels() {
    let disk = closed();
    let before = read(&disk).len();
    disk.flip_bit(&file_name(1), 200, 1).expect("flipped");
    let told = read(&disk);
    assert!(matches!(told[0], TrailItem::Damage(_)), "{:?}", told[0]);
    assert!(matches!(told[1], TrailItem::Gap(Gap { after: None, .. })), "{:?}", told[1]);
    let kept = told.iter().filter(|item| matches!(item, TrailItem::Event(_))).count();
    assert!(kept >= 30 && kept < before, "{kept}");
    assert_eq!(&told[told.len() - 30..], events(2, 0..30));
}

#[test]
fn a_store_that_was_made_anew_goes_on_in_the_trail_of_an_earlier_one() {
    let disk = closed();
    let newer = Origin { store_id: StoreId([9; 16]), ..origin(2) };
    let mut writer = TrailWriter::open(disk.clone(), newer, bounds()).expect("a trail");
    append(&mut writer, 2, 0..3);
    let mut trail = Trail::on(disk);
    let told: Vec<_> = trail.by_ref().take(70).map(|item| item.expect("read")).collect();
    assert_eq!(told, whole());
    assert_eq!(trail.store_id(), Some(origin(2).store_id));
    assert_eq!(items(&mut trail), events(2, 0..3), "its ids begin anew");
    assert_eq!(trail.store_id(), Some(newer.store_id));
}
