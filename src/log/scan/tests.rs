//! What a scan makes of whole, torn and damaged segments.

use proptest::prelude::*;

use super::super::samples::{BASE, FIRST};
use super::super::tail::TABLE;
use super::super::{BatchFields, Frame, seal_batch};
use super::*;

const SIZE: usize = 64 << 10;
const HEADER: u32 = BATCH_HEADER as u32;

/// A segment as a log writes it: each batch synced before the next is written.
struct Log {
    bytes: Vec<u8>,
    batches: Vec<ScannedBatch>,
    end: u32,
    synced: Token,
}

impl Log {
    fn new() -> Self {
        Self { bytes: vec![0; SIZE], batches: Vec::new(), end: 4096, synced: Token(0) }
    }

    /// Three batches, numbered 10, 20, 30.
    fn of_three() -> Self {
        let mut log = Self::new();
        for sequence in [10, 20, 30] {
            log.append(sequence, log.synced);
            log.synced = Token(sequence);
        }
        log
    }

    fn append(&mut self, sequence: u64, synced: Token) {
        let previous = self.batches.last().map_or(0, |batch| batch.header.checksum);
        self.append_after(sequence, synced, previous);
    }

    fn append_after(&mut self, sequence: u64, synced: Token, previous: u32) {
        let mut buf = vec![0; BATCH_HEADER];
        let data = [sequence as u8; 100];
        let frame = Frame::Checkpoint { token: Token(sequence), name: b"name", data: &data };
        frame.encode(BASE, &mut buf).unwrap();
        let place = Place { offset: self.end, ..FIRST };
        let sequence = Token(sequence);
        let fields = BatchFields { sequence, synced, store_time: BASE, previous, flags: 0 };
        seal_batch(&mut buf, place, fields).unwrap();
        self.bytes[self.end as usize..][..buf.len()].copy_from_slice(&buf);
        let header = BatchHeader::decode(&buf, place).unwrap();
        self.batches.push(ScannedBatch { offset: self.end, header });
        self.end += buf.len() as u32;
    }

    fn scan(&self, options: ScanOptions) -> Scan {
        scan(&self.bytes, FIRST.nonce, options)
    }

    /// Makes the bytes of the batch into what is `found` at its place.
    fn spoil(&mut self, batch: usize, found: Found) {
        let at = self.batches[batch].offset as usize;
        match found {
            Found::Nothing | Found::Missing => self.bytes[at..at + BATCH_HEADER].fill(0),
            Found::HeaderBad => self.bytes[at + 20] ^= 1,
            Found::PayloadBad => self.bytes[at + BATCH_HEADER + 20] ^= 1,
            Found::DoesNotFollow => {
                // Overwritten by a batch of the same length that hangs on nothing here.
                let header = self.batches[batch].header;
                let mut other = Self { end: at as u32, ..Self::new() };
                other.append_after(header.sequence.0, header.synced, 0x0bad_0bad);
                let whole = at..other.end as usize;
                self.bytes[whole.clone()].copy_from_slice(&other.bytes[whole]);
            }
            Found::Good => {}
        }
    }
}

fn whole_until(offset: u32) -> ScanOptions {
    ScanOptions { whole_until: Some(offset), ..ScanOptions::default() }
}

#[test]
fn reads_what_was_written() {
    let log = Log::of_three();
    let expected =
        Scan { batches: log.batches.clone(), end: log.end, torn: None, damage: Vec::new() };
    assert_eq!(log.scan(ScanOptions::default()), expected);
    assert_eq!(log.scan(whole_until(log.end)), expected);
    let later = ScanOptions { synced: Token(30), follows: Token(9), ..ScanOptions::default() };
    assert_eq!(log.scan(later), expected);
}

#[test]
fn an_empty_segment_has_no_batches() {
    for bytes in [vec![0; SIZE], vec![0x5a; SIZE], vec![], vec![0; 4096 + 63]] {
        let found = scan(&bytes, FIRST.nonce, ScanOptions::default());
        let empty = Scan { batches: Vec::new(), end: 4096, torn: None, damage: Vec::new() };
        assert_eq!(found, empty);
        assert_eq!(scan(&bytes, FIRST.nonce, whole_until(4096)), empty);
    }
}

/// Every row of the table, met by a segment: the last batch is spoilt, and what proves it to have
/// been synced is a later segment, or a batch after it.
#[test]
fn every_row_of_the_table_is_met() {
    for (found, successor, whole, expected) in TABLE {
        for by_later_batch in [false, true] {
            let mut log = Log::of_three();
            if found == Found::Missing && !(successor && by_later_batch) {
                // Written along with it, and no proof that it was synced.
                log.append(40, Token(20));
            }
            let (mut end, mut options) = (log.end, ScanOptions::default());
            if successor && by_later_batch {
                log.append(40, Token(30));
                end = log.end;
            } else if successor {
                options.synced = Token(30);
            }
            options.whole_until = whole.then_some(end);
            log.spoil(2, found);
            let row = (found, successor, whole);
            let scan = log.scan(options);
            assert_eq!(verdict_of(&scan, &log), expected, "{row:?}: {scan:?}");
            let continued = expected == Verdict::Damage && successor && by_later_batch;
            if continued {
                assert_eq!(scan.batches.last(), log.batches.last(), "{row:?}");
                assert_eq!(scan.damage[0].bytes, log.batches[3].offset - log.batches[2].offset);
                assert_eq!(scan.end, log.end);
            }
        }
    }
}

/// What became of the third batch.
fn verdict_of(scan: &Scan, log: &Log) -> Verdict {
    let place = log.batches[2].offset;
    assert_eq!(scan.batches[..2], log.batches[..2]);
    match (&scan.torn, &scan.damage[..]) {
        (None, []) if scan.batches.get(2) == Some(&log.batches[2]) => Verdict::NextBatch,
        (None, []) => {
            assert_eq!((scan.batches.len(), scan.end), (2, place));
            Verdict::End
        }
        (Some(torn), []) => {
            assert_eq!((torn.offset, scan.end, scan.batches.len()), (place, place, 2));
            Verdict::TornTail
        }
        (None, [damage]) => {
            assert_eq!(damage.offset, place);
            Verdict::Damage
        }
        more => panic!("{more:?}"),
    }
}

#[test]
fn batches_in_flight_together_are_cut_together() {
    for found in [Found::Missing, Found::HeaderBad, Found::PayloadBad, Found::DoesNotFollow] {
        let mut log = Log::of_three();
        log.append(40, Token(20));
        log.append(50, Token(20));
        log.spoil(2, found);
        let scan = log.scan(ScanOptions::default());
        assert_eq!(scan.batches, log.batches[..2]);
        let torn = scan.torn.expect("a torn tail");
        let place = log.batches[2].offset;
        assert_eq!((scan.end, torn.offset, torn.bytes), (place, place, log.end - place));
        assert_eq!(scan.damage, []);
    }
}

#[test]
fn proof_may_come_from_any_later_batch() {
    let mut log = Log::of_three();
    log.append(40, Token(20));
    log.append(50, Token(40));
    log.spoil(2, Found::HeaderBad);
    let scan = log.scan(ScanOptions::default());
    let kept: Vec<_> = [0, 1, 3, 4].map(|batch| log.batches[batch]).into();
    assert_eq!((scan.batches, scan.end, scan.torn), (kept, log.end, None));
    assert_eq!(scan.damage.len(), 1);
}

#[test]
fn a_first_batch_is_lost_only_if_it_was_synced() {
    for (synced, lost) in [(9, false), (10, true)] {
        let mut log = Log::new();
        log.append(10, Token(9));
        log.append(20, Token(synced));
        log.spoil(0, Found::PayloadBad);
        let scan = log.scan(ScanOptions { follows: Token(9), ..ScanOptions::default() });
        assert_eq!((scan.torn.is_none(), scan.damage.len() == 1), (lost, lost), "{scan:?}");
        assert_eq!(scan.batches, if lost { &log.batches[1..] } else { &[] });
    }
}

#[test]
fn a_first_batch_hangs_on_nothing_and_follows_the_segment_before() {
    let mut log = Log::new();
    log.append_after(10, Token(0), 1);
    let scan = log.scan(ScanOptions::default());
    assert_eq!(scan.torn.unwrap().reason, "batch does not follow the one before it");
    let mut log = Log::new();
    log.append(10, Token(0));
    let scan = log.scan(ScanOptions { follows: Token(10), ..ScanOptions::default() });
    assert_eq!(scan.torn.unwrap().reason, "batch sequence does not rise");
}

#[test]
fn batches_cut_by_an_earlier_recovery_mean_nothing() {
    // 20 was torn and cut, and 30, which says that 20 was synced, is left behind where 100 ends.
    let mut log = Log::of_three();
    let (second, third) = (log.batches[1].offset, log.batches[2].offset);
    log.batches.truncate(1);
    log.end = second;
    log.append(100, Token(10));
    assert_eq!(log.end, third);
    let scan = log.scan(ScanOptions::default());
    assert_eq!((&scan.batches, scan.end), (&log.batches, third));
    assert_eq!(scan.torn.unwrap().reason, "batch does not follow the one before it");
    log.bytes[third as usize] = 0;
    log.append_after(110, Token(100), 0);
    let scan = log.scan(ScanOptions::default());
    assert_eq!(scan.damage, []);
}

#[test]
fn several_damages_are_each_reported() {
    let mut log = Log::new();
    for sequence in 1..=20 {
        log.append(sequence, Token(sequence - 1));
    }
    for batch in [0, 3, 4, 9, 18] {
        log.spoil(batch, if batch == 9 { Found::Nothing } else { Found::PayloadBad });
    }
    let scan = log.scan(ScanOptions::default());
    let places: Vec<_> = scan.damage.iter().map(|damage| (damage.offset, damage.bytes)).collect();
    let of = |from: usize, to: usize| {
        let (from, to) = (log.batches[from].offset, log.batches[to].offset);
        (from, to - from)
    };
    assert_eq!(places, [of(0, 1), of(3, 5), of(9, 10), of(18, 19)]);
    assert_eq!(scan.batches.len(), 15);
    assert_eq!((scan.end, scan.torn), (log.end, None));
}

#[test]
fn damage_that_nothing_follows_reaches_the_end() {
    let mut log = Log::of_three();
    log.spoil(2, Found::HeaderBad);
    let place = log.batches[2].offset;
    for (options, end) in [
        (whole_until(log.end), log.end),
        (ScanOptions { synced: Token(30), ..ScanOptions::default() }, SIZE as u32),
    ] {
        let scan = log.scan(options);
        let damage = Damage { offset: place, bytes: end - place, reason: "batch header checksum" };
        assert_eq!((scan.damage, scan.end), (vec![damage], end));
    }
}

#[test]
fn a_file_cut_short_is_damage_where_it_must_be_whole() {
    let log = Log::of_three();
    let third = log.batches[2].offset;
    for len in [third, third + 10, third + HEADER, log.end - 1] {
        let scan = scan(&log.bytes[..len as usize], FIRST.nonce, whole_until(log.end));
        assert_eq!(scan.batches, log.batches[..2]);
        let [damage] = scan.damage[..] else { panic!("{scan:?}") };
        assert_eq!((damage.offset, damage.bytes), (third, log.end - third));
    }
}

#[test]
fn nothing_is_read_beyond_what_must_be_whole() {
    let log = Log::of_three();
    let third = log.batches[2].offset;
    let scan = log.scan(whole_until(third));
    assert_eq!((&scan.batches[..], scan.end), (&log.batches[..2], third));
    let scan = log.scan(whole_until(third + HEADER));
    assert_eq!(scan.damage[0].bytes, HEADER);
}

#[test]
fn every_torn_write_of_the_last_batch_ends_the_log_before_it() {
    let log = Log::of_three();
    let third = log.batches[2].offset;
    for cut in third..log.end {
        // What was not yet written is zero, or the bytes of an earlier life.
        for old in [0, 0x5a] {
            let mut bytes = log.bytes.clone();
            bytes[cut as usize..log.end as usize].fill(old);
            let scan = scan(&bytes, FIRST.nonce, ScanOptions::default());
            if bytes[..log.end as usize] == log.bytes[..log.end as usize] {
                assert_eq!(scan.batches, log.batches);
            } else {
                assert_eq!((&scan.batches[..], scan.end), (&log.batches[..2], third), "{cut}");
                assert_eq!(scan.damage, []);
                assert_eq!(scan.torn.is_some(), cut >= third + 16, "{cut}");
            }
        }
    }
}

proptest! {
    /// Whatever is done to some bytes, no batch is returned that was not written, and none that was
    /// synced is missing without a word.
    #[test]
    fn nothing_synced_is_lost_in_silence(
        count in 1_u64..30,
        spoilt in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 0..6),
    ) {
        let mut log = Log::new();
        for sequence in 1..=count {
            log.append(sequence, Token(sequence - 1));
        }
        let data = 4096..log.end as usize;
        for (index, change) in spoilt {
            log.bytes[data.start + index.index(data.len())] ^= change;
        }
        let scan = log.scan(ScanOptions::default());
        prop_assert!(scan.batches.iter().all(|batch| log.batches.contains(batch)));
        let surviving = scan.batches.last().map_or(0, |batch| batch.header.sequence.0);
        let lost = surviving - scan.batches.len() as u64;
        prop_assert_eq!(lost == 0, scan.damage.is_empty());
        let whole = log.scan(whole_until(log.end));
        prop_assert_eq!(whole.batches.len() as u64 == count, whole.damage.is_empty());
        let covered: u32 = whole.damage.iter().map(|damage| damage.bytes).sum();
        let kept = |batch: &ScannedBatch| batch.header.payload_len + HEADER;
        let kept: u32 = whole.batches.iter().map(kept).sum();
        prop_assert_eq!(covered + kept, log.end - 4096);
    }

    #[test]
    fn random_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        at in 4096_usize..4600,
        synced: u64,
        whole_until in prop::option::of(any::<u32>()),
    ) {
        let mut log = Log::of_three();
        log.bytes.truncate(5000);
        for (slot, byte) in log.bytes[at..].iter_mut().zip(bytes) {
            *slot = byte;
        }
        let options = ScanOptions { synced: Token(synced), follows: Token(0), whole_until };
        let scan = log.scan(options);
        prop_assert!(scan.batches.len() <= 3);
    }
}
