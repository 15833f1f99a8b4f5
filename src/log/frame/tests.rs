//! Golden bytes, round trips and damage of frames.

use proptest::prelude::*;

use super::super::samples::{
    BASE, FIRST, OwnedFrame, assert_golden, flips, golden_frames, owned_frame,
};
use super::*;
use crate::ids::Nonce;

fn sealed(frame: &Frame<'_>, place: Place) -> (Vec<u8>, usize) {
    let mut bytes = Vec::new();
    let len = frame.encode(BASE, &mut bytes).unwrap();
    assert!(seal_frame(&mut bytes, place));
    (bytes, len)
}

/// A frame of `kind` with this body and a right checksum.
fn forged(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = (FRAME_HEADER + body.len()) as u32;
    let mut bytes = vec![0; 4];
    bytes.push(kind);
    bytes.extend(&len.to_le_bytes()[..3]);
    bytes.extend(body);
    assert!(seal_frame(&mut bytes, FIRST));
    bytes
}

fn forged_fails(kind: u8, body: &[u8]) -> bool {
    let bytes = forged(kind, body);
    matches!(Frame::decode(&bytes, FIRST, BASE), Err(FrameFault::Malformed(_)))
}

#[test]
fn golden_bytes() {
    assert_eq!(golden_frames().len(), GOLDEN.len());
    for (frame, golden) in golden_frames().iter().zip(GOLDEN) {
        let (bytes, len) = sealed(frame, FIRST);
        assert_golden(&bytes, golden);
        assert_eq!(Frame::decode(&bytes, FIRST, BASE), Ok((*frame, len)));
    }
}

const GOLDEN: [&str; 9] = [
    "
        bd3d2ae5013e0000ac020180b899290201060574656e616e746b65792d31f1f1
        f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f10000
    ",
    "
        858733e601480000ac020180b8992902180605050474656e616e746b65792d31
        f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1
        70616964646174610000000000000000
    ",
    "
        82318e73013f0000ac020180b89929021606050674656e616e746b65792d31f1
        f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f100
    ",
    "
        af63d83d024b0000ad02e80780b8992901c901060574656e616e746b65792d31
        f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1
        7b226f6b223a747275657d0000000000
    ",
    "f29645b8030a0000ac02000000000000",
    "a3419611040b0000ac02070000000000",
    "
        71bad1ae05130000ac0204706169646461746100000000000000000000000000
    ",
    "
        0ba2d0c0061b0000ae02e8bf9929060574656e616e746b65792d310000000000
    ",
    "
        3347aaac074c0000ad02e80780b8992901c90106052974656e616e746b65792d
        31f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1
        f11f6101001050616161616100000000
    ",
];

/// A claim and a completion that say who asked: the other fields are those of the golden frames.
#[test]
fn golden_bytes_with_a_caller() {
    let caller = Some([0xca; CALLER_BYTES]);
    let with_caller = golden_frames().into_iter().filter_map(|frame| match frame {
        Frame::Claim(claim) => Some(Frame::Claim(ClaimFrame { caller, ..claim })),
        Frame::Completion(done) => Some(Frame::Completion(CompletionFrame { caller, ..done })),
        _ => None,
    });
    let bare = golden_frames()
        .into_iter()
        .zip(GOLDEN)
        .filter(|(frame, _)| matches!(frame, Frame::Claim(_) | Frame::Completion(_)));
    for (frame, (bare, _)) in with_caller.zip(bare) {
        let ((bytes, len), (bare, bare_len)) = (sealed(&frame, FIRST), sealed(&bare, FIRST));
        assert_eq!(Frame::decode(&bytes, FIRST, BASE), Ok((frame, len)));
        assert_eq!((bytes[4], len), (bare[4] | 0x80, bare_len + CALLER_BYTES));
        let at = bytes.windows(CALLER_BYTES).position(|part| part == [0xca; CALLER_BYTES]);
        let at = at.expect("the digest");
        assert_eq!(&bytes[at - 32..at], [0xf1; 32], "it follows the fingerprint");
        assert_eq!(bytes[8..at], bare[8..at]);
        assert_eq!(bytes[at + CALLER_BYTES..len], bare[at..bare_len]);
    }
}

#[test]
fn every_flipped_bit_is_found_or_padding() {
    for frame in golden_frames() {
        let (bytes, len) = sealed(&frame, FIRST);
        for (bit, flipped) in flips(&bytes) {
            let found = Frame::decode(&flipped, FIRST, BASE);
            let harmless = bit / 8 >= len;
            assert_eq!(found.is_ok(), harmless, "bit {bit} of {frame:?}: {found:?}");
        }
    }
}

#[test]
fn right_bytes_in_a_wrong_place_fail() {
    for frame in golden_frames() {
        let (bytes, _) = sealed(&frame, FIRST);
        for place in [FIRST.plus(GRANULE), Place { nonce: Nonce(1), ..FIRST }] {
            assert_eq!(Frame::decode(&bytes, place, BASE), Err(FrameFault::Checksum));
        }
    }
}

#[test]
fn short_bytes_say_how_many_are_needed() {
    let (bytes, len) = sealed(&golden_frames()[3], FIRST);
    for cut in 0..len {
        let need = if cut < FRAME_HEADER { FRAME_HEADER } else { len };
        let found = Frame::decode(&bytes[..cut], FIRST, BASE);
        assert_eq!(found, Err(FrameFault::Short { need }), "{cut}");
    }
    assert!(Frame::decode(&bytes[..len], FIRST, BASE).is_ok());
}

#[test]
fn lengths_end_below_16_mib() {
    let data = vec![7; FRAME_LIMIT];
    let frame = |len| Frame::Checkpoint { token: Token(1), name: b"", data: &data[..len] };
    let longest = FRAME_LIMIT - 1 - FRAME_HEADER - 2;
    let mut out = vec![9; GRANULE];
    for len in [longest + 1, FRAME_LIMIT - 1, FRAME_LIMIT] {
        assert_eq!(frame(len).encode(BASE, &mut out), Err(FrameTooLong));
        assert_eq!(out, [9; GRANULE]);
    }
    let (bytes, len) = sealed(&frame(longest), FIRST);
    assert_eq!((len, bytes.len()), (FRAME_LIMIT - 1, FRAME_LIMIT));
    assert_eq!(Frame::decode(&bytes, FIRST, BASE), Ok((frame(longest), len)));
}

#[test]
fn frames_no_writer_makes_are_malformed() {
    assert!(!forged_fails(3, &[1]));
    assert!(forged_fails(0, &[1]), "kind 0");
    assert!(forged_fails(8, &[1]), "kind 8");
    assert!(forged_fails(0x83, &[1]), "a release with a caller");
    assert!(!forged_fails(3, &[1]), "a release");
    assert!(forged_fails(3, &[]), "no token");
    assert!(forged_fails(3, &[0x81, 0]), "a varint longer than needed");
    assert!(forged_fails(3, &[1, 0]), "bytes after the last field");
    assert!(forged_fails(4, &[1, 1, 0]), "bytes after the last field");
    assert!(forged_fails(6, &[1, 1, 0, 1]), "key cut short");
    assert!(forged_fails(6, &[1, 1, 0, 0, 0]), "bytes after the last field");
    let latest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    assert!(forged_fails(4, &[&[1], &latest[..]].concat()), "beyond the end of time");
    assert!(forged_fails(5, &[&[1], &latest[..]].concat()), "name of all there is");
    let status = [&[1, 1, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0][..], &[0; 32]].concat();
    assert!(forged_fails(2, &status), "status beyond 32 bits");
    let packed = |plain_len: &[u8], block: &[u8]| {
        let fields = [&[1, 1, 1, 1, 1, 0, 0][..], plain_len, &[0; 32], block].concat();
        forged_fails(7, &fields)
    };
    assert!(!packed(&[3], &[1, 2]));
    assert!(packed(&[2], &[1, 2]), "a block as long as what it stands for");
    assert!(packed(&[0x81, 4], &[1, 2]), "more than two bytes can stand for");
    assert!(packed(&[1], &[]), "no block");
}

#[test]
fn claim_flags_no_writer_sets_are_malformed() {
    let claim = |flags: u8, more: &[u8]| {
        let fields = [&[1, 1, 1, 1, flags, 0, 0][..], more].concat();
        forged_fails(1, &[&fields[..], &[0; 32]].concat())
    };
    assert!(!claim(0, &[]));
    assert!(!claim(16, &[1]));
    assert!(!claim(16 | 4, &[1]));
    assert!(!claim(8, &[0]));
    assert!(claim(3, &[]), "policy 3");
    assert!(claim(4, &[]), "unresolved since no time");
    assert!(claim(32, &[]), "a flag there is not");
    assert!(claim(0, &[1]), "bytes after the fingerprint");
}

#[test]
fn length_is_read_unchecked() {
    assert_eq!(frame_len(&[0, 0, 0, 0, 9, 8, 0, 0]), Some(8));
    assert_eq!(frame_len(&[0, 0, 0, 0, 9, 1, 2, 3, 4]), Some(0x03_02_01));
    assert_eq!(frame_len(&[0, 0, 0, 0, 9, 7, 0, 0]), None);
    assert_eq!(frame_len(&[0, 0, 0, 0, 9, 8, 0]), None);
    assert!(!seal_frame(&mut [0, 0, 0, 0, 1, 9, 0, 0], FIRST));
    assert!(!seal_frame(&mut [0; 16], FIRST));
}

#[test]
fn times_before_the_base_become_the_base() {
    let frame = Frame::Unresolved { token: Token(1), since: StoreTime(5) };
    let (bytes, len) = sealed(&frame, FIRST);
    let read = Frame::Unresolved { token: Token(1), since: BASE };
    assert_eq!(Frame::decode(&bytes, FIRST, BASE), Ok((read, len)));
}

#[test]
fn expiry_stays_at_the_end_of_time() {
    let Frame::Completion(mut done) = golden_frames()[3] else { panic!("not a completion") };
    assert_eq!(done.expires_at(), BASE.plus_ms(86_401_000));
    done.ttl_ms = u64::MAX;
    assert_eq!(done.expires_at(), StoreTime(u64::MAX));
}

fn round_trip(owned: &OwnedFrame, before: usize) {
    let mut bytes = vec![0xee; before * GRANULE];
    let frame = owned.frame();
    let len = frame.encode(BASE, &mut bytes).unwrap();
    let place = FIRST.plus(before * GRANULE);
    let encoded = &mut bytes[before * GRANULE..];
    assert_eq!(encoded.len(), pad(len));
    assert!(encoded[len..].iter().all(|byte| *byte == 0));
    assert_eq!(frame_len(encoded), Some(len));
    assert!(seal_frame(encoded, place));
    assert_eq!(Frame::decode(encoded, place, BASE), Ok((frame, len)));
}

proptest! {
    #[test]
    fn frames_round_trip(owned in owned_frame(), before in 0_usize..4) {
        round_trip(&owned, before);
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Frame::decode(&bytes, FIRST, BASE);
        // Past the checksum as well.
        if let Some(kind) = bytes.get_mut(4) {
            *kind &= 0x87;
        }
        let len = (bytes.len() as u32).to_le_bytes();
        if let Some(field) = bytes.get_mut(5..8) {
            field.copy_from_slice(&len[..3]);
        }
        if seal_frame(&mut bytes, FIRST)
            && let Ok((frame, len)) = Frame::decode(&bytes, FIRST, BASE)
        {
            // A frame has one encoding.
            let mut again = Vec::new();
            prop_assert_eq!(frame.encode(BASE, &mut again), Ok(len));
            prop_assert_eq!(&again[4..len], &bytes[4..len]);
        }
    }
}
