//! The gateway's book: a file with one line of JSON for each charge that was really made.
//!
//! It is the witness of the demo: written by the gateway alone, in one append a line, and read
//! back from disk for the comparison at the end.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::failure::{Doing, Result};

/// One charge: somebody's money has moved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Charge {
    #[serde(rename = "charge")]
    pub(crate) id: String,
    pub(crate) downstream_key: String,
    pub(crate) account: String,
    /// The idempotency key that the client sent to the service.
    pub(crate) reference: String,
    pub(crate) amount: u64,
    pub(crate) currency: String,
    pub(crate) at: String,
}

/// The file, open for appending.
#[derive(Debug)]
pub(crate) struct Book {
    file: File,
}

impl Book {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let doing = format!("opening the gateway's book {}", path.display());
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).doing(&doing)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).doing(&doing)?;
        Ok(Self { file })
    }

    /// Adds a line with a single write: it is there whole, whoever dies next.
    pub(crate) fn append(&mut self, charge: &Charge) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(charge)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}

/// Every charge in the book, in the order they were made.
pub(crate) fn read(path: &Path) -> Result<Vec<Charge>> {
    let text = std::fs::read_to_string(path)
        .doing(format_args!("reading the gateway's book {}", path.display()))?;
    text.lines()
        .enumerate()
        .map(|(number, line)| {
            serde_json::from_str(line).doing(format_args!(
                "line {} of {}",
                number + 1,
                path.display()
            ))
        })
        .collect()
}
