//! How far a sink has acknowledged a trail, in a small file.
//!
//! Invariants:
//! - the file is replaced as a whole, and is on stable storage before it counts: after a crash it
//!   is the one before or the one after;
//! - it is of one sink and one trail: where it is of another, that is an error, since going on
//!   would leave events out;
//! - nobody else moves it meanwhile: two who ship with one cursor are told so.

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::audit::EventId;
use crate::disk::{self, Disk, RealDisk};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::StoreId;

const SUFFIX: &str = ".cursor";
const MAX_NAME_BYTES: usize = 64;
const MAX_BYTES: usize = 4096;

/// How far a sink has acknowledged.
#[derive(Debug)]
pub struct Cursor {
    disk: Arc<dyn Disk>,
    name: String,
    sink: String,
    /// What the file has.
    written: Option<Vec<u8>>,
    place: Option<Place>,
}

/// Where in a trail: all before it was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) store_id: StoreId,
    pub(super) next: EventId,
    /// The trail's segment.
    pub(super) segment: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    version: u32,
    sink: String,
    store: String,
    boot: u64,
    sequence: u64,
    segment: u64,
}

impl Cursor {
    /// Opens the cursor of this name in a directory, for a sink; it need not be there yet.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a name that is no plain file name, or
    /// if the cursor is of another sink; [`Corrupt`](crate::ErrorKind::Corrupt),
    /// [`Io`](crate::ErrorKind::Io).
    pub fn open(directory: impl AsRef<Path>, name: &str, sink: &str) -> Result<Self> {
        let path = directory.as_ref();
        let disk = RealDisk::open(path)
            .map_err(|error| Error::io(format_args!("opening {}", path.display()), error))?;
        Self::on(Arc::new(disk), name, sink)
    }

    pub(super) fn on(disk: Arc<dyn Disk>, name: &str, sink: &str) -> Result<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty()
            || name.len() > MAX_NAME_BYTES
            || name.starts_with('.')
            || !name.chars().all(is_plain)
        {
            return Err(Error::invalid(format!(
                "{name:?} cannot name a cursor: letters, digits, `-`, `_` and `.` can, up to \
                 {MAX_NAME_BYTES} of them"
            )));
        }
        let name = format!("{name}{SUFFIX}");
        let mut cursor = Self { disk, name, sink: sink.to_owned(), written: None, place: None };
        cursor.written = cursor.read()?;
        cursor.place = cursor.written.as_deref().map(|bytes| cursor.parse(bytes)).transpose()?;
        Ok(cursor)
    }

    /// Up to which event the sink has acknowledged: the id of the next.
    #[must_use]
    pub fn next(&self) -> Option<EventId> {
        self.place.map(|place| place.next)
    }

    pub(super) fn place(&self) -> Option<Place> {
        self.place
    }

    /// The error of a cursor that cannot be of this trail.
    pub(super) fn foreign(&self, why: &str) -> Error {
        Error::new(
            ErrorKind::WrongStore,
            format!(
                "the cursor {} in {} is not of this trail ({why}); to ship the trail from its \
                 beginning, use another cursor, or remove this one",
                self.name,
                self.disk.describe()
            ),
        )
    }

    fn read(&self) -> Result<Option<Vec<u8>>> {
        let failed = |error| {
            Error::io(format_args!("reading {} in {}", self.name, self.disk.describe()), error)
        };
        let file = match self.disk.open_read_only(&self.name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed)?,
        };
        let mut bytes = vec![0; MAX_BYTES];
        let read = disk::read(&*file, &mut bytes, 0).map_err(failed)?;
        bytes.truncate(read);
        Ok(Some(bytes))
    }

    fn parse(&self, bytes: &[u8]) -> Result<Place> {
        let damaged = |what: &str| {
            Error::new(
                ErrorKind::Corrupt,
                format!(
                    "{} in {} is no cursor ({what}); remove it to ship the trail from its \
                     beginning",
                    self.name,
                    self.disk.describe()
                ),
            )
        };
        let kept: Kept =
            serde_json::from_slice(bytes).map_err(|error| damaged(&error.to_string()))?;
        if kept.version != 1 {
            return Err(damaged("it is of a later version"));
        }
        if kept.sink != self.sink {
            return Err(Error::invalid(format!(
                "the cursor {} is of {}, not of {}: each sink needs a cursor of its own",
                self.name, kept.sink, self.sink
            )));
        }
        let store_id = StoreId::parse(&kept.store).ok_or_else(|| damaged("a store's id"))?;
        let next = EventId::new(kept.boot, kept.sequence);
        Ok(Place { store_id, next, segment: kept.segment })
    }

    /// Moves it: the sink has acknowledged all before this place.
    pub(super) fn advance(&mut self, place: Place) -> Result<()> {
        if self.place == Some(place) {
            return Ok(());
        }
        if self.read()? != self.written {
            return Err(Error::new(
                ErrorKind::Locked,
                format!(
                    "the cursor {} in {} was moved by somebody else: two ship with it; give each \
                     a cursor of its own",
                    self.name,
                    self.disk.describe()
                ),
            ));
        }
        let kept = Kept {
            version: 1,
            sink: self.sink.clone(),
            store: place.store_id.to_string(),
            boot: place.next.boot,
            sequence: place.next.sequence,
            segment: place.segment,
        };
        let mut bytes = serde_json::to_vec(&kept).unwrap_or_default();
        bytes.push(b'\n');
        self.replace(&bytes).map_err(|error| {
            Error::io(format_args!("writing {} in {}", self.name, self.disk.describe()), error)
        })?;
        (self.written, self.place) = (Some(bytes), Some(place));
        Ok(())
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let new = format!("{}.new", self.name);
        let file = self.disk.create(&new)?;
        file.write_at(bytes, 0)?;
        file.sync()?;
        self.disk.rename(&new, &self.name)?;
        self.disk.sync_dir()
    }
}
