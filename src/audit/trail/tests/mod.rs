//! The trail in a simulated world: what was written is read, what is missing is said.

mod bounds;
mod crashes;
mod damage;
mod follows;
mod sizes;

use std::sync::Arc;

use super::code::tests::nameless;
use super::{Bounds, Origin, Trail, TrailItem, TrailWriter};
use crate::audit::{Context, Event, EventId, EventKind, Gap, Label};
use crate::ids::{StoreId, StoreTime, Token};
use crate::simulation::SimDisk;

const START: StoreTime = StoreTime(1_790_000_000_000);

fn origin(boot: u64) -> Origin {
    Origin { store_id: StoreId(*b"store-id-16bytes"), boot, key_id: 9 }
}

fn bounds() -> Bounds {
    Bounds { max_bytes: 1 << 20, max_age_ms: 1 << 40, privacy: 0 }
}

fn writer_within(disk: &Arc<SimDisk>, boot: u64, bounds: Bounds) -> TrailWriter {
    TrailWriter::open(disk.clone(), origin(boot), bounds).expect("a trail")
}

fn writer(disk: &Arc<SimDisk>, boot: u64) -> TrailWriter {
    writer_within(disk, boot, bounds())
}

/// An event that is like no other.
fn event(boot: u64, sequence: u64) -> Event {
    let kind = EventKind::ALL[sequence as usize % EventKind::ALL.len()];
    let at = START.plus_ms(3 * sequence);
    let mut event = Event::new(EventId::new(boot, sequence), at, kind, sequence * 77);
    event.scope = Some(Label::new(1000 + sequence / 3));
    event.token = Some(Token(sequence + 1));
    event.attempt = 1 + (sequence % 2) as u32;
    event.context = Context { client: Some(Label::new(sequence % 5)), ..Context::default() };
    event
}

fn append(writer: &mut TrailWriter, boot: u64, sequences: impl IntoIterator<Item = u64>) {
    for sequence in sequences {
        writer.append(&event(boot, sequence), nameless()).expect("appended");
    }
    writer.write().expect("written");
}

/// All of a trail.
fn items(trail: &mut Trail) -> Vec<TrailItem> {
    trail.map(|item| item.expect("read")).collect()
}

fn read(disk: &Arc<SimDisk>) -> Vec<TrailItem> {
    items(&mut Trail::on(disk.clone()))
}

fn events(boot: u64, sequences: impl IntoIterator<Item = u64>) -> Vec<TrailItem> {
    sequences.into_iter().map(|sequence| TrailItem::Event(event(boot, sequence))).collect()
}

fn gap(after: Option<(u64, u64)>, before: Option<(u64, u64)>, lost: Option<u64>) -> TrailItem {
    let id = |id: Option<(u64, u64)>| id.map(|(boot, sequence)| EventId::new(boot, sequence));
    TrailItem::Gap(Gap { after: id(after), before: id(before), lost })
}

#[test]
fn what_was_written_is_read_in_order() {
    let disk = SimDisk::new();
    let mut first = writer(&disk, 1);
    append(&mut first, 1, 0..3000);
    first.end(3000, START).expect("ended");
    let mut second = writer(&disk, 7);
    append(&mut second, 7, 0..10);
    let mut trail = Trail::on(disk.clone());
    assert!(items(&mut trail) == [events(1, 0..3000), events(7, 0..10)].concat());
    assert!(!trail.is_ended());
    assert_eq!(trail.unread_bytes().expect("a length"), 0);
    second.end(10, START).expect("ended");
    assert_eq!(items(&mut trail), []);
    assert!(trail.is_ended());
    assert_eq!(trail.store_id(), Some(origin(1).store_id));
    assert_eq!(trail.key_id(), Some(9));
}

#[test]
fn every_missing_sequence_is_told_as_a_gap() {
    let disk = SimDisk::new();
    let mut first = writer(&disk, 1);
    append(&mut first, 1, (2..10).chain(15..16).chain(18..20));
    first.end(25, START).expect("ended");
    append(&mut writer(&disk, 2), 2, 3..5);
    append(&mut writer(&disk, 3), 3, 0..1);
    let told = [
        vec![gap(None, Some((1, 2)), Some(2))],
        events(1, 2..10),
        vec![gap(Some((1, 9)), Some((1, 15)), Some(5))],
        events(1, 15..16),
        vec![gap(Some((1, 15)), Some((1, 18)), Some(2))],
        events(1, 18..20),
        vec![gap(Some((1, 19)), None, Some(5))],
        vec![gap(Some((1, 19)), Some((2, 3)), Some(3))],
        events(2, 3..5),
        vec![gap(Some((2, 4)), Some((3, 0)), None)],
        events(3, 0..1),
    ];
    assert_eq!(read(&disk), told.concat());
}
