//! Golden bytes, round trips and damage of batches.

use proptest::prelude::*;

use super::super::samples::{BASE, FIRST, assert_golden, flips, golden_frames, owned_frame};
use super::*;

const FIELDS: BatchFields = BatchFields {
    sequence: Token(310),
    synced: Token(290),
    store_time: StoreTime(BASE.0 + 2000),
    previous: 0xaabb_ccdd,
    flags: FLAG_RESTATEMENT,
};

fn batch<'a>(place: Place, frames: impl IntoIterator<Item = Frame<'a>>) -> (Vec<u8>, u32) {
    let mut buf = vec![0; BATCH_HEADER];
    frames.into_iter().for_each(|frame| {
        frame.encode(BASE, &mut buf).unwrap();
    });
    let checksum = seal_batch(&mut buf, place, FIELDS).unwrap();
    (buf, checksum)
}

fn golden_batch() -> Vec<u8> {
    batch(FIRST, golden_frames().into_iter().skip(3).take(2)).0
}

/// Whether a header and a payload are as they were written.
fn intact(bytes: &[u8], place: Place) -> bool {
    BatchHeader::decode(bytes, place).is_ok_and(|header| header.payload(bytes, place).is_some())
}

#[test]
fn golden_bytes() {
    assert_golden(&golden_batch(), GOLDEN);
}

const GOLDEN: &str = "
    4f4b42319a9279c4887766554433221136010000000000002201000000000000
    d06fe5cf8b010000ddccbbaa60000000a5df4b65020000000100000000000000
    49596f9f024b0000ad02e80780b8992901c901060574656e616e746b65792d31
    f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1
    7b226f6b223a747275657d00000000001b1eee79030a0000ac02000000000000
";

#[test]
fn header_says_what_was_sealed() {
    let (bytes, checksum) = batch(FIRST, golden_frames());
    let header = BatchHeader::decode(&bytes, FIRST).unwrap();
    let expected = BatchHeader {
        nonce: FIRST.nonce,
        sequence: FIELDS.sequence,
        synced: FIELDS.synced,
        store_time: FIELDS.store_time,
        previous: FIELDS.previous,
        payload_len: (bytes.len() - BATCH_HEADER) as u32,
        payload_checksum: FIRST.plus(BATCH_HEADER).checksum(&bytes[BATCH_HEADER..]),
        frames: 9,
        flags: FLAG_RESTATEMENT,
        checksum,
    };
    assert_eq!(header, expected);
    assert_eq!(header.end(4096), Some(4096 + bytes.len() as u32));
    assert_eq!(header.end(u32::MAX - 100), None);
}

#[test]
fn a_batch_may_have_no_frames() {
    let (bytes, _) = batch(FIRST, []);
    assert_eq!(bytes.len(), BATCH_HEADER);
    assert!(intact(&bytes, FIRST));
}

#[test]
fn every_flipped_bit_is_found() {
    for (bit, flipped) in flips(&golden_batch()) {
        assert!(!intact(&flipped, FIRST), "bit {bit}");
    }
}

#[test]
fn every_cut_is_found() {
    let bytes = golden_batch();
    for len in 0..bytes.len() {
        assert!(!intact(&bytes[..len], FIRST), "{len}");
        let mut zeros_after = bytes.clone();
        zeros_after[len..].fill(0);
        assert!(!intact(&zeros_after, FIRST) || zeros_after == bytes, "{len}");
    }
}

#[test]
fn faults_tell_apart_what_is_there() {
    let bytes = golden_batch();
    let fault = |bytes: &[u8], place| BatchHeader::decode(bytes, place).unwrap_err();
    assert_eq!(fault(&bytes, FIRST.plus(16)), HeaderFault::Checksum);
    let elsewhere = Place { nonce: Nonce(5), ..FIRST };
    assert_eq!(fault(&bytes, elsewhere), HeaderFault::OtherLife);
    assert_eq!(fault(&[0; 64], FIRST), HeaderFault::NoMagic);
    assert_eq!(fault(&bytes[..63], FIRST), HeaderFault::Short);
}

#[test]
fn a_length_that_no_writer_makes_is_refused() {
    let header = BatchHeader::decode(&golden_batch(), FIRST).unwrap();
    for (payload_len, good) in [(16, true), (8, false)] {
        let body = BatchHeader { payload_len, ..header }.body();
        let checksum = FIRST.checksum(&body).to_le_bytes();
        let bytes = [&BATCH_MAGIC[..], &checksum, &body].concat();
        assert_eq!(BatchHeader::decode(&bytes, FIRST).is_ok(), good, "{payload_len}");
    }
}

#[test]
fn what_is_not_whole_frames_is_not_sealed() {
    let bytes = golden_batch();
    let refused = |bytes: &[u8], place| seal_batch(&mut bytes.to_vec(), place, FIELDS).is_none();
    assert!(!refused(&bytes, FIRST));
    assert!(refused(&bytes[..BATCH_HEADER - 1], FIRST), "no header");
    assert!(refused(&bytes[..bytes.len() - 1], FIRST), "padding cut");
    assert!(refused(&[&bytes[..], &[0; 16]].concat(), FIRST), "zeros after the frames");
    let end = Place { offset: u32::MAX - 80, ..FIRST };
    assert!(refused(&bytes, end), "beyond the end of offsets");
}

#[test]
fn frames_end_with_the_first_fault() {
    let (mut bytes, _) = batch(FIRST, golden_frames());
    let place = FIRST.plus(BATCH_HEADER);
    let read: Vec<_> = frames(&bytes[BATCH_HEADER..], place, BASE).map(Result::unwrap).collect();
    let expected = golden_frames();
    assert_eq!(read.iter().map(|(.., frame)| *frame).collect::<Vec<_>>(), expected);
    let third = read[2].0;
    bytes[(third - FIRST.offset) as usize + 9] ^= 1;
    let read: Vec<_> = frames(&bytes[BATCH_HEADER..], place, BASE).collect();
    assert_eq!(read.len(), 3);
    assert_eq!(read[2], Err((third, FrameFault::Checksum)));
}

proptest! {
    #[test]
    fn batches_round_trip(
        owned in prop::collection::vec(owned_frame(), 0..6),
        granule in 256_u32..100_000,
    ) {
        let place = Place { offset: granule * 16, ..FIRST };
        let (bytes, checksum) = batch(place, owned.iter().map(|owned| owned.frame()));
        let header = BatchHeader::decode(&bytes, place).unwrap();
        prop_assert_eq!(header.checksum, checksum);
        prop_assert_eq!(header.frames as usize, owned.len());
        let payload = header.payload(&bytes, place).unwrap();
        prop_assert_eq!(payload, &bytes[BATCH_HEADER..]);
        let mut read = frames(payload, place.plus(BATCH_HEADER), BASE);
        let mut expected_offset = place.offset + BATCH_HEADER as u32;
        for owned in &owned {
            let (offset, len, frame) = read.next().unwrap().unwrap();
            prop_assert_eq!(offset, expected_offset);
            prop_assert_eq!(frame, owned.frame());
            expected_offset += pad(len) as u32;
        }
        prop_assert!(read.next().is_none());
        prop_assert!(!intact(&bytes, place.plus(GRANULE)));
    }

    #[test]
    fn random_bytes_never_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..300),
        magic: bool,
    ) {
        if magic && let Some(head) = bytes.get_mut(..16) {
            head[..4].copy_from_slice(&BATCH_MAGIC);
            head[8..].copy_from_slice(&FIRST.nonce.0.to_le_bytes());
        }
        prop_assert!(!intact(&bytes, FIRST));
        prop_assert!(frames(&bytes, FIRST, BASE).count() <= 1);
        let _ = seal_batch(&mut bytes, FIRST, FIELDS);
    }
}
