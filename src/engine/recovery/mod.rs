//! Recovery: from the files that are there to an engine that may serve (promise 7).
//!
//! In this order: the manifest; the census of segments; the claims in flight; the records of
//! whatever was not sealed, rewritten to a fresh segment and synced, since what the page cache
//! shows after a kill may not be on disk; the index from footers; the head of a new log segment
//! with every claim restated; and last the manifest that names it all. A crash before that last
//! step leaves the store as it was, and recovery begins again.

mod census;
mod claims;
mod crew;
mod forgotten;
mod keep;
mod late;
mod load;
mod pile;
mod read;
mod records;
mod replay;
mod report;

use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) use census::{Data, each_frame, name_of, record_of};
pub(crate) use claims::Claims;
pub(crate) use records::frame_bytes;
pub use report::{DamageReport, RecoveryReport};

use super::catalog::{Catalog, Need, Urgency, entry_of};
use super::environment::Environment;
use super::files::{Files, FoundFiles};
use super::segment::SegmentTable;
use super::{Engine, Parts, TOKEN_BLOCK};
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::expiry::{LeapRules, StoreClock};
use crate::ids::{SegmentId, Slot, StoreId, StoreTime, Token};
use crate::index::{Geometry, KeyHasher};
use crate::log::{MANIFEST_FILE, MANIFEST_TMP, Manifest, ManifestFault, SegmentKind, manifest};
use crate::options::Options;
use crate::sabotage::{self, Bug};
use census::{Census, Counted};
use late::Expired;
use records::Records;

/// Makes the manifest of a new store. `open` does the rest.
pub(crate) fn create(env: &Environment, options: &Options) -> Result<()> {
    let (mut store_id, mut hash_key) = ([0; 16], [0; 16]);
    env.random
        .fill(&mut store_id)
        .and_then(|()| env.random.fill(&mut hash_key))
        .map_err(|error| Error::io("drawing the store's id", error))?;
    let now = StoreTime(env.clock.wall_ms());
    let manifest = Manifest {
        store_id: StoreId(store_id),
        hash_key,
        base: now,
        segment_size: options.segment_bytes,
        owner_pid: 0,
        clean: true,
        epoch: 0,
        ceiling: Token(1),
        store_time: now,
        next_segment: SegmentId(1),
        identity: identity(&*env.disk)?,
        segments: Vec::new(),
    };
    manifest::write(&*env.disk, &manifest).map_err(|error| Error::io("writing MANIFEST", error))
}

/// Whether there is a store, and whether there could be a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Directory {
    Store,
    Empty,
    SomethingElse,
}

/// Looks at what is in a directory. Segments without a manifest are not an empty directory.
pub(crate) fn look(disk: &dyn Disk) -> Result<Directory> {
    let names = disk.list().map_err(|error| Error::io("listing the directory", error))?;
    if names.iter().any(|name| name == MANIFEST_FILE) {
        return Ok(Directory::Store);
    }
    let harmless = names.iter().all(|name| name == MANIFEST_TMP || name == "lost+found");
    Ok(if harmless { Directory::Empty } else { Directory::SomethingElse })
}

/// Opens the store in a directory whose lock the caller holds.
pub(crate) fn recover(env: &Environment, options: &Options) -> Result<Arc<Engine>> {
    let mut report = RecoveryReport::default();
    let old = read_manifest(env, options, &mut report)?;
    let observer = &options.observer;
    let (disk, workers) = (&*env.disk, crew::workers(env.threads));
    let mut census = Census { disk, manifest: &old, report: &mut report, observer, workers };
    let mut counted = census.take()?;
    let hasher = KeyHasher::new(&old.hash_key);
    let mut flights = replay::replay(&mut census, &mut counted, &hasher)?;
    refuse_damage(options, &report)?;
    seal_remade(&counted)?;

    let last_seen = counted.iter().map(last_time).fold(old.store_time, StoreTime::max);
    let time = StoreClock::resume(env.clock.clone(), leap_rules(options), Some(last_seen));
    let geometry = Geometry::new(old.segment_size);
    make_durable(&*env.disk, &old)?;
    let found = find_files(&*env.disk, &old, &counted)?;
    let max_files = file_limit(options, geometry, old.segment_size);
    let files = Files::new(env.disk.clone(), old.segment_size, found, max_files);
    let new = next_manifest(env, &old, &counted, &mut report)?;
    let mut catalog = Catalog::new(env.clone(), new, files);

    let now = time.now();
    keep::seal_whole(&mut counted, now)?;
    let remember = (remember_ms(options, &hasher), options.late_pending);
    let expired = Expired::open(&env.disk, &old, remember, now, &mut report)?;
    let mut records = Records::new(geometry, hasher, now, expired);
    records.rewrite_tail(&counted, &mut catalog, observer)?;
    let kept = records.load(counted, workers, observer)?;
    let left_unresolved = claims::make_ownerless(&mut flights, time.latest());
    if !report.damage.is_empty() {
        records.leave_forgotten(&mut flights, &kept)?;
    }
    report.claims = records.add_flights(flights)?;
    report.records = records.count;
    report.damage.append(&mut records.damage);
    refuse_damage(options, &report)?;

    let active = catalog.new_segment(Need::Open, SegmentKind::Log)?;
    let table = SegmentTable::default();
    let mut named = Vec::new();
    for segment in kept.into_iter().chain([active.clone()]) {
        named.push(entry_of(&segment));
        table.put(segment);
    }
    let dropped = records.dropped;
    let (shards, remembered) = records.finish(remember.0);
    let parts = Parts {
        options: options.clone(),
        time,
        threads: env.threads,
        catalog,
        table,
        active,
        recovered: report,
        shards,
        late: remembered.late,
        disk: env.disk.clone(),
    };
    let engine = Engine::new(parts);
    engine.counters.dropped_segments.add(dropped);
    engine.counters.late_lost.add(remembered.lost);
    engine.counters.late_failures.add(remembered.failures);
    engine.with_writer(|writer| writer.start(0, &[], &engine))?;
    engine.publish_manifest(named)?;
    engine.free_left(&*env.disk, &old)?;
    engine.audit_left_by_a_crash(&left_unresolved);
    Ok(Arc::new(engine))
}

/// Writes the footers that were made anew from their segments.
fn seal_remade(counted: &[Counted]) -> Result<()> {
    let mut remade = counted.iter().filter(|c| c.footer.is_some() && !c.segment.is_sealed());
    remade.try_for_each(|counted| counted.segment.seal())
}

fn leap_rules(options: &Options) -> LeapRules {
    LeapRules {
        threshold_ms: ms(options.leap_threshold),
        confirmation_ms: ms(options.leap_confirmation),
    }
}

/// How long expired keys are remembered. Hashes that a test cut short tell no keys apart.
fn remember_ms(options: &Options, hasher: &KeyHasher) -> u64 {
    if hasher.is_whole() { ms(options.remember_late) } else { 0 }
}

fn read_manifest(
    env: &Environment,
    options: &Options,
    report: &mut RecoveryReport,
) -> Result<Manifest> {
    let read = manifest::read(&*env.disk).map_err(|error| Error::io("reading MANIFEST", error))?;
    let (old, damage) = read.map_err(|fault| match fault {
        ManifestFault::TooNew(_) => Error::new(
            ErrorKind::VersionTooNew,
            format!("{fault}; this program is too old for this store: use a newer one"),
        ),
        ManifestFault::NotAManifest => Error::new(
            ErrorKind::WrongStore,
            format!("MANIFEST in {} is not one of a store: {fault}", env.disk.describe()),
        ),
        ManifestFault::Damaged(_) => Error::new(
            ErrorKind::Corrupt,
            format!("MANIFEST: {fault}; restore it from a copy: without it no record can be found"),
        ),
    })?;
    if let Some(damage) = damage {
        report.repaired.push(DamageReport {
            file: MANIFEST_FILE.into(),
            offset: damage.offset,
            bytes: 0,
            what: format!("copy {} is bad ({}); written again", damage.copy, damage.reason),
        });
    }
    if let Some(expected) = options.expect_id.filter(|expected| *expected != old.store_id) {
        return Err(Error::new(
            ErrorKind::WrongStore,
            format!("{} holds store {}, not {expected}", env.disk.describe(), old.store_id),
        ));
    }
    report.clean = old.clean;
    Ok(old)
}

/// Makes the manifest that was read the one on stable storage, or a power cut would bring back one
/// that names files which are about to be used again. After a kill it may have its name in the page
/// cache alone; and a sync of the directory that failed is not made good by one that works, so it
/// is written anew where there is room for that.
fn make_durable(disk: &dyn Disk, old: &Manifest) -> Result<()> {
    let written = manifest::write(disk, old).map_err(|error| Error::io("writing MANIFEST", error));
    match written {
        Err(error) if error.is_shortage() => {
            disk.sync_dir().map_err(|error| Error::io("syncing the directory", error))
        }
        written => written,
    }
}

/// The manifest of this opening: a new epoch, and tokens from the old ceiling on. A copy leaps to
/// where the original cannot be, since it may have gone on giving out tokens after it was copied.
fn next_manifest(
    env: &Environment,
    old: &Manifest,
    counted: &[Counted],
    report: &mut RecoveryReport,
) -> Result<Manifest> {
    let identity = identity(&*env.disk)?;
    report.copied = identity != old.identity && old.epoch > 0;
    report.epoch = old.epoch + 1;
    let mut first = old.ceiling.0;
    if sabotage::is_on(Bug::ReusedTokens) && !old.clean {
        first = last_sequence(counted).0 + 1;
    }
    if report.copied {
        first = first.max(env.clock.wall_ms() << COPY_SHIFT);
    }
    Ok(Manifest {
        owner_pid: std::process::id(),
        clean: false,
        epoch: report.epoch,
        ceiling: Token(first.saturating_add(TOKEN_BLOCK)),
        identity,
        segments: Vec::new(),
        ..old.clone()
    })
}

/// A store draws fewer than 2^20 numbers a millisecond, so one that began at its epoch's
/// millisecond stays below any later one's.
const COPY_SHIFT: u32 = 20;

fn identity(disk: &dyn Disk) -> Result<crate::disk::DirIdentity> {
    disk.identity().map_err(|error| Error::io("looking at the directory", error))
}

fn refuse_damage(options: &Options, report: &RecoveryReport) -> Result<()> {
    let Some(first) = report.damage.first().filter(|_| !options.accept_damage) else {
        return Ok(());
    };
    let more = match report.damage.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    Err(Error::new(
        ErrorKind::Corrupt,
        format!(
            "{first}{more}. A lost record can mean a second charge, so the store stays shut. \
             Restore it from a copy, or open it with Options::accept_damage once you know what was \
             lost (`oncekey verify` lists it)"
        ),
    ))
}

fn last_time(counted: &Counted) -> StoreTime {
    let footer = counted.footer.as_ref().map_or(StoreTime(0), |footer| footer.store_time);
    let batches = counted.data.iter().flat_map(|data| &data.scan.batches);
    batches.map(|batch| batch.header.store_time).fold(footer, StoreTime::max)
}

/// The last batch that the log shows: no token in it is higher.
fn last_sequence(counted: &[Counted]) -> Token {
    let log = counted.iter().filter(|counted| counted.segment.kind == SegmentKind::Log);
    let sequences = log.flat_map(|counted| {
        let batches = counted.data.iter().flat_map(|data| &data.scan.batches);
        let read = batches.map(|batch| batch.header.sequence);
        read.chain(counted.footer.as_ref().map(|footer| footer.highest))
    });
    sequences.fold(Token(0), Token::max)
}

/// Segment files that no manifest names: ready for use if they are whole, and removed if not. And
/// those that the manifest names although nothing was written to them yet.
fn find_files(disk: &dyn Disk, manifest: &Manifest, counted: &[Counted]) -> Result<FoundFiles> {
    let names = disk.list().map_err(|error| Error::io("listing the directory", error))?;
    let max_slots = Geometry::new(manifest.segment_size).max_slots();
    let used = manifest.segments.iter().map(|entry| entry.slot).collect();
    let vacant = counted.iter().filter(|counted| is_vacant(counted)).map(|c| c.segment.slot);
    let mut found = FoundFiles { free: BTreeSet::new(), used, vacant: vacant.collect() };
    for name in names.iter().filter(|name| name.ends_with(RENAMED)) {
        disk.remove(name).map_err(|e| Error::io(format_args!("removing {name}"), e))?;
    }
    for slot in names.iter().filter_map(|name| Slot::from_file_name(name)) {
        if found.used.contains(&slot) || slot.0 >= max_slots {
            continue;
        }
        if is_whole(disk, slot, manifest.segment_size)? {
            // Also after a clean close: an opening since then may have made it and been cut short.
            name_again(disk, slot)?;
            found.free.insert(slot);
        } else {
            let name = slot.file_name();
            disk.remove(&name).map_err(|e| Error::io(format_args!("removing {name}"), e))?;
        }
    }
    Ok(found)
}

/// What a segment file is called while it is named again.
const RENAMED: &str = ".renamed";

/// Gives a file its name once more, so that the next sync of the directory is about it: the one
/// after it was made may have failed.
fn name_again(disk: &dyn Disk, slot: Slot) -> Result<()> {
    let name = slot.file_name();
    let other = format!("{name}{RENAMED}");
    disk.rename(&name, &other)
        .and_then(|()| disk.rename(&other, &name))
        .map_err(|error| Error::io(format_args!("renaming {name}"), error))
}

/// Whether a segment that the log had not come to yet is only named.
fn is_vacant(counted: &Counted) -> bool {
    let is_log = counted.segment.kind == SegmentKind::Log && counted.footer.is_none();
    let scan = counted.data.as_ref().map(|data| &data.scan);
    is_log
        && scan.is_some_and(|scan| {
            scan.batches.is_empty() && scan.torn.is_none() && scan.damage.is_empty()
        })
}

/// Whether there is a file of full size.
fn is_whole(disk: &dyn Disk, slot: Slot, size: u32) -> Result<bool> {
    let name = slot.file_name();
    match disk.open(&name).and_then(|file| file.len()) {
        Ok(len) => Ok(len == u64::from(size)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        // Not to be known is no reason to remove it.
        Err(error) => Err(Error::io(format_args!("looking at {name}"), error)),
    }
}

fn file_limit(options: &Options, geometry: Geometry, segment_size: u32) -> u32 {
    let by_bytes = options.max_disk_bytes / u64::from(segment_size);
    u32::try_from(by_bytes).unwrap_or(u32::MAX).min(geometry.max_slots()).max(4)
}

fn ms(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Engine {
    /// Makes this opening's manifest the one on disk.
    fn publish_manifest(&self, named: Vec<crate::log::SegmentEntry>) -> Result<()> {
        let mut catalog = self.catalog.lock();
        let mut changed = catalog.manifest().clone();
        changed.segments = named;
        changed.segments.sort_unstable_by_key(|entry| entry.id);
        changed.store_time = changed.store_time.max(self.time.now());
        catalog.write(changed, Urgency::CannotWait)
    }

    /// What the old manifest named and the new one does not is free from now on.
    fn free_left(&self, disk: &dyn Disk, old: &Manifest) -> Result<()> {
        let mut catalog = self.catalog.lock();
        let files = catalog.files_mut();
        files.end_recovery();
        let left = old.segments.iter().map(|entry| entry.slot);
        for slot in left.filter(|slot| self.table.get(*slot).is_none()) {
            if is_whole(disk, slot, old.segment_size)? {
                files.give_back(slot, None);
            } else {
                files.write_off(slot);
            }
        }
        Ok(())
    }
}
