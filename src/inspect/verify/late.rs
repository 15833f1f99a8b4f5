//! The memory of expired keys: its runs and its journal, to the last byte.
//!
//! An owner at work replaces and removes these files, so one that is gone is passed over, and a
//! journal whose end is not whole is being written.

use super::Inspector;
use super::report::VerifyReport;
use crate::error::{Error, Result};
use crate::inspect::owner::Owner;
use crate::late::{Journal, JournalName, Run, RunFault, RunName};
use crate::log::Manifest;

pub(super) fn check(
    inspector: &Inspector,
    manifest: &Manifest,
    report: &mut VerifyReport,
) -> Result<()> {
    let names = inspector.disk.list().map_err(|error| Error::io("listing the directory", error))?;
    let mut numbers: Vec<_> =
        names.iter().filter_map(|name| RunName::from_file_name(name)).collect();
    numbers.sort_unstable();
    for number in numbers {
        let file = number.file_name();
        match Run::verify(&*inspector.disk, manifest.store_id, number) {
            Ok((bytes, faults)) => {
                report.bytes += bytes;
                faults.into_iter().for_each(|fault| damaged(report, &file, fault));
            }
            Err(RunFault::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(fault) => damaged(report, &file, fault),
        }
        report.late_files += 1;
    }
    for name in names.iter().filter_map(|name| JournalName::from_file_name(name)) {
        let file = name.file_name();
        let fault = match Journal::read(&*inspector.disk, manifest.store_id, name) {
            Ok((_, bytes, fault)) => {
                report.bytes += bytes;
                fault
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::io(format_args!("reading {file}"), error)),
        };
        report.late_files += 1;
        let Some(fault) = fault else { continue };
        let is_torn = !manifest.clean || report.owner != Owner::Nobody;
        let what =
            if is_torn { "a write that was cut short" } else { "a record is not what was written" };
        report.cut_or_damaged(is_torn, &file, (fault.offset, fault.bytes, what.into()));
    }
    Ok(())
}

fn damaged(report: &mut VerifyReport, file: &str, fault: RunFault) {
    match fault {
        RunFault::Damaged(offset, what) => report.damaged(file, offset, 0, what),
        RunFault::Io(error) => report.damaged(file, 0, 0, &format!("it cannot be read: {error}")),
    }
}
