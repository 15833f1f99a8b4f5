//! How far each store has been told, and what is missing of it.

use super::head::Head;
use super::merger::{Merge, MergedStore};
use super::told::Producer;
use crate::ids::{StoreId, StoreTime};

/// A store's gaps are listed up to so many; more are counted.
const MAX_GAPS_LISTED: usize = 100;

/// How far a store is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreView {
    /// The store.
    pub store_id: StoreId,
    /// The sources that told of it, by their names.
    pub sources: Vec<String>,
    /// Which secrets its hashes were made with: of the newest opening first.
    pub key_ids: Vec<u64>,
    /// How many openings of it were seen.
    pub boots: usize,
    /// Events that were told, each counted once.
    pub events: u64,
    /// How often one was told again.
    pub duplicates: u64,
    /// Events that came after their place in the stream had been passed.
    pub late: u64,
    /// Events that came for gaps which were given up: each may be late, or a duplicate, and is in
    /// nothing.
    pub unsure: u64,
    /// All that happened before this was told, but for the gaps; `None` if nothing was.
    pub complete_to: Option<StoreTime>,
    /// When the last event that was told happened.
    pub last_at: Option<StoreTime>,
    /// By how much `complete_to` is behind the time that the merge was told; `None` if the store
    /// was closed, and nothing of it is waited for.
    pub lag_ms: Option<u64>,
    /// Whether the stream waits for it.
    pub is_waited_for: bool,
    /// What became of its last opening.
    pub state: StoreState,
    /// What is missing, in the order of openings and sequences, up to a hundred.
    pub gaps: Vec<MergeGap>,
    /// Gaps beyond these.
    pub more_gaps: u64,
    /// How many events are missing in all gaps, as far as that is known.
    pub missing: u64,
    /// Whether it ran twice at the same time: a copy of it was used.
    pub was_copied: bool,
}

/// What became of a store's last opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StoreState {
    /// Nothing says that it is over.
    Open,
    /// It was closed, and all of its events are accounted for.
    Closed,
    /// It ended without having been closed.
    Died,
}

impl StoreState {
    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Died => "died",
        }
    }
}

/// Events that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MergeGap {
    /// Of whom.
    pub producer: Producer,
    /// The sequence of the first.
    pub first: u64,
    /// How many; `None` if nobody knows, since that opening ended without having been closed.
    pub count: Option<u64>,
    /// Whether its trail does not have them. If not, they may still be on their way.
    pub is_lost: bool,
}

impl Merge {
    /// How far each store is complete, in the order of their ids.
    #[must_use]
    pub fn stores(&self) -> Vec<StoreView> {
        let mut views: Vec<StoreView> =
            self.stores.iter().map(|store| self.view_of(store)).collect();
        views.sort_by_key(|view| view.store_id.0);
        views
    }

    /// What is missing of all stores: all gaps, however many there are.
    pub fn gaps(&self) -> impl Iterator<Item = MergeGap> + '_ {
        let mut heads: Vec<&Head> = self.heads.iter().collect();
        heads.sort_by_key(|head| head.producer);
        heads.into_iter().flat_map(gaps_of)
    }

    /// Sources that have told nothing, by their names.
    pub fn silent_sources(&self) -> impl Iterator<Item = &str> {
        let silent = self.sources.iter().filter(|source| !source.has_told);
        silent.map(|source| source.name.as_str())
    }

    /// Before which moment the stream is complete, but for gaps: `None` when nothing is waited for.
    #[must_use]
    pub fn complete_to(&self) -> Option<StoreTime> {
        self.least()
    }

    fn view_of(&self, store: &MergedStore) -> StoreView {
        let mut heads: Vec<&Head> =
            store.heads.iter().filter_map(|number| self.head(*number)).collect();
        heads.sort_by_key(|head| head.producer);
        let sum =
            |of: fn(&Head) -> u64| heads.iter().map(|head| of(head)).fold(0, u64::saturating_add);
        let open = heads.iter().filter(|head| !head.is_finished());
        let complete_to = match open.clone().map(|head| head.bound).min() {
            Some(bound) => Some(bound),
            None => heads.iter().map(|head| head.bound).max(),
        };
        let complete_to = complete_to.filter(|at| at.0 > 0);
        let state = state_of(heads.last().copied());
        let lag_ms = complete_to.zip(self.now).map(|(at, now)| now.ms_since(at));
        let mut key_ids: Vec<u64> = heads.iter().rev().map(|head| head.key_id).collect();
        let mut seen = Vec::new();
        key_ids.retain(|key_id| !seen.contains(key_id) && (seen.push(*key_id), true).1);
        let mut sources: Vec<u32> =
            heads.iter().flat_map(|head| head.sources.iter().copied()).collect();
        sources.sort_unstable();
        sources.dedup();
        let sources = sources.into_iter().filter_map(|number| self.sources.get(number as usize));
        let mut gaps = heads.iter().flat_map(|head| gaps_of(head));
        let last_at = heads.iter().map(|head| head.last_at).max();
        StoreView {
            store_id: store.store_id,
            sources: sources.map(|source| source.name.clone()).collect(),
            key_ids,
            boots: heads.len(),
            events: sum(|head| head.counts.events),
            duplicates: sum(|head| head.counts.duplicates),
            late: sum(|head| head.counts.late),
            unsure: sum(|head| head.counts.unsure),
            complete_to,
            last_at: last_at.filter(|at| at.0 > 0),
            lag_ms: lag_ms.filter(|_| state != StoreState::Closed),
            is_waited_for: self.bound_of(store).is_some(),
            state,
            missing: sum(missing_of),
            gaps: gaps.by_ref().take(MAX_GAPS_LISTED).collect(),
            more_gaps: gaps.count() as u64,
            was_copied: was_copied(&heads, self.options.max_skew_ms),
        }
    }
}

fn state_of(last: Option<&Head>) -> StoreState {
    match last.and_then(|head| head.end) {
        None => StoreState::Open,
        Some((_, true)) => StoreState::Closed,
        Some((_, false)) => StoreState::Died,
    }
}

/// How many events are missing: also of gaps that were given up, some of which may have come.
fn missing_of(head: &Head) -> u64 {
    let listed = head.missing().map(|(_, count, _)| count);
    listed.fold(head.counts.given_up, u64::saturating_add)
}

fn gaps_of(head: &Head) -> impl Iterator<Item = MergeGap> + '_ {
    let producer = head.producer;
    let known = head.missing().map(move |(first, count, is_lost)| MergeGap {
        producer,
        first,
        count: Some(count),
        is_lost,
    });
    let is_cut = head.end.is_some_and(|(_, is_closed)| !is_closed);
    let unknown = MergeGap { producer, first: head.known_end(), count: None, is_lost: true };
    known.chain(is_cut.then_some(unknown))
}

fn was_copied(heads: &[&Head], max_skew_ms: u64) -> bool {
    let mut last: Option<&Head> = None;
    heads.iter().any(|head| {
        let is_beside = last.is_some_and(|last| last.ran_beside(head, max_skew_ms));
        if last.is_none_or(|last| last.last_at < head.last_at) {
            last = Some(head);
        }
        is_beside
    })
}
