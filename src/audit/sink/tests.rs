//! What sinks promise: every event at least once, whenever either side stops; a cursor that never
//! passes what was not acknowledged; files of whole lines.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::audit::merge::{Merge, MergeOptions, parse_told};
use crate::audit::trail::{Bounds, EventNames, Names, Origin as TrailOrigin, TrailWriter};
use crate::audit::{Audit, Event, EventId, EventKind, Label, Trail};
use crate::disk::{Disk, SimDisk};
use crate::error::{Error, ErrorKind};
use crate::ids::{StoreId, StoreTime};

/// A trail on a simulated disk.
struct World {
    disk: Arc<SimDisk>,
    writer: Option<TrailWriter>,
    boot: u64,
    sequence: u64,
}

impl World {
    fn new() -> Self {
        let disk = SimDisk::new();
        let mut world = Self { disk, writer: None, boot: 0, sequence: 0 };
        world.reopen();
        world
    }

    fn reopen(&mut self) {
        self.boot += 1;
        self.sequence = 0;
        let origin = TrailOrigin { store_id: StoreId([5; 16]), boot: self.boot, key_id: 9 };
        let disk: Arc<dyn Disk> = self.disk.clone();
        let bounds = Bounds::of(&Audit::new().max_bytes(1 << 20));
        self.writer = Some(TrailWriter::open(disk, origin, bounds).expect("a trail"));
    }

    fn write(&mut self, events: u64) {
        let writer = self.writer.as_mut().expect("a writer");
        for _ in 0..events {
            let at = StoreTime(1_000_000 * self.boot + self.sequence);
            let id = EventId::new(self.boot, self.sequence);
            let mut event = Event::new(id, at, EventKind::Claimed, self.sequence + 1);
            event.scope = Some(Label::new(3));
            assert!(
                writer
                    .append(&event, EventNames { known: &Names::default(), request: None })
                    .is_ok()
            );
            self.sequence += 1;
        }
        assert!(writer.write().is_ok());
    }

    fn close(&mut self) {
        let writer = self.writer.as_mut().expect("a writer");
        assert!(writer.end(self.sequence, StoreTime(1_000_000 * self.boot + 900_000)).is_ok());
    }

    fn shipper(&self) -> Shipper {
        let disk: Arc<dyn Disk> = self.disk.clone();
        let cursor = Cursor::on(disk.clone(), "test", "memory").expect("a cursor");
        Shipper::new(Trail::on(disk), cursor).expect("a shipper")
    }
}

/// Keeps what it got, and fails as it is told to: it took part of a batch, or all of it.
#[derive(Debug, Default)]
struct Memory {
    got: Vec<Message>,
    /// After so many messages of a batch it fails.
    fail_after: Option<usize>,
}

impl Sink for Memory {
    fn describe(&self) -> String {
        "memory".into()
    }

    fn send(&mut self, messages: &[Message]) -> Result<()> {
        let taken = self.fail_after.take();
        let count = taken.unwrap_or(messages.len()).min(messages.len());
        self.got.extend(messages.iter().take(count).cloned());
        match taken {
            None => Ok(()),
            Some(_) => Err(Error::new(ErrorKind::Unavailable, "it does not answer")),
        }
    }
}

fn ship_all(shipper: &mut Shipper, sink: &mut Memory) {
    while shipper.ship(sink).expect("it ships") > 0 {}
}

fn merged(lines: impl IntoIterator<Item = String>) -> (Vec<EventId>, Merge) {
    let mut merge = Merge::new(MergeOptions::new());
    let source = merge.source("sink");
    for line in lines {
        let parsed = parse_told(&line).expect("a line");
        merge.tell(source, parsed.origin.expect("an origin"), parsed.told.expect("told"));
    }
    merge.finish();
    (merge.by_ref().map(|merged| merged.event.id).collect(), merge)
}

fn lines(sink: &Memory) -> Vec<String> {
    sink.got.iter().map(|message| message.line.clone()).collect()
}

/// Whenever the sink fails and the shipper dies: each event arrives, in order when each is taken
/// once, and none that was acknowledged comes again after the next cursor.
#[test]
fn every_event_arrives_at_least_once() {
    for seed in 0..60_u64 {
        let mut world = World::new();
        let mut sink = Memory::default();
        let mut dice = seed;
        let mut next = |below: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (dice >> 33) % below
        };
        let mut shipper = world.shipper();
        let (mut total, mut deaths) = (0, 0);
        for _ in 0..30 {
            match next(7) {
                0 | 1 => {
                    let count = next(900);
                    world.write(count);
                    total += count;
                }
                2 => {
                    world.close();
                    world.reopen();
                }
                3 => shipper = world.shipper(),
                4 => {
                    deaths += usize::from(world.sequence > 0);
                    world.reopen();
                }
                _ => {
                    sink.fail_after = (next(2) == 0).then(|| next(600) as usize);
                    let _ = shipper.ship(&mut sink);
                }
            }
        }
        sink.fail_after = None;
        world.close();
        ship_all(&mut shipper, &mut sink);
        assert!(shipper.is_ended());
        let (ids, merge) = merged(lines(&sink));
        assert_eq!(ids.len() as u64, total, "seed {seed}");
        assert!(ids.is_sorted());
        let gaps: Vec<_> = merge.gaps().collect();
        assert!(gaps.iter().all(|gap| gap.count.is_none()), "seed {seed}: {gaps:?}");
        assert_eq!(gaps.len(), deaths, "seed {seed}: {gaps:?}");
        let ids: BTreeSet<_> = sink.got.iter().map(|message| &message.id).collect();
        let of_lines: BTreeSet<_> = sink.got.iter().map(|message| &message.line).collect();
        assert_eq!(ids.len(), of_lines.len(), "an id is of one line");

        let mut again = Memory::default();
        ship_all(&mut world.shipper(), &mut again);
        assert!(again.got.len() <= 1, "seed {seed}: only the end is told again: {again:?}");
    }
}

/// What is gone from the trail before it was shipped is told as lost.
#[test]
fn what_the_trail_lost_before_it_was_shipped_is_said() {
    let mut world = World::new();
    world.write(20_000);
    let (mut sink, mut shipper) = (Memory::default(), world.shipper());
    let shipped = shipper.ship(&mut sink).expect("it ships") as u64;
    // The oldest segments are gone.
    let names = world.disk.list().expect("names");
    let mut segments: Vec<_> = names.iter().filter(|name| name.starts_with("trail-")).collect();
    segments.sort();
    assert!(segments.len() > 3, "{segments:?}");
    for segment in &segments[..2] {
        world.disk.remove(segment).expect("it goes");
    }
    ship_all(&mut world.shipper(), &mut sink);
    let (ids, merge) = merged(lines(&sink));
    let gaps: Vec<_> = merge.gaps().collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].is_lost && gaps[0].first == shipped);
    assert_eq!(ids.len() as u64 + gaps[0].count.expect("a count"), 20_000);
}

#[test]
fn an_idle_store_is_marked() {
    let mut world = World::new();
    world.write(3);
    let (mut sink, mut shipper) = (Memory::default(), world.shipper());
    ship_all(&mut shipper, &mut sink);
    assert!(shipper.mark(StoreTime(5_000_000), &mut sink).expect("it marks"));
    let (_, merge) = merged(lines(&sink));
    assert_eq!(merge.stores()[0].complete_to, Some(StoreTime(5_000_000)));
    world.close();
    ship_all(&mut shipper, &mut sink);
    assert!(!shipper.mark(StoreTime(6_000_000), &mut sink).expect("it is closed"));
}

#[test]
fn a_cursor_is_of_one_sink_and_one_shipper() {
    let mut world = World::new();
    world.write(3);
    let (mut sink, mut one, mut other) = (Memory::default(), world.shipper(), world.shipper());
    ship_all(&mut one, &mut sink);
    let error = other.ship(&mut sink).expect_err("the cursor was moved");
    assert_eq!(error.kind(), ErrorKind::Locked);

    let disk: Arc<dyn Disk> = world.disk.clone();
    let error = Cursor::on(disk.clone(), "test", "another").expect_err("another sink");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    for name in ["", "a/b", ".x", "a b", &"x".repeat(65)] {
        assert!(Cursor::on(disk.clone(), name, "memory").is_err(), "{name}");
    }
    let file = disk.create("bad.cursor").expect("a file");
    for text in ["", "{", "{}", r#"{"version":2,"sink":"memory","store":"","boot":1}"#] {
        file.write_at(text.as_bytes(), 0).expect("it is written");
        let error = Cursor::on(disk.clone(), "bad", "memory").expect_err("no cursor");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{text}");
    }
}

fn message(number: usize) -> Message {
    let line = format!("{{\"line\":{number},\"text\":\"{}\"}}", "x".repeat(number * 7 % 90));
    Message { id: number.to_string(), line }
}

/// A file that was cut at any byte goes on with a whole line.
#[test]
#[allow(clippy::disallowed_methods, reason = "the file is a real one")]
fn a_file_that_was_cut_at_any_byte_has_whole_lines() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("lines");
    let messages: Vec<_> = (0..8).map(message).collect();
    let mut sink = FileSink::open(&path).expect("a file");
    sink.send(&messages).expect("it is written");
    let whole = std::fs::read(&path).expect("bytes");
    drop(sink);
    for cut in 0..=whole.len() {
        std::fs::write(&path, &whole[..cut]).expect("it is cut");
        let mut sink = FileSink::open(&path).expect("a file");
        let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
        let kept: usize = messages[..lines].iter().map(|message| message.line.len() + 1).sum();
        assert_eq!(sink.cut_bytes(), (cut - kept) as u64);
        sink.send(&messages[lines..]).expect("it is written");
        assert_eq!(std::fs::read(&path).expect("bytes"), whole, "cut at {cut}");
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the file is a real one")]
fn a_file_has_one_writer_and_may_be_emptied() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("lines");
    let mut sink = FileSink::open(&path).expect("a file");
    let error = FileSink::open(&path).expect_err("there is one");
    assert_eq!(error.kind(), ErrorKind::Locked);
    sink.send(&[message(1)]).expect("it is written");
    std::fs::write(&path, "").expect("it is emptied");
    sink.send(&[message(2)]).expect("it is written");
    let text = std::fs::read_to_string(&path).expect("a text");
    assert_eq!(text, message(2).line + "\n");
    drop(sink);
    assert!(FileSink::open(directory.path()).is_err(), "a directory is no file");
}

#[test]
fn an_output_gets_lines() {
    let mut output = Vec::new();
    OutputSink::new(&mut output, "memory").send(&[message(1), message(2)]).expect("it is written");
    assert_eq!(String::from_utf8(output).expect("UTF-8").lines().count(), 2);
}
