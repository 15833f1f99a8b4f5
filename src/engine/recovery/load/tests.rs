//! Loading at once against taking the entries in one by one, as they would have come.

use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;
use crate::engine::Engine;
use crate::engine::rewriter::Rewriter;
use crate::engine::segment::{Contents, NewEntry};
use crate::ids::{Nonce, SegmentId, Slot, Token};
use crate::log::{Body, CompletionFrame, ForgetFrame, Frame};
use crate::simulation::{Disk as _, SimDisk};

const SIZE: u32 = 1 << 16;
const GEOMETRY: Geometry = Geometry::new(SIZE);
const NOW: StoreTime = StoreTime(1_000_000);

/// A frame of a segment that is to be loaded.
#[derive(Debug, Clone, Copy)]
struct Said {
    /// Which of a few keys.
    key: u8,
    token: u64,
    forget: bool,
    expired: bool,
    /// Whether it cannot be read.
    damaged: bool,
}

/// Several keys have one hash, and several hashes the bits that the index keeps.
fn hash(key: u8) -> KeyHash {
    let bits = u64::from(key / 2);
    KeyHash(((bits / 3) << 60) | (bits % 3))
}

fn said() -> impl Strategy<Value = Said> {
    let chance = |percent: u32| prop::bool::weighted(f64::from(percent) / 100.0);
    (0..24_u8, chance(25), chance(10), chance(5)).prop_map(|(key, forget, expired, damaged)| Said {
        key,
        token: 0,
        forget,
        expired,
        damaged,
    })
}

/// Sealed segments of these frames, whose tokens rise in an order of their own.
fn segments(said: &[Vec<Said>]) -> Vec<Arc<Segment>> {
    let disk = SimDisk::new();
    let make = |(number, said): (usize, &Vec<Said>)| {
        let slot = Slot(number as u32);
        let file = disk.create(&slot.file_name()).unwrap();
        file.zero_fill(u64::from(SIZE)).unwrap();
        let life = (SegmentId(number as u64 + 1), Nonce(7), slot, SegmentKind::Compacted);
        let base = StoreTime(0);
        let segment = Arc::new(Segment::new(life, SIZE, base, file, Contents::empty()));
        let mut rewriter = Rewriter::new(segment, NOW);
        let mut damaged = Vec::new();
        for said in said {
            let ttl_ms = if said.expired { 0 } else { 500_000 };
            let expires_at = NOW.plus_ms(ttl_ms);
            let (key, token) = ([said.key], Token(said.token));
            let frame = if said.forget {
                let (scope, key) = (&b"scope"[..], &key[..]);
                Frame::Forget(ForgetFrame { sequence: token, expires_at, scope, key })
            } else {
                Frame::Completion(CompletionFrame {
                    token,
                    completed_at: NOW,
                    ttl_ms,
                    attempt: 1,
                    status: 0,
                    scope: b"scope",
                    key: &key,
                    fingerprint: &[1; 32],
                    caller: None,
                    response: Body::Plain(b"done"),
                })
            };
            let hash = hash(said.key);
            let entry = NewEntry { hash, offset: 0, forget: said.forget, expires_at };
            let offset = rewriter.add(&frame, entry).unwrap();
            damaged.extend(said.damaged.then_some(offset));
        }
        let segment = rewriter.finish().unwrap();
        for offset in damaged {
            segment.file.write_at(&[0xff; 16], u64::from(offset)).unwrap();
        }
        segment
    };
    said.iter().enumerate().map(make).collect()
}

/// Of a store that does not remember what has expired.
fn no_memory() -> Expired {
    Expired::off(SimDisk::new(), NOW)
}

/// Where records count: taken in one by one, then the forgets.
fn one_by_one(segments: &[Arc<Segment>], table: &SegmentTable) -> Vec<(KeyHash, Location)> {
    let mut records: Vec<(KeyHash, Location)> = Vec::new();
    let mut forgets = Vec::new();
    let read = |location| identity(table, location).unwrap();
    for segment in segments {
        for entry in segment.read_footer().unwrap().entries {
            let location = Location { slot: segment.slot, offset: entry.offset };
            if entry.expires_at(segment.base) <= NOW {
                continue;
            }
            if entry.forget {
                forgets.push(location);
                continue;
            }
            let new = read(location);
            let same = |known: &(KeyHash, Location)| match (&new, &read(known.1)) {
                (Some(new), Some(known)) => new.of_key() == known.of_key(),
                _ => false,
            };
            match records.iter().position(same) {
                Some(at) if read(records[at].1).unwrap().order < new.unwrap().order => {
                    records[at] = (entry.hash, location);
                }
                Some(_) => {}
                None => records.push((entry.hash, location)),
            }
        }
    }
    for forget in forgets.into_iter().filter_map(read) {
        records.retain(|(_, location)| {
            let hidden = |record: Identity| {
                record.of_key() == forget.of_key() && record.order < forget.order
            };
            !read(*location).is_some_and(hidden)
        });
    }
    records
}

proptest! {
    #[test]
    fn p7_at_once_it_is_as_one_by_one(
        said in prop::collection::vec(prop::collection::vec(said(), 0..30), 1..6),
        tokens in Just((1..200_u64).collect::<Vec<_>>()).prop_shuffle(),
        rounds in 1..20_usize,
        workers in 1..4_usize,
    ) {
        let mut said = said;
        for (said, token) in said.iter_mut().flatten().zip(tokens) {
            said.token = token;
        }
        let segments = segments(&said);
        let table = SegmentTable::default();
        segments.iter().for_each(|segment| table.put(segment.clone()));
        let shards = Engine::empty_shards();
        let told = Arc::new(Mutex::new(Vec::new()));
        let hears = told.clone();
        let observer = Observer::new(move |progress| hears.lock().push(progress));
        let expired = no_memory();
        let loader = Loader {
            geometry: GEOMETRY,
            now: NOW,
            segments: &segments,
            table: &table,
            shards: &shards,
            observer: &observer,
            workers,
            tail: &[],
            expired: &expired,
        };
        let loaded = loader.load_rounds(rounds, workers).unwrap();

        let expected = one_by_one(&segments, &table);
        prop_assert_eq!(loaded.records, expected.len() as u64);
        let listed: usize = shards.iter().map(|shard| shard.lock().index.len()).sum();
        prop_assert_eq!(listed, expected.len());
        for (hash, location) in &expected {
            let shard = shards[hash.shard()].lock();
            prop_assert!(shard.index.holds(GEOMETRY, *hash, *location));
        }
        // Each unreadable forget that may hide something that is there is told of, once.
        let mut unreadable = 0;
        for said in said.iter().flatten().filter(|s| s.forget && s.damaged && !s.expired) {
            unreadable += usize::from(expected.iter().any(|(other, _)| *other == hash(said.key)));
        }
        prop_assert_eq!(loaded.damage.len(), unreadable);
        let told = told.lock();
        prop_assert_eq!(told.len(), rounds * segments.len());
        prop_assert!(told.iter().all(|step| step.total == (rounds * segments.len()) as u64));
    }
}

#[test]
fn p10_no_frame_is_read_for_hashes_that_only_share_what_the_index_keeps() {
    let one = |key, token| Said { key, token, forget: false, expired: false, damaged: true };
    // Keys 0, 2 and 4 differ in the lowest bits of their hashes alone.
    let segments = segments(&[vec![one(0, 1), one(2, 2)], vec![one(4, 3)]]);
    let table = SegmentTable::default();
    let shards = Engine::empty_shards();
    let expired = no_memory();
    let loader = Loader {
        geometry: GEOMETRY,
        now: NOW,
        segments: &segments,
        // It leads nowhere: whatever was read would be taken for damaged.
        table: &table,
        shards: &shards,
        observer: &Observer::default(),
        workers: 1,
        tail: &[],
        expired: &expired,
    };
    assert_eq!(loader.load().unwrap().records, 3);
    assert_eq!(shards[0].lock().index.candidates(GEOMETRY, hash(0)).iter().count(), 3);
}
