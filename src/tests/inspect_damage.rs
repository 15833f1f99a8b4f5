//! The inspector against damage: `verify` finds every flipped bit, and the rest hides nothing else.

use std::collections::BTreeMap;

use super::inspect::{assert_whole, closed_store, inspector, rows};
use crate::simulation::Disk;
use crate::{ErrorKind, KeyFilter, SegmentSummary};

#[test]
fn promise_7_after_a_clean_close_every_flipped_bit_is_found_or_harmless() {
    let world = closed_store();
    let summary = inspector(&world, false).summary().expect("a summary");
    assert!(summary.segments.iter().any(|segment| segment.compacted));
    // The bytes that belong to nothing: between data and footer.
    let gap = |file: &str, offset: u64| {
        summary.segments.iter().find(|segment| segment.file == file).is_none_or(|segment| {
            let footer = 128 + 16 * (segment.records + segment.forgets);
            (4096 + segment.data_bytes..65536 - footer).contains(&offset)
        })
    };
    let mut flipped = 0;
    for file in world.disk.list().expect("names") {
        let len = world.disk.file(&file).expect("there").len() as u64;
        for offset in (0..len).filter(|offset| offset % 59 == 0 || offset % 4096 < 2) {
            let bit = (offset % 8) as u8;
            world.disk.flip_bit(&file, offset, bit).expect("flipped");
            let report = inspector(&world, false).verify().expect("readable");
            world.disk.flip_bit(&file, offset, bit).expect("flipped back");
            let is_gap = file.starts_with("segment") && gap(&file, offset);
            let harmless = is_gap || file == "MANIFEST.tmp";
            assert_eq!(report.is_whole(), harmless, "{file} at {offset}, bit {bit}: {report:?}");
            assert!(report.damage.iter().all(|damage| damage.file == file), "{report:?}");
            flipped += u32::from(!harmless);
        }
    }
    assert!(flipped > 500, "{flipped} bits");
    assert_whole(&inspector(&world, false));
}

#[test]
fn what_is_missing_or_cut_short_is_damage() {
    let world = closed_store();
    for file in world.disk.list().expect("names") {
        if file == "MANIFEST" {
            continue;
        }
        let is_used = |segment: &SegmentSummary| segment.file == file;
        let summary = inspector(&world, false).summary().expect("a summary");
        if !summary.segments.iter().any(is_used) {
            continue;
        }
        let bytes = world.disk.file(&file).expect("there");
        for len in [0, 100, 4096, 5000, 65535] {
            world.disk.truncate_file(&file, len).expect("cut");
            let inspector = inspector(&world, false);
            assert!(!inspector.verify().expect("readable").is_whole(), "{file} of {len}");
            inspector.summary().expect("a summary of what is left");
            world.disk.put_file(&file, bytes.clone()).expect("put back");
        }
        world.disk.remove(&file).expect("removed");
        let inspector = inspector(&world, false);
        assert!(!inspector.verify().expect("readable").is_whole(), "{file} is gone");
        world.disk.put_file(&file, bytes).expect("put back");
    }
    assert_whole(&inspector(&world, false));
}

#[test]
fn damage_hides_nothing_but_itself() {
    let world = closed_store();
    let all = rows(&inspector(&world, false));
    let records = all.values().filter(|row| row.place.is_some());
    for row in records {
        let (file, offset) = row.place.clone().expect("a place");
        world.disk.flip_bit(&file, offset + 9, 3).expect("flipped");
        let inspector = inspector(&world, false);
        let keys: Vec<_> = inspector.keys(KeyFilter::new()).expect("keys").collect();
        let bad: Vec<_> = keys.iter().filter_map(|key| key.as_ref().err()).collect();
        assert_eq!((keys.len(), bad.len()), (all.len(), 1), "{row:?}: {bad:?}");
        assert_eq!(bad[0].kind(), ErrorKind::Corrupt);
        let looked = inspector.key(&row.scope, &row.key).expect_err("never absent");
        assert_eq!(looked.kind(), ErrorKind::Corrupt, "{looked}");
        world.disk.flip_bit(&file, offset + 9, 3).expect("flipped back");
    }
}

#[test]
fn a_bad_footer_hides_no_key() {
    let world = closed_store();
    let all = rows(&inspector(&world, false));
    for segment in inspector(&world, false).summary().expect("a summary").segments {
        world.disk.flip_bit(&segment.file, 65536 - 100, 0).expect("flipped");
        let inspector = inspector(&world, false);
        let keys = inspector.keys(KeyFilter::new()).expect("keys");
        assert_eq!(keys.damage().len(), 1, "{:?}", keys.damage());
        let seen: BTreeMap<_, _> =
            keys.map(|row| row.expect("a row")).map(|row| (row.key.to_string(), row)).collect();
        assert_eq!(seen, all);
        let damage = inspector.verify().expect("readable").damage;
        assert_eq!(damage.len(), 1, "{damage:?}");
        world.disk.flip_bit(&segment.file, 65536 - 100, 0).expect("flipped back");
    }
}
