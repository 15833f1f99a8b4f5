//! Golden bytes, round trips and damage of manifests, and of the file that holds two copies.

use proptest::prelude::*;

use super::super::memory::MemoryDisk;
use super::super::samples::{BASE, assert_golden, flips};
use super::*;

fn manifest() -> Manifest {
    let segment = |id, kind, sealed| SegmentEntry {
        id: SegmentId(id),
        nonce: Nonce(0x1122_3344_5566_7788 + id),
        slot: Slot(id as u32 - 70),
        kind,
        sealed,
    };
    Manifest {
        store_id: StoreId(*b"store-id-16bytes"),
        hash_key: *b"the-key-of-hash!",
        base: BASE,
        segment_size: 64 << 20,
        owner_pid: 4242,
        clean: true,
        epoch: 5,
        ceiling: Token(1 << 20),
        store_time: BASE.plus_ms(2000),
        next_segment: SegmentId(79),
        identity: DirIdentity { device: 2049, inode: 123_456 },
        segments: vec![
            segment(77, SegmentKind::Compacted, true),
            segment(78, SegmentKind::Log, false),
        ],
    }
}

/// A copy with `change` made and its checksum made right again.
fn forged(change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut copy = manifest().encode();
    copy.truncate(PAGE);
    change(&mut copy);
    let len = FIXED + 2 * ENTRY;
    let checksum = crc32fast::hash(&copy[CHECKED_FROM..len]);
    copy[8..12].copy_from_slice(&checksum.to_le_bytes());
    copy.repeat(2)
}

#[test]
fn golden_bytes() {
    let bytes = manifest().encode();
    assert_eq!(bytes.len(), 2 * PAGE);
    let (first, second) = bytes.split_at(PAGE);
    assert_eq!(first, second);
    let (copy, padding) = first.split_at(FIXED + 2 * ENTRY);
    assert_golden(copy, GOLDEN);
    assert!(padding.iter().all(|byte| *byte == 0));
}

const GOLDEN: &str = "
    4f4e43454b455931ede5806901000000c00000000100000073746f72652d6964
    2d313662797465737468652d6b65792d6f662d68617368210068e5cf8b010000
    000000049210000005000000000000000000100000000000d06fe5cf8b010000
    4f00000000000000010800000000000040e20100000000000200000000000000
    4d00000000000000d57766554433221107000000010000000100000000000000
    4e00000000000000d67766554433221108000000000000000000000000000000
";

#[test]
fn every_flipped_bit_is_found_and_the_other_copy_read() {
    let bytes = manifest().encode();
    let used = FIXED + 2 * ENTRY;
    for (bit, flipped) in flips(&bytes[..used]) {
        let first = [&flipped, &bytes[used..]].concat();
        let (read, damage) = Manifest::decode(&first).unwrap();
        assert_eq!(read, manifest(), "bit {bit}");
        let damage = damage.expect("damage is reported");
        assert_eq!((damage.copy, damage.offset), (1, 0), "bit {bit}");
        let second = [&bytes[..PAGE], &flipped, &bytes[PAGE + used..]].concat();
        let (read, damage) = Manifest::decode(&second).unwrap();
        assert_eq!(read, manifest(), "bit {bit}");
        let damage = damage.expect("damage is reported");
        assert_eq!((damage.copy, damage.offset), (2, PAGE as u64), "bit {bit}");
        let both = [&first[..PAGE], &second[PAGE..]].concat();
        assert!(Manifest::decode(&both).is_err(), "bit {bit}");
    }
}

#[test]
fn a_later_version_is_told_before_anything_else() {
    let mut bytes = manifest().encode();
    for copy in bytes.chunks_mut(PAGE) {
        copy[12] = 2;
        copy[16..].fill(0xff);
    }
    assert_eq!(Manifest::decode(&bytes), Err(ManifestFault::TooNew(2)));
}

#[test]
fn what_is_no_manifest_is_told_apart() {
    assert_eq!(Manifest::decode(&[]), Err(ManifestFault::NotAManifest));
    assert_eq!(Manifest::decode(&[0; 8192]), Err(ManifestFault::NotAManifest));
    let bytes = manifest().encode();
    let cut = Manifest::decode(&bytes[..200]);
    assert!(matches!(cut, Err(ManifestFault::Damaged(_))), "{cut:?}");
    let (read, damage) = Manifest::decode(&bytes[..PAGE]).unwrap();
    assert_eq!((read, damage.unwrap().copy), (manifest(), 2));
}

#[test]
fn copies_that_differ_are_reported() {
    let other = Manifest { epoch: 6, ..manifest() };
    let bytes = [&manifest().encode()[..PAGE], &other.encode()[PAGE..]].concat();
    let (read, damage) = Manifest::decode(&bytes).unwrap();
    assert_eq!(read, manifest());
    assert_eq!(damage.unwrap().reason, "differs from the first copy");
}

#[test]
fn fields_no_writer_makes_are_refused() {
    assert!(Manifest::decode(&forged(|_| ())).is_ok());
    for (at, value) in [(12, 0), (20, 2), (120, 1), (120, 3), (128 + 20, 2), (128 + 24, 2)] {
        let bytes = forged(|copy| copy[at] = value);
        let found = Manifest::decode(&bytes);
        assert!(matches!(found, Err(ManifestFault::Damaged(_))), "{at}: {found:?}");
    }
}

#[test]
fn a_manifest_that_does_not_hold_is_never_put_in_place() {
    let disk = MemoryDisk::default();
    write(&disk, &manifest()).unwrap();
    let mut unordered = manifest();
    unordered.segments.reverse();
    let mut one_slot = manifest();
    one_slot.segments[1].slot = one_slot.segments[0].slot;
    let mut not_next = manifest();
    not_next.next_segment = SegmentId(78);
    let odd_size = Manifest { segment_size: 100_000, ..manifest() };
    let small = Manifest { segment_size: 32 << 10, ..manifest() };
    for bad in [unordered, one_slot, not_next, odd_size, small] {
        let error = write(&disk, &bad).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(read(&disk).unwrap(), Ok((manifest(), None)));
    }
}

#[test]
fn is_replaced_whole() {
    let disk = MemoryDisk::default();
    assert_eq!(read(&disk).unwrap_err().kind(), io::ErrorKind::NotFound);
    for epoch in [5, 6] {
        let manifest = Manifest { epoch, ..manifest() };
        write(&disk, &manifest).unwrap();
        assert_eq!(read(&disk).unwrap(), Ok((manifest, None)));
        assert_eq!(disk.list().unwrap(), [MANIFEST_FILE]);
    }
}

#[test]
fn a_huge_file_is_not_read() {
    let disk = MemoryDisk::default();
    let file = disk.create(MANIFEST_FILE).unwrap();
    file.zero_fill(FILE_LIMIT + 1).unwrap();
    assert!(matches!(read(&disk), Ok(Err(ManifestFault::Damaged(_)))));
}

fn segments() -> impl Strategy<Value = Vec<SegmentEntry>> {
    let segment = (1_u64..1000, any::<u64>(), any::<bool>(), any::<bool>());
    prop::collection::vec(segment, 0..300).prop_map(|segments| {
        let mut id = 0;
        let entries = segments.into_iter().zip(0..).map(|((step, nonce, log, sealed), slot)| {
            id += step;
            let kind = if log { SegmentKind::Log } else { SegmentKind::Compacted };
            let (id, nonce, slot) = (SegmentId(id), Nonce(nonce), Slot(slot));
            SegmentEntry { id, nonce, slot, kind, sealed }
        });
        entries.collect()
    })
}

proptest! {
    #[test]
    fn manifests_round_trip(
        segments in segments(),
        ids: [[u8; 16]; 2],
        numbers: [u64; 6],
        owner_pid: u32,
        clean: bool,
        size_log in 16_u32..=30,
    ) {
        let manifest = Manifest {
            store_id: StoreId(ids[0]),
            hash_key: ids[1],
            base: StoreTime(numbers[0]),
            segment_size: 1 << size_log,
            owner_pid,
            clean,
            epoch: numbers[1] % FURTHEST,
            ceiling: Token(numbers[2] % FURTHEST),
            store_time: StoreTime(numbers[3]),
            next_segment: SegmentId(FURTHEST - 1),
            identity: DirIdentity { device: numbers[4], inode: numbers[5] },
            segments,
        };
        let bytes = manifest.encode();
        prop_assert!(bytes.len().is_multiple_of(2 * PAGE));
        prop_assert_eq!(Manifest::decode(&bytes), Ok((manifest, None)));
    }

    #[test]
    fn random_bytes_never_panic(
        random in prop::collection::vec(any::<u8>(), 0..300),
        at in 12_usize..200,
    ) {
        prop_assert!(Manifest::decode(&random).is_err());
        // Past the checksum as well.
        let bytes = forged(|copy| {
            for (slot, byte) in copy[at..].iter_mut().zip(&random) {
                *slot = *byte;
            }
        });
        let _ = Manifest::decode(&bytes);
    }
}
