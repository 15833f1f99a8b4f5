//! Reads everything and compares it with its checksums and with itself.
//!
//! Segments are read one at a time, newest first, since a later one says what was synced of an
//! earlier. One whose life ended meanwhile is left out, and what the manifest names in its place is
//! read instead.
//!
//! What cannot be checked: the bytes between a segment's data and its footer, which belong to an
//! earlier life or to none, and files that no segment uses.

mod late;
mod report;
mod segment;

use std::collections::{HashMap, HashSet};

pub use report::VerifyReport;

use super::owner::Owner;
use super::reader::{all_named, manifest_error, open_segment, try_manifest};
use super::{Inspector, TRIES, changes_too_fast};
use crate::disk;
use crate::error::{Error, Result};
use crate::ids::{SegmentId, Slot, Token};
use crate::log::{MANIFEST_FILE, Manifest, ManifestFault, SegmentKind};
use crate::progress::Phase;
use segment::Check;

pub(super) fn verify(inspector: &Inspector) -> Result<VerifyReport> {
    let mut report = VerifyReport::default();
    let mut checked = HashMap::new();
    let mut restated = false;
    for _ in 0..TRIES {
        let Some(manifest) = check_manifest(inspector, &mut report)? else { return Ok(report) };
        let pass = Pass { inspector, manifest: &manifest, report: &mut report };
        let whole = pass.run(&mut checked, &mut restated)?;
        if !whole {
            continue;
        }
        count_spares(inspector, &manifest, &mut report)?;
        late::check(inspector, &manifest, &mut report)?;
        let is_log = |kind| kind == SegmentKind::Log;
        if !restated && manifest.segments.iter().any(|entry| is_log(entry.kind)) {
            let what = "no segment states the claims in flight: they are lost";
            report.damaged(MANIFEST_FILE, 0, 0, what);
        }
        return Ok(report);
    }
    Err(changes_too_fast())
}

/// Reads and checks the manifest; `None` if there is none to go on with.
fn check_manifest(inspector: &Inspector, report: &mut VerifyReport) -> Result<Option<Manifest>> {
    let (manifest, bad_copy) = match try_manifest(inspector)? {
        Ok(read) => read,
        Err(fault @ ManifestFault::TooNew(_)) => return Err(manifest_error(inspector, &fault)),
        Err(fault) => {
            let what =
                format!("{fault}; restore it from a copy: no record can be found without it");
            report.damaged(MANIFEST_FILE, 0, 0, &what);
            return Ok(None);
        }
    };
    report.manifest_copies = 2;
    report.damage.retain(|damage| damage.file != MANIFEST_FILE);
    report.store_id = Some(manifest.store_id);
    report.owner = inspector.liveness.owner(&manifest);
    match bad_copy {
        Some(bad) => {
            let what = format!("copy {} is bad ({}); open writes it again", bad.copy, bad.reason);
            report.damaged(MANIFEST_FILE, bad.offset, 0, &what);
        }
        None => check_padding(inspector, &manifest, report)?,
    }
    Ok(Some(manifest))
}

/// Compares the file with what a writer would make of the manifest, to the last byte of padding.
fn check_padding(
    inspector: &Inspector,
    manifest: &Manifest,
    report: &mut VerifyReport,
) -> Result<()> {
    let io = |error| Error::io("reading MANIFEST", error);
    let expected = manifest.encode();
    let file = inspector.disk.open_read_only(MANIFEST_FILE).map_err(io)?;
    let mut found = vec![0; expected.len() + 1];
    let count = disk::read(&*file, &mut found, 0).map_err(io)?;
    found.truncate(count);
    let wrong = found.iter().zip(&expected).position(|(found, expected)| found != expected);
    let wrong = wrong.or((found.len() != expected.len()).then_some(expected.len()));
    let Some(offset) = wrong else { return Ok(()) };
    // It may have been replaced between the two looks.
    let same = matches!(try_manifest(inspector)?, Ok((now, _)) if now == *manifest);
    if same {
        let what = "not what was written, where nothing is read; open writes it again";
        report.damaged(MANIFEST_FILE, offset as u64, 1, what);
    }
    Ok(())
}

/// The segments that were read, and what each says was synced of those before it.
type Checked = HashMap<SegmentId, Option<Token>>;

/// One reading of what a manifest names.
struct Pass<'a> {
    inspector: &'a Inspector,
    manifest: &'a Manifest,
    report: &'a mut VerifyReport,
}

impl Pass<'_> {
    /// Reads what was not read before; whether all of it was there.
    fn run(self, checked: &mut Checked, restated: &mut bool) -> Result<bool> {
        let mut whole = true;
        let mut synced = Token(0);
        let total = self.manifest.segments.len();
        for (done, entry) in (1..).zip(self.manifest.segments.iter().rev()) {
            if let Some(says) = checked.get(&entry.id) {
                synced = says.unwrap_or(synced);
                continue;
            }
            let name = entry.slot.file_name();
            let mut check = Check::new(self.manifest, entry, synced);
            match open_segment(self.inspector, self.manifest, entry)? {
                Some(segment) => check.run(&segment)?,
                None => check.missing(),
            }
            if !all_named(self.inspector, &[(entry.id, entry.nonce)])? {
                whole = false;
                continue;
            }
            *restated |= check.restates();
            let says = check.first.map(|first| first.synced);
            checked.insert(entry.id, says);
            synced = says.unwrap_or(synced);
            self.report.take(check.found, &name);
            self.inspector.observer.tell(Phase::Verify, done, total);
        }
        Ok(whole)
    }
}

/// Counts the segment files that no segment uses.
fn count_spares(
    inspector: &Inspector,
    manifest: &Manifest,
    report: &mut VerifyReport,
) -> Result<()> {
    let names = inspector.disk.list().map_err(|error| Error::io("listing the directory", error))?;
    let used: HashSet<Slot> = manifest.segments.iter().map(|entry| entry.slot).collect();
    let slots = names.iter().filter_map(|name| Slot::from_file_name(name));
    report.spare_files = slots.filter(|slot| !used.contains(slot)).count() as u64;
    Ok(())
}
