//! Golden bytes, round trips and damage of footers.

use proptest::prelude::*;

use super::super::memory::MemoryFile;
use super::super::samples::{BASE, FIRST, assert_golden, flips};
use super::*;

const SIZE: u32 = 64 << 10;
const ID: SegmentId = SegmentId(77);

fn footer() -> Footer {
    let entry = |offset, forget, expires_s| FooterEntry {
        hash: KeyHash(0x0102_0304_0506_0700 | u64::from(offset)),
        offset,
        forget,
        expires_s,
    };
    Footer {
        nonce: FIRST.nonce,
        id: ID,
        entries: vec![entry(4160, false, 86_401), entry(4256, true, u32::MAX)],
        data_end: 4320,
        highest: Token(310),
        store_time: BASE.plus_ms(2000),
        latest_expiry: BASE.plus_ms(86_401_000),
    }
}

/// A segment file with these bytes at its end.
fn file(end: &[u8]) -> MemoryFile {
    let mut bytes = vec![0x5a; SIZE as usize - end.len()];
    bytes.extend(end);
    MemoryFile::new(bytes)
}

fn read(end: &[u8]) -> Result<Footer, FooterFault> {
    Footer::read(&file(end), SIZE, FIRST.nonce, ID)
}

/// The trailer with `change` made and its checksum made right again, after the entries.
fn forged(change: impl Fn(&mut [u8])) -> Vec<u8> {
    let (_, mut bytes) = footer().encode(SIZE).unwrap();
    let at = bytes.len() - FOOTER_TRAILER;
    let trailer = &mut bytes[at..];
    change(trailer);
    let place = Place { offset: SIZE - FOOTER_TRAILER as u32, ..FIRST };
    let checksum = place.checksum(&trailer[CHECKED_FROM..]);
    trailer[4..8].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn damage(end: &[u8]) -> Option<&'static str> {
    match read(end) {
        Err(FooterFault::Damaged(reason)) => Some(reason),
        _ => None,
    }
}

#[test]
fn golden_bytes() {
    let (offset, bytes) = footer().encode(SIZE).unwrap();
    assert_eq!(offset, SIZE - 128 - 32);
    assert_golden(&bytes, GOLDEN);
    assert_eq!(read(&bytes).unwrap(), footer());
}

const GOLDEN: &str = "
    40170605040302010401000081510100a0170605040302010a010010ffffffff
    4f4b463101ff942888776655443322114d000000000000000200000064e3b0a2
    60ff0000e01000003601000000000000d06fe5cf8b010000e8c70bd58b010000
    0000000000000000000000000000000000000000000000000000000000000000
    0000000000000000000000000000000000000000000000000000000000000000
";

#[test]
fn every_flipped_bit_is_found() {
    let (_, bytes) = footer().encode(SIZE).unwrap();
    for (bit, flipped) in flips(&bytes) {
        assert!(read(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn another_life_has_no_footer_and_another_segment_a_damaged_one() {
    let (_, bytes) = footer().encode(SIZE).unwrap();
    let found = Footer::read(&file(&bytes), SIZE, Nonce(1), ID);
    assert!(matches!(found, Err(FooterFault::Absent)));
    assert!(matches!(read(&[0; 200]), Err(FooterFault::Absent)));
    let found = Footer::read(&file(&bytes), SIZE, FIRST.nonce, SegmentId(78));
    assert!(matches!(found, Err(FooterFault::Damaged("footer of another segment"))));
}

#[test]
fn right_bytes_in_a_wrong_place_fail() {
    let (_, bytes) = footer().encode(SIZE).unwrap();
    let found = Footer::read(&MemoryFile::new(bytes), 160, FIRST.nonce, ID);
    assert!(matches!(found, Err(FooterFault::Damaged("footer checksum"))), "{found:?}");
}

#[test]
fn a_file_cut_short_is_damaged() {
    let (_, bytes) = footer().encode(SIZE).unwrap();
    let whole = file(&bytes);
    whole.0.lock().unwrap().pop();
    let found = Footer::read(&whole, SIZE, FIRST.nonce, ID);
    assert!(matches!(found, Err(FooterFault::Damaged("segment file is cut short"))));
    let found = Footer::read(&whole, 127, FIRST.nonce, ID);
    assert!(matches!(found, Err(FooterFault::Damaged(_))));
}

#[test]
fn bounds_no_writer_makes_are_refused() {
    assert_eq!(damage(&forged(|_| ())), None);
    let set = |at: usize, value: u32| {
        damage(&forged(|trailer| trailer[at..at + 4].copy_from_slice(&value.to_le_bytes())))
    };
    for count in [1, 3, u32::MAX] {
        assert_eq!(set(24, count), Some("footer bounds"), "{count} entries");
    }
    for offset in [0, SIZE - 128, u32::MAX] {
        assert_eq!(set(32, offset), Some("footer bounds"), "entries at {offset}");
    }
    for end in [0, 4095, SIZE - 128, u32::MAX] {
        assert_eq!(set(36, end), Some("footer bounds"), "data ends at {end}");
    }
    assert_eq!(set(36, 4256), Some("footer entries"), "an entry after the data");
}

#[test]
fn entries_no_writer_makes_are_refused() {
    let mut twice = footer();
    twice.entries[1].offset = 4160;
    let mut early = footer();
    early.entries[0].offset = 4080;
    for footer in [twice, early] {
        let (_, bytes) = footer.encode(SIZE).unwrap();
        assert_eq!(damage(&bytes), Some("footer entries"));
    }
}

#[test]
fn a_footer_that_does_not_fit_is_not_made() {
    let mut full = footer();
    full.data_end = SIZE - Footer::space(2) as u32;
    assert!(full.encode(SIZE).is_some());
    full.data_end += 16;
    assert!(full.encode(SIZE).is_none());
    assert!(footer().encode(100).is_none());
    assert!(footer().encode(SIZE + 8).is_none(), "entries off the granules");
}

#[test]
fn expiries_are_rounded_up() {
    let seconds = |ms| FooterEntry::seconds(BASE.plus_ms(ms), BASE);
    assert_eq!([0, 1, 1000, 1001].map(seconds), [0, 1, 1, 2]);
    assert_eq!(FooterEntry::seconds(StoreTime(0), BASE), 0);
    assert_eq!(seconds(u64::from(u32::MAX) * 1000 + 1), u32::MAX);
    assert_eq!(FooterEntry::seconds(StoreTime(u64::MAX), BASE), u32::MAX);
}

proptest! {
    #[test]
    fn no_entry_expires_before_its_frame(expires_at: u64, shift in 0_u32..40) {
        let expires_at = StoreTime(expires_at >> shift);
        let expires_s = FooterEntry::seconds(expires_at, BASE);
        let entry = FooterEntry { hash: KeyHash(0), offset: 4160, forget: false, expires_s };
        prop_assert!(entry.expires_at(BASE) >= expires_at);
        let soon_after = entry.expires_at(BASE).ms_since(expires_at.max(BASE)) < 1000;
        prop_assert!(soon_after || expires_s == u32::MAX);
    }

    #[test]
    fn footers_round_trip(
        numbers: [u64; 4],
        entries in prop::collection::vec(
            (any::<u64>(), 4_u32..60, any::<bool>(), any::<u32>()),
            0..80,
        ),
    ) {
        let mut offset = 4160;
        let entries: Vec<_> = entries
            .into_iter()
            .map(|(hash, granules, forget, expires_s)| {
                offset += granules * 16;
                FooterEntry { hash: KeyHash(hash), offset, forget, expires_s }
            })
            .collect();
        let footer = Footer {
            nonce: Nonce(numbers[0]),
            id: ID,
            entries,
            data_end: offset + 16,
            highest: Token(numbers[1]),
            store_time: StoreTime(numbers[2]),
            latest_expiry: StoreTime(numbers[3]),
        };
        let size = 256 << 10;
        let (at, bytes) = footer.encode(size).unwrap();
        prop_assert_eq!(bytes.len(), Footer::space(footer.entries.len()));
        let file = MemoryFile::default();
        file.write_at(&bytes, u64::from(at)).unwrap();
        prop_assert_eq!(file.len().unwrap(), u64::from(size));
        let read = Footer::read(&file, size, footer.nonce, ID).unwrap();
        prop_assert_eq!(read, footer);
    }

    #[test]
    fn random_bytes_never_panic(
        mut end in prop::collection::vec(any::<u8>(), 128..300),
        magic: bool,
    ) {
        let at = end.len() - FOOTER_TRAILER;
        if magic {
            end[at..at + 4].copy_from_slice(&MAGIC);
            end[at + 8..at + 16].copy_from_slice(&FIRST.nonce.0.to_le_bytes());
        }
        prop_assert!(read(&end).is_err());
        let forged = forged(|trailer| trailer[24..].copy_from_slice(&end[..FOOTER_TRAILER - 24]));
        prop_assert!(read(&forged).is_err());
    }
}
