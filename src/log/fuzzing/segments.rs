//! A segment of several batches: written, hurt, and scanned.

use super::super::batch::{BatchFields, BatchHeader, seal_batch};
use super::super::scan::{Scan, ScanOptions, reach, scan as scan_all, scan_start};
use super::super::{BATCH_HEADER, GRANULE, Place, SEGMENT_HEADER, pad};
use super::FIRST;
use super::seal::put_at;
use crate::fuzzing::Input;
use crate::ids::{Nonce, StoreTime, Token};

const SIZE: usize = 16 << 10;

/// A segment that is written and hurt as the input says: a scan ends, says the same each time, as
/// much of the start as it reaches is enough for it, and what it cuts is gone once it is cut.
pub(crate) fn scan(data: &[u8]) {
    let mut input = Input::new(data);
    let options = ScanOptions {
        synced: Token(input.number()),
        follows: Token(input.number()),
        whole_until: match input.byte() % 4 {
            0 => Some(u32::from(input.u16())),
            1 => Some(u32::MAX),
            _ => None,
        },
    };
    let segment = segment(&mut input);
    let nonce = FIRST.nonce;
    let scan = scan_all(&segment, nonce, options);
    assert_eq!(scan, scan_all(&segment, nonce, options));
    check(&scan, &segment, options);
    let rest = segment.get(SEGMENT_HEADER..).unwrap_or_default();
    let reach = reach(rest, SEGMENT_HEADER as u32, nonce) as usize;
    let start = segment.get(..reach.min(segment.len())).unwrap_or_default();
    assert_eq!(scan, scan_start(start, segment.len(), nonce, options), "reaches {reach}");
    if scan.torn.is_some() && scan.damage.is_empty() {
        let mut cut = segment;
        cut[scan.end as usize..].fill(0);
        let again = scan_all(&cut, nonce, options);
        assert_eq!(again, Scan { torn: None, ..scan });
    }
}

fn check(scan: &Scan, segment: &[u8], options: ScanOptions) {
    let limit = options.whole_until.unwrap_or(segment.len() as u32);
    assert!(scan.end <= limit.max(SEGMENT_HEADER as u32));
    let mut at = SEGMENT_HEADER as u32;
    let mut last = options.follows;
    for batch in &scan.batches {
        assert!(batch.offset >= at, "one after the other");
        assert!(batch.header.sequence > last);
        // All of a gap is damage.
        let lost = scan.damage.iter().filter(|lost| (at..batch.offset).contains(&lost.offset));
        assert_eq!(lost.map(|lost| lost.bytes).sum::<u32>(), batch.offset - at);
        let place = Place { nonce: FIRST.nonce, offset: batch.offset };
        let bytes = &segment[batch.offset as usize..];
        assert!(batch.header.payload(bytes, place).is_some());
        at = batch.header.end(batch.offset).expect("within the segment");
        assert!(at <= limit);
        last = batch.header.sequence;
    }
    if let Some(torn) = scan.torn {
        assert_eq!(torn.offset, scan.end);
        assert!(options.whole_until.is_none() && torn.bytes > 0);
    }
}

/// Batches of a log, then what happened to them.
fn segment(input: &mut Input<'_>) -> Vec<u8> {
    let mut segment = vec![0; SIZE];
    let (mut at, mut previous, mut sequence) = (SEGMENT_HEADER, 0, 0_u64);
    for _ in 0..input.byte() % 24 {
        let how = input.byte();
        // Most follow the one before; some do not, or are of another life.
        sequence = if how & 1 == 0 { sequence.saturating_add(1) } else { input.number() };
        let synced = if how & 2 == 0 { sequence.saturating_sub(1) } else { input.number() };
        let previous_said = if how & 12 == 4 { input.u32() } else { previous };
        let nonce = if how & 48 == 16 { Nonce(1) } else { FIRST.nonce };
        let fields = BatchFields {
            sequence: Token(sequence),
            synced: Token(synced),
            store_time: StoreTime(u64::from(how)),
            previous: previous_said,
            flags: u32::from(how >> 6),
        };
        let mut bytes = vec![0; BATCH_HEADER];
        for _ in 0..input.byte() % 4 {
            let body = input.byte() % 64;
            bytes.extend([0, 0, 0, 0, 3, body + 8, 0, 0]);
            bytes.resize(pad(bytes.len() + usize::from(body)), how);
        }
        let place = Place { nonce, offset: at as u32 };
        let Some(checksum) = seal_batch(&mut bytes, place, fields) else { break };
        if at + bytes.len() > SIZE {
            break;
        }
        put_at(&mut segment, at, &bytes);
        previous = checksum;
        at += bytes.len() + if how & 192 == 64 { GRANULE } else { 0 };
    }
    while !input.is_empty() {
        hurt(&mut segment, at - SEGMENT_HEADER, input);
    }
    segment
}

fn hurt(segment: &mut Vec<u8>, used: usize, input: &mut Input<'_>) {
    let how = input.byte();
    let at = SEGMENT_HEADER + input.below(used + 128);
    match how % 6 {
        0 | 1 => {
            if let Some(byte) = segment.get_mut(at) {
                *byte ^= 1 << (how >> 5);
            }
        }
        2 => {
            let len = usize::from(input.byte()) * GRANULE;
            let end = (at + len).min(segment.len());
            segment.get_mut(at..end).into_iter().for_each(|bytes| bytes.fill(0));
        }
        3 => put_at(segment, at, input.string()),
        4 => segment.truncate(at),
        // A batch that says another length, with a right checksum.
        _ => reseal(segment, at / GRANULE * GRANULE, input.u16()),
    }
}

fn reseal(segment: &mut [u8], at: usize, len: u16) {
    let place = Place { nonce: FIRST.nonce, offset: at as u32 };
    let Some(batch) = segment.get_mut(at..) else { return };
    if BatchHeader::decode(batch, place).is_ok() {
        put_at(batch, 44, &u32::from(len).to_le_bytes());
        let checksum = place.checksum(&batch[8..BATCH_HEADER]);
        put_at(batch, 4, &checksum.to_le_bytes());
    }
}
