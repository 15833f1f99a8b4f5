//! Where a trail is: beside a store, or in a directory of its own.

use std::path::{Path, PathBuf};

use oncekey::audit::{Origin, Trail};
use oncekey::{Error, ErrorKind};

/// The place of a trail, as it was found.
#[derive(Debug)]
pub(crate) struct Source {
    /// The store, if the trail is beside one.
    pub(crate) store: Option<PathBuf>,
    pub(crate) trail: Trail,
    /// Whether older segments were removed, to keep the trail in bounds: what is missing before its
    /// first event is no loss then.
    pub(crate) begins_late: bool,
}

/// Opens the trail of a store's directory, or of a directory that has a trail's files.
pub(crate) fn open(place: &Path) -> Result<Source, Error> {
    let is_store = place.join("MANIFEST").exists();
    if place.join("audit").is_dir() {
        let trail = Trail::of_store(place)?;
        let begins_late = begins_late(&place.join("audit"));
        return Ok(Source { store: is_store.then(|| place.to_owned()), trail, begins_late });
    }
    let wrong =
        |what: &str| Err(Error::new(ErrorKind::WrongStore, format!("{} {what}", place.display())));
    if is_store {
        return wrong(
            "is a store without an audit trail: was it opened with Options::audit? It is off \
             unless asked for, and begins with the first decision",
        );
    }
    if !place.exists() {
        return wrong("does not exist: give a store's directory, or that of a trail");
    }
    if !place.is_dir() {
        return wrong("is a file: give a store's directory, or that of a trail");
    }
    let trail = Trail::open(place)?;
    let has_segments = std::fs::read_dir(place).is_ok_and(|files| {
        let mut names = files.flatten().map(|file| file.file_name());
        names.any(|name| name.to_str().is_some_and(|name| name.starts_with("trail-")))
    });
    if !has_segments {
        return wrong(
            "is neither a store's directory nor that of a trail (which has files trail-0000000001 \
             and so on)",
        );
    }
    Ok(Source { store: None, trail, begins_late: begins_late(place) })
}

/// Segments are numbered from 1, and the oldest go first.
fn begins_late(directory: &Path) -> bool {
    !directory.join("trail-0000000001").exists()
}

/// Whose the item is that was read last.
pub(crate) fn origin(trail: &Trail) -> Option<Origin> {
    Some(Origin::new(trail.store_id()?, trail.key_id()?))
}
