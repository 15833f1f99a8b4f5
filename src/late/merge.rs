//! Several runs and a sorted list, as one: what a run is made of.
//!
//! Of each hash at most an expiry and a mark are kept, and nothing that is not told any more. Pages
//! that are damaged are passed over and counted.

use std::io;
use std::iter::Peekable;
use std::sync::Arc;
use std::vec;

use super::entry::{LateEntry, Told};
use super::run::{Progress, Run, RunFault, RunWriter};
use crate::ids::KeyHash;

/// The entries of a run, read some pages at a time.
struct Reading {
    run: Arc<Run>,
    next_page: u32,
    entries: vec::IntoIter<LateEntry>,
    /// Why it ended early.
    failed: Option<io::Error>,
    damaged_pages: u64,
}

impl Reading {
    fn new(run: Arc<Run>) -> Self {
        let entries = Vec::new().into_iter();
        Self { run, next_page: 0, entries, failed: None, damaged_pages: 0 }
    }

    /// Reads on; false at the end.
    fn refill(&mut self) -> bool {
        while self.failed.is_none() && self.next_page < self.run.head.pages {
            let pages = match self.run.pages(self.next_page) {
                Ok(pages) => pages,
                Err(RunFault::Io(error)) => {
                    self.failed = Some(error);
                    return false;
                }
                Err(RunFault::Damaged(..)) => Vec::new(),
            };
            if pages.is_empty() {
                return false;
            }
            self.next_page += u32::try_from(pages.len()).unwrap_or(u32::MAX);
            let found = pages.len();
            let good: Vec<_> = pages.into_iter().filter_map(Result::ok).collect();
            self.damaged_pages += (found - good.len()) as u64;
            self.entries = good.into_iter().flatten().collect::<Vec<_>>().into_iter();
            if self.entries.len() > 0 {
                return true;
            }
        }
        false
    }
}

impl Iterator for Reading {
    type Item = LateEntry;

    fn next(&mut self) -> Option<LateEntry> {
        loop {
            if let Some(entry) = self.entries.next() {
                return Some(entry);
            }
            if !self.refill() {
                return None;
            }
        }
    }
}

/// Writes what runs and a sorted list hold, without what expired by `since_s`. Returns how many
/// pages were damaged.
pub(super) fn merge(
    runs: &[Arc<Run>],
    list: &[LateEntry],
    since_s: u32,
    writer: &mut RunWriter<'_>,
    step: &mut dyn FnMut(Progress<'_>) -> io::Result<()>,
) -> io::Result<u64> {
    let mut readings: Vec<_> = runs.iter().cloned().map(Reading::new).collect();
    let mut sources: Vec<_> = readings.iter_mut().map(Iterator::peekable).collect();
    let mut list = list.iter().copied().peekable();
    loop {
        let heads = sources.iter_mut().filter_map(|source| source.peek().map(|entry| entry.hash()));
        let Some(hash) = heads.chain(list.peek().map(|entry| entry.hash())).min() else { break };
        let mut told = Told::default();
        sources.iter_mut().for_each(|source| take(source, hash, &mut told));
        take(&mut list, hash, &mut told);
        writer.add(told.entries(hash, since_s).into_iter().flatten(), step)?;
    }
    drop(sources);
    let mut damaged = 0;
    for reading in readings {
        if let Some(error) = reading.failed {
            return Err(error);
        }
        damaged += reading.damaged_pages;
    }
    Ok(damaged)
}

/// Takes all entries of a hash off the front of a source.
fn take(source: &mut Peekable<impl Iterator<Item = LateEntry>>, hash: KeyHash, told: &mut Told) {
    while let Some(entry) = source.next_if(|entry| entry.hash() == hash) {
        told.take(entry);
    }
}
