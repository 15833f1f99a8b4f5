//! Rot at rest (promise 7): after a clean close every flipped bit is detected or harmless. Never a
//! wrong answer, never "absent" for what was there, never a panic.

use std::time::Duration;

use super::world::{
    DAY, HALF_HOUR, World, claim, claim_on_drop, execute, execute_for, fill_segment, key, request,
    scope,
};
use crate::simulation::Survival;
use crate::{DropPolicy, Entry, ErrorKind, Options, Store, StoredResponse};

pub(crate) const RECORDS: usize = 6;

/// A store of a few records, a forgotten one, and two claims.
pub(crate) fn small_store(clean: bool) -> World {
    let mut world = World::new();
    let store = world.open();
    for i in 0..RECORDS {
        let response = StoredResponse::new(answer(i)).with_status(200 + i as u32);
        claim(&store, &format!("k{i}")).complete(response).wait().expect("completed");
    }
    execute(&store, "forgotten", "answer");
    assert!(store.forget(&scope("acct"), &key("forgotten")).wait().expect("forgotten"));
    drop(claim(&store, "held"));
    drop(claim_on_drop(&store, "asked", DropPolicy::Unresolved));
    store.flush().wait().expect("flushed");
    if clean {
        store.close(Duration::ZERO).wait().expect("closed");
    } else {
        world.crash(Survival::Everything, 0);
    }
    world
}

fn answer(i: usize) -> Vec<u8> {
    format!("answer {i} ").repeat(1 + 20 * i).into_bytes()
}

pub(crate) fn files(world: &World) -> Vec<String> {
    let mut names = crate::simulation::Disk::list(&*world.disk).expect("a list");
    names.sort();
    names
}

/// A world with a copy of the disk, which only this one damages. The identity stays.
pub(crate) fn another(world: &World) -> World {
    let mut other = world.fork();
    other.crash(Survival::Everything, 0);
    other
}

/// What a damaged store may be: shut with a reason, or open and never wrong. Returns how many
/// records could be read.
pub(crate) fn check(world: &mut World, what: &str) -> Option<usize> {
    let store = match world.try_open() {
        Ok(store) => store,
        Err(error) => {
            let kinds = [ErrorKind::Corrupt, ErrorKind::VersionTooNew, ErrorKind::WrongStore];
            assert!(kinds.contains(&error.kind()), "{what}: {error:?}");
            let text = error.to_string();
            let named = ["segment-", "MANIFEST", "manifest"].iter().any(|name| text.contains(name));
            assert!(named, "{what}: no file is named in {text}");
            return None;
        }
    };
    assert!(store.recovery().damage.is_empty(), "{what}: it opened in spite of damage");
    Some(readable(&store, what, true))
}

/// Reads everything: right, or an error; absent only if `whole` does not forbid it.
pub(crate) fn readable(store: &Store, what: &str, whole: bool) -> usize {
    let mut good = 0;
    for i in 0..RECORDS {
        match store.get(&scope("acct"), &key(&format!("k{i}"))).wait() {
            Ok(Some(Entry::Completed(record))) => {
                assert_eq!(record.response().body(), answer(i), "{what}: record {i}");
                assert_eq!(record.response().status(), 200 + i as u32, "{what}: record {i}");
                good += 1;
            }
            Ok(other) => assert!(!whole, "{what}: record {i} is {other:?}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
                assert!(error.to_string().contains("segment-"), "{what}: {error}");
            }
        }
    }
    let look = |name: &str| store.get(&scope("acct"), &key(name)).wait();
    match look("forgotten") {
        Ok(None) | Err(_) => {}
        Ok(other) => assert!(!whole, "{what}: forgotten is {other:?}"),
    }
    if whole {
        let held = look("held");
        assert!(matches!(held, Ok(Some(Entry::InFlight { attempt: 1, .. }))), "{what}: {held:?}");
        let asked = look("asked");
        assert!(matches!(asked, Ok(Some(Entry::Unresolved(_)))), "{what}: {asked:?}");
    }
    good
}

/// Offsets of a file worth damaging: all that hold something or lie next to it, and a few of the
/// zeros.
pub(crate) fn offsets(bytes: &[u8]) -> Vec<u64> {
    let used =
        |at: usize| bytes[at.saturating_sub(2)..(at + 3).min(bytes.len())].iter().any(|b| *b != 0);
    (0..bytes.len()).filter(|at| used(*at) || at % 4099 == 0).map(|at| at as u64).collect()
}

#[test]
fn promise_7_several_flipped_bits_are_never_a_wrong_answer() {
    let world = small_store(true);
    let names = files(&world);
    let mut seed = 1_u64;
    let mut draw = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for round in 0..300 {
        let mut other = another(&world);
        let mut what = format!("round {round}:");
        for _ in 0..2 + round % 4 {
            let name = &names[draw(names.len())];
            let places = offsets(&world.disk.file(name).expect("a file"));
            let (offset, bit) = (places[draw(places.len())], draw(8) as u8);
            other.disk.flip_bit(name, offset, bit).expect("a bit");
            what += &format!(" bit {bit} of byte {offset} of {name},");
        }
        if check(&mut other, &what).is_none() {
            // A refusal is not overcome by asking again.
            assert!(other.try_open().is_err(), "{what} opened the second time");
            other.options = other.options.clone().accept_damage(true);
            let Ok(store) = other.try_open() else { continue };
            readable(&store, &what, false);
        }
    }
}

#[test]
fn promise_7_a_segment_that_is_cut_short_or_missing_is_named() {
    let world = small_store(true);
    for name in files(&world).iter().filter(|name| name.starts_with("segment")) {
        let mut removed = another(&world);
        crate::simulation::Disk::remove(&*removed.disk, name).expect("removed");
        check(&mut removed, &format!("{name} is missing"));
        for len in [0, 100, 4096, 4200, 6000, 65_535] {
            let mut other = another(&world);
            other.disk.truncate_file(name, len).expect("a file");
            let what = format!("{name} has {len} bytes");
            if check(&mut other, &what).is_some() {
                continue;
            }
            assert!(other.try_open().is_err(), "{what}: opened the second time");
            other.options = other.options.clone().accept_damage(true);
            let store = other.open();
            assert!(store.recovery().damage.iter().any(|damage| damage.file == *name), "{what}");
            readable(&store, &what, false);
            drop(store);
            other.options = other.options.clone().accept_damage(false);
            readable(&other.open(), &what, false);
        }
    }
}

#[test]
fn promise_7_a_bad_manifest_copy_is_repaired_and_two_are_refused() {
    let world = small_store(true);
    let half = world.disk.file("MANIFEST").expect("a manifest").len() as u64 / 2;
    for offset in [20, half + 20] {
        let mut other = another(&world);
        other.disk.flip_bit("MANIFEST", offset, 3).expect("a bit");
        let store = other.open();
        assert_eq!(store.recovery().repaired.len(), 1);
        assert_eq!(readable(&store, "one bad copy", true), RECORDS);
        drop(store);
        assert!(other.open().recovery().repaired.is_empty());
    }
    let mut other = another(&world);
    other.disk.flip_bit("MANIFEST", 20, 3).expect("a bit");
    other.disk.flip_bit("MANIFEST", half + 20, 3).expect("a bit");
    assert_eq!(check(&mut other, "both copies"), None);
}

#[test]
fn promise_7_leftover_and_foreign_files_are_let_be_and_a_missing_manifest_is_refused() {
    let world = small_store(true);
    let mut other = another(&world);
    for (name, bytes) in [
        ("MANIFEST.tmp", vec![1; 100]),
        ("notes.txt", vec![2; 100]),
        ("segment-+0001", vec![3; 65_536]),
        ("segment-00077", vec![4; 10]),
        ("segment-00078", vec![5; 65_536]),
    ] {
        other.disk.put_file(name, bytes).expect("a file");
    }
    let store = other.open();
    assert_eq!(readable(&store, "foreign files", true), RECORDS);
    for i in 0..60 {
        execute(&store, &format!("more-{i}"), &"x".repeat(6000));
        store.step_upkeep();
    }
    drop(store);
    assert_eq!(readable(&other.open(), "foreign files", true), RECORDS);
    assert_eq!(other.disk.file("notes.txt"), Some(vec![2; 100]));
    let mut other = another(&world);
    crate::simulation::Disk::remove(&*other.disk, "MANIFEST").expect("removed");
    assert_eq!(other.try_open().unwrap_err().kind(), ErrorKind::WrongStore);
}

#[test]
fn promise_7_damage_under_a_bad_footer_is_not_forgotten_by_the_next_open() {
    let world = small_store(true);
    let name = files(&world).into_iter().find(|name| {
        let bytes = world.disk.file(name).expect("a file");
        name.starts_with("segment") && bytes.windows(8).any(|part| part == b"answer 3")
    });
    let name = name.expect("the segment of the records");
    let bytes = world.disk.file(&name).expect("a file");
    let at = bytes.windows(8).position(|part| part == b"answer 3").expect("a record") as u64;
    let mut other = another(&world);
    other.disk.flip_bit(&name, at, 0).expect("a bit");
    other.disk.flip_bit(&name, 65_536 - 120, 0).expect("a bit");
    for _ in 0..3 {
        assert_eq!(other.try_open().unwrap_err().kind(), ErrorKind::Corrupt);
    }
    other.options = other.options.clone().accept_damage(true);
    let store = other.open();
    assert_eq!(readable(&store, "accepted", false), RECORDS - 1);
    assert_eq!(store.recovery().damage.len(), 1);
}

#[test]
fn promise_7_a_sealed_segment_of_which_nothing_is_left_is_named() {
    let world = small_store(true);
    for name in files(&world).iter().filter(|name| name.starts_with("segment")) {
        let inspector = crate::Inspector::open_in(&world.environment(), false).expect("a store");
        let segments = inspector.summary().expect("a summary").segments;
        if !segments.iter().any(|segment| segment.file == *name) {
            continue;
        }
        let mut other = another(&world);
        other.disk.put_file(name, vec![0; 65_536]).expect("a name");
        for _ in 0..2 {
            let error = other.try_open().expect_err("something is lost");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{name}: {error}");
            assert!(error.to_string().contains(name.as_str()), "{name}: {error}");
        }
    }
}

#[test]
fn promise_7_a_damaged_record_is_not_absent_because_the_one_before_it_has_expired() {
    let mut world = World::with(Options::new().ttl(HALF_HOUR));
    let store = world.open();
    execute(&store, "a", "the first answer");
    // Keeps the first one's segment, and so the first one is listed after the next open.
    execute_for(&store, "lasting", DAY, "kept");
    fill_segment(&store, "x");
    world.advance(HALF_HOUR);
    execute_for(&store, "a", DAY, "the second answer");
    store.close(Duration::ZERO).wait().expect("closed");
    flip_a_bit_of(&world, b"the second answer");
    drop(store);
    let store = world.open();
    let told = store.get(&scope("acct"), &key("a")).wait().expect_err("not absent");
    assert_eq!(told.kind(), ErrorKind::Corrupt);
    let told = store.claim(request("a")).wait().expect_err("not free");
    assert_eq!(told.kind(), ErrorKind::Corrupt);
    let told = store.forget(&scope("acct"), &key("a")).wait().expect_err("not absent");
    assert_eq!(told.kind(), ErrorKind::Corrupt);
}

#[test]
fn promise_7_a_claim_that_accepted_damage_brings_back_is_not_from_before_a_forget() {
    let mut world = World::new();
    let store = world.open();
    let held = claim_on_drop(&store, "a", DropPolicy::Unresolved);
    held.complete(StoredResponse::new("the first answer")).wait().expect("completed");
    assert!(store.forget(&scope("acct"), &key("a")).wait().expect("forgotten"));
    execute(&store, "b", "says that all before it was synced");
    world.crash(Survival::Everything, 0);
    drop(store);
    flip_a_bit_of(&world, b"the first answer");

    assert_eq!(world.try_open().expect_err("damage").kind(), ErrorKind::Corrupt);
    world.options = world.options.clone().accept_damage(true);
    let store = world.open();
    assert!(store.unresolved().is_empty(), "its completion is lost, its forget is not");
    execute(&store, "a", "the second answer");
    store.close(Duration::ZERO).wait().expect("closed");
    drop(store);
    let told = world.open().get(&scope("acct"), &key("a")).wait().expect("a look");
    let Some(Entry::Completed(record)) = told else { panic!("{told:?}") };
    assert_eq!(record.response().body(), b"the second answer");
}

/// Flips a bit of the only place where these bytes are.
fn flip_a_bit_of(world: &World, bytes: &[u8]) {
    let found: Vec<_> = files(world)
        .into_iter()
        .filter_map(|name| {
            let file = world.disk.file(&name)?;
            let at = file.windows(bytes.len()).position(|part| part == bytes)?;
            Some((name, at as u64))
        })
        .collect();
    let [(name, at)] = &found[..] else { panic!("{found:?}") };
    world.disk.flip_bit(name, *at, 0).expect("a bit");
}
