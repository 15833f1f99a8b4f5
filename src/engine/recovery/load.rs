//! The index from the footers of sealed segments, all at once.
//!
//! Shards are filled in groups. The entries of a group are gathered in piles, sorted, and
//! laid out shard by shard. A group has at most [`GROUP_ENTRIES`] entries of 16 bytes, whatever the
//! store holds, so that is what opening takes beyond the index itself: 192 MiB a worker, and the
//! footers are read once for each group. Workers share nothing but the list of groups.
//!
//! Only entries with the same 64 bits of hash can be of one key; for these alone the frames are
//! read. The newest record of a key counts, and a forget hides what is older than itself. What
//! cannot be read stays listed: whoever looks it up is told of the damage.
//!
//! Left to others: which segments there are, and that their footers are theirs (the census).

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::late::Expired;
use super::records::{Identity, identity};
use super::report::DamageReport;
use crate::engine::segment::{Segment, SegmentTable};
use crate::engine::shard::LockedShard;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{KeyHash, StoreTime};
use crate::index::{Geometry, IndexShard, Location, SHARDS, by_shard};
use crate::late::{LateEntry, Told};
use crate::log::{FooterEntry, SegmentKind};
use crate::progress::{Observer, Phase};
use crate::sabotage::{self, Bug};

/// Entries that a worker has in memory at one time, unless hashes are worse spread than they are.
const GROUP_ENTRIES: u64 = 12 << 20;
/// More would wait for memory.
const MAX_WORKERS: usize = 4;
/// Into how many piles a group's entries are gathered: what is sorted at one time is then small
/// enough for the processor's caches.
const PILES: usize = 64;
/// With fewer entries a second thread is not worth its start.
const ENTRIES_A_WORKER: u64 = 50_000;

/// One record or forget of a footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    hash: KeyHash,
    /// The packed location, or of what has expired the seconds of its expiry; and in the lowest
    /// bits whether it has, and whether it is a forget.
    place: u64,
}

impl Entry {
    const FORGET: u64 = 1;
    const EXPIRED: u64 = 2;
    const BITS: u32 = 2;

    fn alive(entry: &FooterEntry, location: Location, geometry: Geometry) -> Self {
        let place = (geometry.pack(location) << Self::BITS) | u64::from(entry.forget);
        Self { hash: entry.hash, place }
    }

    pub(super) fn expired(hash: KeyHash, forget: bool, expires_s: u32) -> Self {
        let place = (u64::from(expires_s) << Self::BITS) | Self::EXPIRED | u64::from(forget);
        Self { hash, place }
    }

    fn is_forget(self) -> bool {
        self.place & Self::FORGET != 0
    }

    fn is_expired(self) -> bool {
        self.place & Self::EXPIRED != 0
    }

    fn location(self, geometry: Geometry) -> Location {
        geometry.unpack(self.place >> Self::BITS)
    }

    /// As the memory says it. A forget hides what expired by its own expiry: that is the expiry of
    /// what was forgotten, and what it replaced had expired before.
    fn remembered(self) -> Option<LateEntry> {
        let seconds = u32::try_from(self.place >> Self::BITS).ok()?;
        match self.is_forget() {
            true => Some(LateEntry::mark(self.hash, seconds)),
            false => LateEntry::expired(self.hash, seconds),
        }
    }
}

const _: () = assert!(size_of::<Entry>() == 16);

/// What loading came to.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) records: u64,
    /// Forgets that cannot be read.
    pub(super) damage: Vec<DamageReport>,
}

/// What is loaded, and how.
pub(super) struct Loader<'a> {
    pub(super) geometry: Geometry,
    pub(super) now: StoreTime,
    /// Those in which anything is alive, or to be remembered.
    pub(super) segments: &'a [Arc<Segment>],
    pub(super) table: &'a SegmentTable,
    pub(super) shards: &'a [LockedShard],
    pub(super) observer: &'a Observer,
    /// The most threads that may work at one time.
    pub(super) workers: usize,
    /// What has expired in segments that are not loaded.
    pub(super) tail: &'a [Entry],
    pub(super) expired: &'a Expired,
}

/// How many threads may load, if there may be any.
pub(super) fn workers(threads: bool) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if threads { cores.min(MAX_WORKERS) } else { 1 }
}

impl Loader<'_> {
    /// Fills all shards, which are empty.
    pub(super) fn load(&self) -> Result<Loaded> {
        let entries: u64 = self.segments.iter().map(|segment| segment.contents().records).sum();
        let useful = usize::try_from(entries / ENTRIES_A_WORKER).unwrap_or(usize::MAX);
        let workers = self.workers.min(useful).max(1);
        let groups = usize::try_from(entries.div_ceil(GROUP_ENTRIES)).unwrap_or(SHARDS);
        self.load_groups(groups.max(1).next_multiple_of(workers).min(SHARDS), workers)
    }

    /// Fills the shards in so many groups on so many threads.
    fn load_groups(&self, groups: usize, workers: usize) -> Result<Loaded> {
        let tasks = Tasks { groups, next: AtomicUsize::new(0), read: AtomicUsize::new(0) };
        let mut all = Vec::new();
        if workers == 1 {
            all = Worker::new(self, &tasks).run()?;
        } else {
            let results: Vec<_> = std::thread::scope(|scope| {
                let start = |_| scope.spawn(|| Worker::new(self, &tasks).run());
                let started: Vec<_> = (0..workers).map(start).collect();
                started.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
            });
            for result in results {
                let panicked = |_| Error::new(ErrorKind::Io, "a thread that loaded panicked");
                all.append(&mut result.map_err(panicked)??);
            }
        }
        // In an order that does not depend on the threads.
        all.sort_unstable_by_key(|(group, _)| *group);
        let mut loaded = Loaded::default();
        for (_, mut group) in all {
            loaded.records += group.records;
            loaded.damage.append(&mut group.damage);
        }
        Ok(loaded)
    }
}

/// What there is to do for all workers.
struct Tasks {
    groups: usize,
    /// The first group that nobody has taken.
    next: AtomicUsize,
    /// Footers that were read, over all groups.
    read: AtomicUsize,
}

impl Tasks {
    fn take(&self) -> Option<usize> {
        let group = self.next.fetch_add(1, Ordering::Relaxed);
        (group < self.groups).then_some(group)
    }

    fn shards(&self, group: usize) -> Range<usize> {
        group * SHARDS / self.groups..(group + 1) * SHARDS / self.groups
    }
}

/// The pile of a hash, if its shard is one of these.
fn pile_of<'a>(
    piles: &'a mut [Vec<Entry>],
    shards: &Range<usize>,
    hash: KeyHash,
) -> Option<&'a mut Vec<Entry>> {
    let shard = hash.shard();
    let number = shards.contains(&shard).then(|| (shard - shards.start) / pile_len(shards))?;
    piles.get_mut(number)
}

/// The shards of a pile; the last piles may have none.
fn part(shards: &Range<usize>, pile: usize) -> Range<usize> {
    let begin = |pile: usize| (shards.start + pile * pile_len(shards)).min(shards.end);
    begin(pile)..begin(pile + 1)
}

fn pile_len(shards: &Range<usize>) -> usize {
    shards.len().div_ceil(PILES).max(1)
}

/// One thread's work, and the memory that it uses again.
struct Worker<'a> {
    loader: &'a Loader<'a>,
    tasks: &'a Tasks,
    /// What was gathered, each pile of its part of the group's shards.
    piles: Vec<Vec<Entry>>,
    /// A footer's bytes.
    footer: Vec<u8>,
    /// What is to be remembered of a group.
    late: Vec<LateEntry>,
    /// What a shard is made of.
    records: Vec<(KeyHash, Location)>,
    loaded: Loaded,
}

impl<'a> Worker<'a> {
    fn new(loader: &'a Loader<'a>, tasks: &'a Tasks) -> Self {
        Self {
            loader,
            tasks,
            piles: vec![Vec::new(); PILES],
            footer: Vec::new(),
            late: Vec::new(),
            records: Vec::new(),
            loaded: Loaded::default(),
        }
    }

    fn run(mut self) -> Result<Vec<(usize, Loaded)>> {
        let mut all = Vec::new();
        while let Some(group) = self.tasks.take() {
            self.load_group(self.tasks.shards(group))?;
            all.push((group, std::mem::take(&mut self.loaded)));
        }
        Ok(all)
    }

    fn load_group(&mut self, shards: Range<usize>) -> Result<()> {
        self.gather(&shards)?;
        let mut piles = std::mem::take(&mut self.piles);
        for (number, pile) in piles.iter_mut().enumerate() {
            self.load_pile(pile, part(&shards, number))?;
        }
        self.piles = piles;
        self.loader.expired.take(std::mem::take(&mut self.late));
        Ok(())
    }

    /// Fills the shards whose entries are in a pile.
    fn load_pile(&mut self, entries: &mut [Entry], shards: Range<usize>) -> Result<()> {
        let begins = by_shard(entries, shards.clone(), |entry| entry.hash);
        let ends = begins.iter().zip(begins.iter().skip(1));
        for (shard, (begin, end)) in self.loader.shards.iter().skip(shards.start).zip(ends) {
            let own = entries.get_mut(*begin..*end).unwrap_or_default();
            own.sort_unstable();
            self.settle(own)?;
            self.loaded.records += self.records.len() as u64;
            shard.lock().index = IndexShard::made_of(&self.records, self.loader.geometry);
        }
        Ok(())
    }

    /// Gathers what has not expired, or is to be remembered, of these shards from all footers.
    fn gather(&mut self, shards: &Range<usize>) -> Result<()> {
        let Loader { geometry, now, segments, observer, tail, expired, .. } = *self.loader;
        let entries: u64 = segments.iter().map(|segment| segment.contents().records).sum();
        let in_pile = usize::try_from(entries).unwrap_or(0) / SHARDS * pile_len(shards);
        for pile in &mut self.piles {
            pile.clear();
            // Hashes are spread evenly, and more than a little is not wasted.
            pile.reserve(in_pile + in_pile / 16);
        }
        for entry in tail {
            if let Some(pile) = pile_of(&mut self.piles, shards, entry.hash) {
                pile.push(*entry);
            }
        }
        for segment in segments {
            let (_, entries) = segment.read_entries(&mut self.footer)?;
            for entry in entries {
                let Some(pile) = pile_of(&mut self.piles, shards, entry.hash) else { continue };
                let expires_at = entry.expires_at(segment.base);
                if expires_at > now {
                    let location = Location { slot: segment.slot, offset: entry.offset };
                    pile.push(Entry::alive(&entry, location, geometry));
                } else if expired.remembers(expires_at) {
                    pile.push(Entry::expired(entry.hash, entry.forget, entry.expires_s));
                }
            }
            let read = self.tasks.read.fetch_add(1, Ordering::Relaxed) + 1;
            observer.tell(Phase::Index, read, segments.len() * self.tasks.groups);
        }
        Ok(())
    }

    /// Finds the records that count among a shard's entries, which are in order.
    fn settle(&mut self, entries: &[Entry]) -> Result<()> {
        self.records.clear();
        let mut alive = Vec::new();
        for equal in entries.chunk_by(|one, next| one.hash == next.hash) {
            let mut rest = equal;
            if equal.iter().any(|entry| entry.is_expired()) {
                alive.clear();
                alive.extend(equal.iter().copied().filter(|entry| !entry.is_expired()));
                self.settle_expired(equal, alive.is_empty());
                rest = &alive;
            }
            match rest {
                [] => {}
                [only] if only.is_forget() => {}
                [only] => self.records.push((only.hash, only.location(self.loader.geometry))),
                several => self.settle_equal(several)?,
            }
        }
        Ok(())
    }

    /// Remembers the expiry of a key of which nothing is alive, and every forget: with its frame
    /// goes what hides an older record, wherever that may still be. What is alive is newer than
    /// what has expired, and says so itself when its time is over.
    fn settle_expired(&mut self, equal: &[Entry], alone: bool) {
        let mut told = Told::default();
        let counts = |entry: &&Entry| entry.is_expired() && (alone || entry.is_forget());
        let entries = equal.iter().filter(counts).filter_map(|entry| entry.remembered());
        entries.for_each(|entry| told.take(entry));
        if let Some(first) = equal.first() {
            self.late.extend(told.entries(first.hash, 0).into_iter().flatten());
        }
    }

    /// Decides between entries whose hashes are equal, which may be of one key or of several.
    fn settle_equal(&mut self, equal: &[Entry]) -> Result<()> {
        let Loader { geometry, table, .. } = *self.loader;
        let place = |entry: Entry| (entry.hash, entry.location(geometry));
        let (forgets, records): (Vec<Entry>, Vec<Entry>) =
            equal.iter().partition(|entry| entry.is_forget());
        let before = self.records.len();
        let mut known: Vec<(Identity, (KeyHash, Location))> = Vec::new();
        for entry in records {
            match identity(table, entry.location(geometry))? {
                Some(identity) => known.push((identity, place(entry))),
                None => self.records.push(place(entry)),
            }
        }
        // The newest of each key first, and only that.
        known.sort_unstable_by(|(one, _), (other, _)| {
            one.of_key().cmp(&other.of_key()).then(other.order.cmp(&one.order))
        });
        known.dedup_by(|(older, _), (newest, _)| older.of_key() == newest.of_key());
        let mut unreadable = Vec::new();
        for entry in forgets {
            let location = entry.location(geometry);
            let Some(forget) = identity(table, location)? else {
                unreadable.push(location);
                continue;
            };
            known.retain(|(record, (_, place))| {
                let hidden = record.of_key() == forget.of_key() && record.order < forget.order;
                !hidden || self.is_spared(*place)
            });
        }
        self.records.extend(known.into_iter().map(|(_, place)| place));
        if self.records.len() > before {
            self.loaded.damage.extend(unreadable.into_iter().map(|location| DamageReport {
                file: location.slot.file_name(),
                offset: u64::from(location.offset),
                bytes: 0,
                what: "a forget cannot be read: the record that it hides may be back".into(),
            }));
        }
        Ok(())
    }

    /// Whether a record outlives its forget: never, but for a bug that is there on purpose.
    fn is_spared(&self, record: Location) -> bool {
        let is_copy = |segment: Arc<Segment>| segment.kind == SegmentKind::Compacted;
        sabotage::is_on(Bug::UndeadCopy) && self.loader.table.get(record.slot).is_some_and(is_copy)
    }
}

#[cfg(test)]
mod tests;
