//! A run: a file of entries in the order of their hashes, and its filter in memory.
//!
//! A page that says what it is, pages of entries, and a table: each page's first hash, and the
//! filters, each of a range of hashes so that none is large to make. A run is written once, under
//! another name until it is whole. Every page has a checksum bound to the store, the run and its
//! number, so that bytes of elsewhere are not believed.
//!
//! Left to others: which runs there are ([`super::memory`]).

use std::io;
use std::sync::Arc;

use crc32fast::Hasher;

use super::entry::{ENTRY, LateEntry, Told};
use super::fuse::{Fuse, Shape};
use crate::disk::{self, Disk, DiskFile};
use crate::ids::{FURTHEST, KeyHash, StoreId, StoreTime};
use crate::sabotage::{self, Bug};

pub(super) const PAGE: usize = 4096;
/// What comes before a page's entries: checksum and count.
const PAGE_HEAD: usize = 8;
const ENTRIES_A_PAGE: usize = (PAGE - PAGE_HEAD) / ENTRY;
const MAGIC: [u8; 4] = *b"OKL1";
const VERSION: u32 = 1;
/// Bytes that the first page uses.
const USED: usize = 80;
/// What comes before a filter's bytes in the table.
const FILTER_HEAD: usize = 28;
/// The most keys of one filter.
pub(super) const FILTER_KEYS: u64 = 1 << 19;
/// Pages that are written, or read one after another, at one time.
pub(super) const PAGES_AT_ONCE: usize = 64;
/// A run in the making; one left by a crash means nothing.
pub(super) const RUN_TMP: &str = "late.tmp";

const _: () = assert!(ENTRIES_A_PAGE == 340);

/// The number of a run: later ones have higher ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RunName(pub(super) u64);

impl RunName {
    pub(crate) fn file_name(self) -> String {
        format!("late-{:010}", self.0)
    }

    pub(crate) fn from_file_name(name: &str) -> Option<Self> {
        let number = Self(name.strip_prefix("late-")?.parse().ok()?);
        (number.0 < FURTHEST && number.file_name() == name).then_some(number)
    }
}

/// What the first page of a run says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunHead {
    pub(super) store: StoreId,
    pub(super) number: RunName,
    /// It stands for all runs from this one on.
    pub(super) from: RunName,
    /// When the first of its keys entered.
    pub(super) opened: StoreTime,
    pub(super) entries: u64,
    pub(super) pages: u32,
    table_len: u64,
    table_checksum: u32,
    /// The latest expiry in it.
    pub(super) latest_s: u32,
}

/// Why a run cannot be used, or not all of it.
#[derive(Debug)]
pub(crate) enum RunFault {
    /// Something there is not what was written, from this byte on.
    Damaged(u64, &'static str),
    /// The file could not be read.
    Io(io::Error),
}

/// A checksum that holds only for one page of one run of one store.
pub(super) fn checksum(store: StoreId, number: RunName, page: u32, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&store.0);
    hasher.update(&number.0.to_le_bytes());
    hasher.update(&page.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

impl RunHead {
    fn encode(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(PAGE);
        page.extend(VERSION.to_le_bytes());
        page.extend(self.pages.to_le_bytes());
        page.extend(self.store.0);
        page.extend(self.number.0.to_le_bytes());
        page.extend(self.from.0.to_le_bytes());
        page.extend(self.opened.0.to_le_bytes());
        page.extend(self.entries.to_le_bytes());
        page.extend(self.table_len.to_le_bytes());
        page.extend(self.table_checksum.to_le_bytes());
        page.extend(self.latest_s.to_le_bytes());
        debug_assert_eq!(page.len(), USED - 8);
        page.resize(PAGE - 8, 0);
        let checksum = checksum(self.store, self.number, 0, &page).to_le_bytes();
        [&MAGIC[..], &checksum, &page].concat()
    }

    fn decode(page: &[u8], store: StoreId, number: RunName) -> Option<Self> {
        let (found, body) = page.strip_prefix(&MAGIC)?.split_first_chunk::<4>()?;
        let good = body.len() == PAGE - 8
            && u32::from_le_bytes(*found) == checksum(store, number, 0, body);
        let mut fields = crate::log::varint::Reader::new(body);
        fields.u32().filter(|version| good && *version == VERSION)?;
        let head = Self {
            pages: fields.u32()?,
            store: StoreId(*fields.array()?),
            number: RunName(fields.u64()?),
            from: RunName(fields.u64()?),
            opened: StoreTime(fields.u64()?),
            entries: fields.u64()?,
            table_len: fields.u64()?,
            table_checksum: fields.u32()?,
            latest_s: fields.u32()?,
        };
        let most = u64::from(head.pages) * ENTRIES_A_PAGE as u64;
        let holds = head.from <= number && head.entries <= most;
        (head.store == store && head.number == number && holds).then_some(head)
    }

    /// Where the table starts.
    fn table_offset(&self) -> u64 {
        (u64::from(self.pages) + 1) * PAGE as u64
    }
}

/// The filter of the hashes from `first` on; without one any of them may be there.
#[derive(Debug)]
struct Filter {
    first: u64,
    fuse: Option<Fuse>,
}

/// A run in use.
#[derive(Debug)]
pub(crate) struct Run {
    pub(super) head: RunHead,
    file: Arc<dyn DiskFile>,
    /// The first hash of each page.
    firsts: Vec<u64>,
    filters: Vec<Filter>,
}

impl Run {
    /// Opens the run of a file. The second is what is wrong with a run that can be used all the
    /// same: its table was bad, and was made again from what pages are good.
    pub(super) fn open(
        disk: &dyn Disk,
        store: StoreId,
        number: RunName,
    ) -> Result<(Self, Vec<RunFault>), RunFault> {
        let file = disk.open_read_only(&number.file_name()).map_err(RunFault::Io)?;
        let page = read_at(&*file, 0, PAGE)?;
        let head = RunHead::decode(&page, store, number)
            .ok_or(RunFault::Damaged(0, "the first page is not what was written"))?;
        let len = file.len().map_err(RunFault::Io)?;
        let mut run = Self { head, file, firsts: Vec::new(), filters: Vec::new() };
        let at = head.table_offset();
        let whole = at.checked_add(head.table_len) == Some(len);
        let table_len = usize::try_from(head.table_len).unwrap_or(0);
        let table = if whole { read_at(&*run.file, at, table_len)? } else { Vec::new() };
        if whole
            && checksum(store, number, u32::MAX, &table) == head.table_checksum
            && let Some((firsts, filters)) = decode_table(&table, head.pages)
        {
            (run.firsts, run.filters) = (firsts, filters);
            return Ok((run, Vec::new()));
        }
        let mut faults = vec![RunFault::Damaged(at, "the filters are not what was written")];
        run.make_table(len, &mut faults)?;
        Ok((run, faults))
    }

    /// Makes the table again from the pages that are good.
    fn make_table(&mut self, len: u64, faults: &mut Vec<RunFault>) -> Result<(), RunFault> {
        let pages = u32::try_from(len / PAGE as u64).unwrap_or(u32::MAX).saturating_sub(1);
        let mut table = TableMaker::new(self.head.entries);
        let mut last = 0;
        for number in 0..pages.min(self.head.pages) {
            match self.page(number) {
                Ok(entries) => {
                    let first = entries.first().map_or(last, |entry| entry.hash().0);
                    table.firsts.push(first);
                    entries.iter().for_each(|entry| table.add(entry.hash().0));
                    last = entries.last().map_or(last, |entry| entry.hash().0);
                }
                Err(fault @ RunFault::Damaged(..)) => {
                    // Nothing is found in it: what is before it is not, and it is not read twice.
                    table.firsts.push(last);
                    faults.push(fault);
                }
                Err(error) => return Err(error),
            }
        }
        (self.firsts, self.filters) = table.finish();
        Ok(())
    }

    /// Whether the hash may be in it.
    pub(super) fn may_know(&self, hash: KeyHash) -> bool {
        let after = self.filters.partition_point(|filter| filter.first <= hash.0);
        let filter = after.checked_sub(1).and_then(|at| self.filters.get(at));
        filter.is_some_and(|filter| filter.fuse.as_ref().is_none_or(|fuse| fuse.may_hold(hash.0)))
    }

    /// What it says of a hash, from disk.
    pub(super) fn look(&self, hash: KeyHash) -> Result<Told, RunFault> {
        self.look_on(hash, &mut None)
    }

    /// The same, for hashes in rising order: the page that was read last is kept.
    pub(super) fn look_on(
        &self,
        hash: KeyHash,
        last: &mut Option<(u32, Vec<LateEntry>)>,
    ) -> Result<Told, RunFault> {
        let after = self.firsts.partition_point(|first| *first <= hash.0);
        let Some(page) = after.checked_sub(1).and_then(|page| u32::try_from(page).ok()) else {
            return Ok(Told::default());
        };
        let entries = match last.take_if(|(number, _)| *number == page) {
            Some((_, entries)) => entries,
            None => self.page(page)?,
        };
        let told = told_of(&entries, hash);
        *last = Some((page, entries));
        Ok(told)
    }

    /// Bytes of its file.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.head.table_offset().saturating_add(self.head.table_len)
    }

    /// The entries of a page, checked.
    fn page(&self, number: u32) -> Result<Vec<LateEntry>, RunFault> {
        let offset = (u64::from(number) + 1) * PAGE as u64;
        let bytes = read_at(&*self.file, offset, PAGE)?;
        self.decode(number, &bytes)
    }

    fn decode(&self, number: u32, bytes: &[u8]) -> Result<Vec<LateEntry>, RunFault> {
        let RunHead { store, number: run, .. } = self.head;
        let offset = (u64::from(number) + 1) * PAGE as u64;
        let entries = decode_page(bytes, store, run, number.wrapping_add(1));
        entries.ok_or(RunFault::Damaged(offset, "a page is not what was written"))
    }

    /// Several pages from one on, checked each by itself.
    pub(super) fn pages(
        &self,
        from: u32,
    ) -> Result<Vec<Result<Vec<LateEntry>, RunFault>>, RunFault> {
        let count = (self.head.pages.saturating_sub(from) as usize).min(PAGES_AT_ONCE);
        let offset = (u64::from(from) + 1) * PAGE as u64;
        let mut bytes = vec![0; count * PAGE];
        let read = disk::read(&*self.file, &mut bytes, offset).map_err(RunFault::Io)?;
        let chunks = bytes.get(..read).unwrap_or_default().chunks(PAGE);
        let mut pages: Vec<_> =
            (from..).zip(chunks).map(|(number, bytes)| self.decode(number, bytes)).collect();
        let cut = || Err(RunFault::Damaged(offset, "the file is cut short"));
        pages.resize_with(count, cut);
        Ok(pages)
    }

    /// Bytes of memory that it takes.
    pub(super) fn memory_bytes(&self) -> usize {
        let filters = self.filters.iter().map(|filter| {
            size_of::<Filter>() + filter.fuse.as_ref().map_or(0, |fuse| fuse.packed().len())
        });
        filters.sum::<usize>() + self.firsts.len() * size_of::<u64>()
    }

    /// Reads all of it and says what is not as it was written.
    pub(crate) fn verify(
        disk: &dyn Disk,
        store: StoreId,
        name: RunName,
    ) -> Result<(u64, Vec<RunFault>), RunFault> {
        let (run, mut faults) = Self::open(disk, store, name)?;
        // With a bad table all pages were read to make it again.
        if faults.is_empty() {
            let mut from = 0;
            while from < run.head.pages {
                let pages = run.pages(from)?;
                from += u32::try_from(pages.len()).unwrap_or(u32::MAX);
                faults.extend(pages.into_iter().filter_map(Result::err));
            }
        }
        Ok((run.file.len().map_err(RunFault::Io)?, faults))
    }
}

/// What entries in order say of a hash.
pub(super) fn told_of(entries: &[LateEntry], hash: KeyHash) -> Told {
    let mut told = Told::default();
    let from = entries.partition_point(|entry| entry.hash() < hash);
    let equal = entries.iter().skip(from).take_while(|entry| entry.hash() == hash);
    equal.for_each(|entry| told.take(*entry));
    told
}

fn read_at(file: &dyn DiskFile, offset: u64, len: usize) -> Result<Vec<u8>, RunFault> {
    let mut bytes = vec![0; len];
    let read = disk::read(file, &mut bytes, offset).map_err(RunFault::Io)?;
    match read == len {
        true => Ok(bytes),
        false => Err(RunFault::Damaged(offset, "the file is cut short")),
    }
}

fn decode_page(bytes: &[u8], store: StoreId, run: RunName, page: u32) -> Option<Vec<LateEntry>> {
    let (found, body) = bytes.split_first_chunk::<4>()?;
    let good =
        body.len() == PAGE - 4 && u32::from_le_bytes(*found) == checksum(store, run, page, body);
    let (count, entries) = body.split_first_chunk::<4>().filter(|_| good)?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    let bytes = entries.get(..count.checked_mul(ENTRY)?)?;
    Some(LateEntry::decode_all(bytes).collect())
}

fn decode_table(table: &[u8], pages: u32) -> Option<(Vec<u64>, Vec<Filter>)> {
    let (firsts, mut rest) = table.split_at_checked(pages as usize * size_of::<u64>())?;
    let firsts = firsts.chunks_exact(8).filter_map(|first| first.first_chunk::<8>());
    let firsts = firsts.map(|first| u64::from_le_bytes(*first)).collect();
    let mut filters = Vec::new();
    while !rest.is_empty() {
        let (head, bytes) = rest.split_at_checked(FILTER_HEAD)?;
        let mut fields = crate::log::varint::Reader::new(head);
        let first = fields.u64()?;
        let shape = Shape {
            seed: fields.u64()?,
            segment_length: fields.u32()?,
            segment_count: fields.u32()?,
        };
        let len = usize::try_from(fields.u32()?).ok()?;
        let (packed, next) = bytes.split_at_checked(len)?;
        rest = next;
        let fuse = if len == 0 { None } else { Some(Fuse::of_bytes(shape, packed.to_vec())?) };
        filters.push(Filter { first, fuse });
    }
    Some((firsts, filters))
}

/// The table of a run in the making.
struct TableMaker {
    firsts: Vec<u64>,
    filters: Vec<Filter>,
    /// Of the filter that is made next, none twice.
    hashes: Vec<u64>,
    filter_keys: u64,
}

impl TableMaker {
    /// For at most so many entries: filters of about the same size.
    fn new(entries: u64) -> Self {
        let filters = entries.div_ceil(FILTER_KEYS).max(1);
        let filter_keys = entries.div_ceil(filters).max(1);
        Self { firsts: Vec::new(), filters: Vec::new(), hashes: Vec::new(), filter_keys }
    }

    /// Adds the hash of the next entry; there may be two of one hash.
    fn add(&mut self, hash: u64) {
        if self.hashes.last() == Some(&hash) {
            return;
        }
        if self.hashes.len() as u64 >= self.filter_keys {
            self.make_filter();
        }
        self.hashes.push(hash);
    }

    fn make_filter(&mut self) {
        if let Some(first) = self.hashes.first() {
            self.filters.push(Filter { first: *first, fuse: Fuse::build(&self.hashes) });
        }
        self.hashes.clear();
    }

    fn finish(mut self) -> (Vec<u64>, Vec<Filter>) {
        self.make_filter();
        self.filters.shrink_to_fit();
        self.firsts.shrink_to_fit();
        (self.firsts, self.filters)
    }
}

fn encode_table(firsts: &[u64], filters: &[Filter]) -> Vec<u8> {
    let mut table = Vec::new();
    firsts.iter().for_each(|first| table.extend(first.to_le_bytes()));
    for Filter { first, fuse } in filters {
        let none = Shape { seed: 0, segment_length: 0, segment_count: 0 };
        let shape = fuse.as_ref().map_or(none, Fuse::shape);
        let packed = fuse.as_ref().map_or(&[][..], Fuse::packed);
        table.extend(first.to_le_bytes());
        table.extend(shape.seed.to_le_bytes());
        table.extend(shape.segment_length.to_le_bytes());
        table.extend(shape.segment_count.to_le_bytes());
        table.extend(u32::try_from(packed.len()).unwrap_or(u32::MAX).to_le_bytes());
        table.extend(packed);
    }
    table
}

/// How far a run in the making has come.
pub(crate) enum Progress<'a> {
    /// A key was taken in.
    Key,
    /// So many bytes were written to its file, and not synced.
    Written(u64, &'a dyn DiskFile),
}

/// A run in the making: entries come in order, all of one hash together.
pub(super) struct RunWriter<'a> {
    disk: &'a dyn Disk,
    file: Arc<dyn DiskFile>,
    head: RunHead,
    table: TableMaker,
    /// Of the page that is filled.
    entries: Vec<LateEntry>,
    /// Full pages that are not written yet, and where they go.
    bytes: Vec<u8>,
    offset: u64,
}

impl<'a> RunWriter<'a> {
    /// Begins a run of at most so many entries.
    pub(super) fn begin(
        disk: &'a dyn Disk,
        store: StoreId,
        (from, number): (RunName, RunName),
        opened: StoreTime,
        at_most: u64,
    ) -> io::Result<Self> {
        let file = disk.create(RUN_TMP)?;
        let head = RunHead {
            store,
            number,
            from,
            opened,
            entries: 0,
            pages: 0,
            table_len: 0,
            table_checksum: 0,
            latest_s: 0,
        };
        let table = TableMaker::new(at_most);
        let (entries, bytes) = (Vec::with_capacity(ENTRIES_A_PAGE), Vec::new());
        Ok(Self { disk, file, head, table, entries, bytes, offset: PAGE as u64 })
    }

    /// Adds all entries of one hash.
    pub(super) fn add(
        &mut self,
        entries: impl IntoIterator<Item = LateEntry>,
        step: &mut dyn FnMut(Progress<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        // All of one hash are in one page: at most two are.
        if self.entries.len() + 2 > ENTRIES_A_PAGE {
            self.end_page();
            if self.bytes.len() >= PAGES_AT_ONCE * PAGE {
                self.write_bytes(step)?;
            }
        }
        for entry in entries {
            if self.entries.is_empty() {
                self.table.firsts.push(entry.hash().0);
            }
            self.table.add(entry.hash().0);
            self.entries.push(entry);
            self.head.entries += 1;
            self.head.latest_s = self.head.latest_s.max(entry.seconds());
        }
        step(Progress::Key)
    }

    fn end_page(&mut self) {
        if self.entries.is_empty() {
            return;
        }
        self.head.pages += 1;
        let mut body = Vec::with_capacity(PAGE);
        body.extend(u32::try_from(self.entries.len()).unwrap_or(0).to_le_bytes());
        self.entries.iter().for_each(|entry| entry.encode(&mut body));
        body.resize(PAGE - 4, 0);
        let RunHead { store, number, pages, .. } = self.head;
        self.bytes.extend(checksum(store, number, pages, &body).to_le_bytes());
        self.bytes.extend(body);
        self.entries.clear();
    }

    fn write_bytes(
        &mut self,
        step: &mut dyn FnMut(Progress<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        for piece in self.bytes.chunks(PAGES_AT_ONCE * PAGE) {
            self.file.write_at(piece, self.offset)?;
            self.offset += piece.len() as u64;
            step(Progress::Written(piece.len() as u64, &*self.file))?;
        }
        self.bytes.clear();
        Ok(())
    }

    /// Writes the rest and gives the run its name; from then on it stands for those it was made
    /// of. `None` if nothing was in it.
    pub(super) fn finish(
        mut self,
        step: &mut dyn FnMut(Progress<'_>) -> io::Result<()>,
    ) -> io::Result<Option<Run>> {
        if sabotage::is_on(Bug::ShortRun) {
            self.entries.pop();
        }
        self.end_page();
        if self.head.entries == 0 {
            self.disk.remove(RUN_TMP)?;
            return Ok(None);
        }
        let made = std::mem::replace(&mut self.table, TableMaker::new(0));
        let (firsts, filters) = made.finish();
        let table = encode_table(&firsts, &filters);
        self.head.table_len = table.len() as u64;
        self.head.table_checksum = checksum(self.head.store, self.head.number, u32::MAX, &table);
        self.bytes.extend(table);
        self.write_bytes(step)?;
        let Self { disk, file, head, .. } = self;
        file.write_at(&head.encode(), 0)?;
        file.sync()?;
        disk.rename(RUN_TMP, &head.number.file_name())?;
        disk.sync_dir()?;
        Ok(Some(Run { head, file, firsts, filters }))
    }
}

#[cfg(test)]
mod tests;
