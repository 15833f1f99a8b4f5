//! A whole directory: a store's files, hurt or forged, then inspected, opened and worked with.
//!
//! Two kinds of attack. *Damage* is what a failing disk or a clumsy hand does: flips, cuts, zeros,
//! sectors in the wrong place, files gone or exchanged. Then no answer may be wrong, what was there
//! may be absent only where damage was accepted or the store had been killed, and a store that
//! opened opens again. *Forgery* is anything at all with right checksums: nothing panics, runs for
//! ever or takes memory without bounds, and a store opens or says why not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Input;
use super::stores::{self, Stored, TTL, environment, key, options, request, scope};
use crate::audit::{Trail, trail_fuzzing};
use crate::late::{JournalName, RunName};
use crate::log::fuzzing::{seal_manifest, seal_segment};
use crate::simulation::{Environment, SimClock, SimDisk};
use crate::{
    Entry, ErrorKind, Inspector, KeyFilter, Options, Outcome, Store, StoreId, StoredResponse,
};

const SECTOR: usize = 512;

type Files = BTreeMap<String, Vec<u8>>;

/// The target.
pub(super) fn directory(data: &[u8]) {
    let mut input = Input::new(data);
    let all = stores::all();
    let stored = &all[input.below(all.len())];
    let how = input.byte();
    let is_forged = how & 1 != 0;
    let mut files = stored.files.clone();
    let before = files.clone();
    while !input.is_empty() {
        match is_forged {
            false => damage(&mut files, &mut input),
            true => forge(&mut files, &mut input, stored.store_id),
        }
    }
    let is_hurt = files != before;
    let options = options()
        .accept_damage(how & 2 != 0)
        .refuse_late_retries(how & 4 != 0)
        .remember_late(if how & 8 != 0 { Duration::ZERO } else { TTL * 10 });
    let attack = Attack { stored, is_forged, is_hurt, accepts: how & 2 != 0 };
    attack.run(&files, &options);
}

struct Attack<'a> {
    stored: &'a Stored,
    is_forged: bool,
    is_hurt: bool,
    accepts: bool,
}

impl Attack<'_> {
    fn run(&self, files: &Files, options: &Options) {
        let (disk, trail) = (SimDisk::new(), SimDisk::new());
        for (name, bytes) in files {
            let (disk, name) = match name.strip_prefix("audit/") {
                Some(name) => (&trail, name),
                None => (&disk, name.as_str()),
            };
            // A name that no file can have is none that a directory has.
            let _ = disk.put_file(name, bytes.clone());
        }
        disk.put_directory("audit", trail.clone());
        let clock = Arc::new(SimClock::new(self.stored.now_ms));
        let world = environment(disk.clone(), clock.clone(), 8);
        self.inspect(&world);
        let store = match Store::open_in(&world, options, false) {
            Ok(store) => store,
            Err(error) => return self.check_refusal(&error),
        };
        self.check_records(&store);
        self.work(&store, &clock);
        drop(store);
        // What was accepted is settled: it is not asked for again.
        let options = options.clone().accept_damage(self.is_forged && self.accepts);
        match Store::open_in(&environment(disk, clock, 9), &options, false) {
            Ok(store) => self.check_records(&store),
            Err(error) => assert!(self.is_forged, "it opened before: {error}"),
        }
        for item in Trail::on(trail) {
            item.expect("no error of the disk");
        }
    }

    /// Read-only, and before anything is repaired.
    fn inspect(&self, world: &Environment) {
        let Ok(inspector) = Inspector::open_in(world, false) else { return };
        let report = inspector.verify();
        if !self.is_hurt {
            let report = report.as_ref().expect("readable");
            assert!(report.is_whole() || !self.stored.is_clean, "{report:?}");
        }
        let _ = inspector.summary();
        let _ = inspector.key(&scope(), &key("k1"));
        if let Ok(keys) = inspector.keys(KeyFilter::new()) {
            for row in keys.flatten() {
                assert!(row.key.as_str().len() <= 255);
            }
        }
    }

    fn check_refusal(&self, error: &crate::Error) {
        use ErrorKind::{Corrupt, VersionTooNew, WrongStore};
        if !self.is_forged {
            assert!(self.is_hurt, "{error}");
            assert!(matches!(error.kind(), Corrupt | VersionTooNew | WrongStore), "{error:?}");
        }
    }

    /// No answer is wrong; whether one may be missing depends on what was done.
    fn check_records(&self, store: &Store) {
        for (name, body) in &self.stored.records {
            match store.get(&scope(), &key(name)).wait() {
                _ if self.is_forged => {}
                Ok(Some(Entry::Completed(record))) => {
                    assert_eq!(record.response().body(), body, "{name}");
                }
                Ok(other) => {
                    let may_be_gone = self.is_hurt && (self.accepts || !self.stored.is_clean);
                    assert!(may_be_gone, "{name} is {other:?}");
                }
                Err(error) => {
                    assert!(self.is_hurt && error.kind() == ErrorKind::Corrupt, "{name}: {error}");
                }
            }
        }
    }

    /// A little of everything. An error is an answer here.
    fn work(&self, store: &Store, clock: &SimClock) {
        let body = "x".repeat(3000);
        for name in ["new", "held", "asked", "forgotten", "k1", "short-0-1", "new-2"] {
            if let Ok(Outcome::Claimed(claim)) = store.claim(request(name)).wait() {
                let _ = claim.complete(StoredResponse::new(body.as_str())).wait();
            }
        }
        for unresolved in store.unresolved() {
            let _ = unresolved.attempt();
        }
        let _ = store.forget(&scope(), &key("new-2")).wait();
        for round in 0..3_u32 {
            store.step_upkeep();
            for _ in 0..8 {
                if !(store.step_prune() || store.step_late() || store.step_compact()) {
                    break;
                }
            }
            clock.advance(TTL * round);
            store.step_audit();
        }
        if !self.is_forged {
            assert!(!store.stats().poisoned, "a disk that fails no call poisons no store");
        }
        let closed = store.close(Duration::ZERO).wait();
        assert!(closed.is_ok() || self.is_forged, "{closed:?}");
    }
}

/// The name of a file that is there.
fn any_name(files: &Files, input: &mut Input<'_>) -> Option<String> {
    let at = input.below(files.len());
    files.keys().nth(at).cloned()
}

/// A place in a file: any, or one of its last or first bytes, where the structures are.
fn place(bytes: &[u8], input: &mut Input<'_>) -> usize {
    let at = usize::from(input.u16());
    match at >> 13 {
        0 => bytes.len().saturating_sub(1 + at % 256),
        1 => at % 256,
        // Batches are near the beginning of what was not filled.
        2 => 4096 + at % 4096,
        _ if bytes.len() > 1 << 16 => at * 2,
        _ => at,
    }
}

fn damage(files: &mut Files, input: &mut Input<'_>) {
    let how = input.byte();
    let Some(name) = any_name(files, input) else { return };
    let Some(bytes) = files.get_mut(&name) else { return };
    let at = place(bytes, input);
    match how % 8 {
        0..=2 => bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << (how >> 5)),
        3 => {
            let (start, end) = (at / SECTOR * SECTOR, (at / SECTOR + 1) * SECTOR);
            let end = end.min(bytes.len());
            bytes.get_mut(start..end).into_iter().for_each(|sector| sector.fill(0));
        }
        4 => bytes.truncate(at),
        5 => {
            let from = usize::from(input.byte()) * SECTOR;
            let sector = bytes.get(from..from + SECTOR).map(<[u8]>::to_vec);
            let to = at / SECTOR * SECTOR;
            if let (Some(sector), Some(place)) = (sector, bytes.get_mut(to..to + SECTOR)) {
                place.copy_from_slice(&sector);
            }
        }
        6 => drop(files.remove(&name)),
        _ => {
            let Some(other) = any_name(files, input) else { return };
            let one = files.get(&name).cloned().unwrap_or_default();
            let two = files.insert(other, one).unwrap_or_default();
            files.insert(name, two);
        }
    }
}

/// Names of which a directory makes something, and some of which it should make nothing.
const NAMES: [&str; 14] = [
    "MANIFEST",
    "MANIFEST.tmp",
    "segment-00000",
    "segment-00001",
    "segment-00009",
    "segment-99999",
    "late-0000000001",
    "late-18446744073709551615",
    "late-journal-0000000001",
    "late-journal-18446744073709551615",
    "late.tmp",
    "audit/trail-0000000001",
    "audit/trail-18446744073709551615",
    "notes.txt",
];

fn forge(files: &mut Files, input: &mut Input<'_>, store: StoreId) {
    let how = input.byte();
    if how % 16 == 15 {
        let name = NAMES[input.below(NAMES.len())];
        let bytes = match input.byte() {
            0 => input.string().to_vec(),
            _ => any_name(files, input)
                .and_then(|name| files.get(&name).cloned())
                .unwrap_or_default(),
        };
        files.insert(name.to_owned(), bytes);
        return seal(files, name, store, how & 64 != 0);
    }
    let Some(name) = any_name(files, input) else { return };
    let Some(bytes) = files.get_mut(&name) else { return };
    let at = place(bytes, input);
    let new = match how % 16 {
        0..=5 => vec![input.byte()],
        6..=9 => (input.number() as u32).to_le_bytes().to_vec(),
        10..=12 => input.number().to_le_bytes().to_vec(),
        13 => input.string().to_vec(),
        _ => {
            bytes.truncate(at);
            Vec::new()
        }
    };
    if let Some(place) = bytes.get_mut(at..at + new.len()) {
        place.copy_from_slice(&new);
    }
    if how & 32 != 0 {
        // Both copies alike, or only one is good.
        let half = bytes.len() / 2;
        if name == "MANIFEST" && bytes.len().is_multiple_of(2) {
            let (first, second) = bytes.split_at_mut(half);
            second.copy_from_slice(first);
        }
    }
    seal(files, &name, store, how & 64 != 0);
}

/// Makes the checksums of a file right.
fn seal(files: &mut Files, name: &str, store: StoreId, chain: bool) {
    let Some(bytes) = files.get_mut(name) else { return };
    if name.starts_with("MANIFEST") {
        seal_manifest(bytes);
    } else if name.starts_with("segment-") {
        seal_segment(bytes, chain);
    } else if let Some(name) = JournalName::from_file_name(name) {
        crate::late::fuzzing::seal_journal(bytes, store, name);
    } else if let Some(name) = RunName::from_file_name(name) {
        crate::late::fuzzing::seal_run(bytes, store, name);
    } else if name.starts_with("audit/trail-") {
        trail_fuzzing::seal_segment(bytes);
    }
}
