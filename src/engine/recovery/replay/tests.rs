//! A log replayed in parts against the same log in one go.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::engine::recovery::census::each_frame;
use crate::ids::{Nonce, SegmentId, Slot, StoreTime};
use crate::log::{
    BATCH_HEADER, BatchFields, Body, ClaimFrame, ClaimState, CompletionFrame, ForgetFrame, Place,
    SEGMENT_HEADER, ScanOptions, scan, seal_batch,
};
use crate::simulation::{Disk as _, SimDisk};

const OWN: Nonce = Nonce(7);
const BASE: StoreTime = StoreTime(1000);

/// What happens to one of a few keys, under one of a few tokens.
#[derive(Debug, Clone, Copy)]
struct Said {
    what: u8,
    key: u8,
    token: u64,
}

fn said() -> impl Strategy<Value = Said> {
    (0..9_u8, 0..4_u8, 0..6_u64).prop_map(|(what, key, token)| Said { what, key, token })
}

/// Encodes it. Tokens rise by what was said before, and are of one key, as in any log; those of a
/// while ago come up again, as in a restatement, or in what a stale holder did.
fn encode(said: Said, number: u64, out: &mut Vec<u8>) {
    let token = Token(8 * number.saturating_sub(said.token) + u64::from(said.key));
    let (name, time) = ([said.key], BASE.plus_ms(number));
    let (scope, key, fingerprint) = (&b"scope"[..], &name[..], &[said.key; 32]);
    let frame = match said.what {
        0..=2 => Frame::Claim(ClaimFrame {
            token,
            claimed_at: time,
            ttl_ms: 5,
            attempt: number as u32,
            policy: 0,
            state: ClaimState::Held,
            scope,
            key,
            fingerprint,
            caller: number.is_multiple_of(2).then_some([said.key; 6]),
            checkpoint: None,
        }),
        3..=4 => Frame::Completion(CompletionFrame {
            token,
            completed_at: time,
            ttl_ms: 5,
            attempt: 1,
            status: 0,
            scope,
            key,
            fingerprint,
            caller: None,
            response: Body::Plain(b"done"),
        }),
        5 => Frame::Release { token },
        6 => Frame::Unresolved { token, since: time },
        7 => Frame::Checkpoint { token, name: b"step", data: key },
        _ => Frame::Forget(ForgetFrame { sequence: token, expires_at: time, scope, key }),
    };
    frame.encode(BASE, out).unwrap();
}

fn data_of(said: &[Vec<Said>]) -> Data {
    let mut bytes = vec![0; SEGMENT_HEADER];
    let (mut previous, mut number) = (0, 0);
    for (sequence, said) in (1..).zip(said) {
        let mut batch = vec![0; BATCH_HEADER];
        for said in said {
            number += 1;
            encode(*said, number, &mut batch);
        }
        let sequence = Token(sequence);
        let fields =
            BatchFields { sequence, synced: Token(0), store_time: BASE, previous, flags: 0 };
        let place = Place { nonce: OWN, offset: bytes.len() as u32 };
        previous = seal_batch(&mut batch, place, fields).unwrap();
        bytes.append(&mut batch);
    }
    let scan = scan(&bytes, OWN, ScanOptions::default());
    Data { bytes, scan }
}

proptest! {
    #[test]
    fn p7_in_parts_it_is_as_in_one_go(
        said in prop::collection::vec(prop::collection::vec(said(), 0..12), 1..20),
        workers in 1..9_usize,
        few_hashes in any::<bool>(),
    ) {
        let mask = if few_hashes { 1 } else { u64::MAX };
        let hasher = crate::index::with_masked_hashes(mask, || KeyHasher::new(&[5; 16]));
        let data = data_of(&said);
        prop_assert_eq!(data.scan.batches.len(), said.len());
        let disk = SimDisk::new();
        let file = disk.create("segment-00000").unwrap();
        let life = (SegmentId(1), OWN, Slot(0), SegmentKind::Log);
        let segment = Arc::new(Segment::new(life, 1 << 20, BASE, file, Contents::empty()));

        let (mut expected, mut listed) = (Claims::default(), Contents::empty());
        each_frame(&segment, &data, |offset, frame| {
            let hash = name_of(&frame).map(|(scope, key)| hasher.hash(scope, key));
            expected.apply(&frame, hash);
            if let Some(hash) = hash {
                keep::list(&segment, &mut listed, (offset, &frame), hash);
            }
            Ok(())
        })
        .unwrap();

        let log = Log { segment: &segment, data: &data, hasher: &hasher, is_stated: true };
        let (mut claims, mut listing) = (Claims::default(), Contents::empty());
        for part in log.parts(workers, Some(&Contents::empty())).unwrap() {
            log.join(&mut claims, part.claims, &part.steps).unwrap();
            keep::append(&mut listing, part.listing.unwrap());
        }
        let flights = |claims: Claims<'_>| format!("{:?}", claims.into_flights());
        prop_assert_eq!(flights(claims), flights(expected));
        prop_assert_eq!(format!("{listing:?}"), format!("{listed:?}"));
    }
}
