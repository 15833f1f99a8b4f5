//! Reading what matters against reading all.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::engine::segment::Contents;
use crate::ids::{SegmentId, Slot, StoreTime, Token};
use crate::log::{BatchFields, Frame, Place, SegmentKind, scan, seal_batch};
use crate::simulation::{Disk as _, SimDisk};

/// Several pieces, and not a whole number of them.
const SIZE: usize = 3 * PIECE_BYTES + 4096;
const OWN: Nonce = Nonce(7);

/// Batches of these lengths, each after the one before it and a gap.
fn segment_of(batches: &[(usize, usize)], life: Nonce) -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    let (mut at, mut previous) = (SEGMENT_HEADER, 0);
    for (number, (len, gap)) in (1..).zip(batches) {
        let mut batch = vec![0; BATCH_HEADER];
        let data = vec![number as u8; *len];
        let frame = Frame::Checkpoint { token: Token(number), name: b"name", data: &data };
        frame.encode(StoreTime(0), &mut batch).unwrap();
        let from = at + gap;
        let Some(room) = bytes.get_mut(from..from + batch.len()) else { break };
        let (sequence, synced) = (Token(number), Token(number - 1));
        let fields = BatchFields { sequence, synced, store_time: StoreTime(0), previous, flags: 0 };
        let place = Place { nonce: life, offset: from as u32 };
        previous = seal_batch(&mut batch, place, fields).unwrap();
        room.copy_from_slice(&batch);
        at = from + batch.len();
    }
    bytes
}

/// A multiple of what batches are aligned to.
fn gap() -> impl Strategy<Value = usize> {
    (0..40_000_usize).prop_map(|granules| 16 * granules)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Gaps are what a bad batch leaves, or a lost one; spoilt bytes are torn and rotten ones.
    #[test]
    fn p7_what_is_not_kept_has_no_say(
        batches in prop::collection::vec(
            (0..400_000_usize, prop_oneof![9 => Just(0), 1 => gap()]),
            0..8,
        ),
        spoilt in prop::collection::vec(0..SIZE, 0..4),
        cut in prop_oneof![3 => Just(SIZE), 1 => 0..SIZE],
        synced in 0..9_u64,
        old in any::<bool>(),
    ) {
        let mut bytes = segment_of(&batches, if old { Nonce(8) } else { OWN });
        for at in spoilt {
            bytes[at] ^= 1;
        }
        bytes.truncate(cut);
        let disk = SimDisk::new();
        disk.put_file("segment-00000", bytes.clone()).unwrap();
        let file = disk.open("segment-00000").unwrap();
        let life = (SegmentId(1), OWN, Slot(0), SegmentKind::Log);
        let segment =
            Arc::new(Segment::new(life, SIZE as u32, StoreTime(0), file, Contents::empty()));
        let options = ScanOptions { synced: Token(synced), ..ScanOptions::default() };
        let start = Start::read(&segment, None, 2).unwrap();
        let (kept, scan_of_kept) = (&start.bytes, start.scan(options));
        // Known before it was known what was synced, it comes to the same.
        let unknowing = start.scan(ScanOptions::default());
        prop_assert_eq!(&start.scan_again(unknowing, options), &scan_of_kept);
        let scan_of_all = scan(&bytes, OWN, options);
        for batch in &scan_of_all.batches {
            let whole = batch.offset as usize..batch.header.end(batch.offset).unwrap() as usize;
            prop_assert_eq!(kept.get(whole.clone()), bytes.get(whole));
        }
        prop_assert_eq!(scan_of_kept, scan_of_all);
    }
}
