//! What a fuzzer asks of a trail: whatever its bytes are, reading ends, says the same each time,
//! and tells no event that was not written while no checksum was forged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a property that does not hold is a panic"
)]

use std::sync::Arc;

use super::block::{BLOCK_HEADER, seal};
use super::code::{Before, EventNames, put_event, read_event};
use super::dictionary::{Dictionary, Names, Numbers};
use super::header::{TRAIL_HEADER, TrailHeader, file_name};
use super::{Bounds, Origin, Trail, TrailItem, TrailWriter};
use crate::audit::{Context, Event, EventId, EventKind, KeyFormat, KeyShape, Label};
use crate::fuzzing::Input;
use crate::ids::{Nonce, StoreId, StoreTime, Token};
use crate::log::{Place, Reader, put};
use crate::simulation::{Disk, SimDisk};
use crate::types::Difference;

const STORE: StoreId = StoreId(*b"store-id-16bytes");
const START: StoreTime = StoreTime(1_790_000_000_000);

/// Makes the checksums of a segment right: of its header, and of its blocks as far as they follow
/// one another.
pub(crate) fn seal_segment(bytes: &mut [u8]) {
    let checksum = bytes.get(12..TRAIL_HEADER).map(crc32fast::hash);
    let Some(checksum) = checksum else { return };
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    let nonce = u64::from_le_bytes(*bytes[48..].first_chunk().unwrap());
    let mut offset = TRAIL_HEADER;
    while let Some(head) = bytes.get(offset..offset + BLOCK_HEADER) {
        let len = u32::from_le_bytes(*head[4..].first_chunk().unwrap()) as usize;
        let at = Place { nonce: Nonce(nonce), offset: offset as u32 };
        let start = offset + BLOCK_HEADER;
        let Some(payload) = bytes.get(start..start.saturating_add(len)) else { break };
        let checksum = at.plus(BLOCK_HEADER).checksum(payload).to_le_bytes();
        bytes[offset + 8..offset + 12].copy_from_slice(&checksum);
        let checksum = at.checksum(&bytes[offset + 4..start]).to_le_bytes();
        bytes[offset..offset + 4].copy_from_slice(&checksum);
        offset = start + len;
    }
}

/// Events as bytes: what is read is written so that it reads the same.
pub(crate) fn events(data: &[u8]) {
    let id = EventId::new(3, 7);
    let begin = Before { at: START, token: 5 };
    let (mut numbers, mut names) = (Numbers::default(), Names::default());
    let (mut body, mut before) = (Reader::new(data), begin);
    let mut read = Vec::new();
    while body.end().is_none() {
        match read_event(&mut body, id, &mut before, &mut numbers, &mut names) {
            Ok(event) => read.push(event.expect("no label is lost")),
            Err(_) => break,
        }
    }
    assert_read_back(&read, begin, &names);
}

fn assert_read_back(events: &[Event], begin: Before, names: &Names) {
    let (mut bytes, mut dictionary, mut before) = (Vec::new(), Dictionary::default(), begin);
    for event in events {
        let request = event.context.request.and_then(|label| names.get(label));
        let known = EventNames { known: names, request };
        put_event(&mut bytes, event, &mut before, &mut dictionary, known);
    }
    let (mut numbers, mut learned) = (Numbers::default(), Names::default());
    let (mut body, mut before) = (Reader::new(&bytes), begin);
    for event in events {
        let read = read_event(&mut body, event.id, &mut before, &mut numbers, &mut learned);
        assert_eq!(read, Ok(Some(*event)));
    }
    assert!(body.end().is_some());
}

/// A trail that is written by its writer and hurt, or whose blocks the input makes.
pub(crate) fn trail(data: &[u8]) {
    let mut input = Input::new(data);
    let disk = SimDisk::new();
    if input.byte() & 1 == 0 {
        let written = write(&disk, &mut input);
        let is_whole = input.is_empty();
        hurt(&disk, &mut input);
        check_true(&disk, &written, is_whole);
    } else {
        for number in 1..=1 + u64::from(input.byte() % 3) {
            let bytes = made_up(number, &mut input);
            disk.put_file(&file_name(number), bytes).expect("a file");
        }
    }
    check_ends(&disk);
}

/// Events of one or two openings, some left out as under pressure.
fn write(disk: &Arc<SimDisk>, input: &mut Input<'_>) -> Vec<Event> {
    let mut written = Vec::new();
    for boot in 1..=1 + u64::from(input.byte() % 2) {
        let origin = Origin { store_id: STORE, boot, key_id: 9 };
        let bounds = Bounds { max_bytes: 1 << 20, max_age_ms: 1 << 40, privacy: 0 };
        let mut writer = TrailWriter::open(disk.clone(), origin, bounds).expect("a trail");
        let names = Names::default();
        let mut sequence = 0;
        for _ in 0..input.byte() % 40 {
            sequence += u64::from(input.byte() % 8 == 7);
            let event = event(EventId::new(boot, sequence), input);
            let named = EventNames { known: &names, request: None };
            writer.append(&event, named).expect("appended");
            written.push(event);
            sequence += 1;
            if event.key_hash.is_multiple_of(5) {
                writer.write().expect("written");
            }
        }
        match input.byte() & 1 {
            0 => writer.write().expect("written"),
            _ => writer.end(sequence, START).expect("ended"),
        }
    }
    written
}

fn event(id: EventId, input: &mut Input<'_>) -> Event {
    let kind = EventKind::ALL[input.below(EventKind::ALL.len())];
    let mut event = Event::new(id, StoreTime(input.number()), kind, u64::from(input.byte()));
    let has = input.u16();
    let mut label = |bit: u32| (has & (1 << bit) != 0).then(|| Label::new(input.number()));
    event.scope = label(0);
    event.operation = label(1);
    event.context.client = label(2);
    event.context.network = label(3);
    event.context.agent = label(4);
    event.context.request = label(5);
    event.holder = label(6).map(|client| Context { client: Some(client), ..Context::default() });
    event.token = label(7).map(|label| Token(label.get()));
    event.age_ms = label(8).map(Label::get);
    event.duration_ms = label(9).map(Label::get);
    event.attempt = if has & (1 << 10) != 0 { input.u32() } else { 1 };
    event.differs = (has & (1 << 11) != 0).then_some(Difference::OperationAndPayload);
    event.shape = (has & (1 << 12) != 0).then(|| KeyShape {
        format: KeyFormat::ALL[input.below(KeyFormat::ALL.len())],
        len: input.u16(),
        prefix: input.u32(),
        value: input.number(),
    });
    event
}

fn hurt(disk: &Arc<SimDisk>, input: &mut Input<'_>) {
    let mut names = disk.list().expect("names");
    names.sort();
    while !input.is_empty() && !names.is_empty() {
        let how = input.byte();
        let name = &names[usize::from(how >> 4) % names.len()];
        let len = disk.file(name).map_or(0, |file| file.len());
        let at = input.below(len) as u64;
        // A file that is gone or has no such byte stays what it is.
        let _ = match how % 4 {
            0 | 1 => disk.flip_bit(name, at, how >> 5),
            2 => disk.truncate_file(name, at),
            _ if how & 15 == 3 => disk.remove(name),
            _ => disk.flip_bit(name, at / 2, 0),
        };
    }
}

/// A segment of a header and blocks that the input makes; some with right checksums.
fn made_up(number: u64, input: &mut Input<'_>) -> Vec<u8> {
    let how = input.byte();
    let header = TrailHeader {
        store_id: if how & 1 == 0 { STORE } else { StoreId([how; 16]) },
        boot: if how & 2 == 0 { 1 } else { input.number() },
        number: if how & 4 == 0 { number } else { input.number() },
        nonce: Nonce(u64::from(how)),
        base: StoreTime(if how & 8 == 0 { START.0 } else { input.number() }),
        key_id: 9,
        privacy: 0,
    };
    let mut bytes = header.encode();
    for _ in 0..input.byte() % 8 {
        let how = input.byte();
        let at = header.place(bytes.len() as u32);
        let facts = [input.number(), input.number(), input.number(), input.number()];
        let events = input.string();
        seal(&mut bytes, at, how & 1, |out| {
            facts.into_iter().for_each(|fact| put(out, fact));
            out.extend_from_slice(events);
        });
        if how & 6 == 6 {
            bytes.extend(input.string());
        }
    }
    if how & 16 != 0 {
        bytes.truncate(input.below(bytes.len() + 1));
    }
    bytes
}

fn check_ends(disk: &Arc<SimDisk>) {
    let names = disk.list().expect("names");
    let bytes: usize = names.iter().filter_map(|name| disk.file(name)).map(|f| f.len()).sum();
    let mut trail = Trail::on(disk.clone());
    let mut told = Vec::new();
    for item in trail.by_ref() {
        told.push(item.expect("no error of the disk"));
        assert!(told.len() <= bytes + names.len() + 1, "more is told than there are bytes");
    }
    assert!(trail.unread_bytes().expect("a length") <= bytes as u64);
    assert!(trail.next().is_none());
    let again = Trail::on(disk.clone()).map(|item| item.expect("no error of the disk"));
    assert!(again.eq(told));
}

/// What is told was written, in that order; what is missing is said.
fn check_true(disk: &Arc<SimDisk>, written: &[Event], is_whole: bool) {
    let mut left = written.iter();
    let mut last: Option<EventId> = None;
    let mut is_said = false;
    for item in Trail::on(disk.clone()) {
        let TrailItem::Event(event) = item.expect("no error of the disk") else {
            is_said = true;
            continue;
        };
        assert!(left.any(|known| *known == event), "{event:?} was not written");
        let follows = last.is_none_or(|last| {
            last.boot != event.id.boot || last.sequence + 1 == event.id.sequence
        });
        assert!(follows || is_said, "{last:?} to {:?}, and nothing is said", event.id);
        (last, is_said) = (Some(event.id), false);
    }
    if is_whole {
        assert!(left.next().is_none(), "a whole trail does not tell all");
    }
}
