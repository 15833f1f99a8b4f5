//! Every byte of a small store is flipped, one at a time (promise 7). After a clean close every
//! flipped bit is detected or harmless; after an unclean stop the last batch may be cut besides,
//! and that is reported.

use std::ops::Range;

use super::damage::{RECORDS, another, check, files, offsets, readable, small_store};
use super::sweep::{is_full, sweep, thousands};
use super::world::World;
use crate::ErrorKind;

/// What is flipped in one case: one bit of each of some bytes.
struct Case {
    file: String,
    offsets: Vec<u64>,
    pass: u64,
}

/// Both passes over every byte, or one over a few.
fn cases(world: &World, step: usize) -> Vec<Case> {
    const BYTES: usize = 512;
    let mut cases = Vec::new();
    let passes: Range<u64> = if is_full() { 0..2 } else { 0..1 };
    for file in files(world) {
        let bytes = world.disk.file(&file).expect("a file");
        let wanted: Vec<u64> = if is_full() {
            (0..bytes.len() as u64).collect()
        } else {
            offsets(&bytes).into_iter().step_by(step).collect()
        };
        for pass in passes.clone() {
            cases.extend(wanted.chunks(BYTES).map(|chunk| Case {
                file: file.clone(),
                offsets: chunk.to_vec(),
                pass,
            }));
        }
    }
    cases
}

/// Another bit in each pass, and in neighbouring bytes.
fn bit(offset: u64, pass: u64) -> u8 {
    ((offset / 2 + 3 * pass) % 8) as u8
}

fn flip_all(what: &str, clean: bool, step: usize, judge: impl Fn(&mut World, &str) + Sync) {
    let world = small_store(clean);
    let files = files(&world);
    let sizes = files.iter().map(|name| world.disk.file(name).expect("a file").len());
    let title =
        format!("damage sweep, {what}: {} bytes of {} files", thousands(sizes.sum()), files.len());
    let cases = cases(&world, step);
    let name = |case: &Case| format!("{} from byte {:?} on", case.file, case.offsets.first());
    sweep(&title, &cases, name, |case| {
        for &offset in &case.offsets {
            let mut other = another(&world);
            let bit = bit(offset, case.pass);
            other.disk.flip_bit(&case.file, offset, bit).expect("a bit");
            judge(&mut other, &format!("bit {bit} of byte {offset} of {}", case.file));
        }
        case.offsets.len()
    });
}

#[test]
fn promise_7_every_flipped_bit_is_detected_or_harmless_after_a_clean_close() {
    flip_all("clean close", true, 1, |world, what| {
        let _ = check(world, what);
    });
}

#[test]
fn promise_7_after_an_unclean_stop_only_the_last_batch_may_be_cut() {
    flip_all("kill", false, 3, |world, what| {
        let store = match world.try_open() {
            Ok(store) => store,
            Err(error) => {
                let kinds = [ErrorKind::Corrupt, ErrorKind::VersionTooNew, ErrorKind::WrongStore];
                assert!(kinds.contains(&error.kind()), "{what}: {error:?}");
                return;
            }
        };
        assert!(store.recovery().damage.is_empty(), "{what}: it opened in spite of damage");
        // The last batch is the end of "asked": all records are before it.
        let whole = store.recovery().torn.is_empty();
        let readable = readable(&store, what, whole);
        assert!(whole || readable == RECORDS, "{what}: {readable}");
    });
}
