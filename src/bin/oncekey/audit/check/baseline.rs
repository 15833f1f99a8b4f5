//! Figures that were saved, to compare later ones with.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use oncekey::audit::report::Report;
use serde::{Deserialize, Serialize};

use crate::failure::{Doing, Failure, Result};

const FORMAT: u32 = 1;
/// A file that is larger is none of ours.
const MAX_BYTES: u64 = 1 << 20;

/// The figures of a check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Baseline {
    format: u32,
    pub(super) stores: Vec<String>,
    pub(super) from_ms: u64,
    pub(super) to_ms: u64,
    /// Those that there was something to make of.
    pub(super) figures: BTreeMap<String, f64>,
}

impl Baseline {
    pub(super) fn of(report: &Report) -> Self {
        let figures = Report::figure_names()
            .filter_map(|name| Some((name.to_owned(), report.figure(name)?)))
            .filter(|(_, value)| value.is_finite());
        Self {
            format: FORMAT,
            stores: report.stores.clone(),
            from_ms: report.window.from_ms,
            to_ms: report.window.to_ms,
            figures: figures.collect(),
        }
    }

    /// Reads a file that [`save`](Self::save) wrote; `None` if it is not there.
    pub(super) fn read(path: &Path) -> Result<Option<Self>> {
        let doing = || format!("reading the baseline {}", path.display());
        let bytes = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Ok(facts) if facts.len() > MAX_BYTES => {
                return Err(Failure::new(format!("{}: it is too large for one", doing())));
            }
            _ => fs::read(path).doing(doing())?,
        };
        Self::parse(&bytes, doing).map(Some)
    }

    /// Reads what [`save`](Self::save) wrote.
    pub(super) fn parse(bytes: &[u8], doing: impl Fn() -> String) -> Result<Self> {
        let baseline: Self = serde_json::from_slice(bytes).doing(doing())?;
        if baseline.format != FORMAT {
            let format = baseline.format;
            return Err(Failure::new(format!("{}: a newer oncekey wrote it ({format})", doing())));
        }
        Ok(baseline)
    }

    /// Writes it whole or not at all.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).doing("the figures as JSON")? + "\n";
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let new = folder.join(name);
        let write = || {
            let mut file = fs::File::create(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, path)
        };
        write()
            .inspect_err(|_| drop(fs::remove_file(&new)))
            .doing(format!("saving {}", path.display()))
    }
}
