//! The index from the footers of sealed segments, all at once.
//!
//! Shards are filled in rounds. Threads share the footers of a round, and gather the entries of its
//! shards in piles; then they share the piles, put each in order, and lay it out shard by shard. A
//! round has at most [`ROUND_ENTRIES`] entries of 16 bytes for each thread, whatever the store
//! holds, so that is what opening takes beyond the index itself: 192 MiB a thread. The footers are
//! read once a round, rather than kept: to read them again takes less time than memory that is
//! touched for the first time.
//!
//! Only entries with the same 64 bits of hash can be of one key; for these alone the frames are
//! read. The newest record of a key counts, and a forget hides what is older than itself. What
//! cannot be read stays listed: whoever looks it up is told of the damage.
//!
//! Left to others: which segments there are, and that their footers are theirs (the census).

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::crew;
use super::forgotten::Forgotten;
use super::late::Expired;
use super::pile::{Entry, Piles, Plan, Sorter};
use super::records::{Identity, identity};
use super::report::DamageReport;
use crate::engine::segment::{Segment, SegmentTable};
use crate::engine::shard::LockedShard;
use crate::error::Result;
use crate::ids::{KeyHash, StoreTime, Token};
use crate::index::{Geometry, IndexShard, Location, SHARDS};
use crate::late::{LateEntry, Told};
use crate::log::{FooterEntries, SegmentKind};
use crate::progress::{Observer, Phase};
use crate::sabotage::{self, Bug};
use crate::sync::Mutex;

/// Entries that are in memory for each worker at one time, unless hashes are worse spread than they
/// are.
const ROUND_ENTRIES: usize = 12 << 20;
/// With fewer entries a second thread is not worth its start.
const ENTRIES_A_WORKER: u64 = 50_000;

/// What loading came to.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) records: u64,
    /// Forgets that cannot be read.
    pub(super) damage: Vec<DamageReport>,
    /// Hashes of which a forget is alive and no record, and something has expired.
    unsure: Vec<KeyHash>,
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
    pub(super) tail: &'a [(Entry, Token)],
    pub(super) expired: &'a Expired,
}

impl Loader<'_> {
    /// Fills all shards, which are empty.
    pub(super) fn load(&self) -> Result<Loaded> {
        let entries = self.entries();
        let useful = usize::try_from(entries / ENTRIES_A_WORKER).unwrap_or(usize::MAX);
        let workers = self.workers.min(useful).max(1);
        let rounds = entries.div_ceil((ROUND_ENTRIES * workers) as u64);
        self.load_rounds(usize::try_from(rounds).unwrap_or(SHARDS).clamp(1, SHARDS), workers)
    }

    fn entries(&self) -> u64 {
        self.segments.iter().map(|segment| segment.contents().records).sum()
    }

    /// Fills the shards in so many rounds on so many threads.
    fn load_rounds(&self, rounds: usize, workers: usize) -> Result<Loaded> {
        let mut loaded = Loaded::default();
        let (spare, read) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
        let tell = || {
            let read = read.fetch_add(1, Ordering::Relaxed) + 1;
            self.observer.tell(Phase::Index, read, self.segments.len() * rounds);
        };
        for round in 0..rounds {
            let plan = Plan::of(round * SHARDS / rounds..(round + 1) * SHARDS / rounds);
            let gathered = self.gather(&plan, workers, &spare, &tell)?;
            let (own, piles) = (|| Worker::new(self), plan.piles());
            let (_, filled) = crew::share(workers, piles, own, |worker, pile| {
                let parts: Vec<&[Entry]> = gathered.iter().flat_map(|own| own.get(pile)).collect();
                worker.load_pile(&parts, plan.part(pile))
            })?;
            // In an order that does not depend on the threads.
            for mut filled in filled {
                loaded.records += filled.records;
                loaded.damage.append(&mut filled.damage);
                loaded.unsure.append(&mut filled.unsure);
            }
            *spare.lock() = gathered;
        }
        let unsure = std::mem::take(&mut loaded.unsure);
        if !unsure.is_empty() {
            let remembers = |expired_at| self.expired.remembers(expired_at);
            let executed_again = Forgotten::new(unsure);
            self.expired.take(executed_again.after(
                self.segments,
                self.tail,
                self.now,
                remembers,
            )?);
        }
        Ok(loaded)
    }

    /// Gathers what has not expired, or is to be remembered, of a plan's shards from all footers.
    fn gather(
        &self,
        plan: &Plan,
        workers: usize,
        spare: &Mutex<Vec<Piles>>,
        tell: &(impl Fn() + Sync),
    ) -> Result<Vec<Piles>> {
        let entries = usize::try_from(self.entries()).unwrap_or(0) + self.tail.len();
        let in_round = entries / workers * plan.shards() / SHARDS;
        let state = || {
            let mut piles: Piles = spare.lock().pop().unwrap_or_default();
            // Hashes are spread evenly, footers less so.
            piles.begin(plan.piles(), in_round + in_round / 8);
            (piles, Vec::new())
        };
        let pieces = self.segments.len() + usize::from(!self.tail.is_empty());
        let (states, _) = crew::share(workers, pieces, state, |(piles, buffer), piece| {
            let Some(segment) = self.segments.get(piece) else {
                for (entry, _) in self.tail {
                    if let Some(pile) = plan.pile_of(entry.hash) {
                        piles.add(pile, *entry);
                    }
                }
                return Ok(());
            };
            let (_, entries) = segment.read_entries(buffer)?;
            self.gather_entries(segment, entries, plan, piles);
            tell();
            Ok(())
        })?;
        Ok(states.into_iter().map(|(piles, _)| piles).collect())
    }

    fn gather_entries(
        &self,
        segment: &Segment,
        entries: FooterEntries<'_>,
        plan: &Plan,
        piles: &mut Piles,
    ) {
        for entry in entries {
            let Some(pile) = plan.pile_of(entry.hash) else { continue };
            let expires_at = entry.expires_at(segment.base);
            if expires_at > self.now {
                let location = Location { slot: segment.slot, offset: entry.offset };
                piles.add(pile, Entry::alive(&entry, location, self.geometry));
            } else if self.expired.remembers(expires_at) {
                piles.add(pile, Entry::expired(entry.hash, entry.forget, entry.expires_s));
            }
        }
    }
}

/// One thread's work, and the memory that it uses again.
struct Worker<'a> {
    loader: &'a Loader<'a>,
    sorter: Sorter,
    /// What is to be remembered of a pile.
    late: Vec<LateEntry>,
    /// What a shard is made of.
    records: Vec<(KeyHash, Location)>,
    loaded: Loaded,
}

impl<'a> Worker<'a> {
    fn new(loader: &'a Loader<'a>) -> Self {
        Self {
            loader,
            sorter: Sorter::default(),
            late: Vec::new(),
            records: Vec::new(),
            loaded: Loaded::default(),
        }
    }

    /// Fills the shards whose entries are in a pile.
    fn load_pile(&mut self, parts: &[&[Entry]], shards: Range<usize>) -> Result<Loaded> {
        let mut sorter = std::mem::take(&mut self.sorter);
        let mut rest = sorter.sort(parts, shards.clone());
        for (number, shard) in shards.clone().zip(self.loader.shards.iter().skip(shards.start)) {
            let end = rest.partition_point(|entry| entry.hash.shard() <= number);
            let (own, others) = rest.split_at_checked(end).unwrap_or_default();
            rest = others;
            self.settle(own)?;
            self.loaded.records += self.records.len() as u64;
            shard.lock().index = IndexShard::made_of(&self.records, self.loader.geometry);
        }
        self.sorter = sorter;
        self.loader.expired.take(std::mem::take(&mut self.late));
        Ok(std::mem::take(&mut self.loaded))
    }

    /// Finds the records that count among a shard's entries, which are in order.
    fn settle(&mut self, entries: &[Entry]) -> Result<()> {
        self.records.clear();
        let mut alive = Vec::new();
        for equal in entries.chunk_by(|one, next| one.hash == next.hash) {
            let mut rest = equal;
            let any_expired = equal.iter().any(|entry| entry.is_expired());
            if any_expired {
                alive.clear();
                alive.extend(equal.iter().copied().filter(|entry| !entry.is_expired()));
                rest = &alive;
            }
            let before = self.records.len();
            match rest {
                [] => {}
                [only] if only.is_forget() => {}
                [only] => self.records.push((only.hash, only.location(self.loader.geometry))),
                several => self.settle_equal(several)?,
            }
            if any_expired {
                self.settle_expired(equal, alive.is_empty());
                if !alive.is_empty() && self.records.len() == before {
                    self.loaded.unsure.extend(equal.first().map(|entry| entry.hash));
                }
            }
        }
        Ok(())
    }

    /// Remembers the expiry of a key of which nothing is alive, and every forget: with its frame
    /// goes what hides an older record, wherever that may still be. A record that is alive is newer
    /// than what has expired, and says so itself when its time is over.
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
