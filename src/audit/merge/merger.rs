//! Many producers, one stream: takes what sources tell in any order, and hands events on in the
//! order of time, as far as nothing earlier can come.
//!
//! Invariants:
//! - every event that is told is handed on once, or refused and counted;
//! - without late events the stream is the same, whatever the order in which it was told;
//! - an event that comes after its place has been passed is handed on, and marked as late;
//! - what is missing of a producer is known at any time, and so is how far it is complete.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};

use super::finding::{self, Finding, FindingKind, Producers, Timing};
use super::head::{Head, Taken};
use super::keys::{KeyName, Keys, Known};
use super::options::MergeOptions;
use super::told::{Producer, Told};
use crate::audit::{Event, Origin};
use crate::ids::{StoreId, StoreTime};

/// A source of a [`Merge`]: what reads a trail, a file, or a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub(super) u32);

/// An event of the merged stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Merged {
    /// Whose it is.
    pub producer: Producer,
    /// Which secret its hashes were made with.
    pub key_id: u64,
    /// The event.
    pub event: Event,
    /// It comes after others that it should have come before: it was no longer waited for.
    pub is_late: bool,
}

/// What could not be done as it should be, since memory is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Pressure {
    /// Events that were handed on although something before them may still have come.
    pub forced: u64,
    /// Statements and events of producers that are too many, or that make no sense: they are in
    /// nothing.
    pub refused: u64,
    /// Keys that went to make room: what happens to them later is compared with nothing before.
    pub forgotten_keys: u64,
    /// Keys with findings that are not kept.
    pub findings_not_kept: u64,
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) is_open: bool,
    pub(super) has_told: bool,
    pub(super) is_waited_for: bool,
    opened_at: Option<StoreTime>,
}

#[derive(Debug)]
pub(super) struct MergedStore {
    pub(super) store_id: StoreId,
    pub(super) heads: Vec<u32>,
}

/// Merges what many producers tell.
///
/// ```
/// use oncekey::audit::merge::{FindingKind, Merge, MergeOptions, Told};
/// use oncekey::audit::{Event, EventId, EventKind, Origin};
/// use oncekey::{StoreId, StoreTime, Token};
///
/// let store = |name: &str| StoreId::parse(&name.repeat(32)).expect("32 digits");
/// let event = |sequence, at_ms, kind| {
///     let at = StoreTime::from_millis(at_ms);
///     let mut event = Event::new(EventId::new(1, sequence), at, kind, 42);
///     event.token = Some(Token::new(1));
///     Told::Event(event)
/// };
/// let mut merge = Merge::new(MergeOptions::new());
/// let (a, b) = (merge.source("region-a"), merge.source("region-b"));
/// let (in_a, in_b) = (Origin::new(store("a"), 7), Origin::new(store("b"), 7));
/// merge.tell(b, in_b, event(0, 60_000, EventKind::Claimed));
/// merge.tell(b, in_b, event(1, 60_100, EventKind::Completed));
/// assert_eq!(merge.next(), None, "region-a may have something earlier");
/// merge.tell(a, in_a, event(1, 1_100, EventKind::Completed));
/// merge.tell(a, in_a, event(0, 1_000, EventKind::Claimed));
/// merge.finish();
/// let times: Vec<u64> = merge.by_ref().map(|merged| merged.event.at.as_millis()).collect();
/// assert_eq!(times, [1_000, 1_100, 60_000, 60_100]);
/// assert_eq!(merge.findings()[0].kind, FindingKind::ExecutedTwice);
/// ```
#[derive(Debug)]
pub struct Merge {
    pub(super) options: MergeOptions,
    pub(super) sources: Vec<Source>,
    pub(super) stores: Vec<MergedStore>,
    store_numbers: HashMap<[u8; 16], u32>,
    pub(super) heads: Vec<Head>,
    head_numbers: HashMap<Producer, u32>,
    store_of_head: Vec<u32>,
    ready: BinaryHeap<Reverse<(StoreTime, Producer, u32)>>,
    late: VecDeque<(u32, Event)>,
    held: usize,
    /// What is earlier may be handed on. It may have risen since.
    watermark: StoreTime,
    handed_on: Option<(StoreTime, Producer)>,
    pub(super) now: Option<StoreTime>,
    keys: Keys,
    /// Keys with findings that went to make room.
    kept: BTreeMap<KeyName, Known>,
    changed: VecDeque<KeyName>,
    told_findings: HashMap<KeyName, (FindingKind, Timing)>,
    pressure: Pressure,
}

impl Merge {
    /// Nothing yet.
    #[must_use]
    pub fn new(options: MergeOptions) -> Self {
        Self {
            options,
            sources: Vec::new(),
            stores: Vec::new(),
            store_numbers: HashMap::new(),
            heads: Vec::new(),
            head_numbers: HashMap::new(),
            store_of_head: Vec::new(),
            ready: BinaryHeap::new(),
            late: VecDeque::new(),
            held: 0,
            watermark: StoreTime(0),
            handed_on: None,
            now: None,
            keys: Keys::new(options.max_keys),
            kept: BTreeMap::new(),
            changed: VecDeque::new(),
            told_findings: HashMap::new(),
            pressure: Pressure::default(),
        }
    }

    /// A source, by the name that people know it by. Until it has told something, or is closed,
    /// nothing is handed on.
    pub fn source(&mut self, name: impl Into<String>) -> SourceId {
        let number = u32::try_from(self.sources.len()).unwrap_or(u32::MAX);
        self.watermark = StoreTime(0);
        self.sources.push(Source {
            name: name.into(),
            is_open: true,
            has_told: false,
            is_waited_for: true,
            opened_at: self.now,
        });
        SourceId(number)
    }

    /// Takes what a source tells of a store. Take what is [`next`](Self::next) from time to time:
    /// only then are the bounds of memory kept.
    pub fn tell(&mut self, source: SourceId, origin: Origin, told: Told) {
        let producer = Producer::new(origin.store_id, told.boot());
        let sequence = match told {
            Told::Event(event) => event.id.sequence,
            Told::Lost { first, .. } => first.sequence,
            Told::Mark { .. } | Told::End { .. } => 0,
        };
        let number = self.head_of(producer, origin.key_id);
        let (Some(number), true) = (number, sequence < u64::MAX) else {
            self.pressure.refused += 1;
            return;
        };
        if let Some(source) = self.sources.get_mut(source.0 as usize) {
            source.has_told = true;
        }
        let (now, max_gaps) = (self.now, self.options.max_gaps);
        self.with_head(number, |head| {
            if !head.sources.contains(&source.0) {
                head.sources.push(source.0);
            }
            match told {
                Told::Event(event) => {
                    return (head.take(&event, now, max_gaps) == Taken::Late).then_some(event);
                }
                Told::Lost { first, count } => head.lose(first.sequence, count, max_gaps),
                Told::Mark { next, at } => head.mark(next.sequence, at),
                Told::End { next, is_closed } => head.end(next.sequence, is_closed),
            }
            None
        });
    }

    /// Says that nothing more comes from a source.
    pub fn close(&mut self, source: SourceId) {
        if let Some(source) = self.sources.get_mut(source.0 as usize) {
            source.is_open = false;
        }
        for number in 0..self.heads.len() as u32 {
            if self.head(number).is_some_and(|head| !self.is_fed(head)) {
                self.with_head(number, |head| {
                    while head.pass_first_gap() {}
                    None
                });
            }
        }
    }

    /// Says that nothing more comes at all: all that is there can be handed on.
    pub fn finish(&mut self) {
        for number in 0..self.sources.len() as u32 {
            self.close(SourceId(number));
        }
    }

    /// Says what time it is: whoever has not come any further for too long is not waited for, until
    /// it does ([`MergeOptions::max_wait_ms`]).
    pub fn advance(&mut self, now: StoreTime) {
        self.now = Some(now);
        let max_wait_ms = self.options.max_wait_ms;
        for source in &mut self.sources {
            let since = *source.opened_at.get_or_insert(now);
            source.is_waited_for = now.ms_since(since) <= max_wait_ms;
        }
        for number in 0..self.heads.len() as u32 {
            self.with_head(number, |head| {
                head.pass_old_gaps(now, max_wait_ms);
                let since = *head.moved_at.get_or_insert(now);
                head.is_waited_for = now.ms_since(since) <= max_wait_ms;
                None
            });
        }
    }

    /// What was given up for want of memory.
    #[must_use]
    pub fn pressure(&self) -> Pressure {
        Pressure { forgotten_keys: self.keys.forgotten, ..self.pressure }
    }

    /// How many events wait for others.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.held + self.late.len()
    }

    /// How many keys are remembered.
    #[must_use]
    pub fn remembered_keys(&self) -> usize {
        self.keys.len()
    }

    /// What was found, by the key's hash.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let kept = self.kept.iter().map(|(key, known)| (*key, known));
        let all = self.keys.comparable().chain(kept);
        let mut found: Vec<Finding> =
            all.filter_map(|(key, known)| self.finding(key, known)).collect();
        found.sort_by_key(|finding| {
            let first = finding.executions.first().and_then(|first| first.claimed);
            (finding.kind, first, finding.key_id, finding.key_hash)
        });
        found
    }

    /// The next finding that is new, or has become another, while events are handed on.
    pub fn next_finding(&mut self) -> Option<Finding> {
        loop {
            let key = self.changed.pop_front()?;
            let known = self.kept.get(&key).or_else(|| self.keys.get(key));
            if let Some(finding) = known.and_then(|known| self.finding(key, known)) {
                return Some(finding);
            }
        }
    }

    fn finding(&self, (key_id, key_hash): KeyName, known: &Known) -> Option<Finding> {
        let (kind, timing) = finding::judge(known, self, self.options.max_skew_ms)?;
        Some(Finding {
            kind,
            timing,
            key_id,
            key_hash,
            scope: known.scope,
            executions: finding::executions(known, self),
            is_cut: known.is_cut,
        })
    }

    pub(super) fn head(&self, number: u32) -> Option<&Head> {
        self.heads.get(number as usize)
    }

    pub(super) fn is_fed(&self, head: &Head) -> bool {
        let mut sources =
            head.sources.iter().filter_map(|source| self.sources.get(*source as usize));
        sources.any(|source| source.is_open)
    }

    fn head_of(&mut self, producer: Producer, key_id: u64) -> Option<u32> {
        if let Some(number) = self.head_numbers.get(&producer) {
            return Some(*number);
        }
        if self.heads.len() >= self.options.max_producers {
            return None;
        }
        let number = self.heads.len() as u32;
        let store = *self.store_numbers.entry(producer.store_id.0).or_insert_with(|| {
            self.stores.push(MergedStore { store_id: producer.store_id, heads: Vec::new() });
            (self.stores.len() - 1) as u32
        });
        self.stores.get_mut(store as usize)?.heads.push(number);
        self.heads.push(Head::new(producer, key_id));
        self.store_of_head.push(store);
        self.head_numbers.insert(producer, number);
        // Whatever it tells may be earlier than all else.
        self.watermark = StoreTime(0);
        Some(number)
    }

    /// Does something to a producer, and keeps account of what it holds. What it gives back comes
    /// late.
    fn with_head(&mut self, number: u32, act: impl FnOnce(&mut Head) -> Option<Event>) {
        let now = self.now;
        let Some(head) = self.heads.get_mut(number as usize) else { return };
        let (held, progress) = (head.held(), head.progress());
        let late = act(head);
        if head.progress() != progress {
            head.moved_at = now;
            head.is_waited_for = true;
        }
        self.held = (self.held + head.held()).saturating_sub(held);
        if let Some(at) = head.front().filter(|_| !head.is_queued) {
            head.is_queued = true;
            self.ready.push(Reverse((at, head.producer, number)));
        }
        self.late.extend(late.map(|event| (number, event)));
    }

    /// Before which moment everything has come; `None` if nothing more comes.
    pub(super) fn least(&self) -> Option<StoreTime> {
        let silent = self
            .sources
            .iter()
            .any(|source| source.is_open && !source.has_told && source.is_waited_for);
        if silent {
            return Some(StoreTime(0));
        }
        self.stores.iter().filter_map(|store| self.bound_of(store)).min()
    }

    /// Before which moment everything of a store has come; `None` if it is not waited for.
    pub(super) fn bound_of(&self, store: &MergedStore) -> Option<StoreTime> {
        let heads = store.heads.iter().filter_map(|number| self.head(*number));
        let fed = heads.filter(|head| self.is_fed(head));
        let open = fed.clone().filter(|head| !head.is_finished());
        let waited = open.clone().filter(|head| head.is_waited_for).map(|head| head.bound).min();
        if open.clone().next().is_some() {
            return waited;
        }
        // It may be opened again, later than it was closed.
        let last = fed.max_by_key(|head| head.bound)?;
        last.is_waited_for.then_some(last.bound)
    }

    /// The next that is ready, if it may go, or must.
    fn take_ready(&mut self) -> Option<u32> {
        loop {
            let first = self.ready.peek().map(|Reverse((at, _, number))| (*at, *number));
            if let Some((at, number)) = first {
                if at < self.watermark {
                    return Some(number);
                }
                self.watermark = self.least().unwrap_or(StoreTime(u64::MAX));
                if at < self.watermark || self.watermark == StoreTime(u64::MAX) {
                    return Some(number);
                }
            }
            if self.held <= self.options.max_events {
                return None;
            }
            if let Some((_, number)) = first {
                self.pressure.forced += 1;
                return Some(number);
            }
            let heads = (0..).zip(&self.heads);
            let waiting = heads
                .filter_map(|(number, head)| Some((head.first_pending()?, head.producer, number)));
            let (_, _, number) = waiting.min()?;
            self.with_head(number, |head| {
                head.pass_first_gap();
                None
            });
        }
    }

    fn hand_on(&mut self, number: u32) -> Option<Merged> {
        self.ready.pop();
        let head = self.heads.get_mut(number as usize)?;
        let (at, event) = head.pop()?;
        let place = (at, head.producer);
        let is_late = self.handed_on.is_some_and(|before| place < before);
        self.handed_on = self.handed_on.max(Some(place));
        self.held = self.held.saturating_sub(1);
        head.is_queued = false;
        if let Some(at) = head.front() {
            head.is_queued = true;
            self.ready.push(Reverse((at, head.producer, number)));
        }
        self.tell_keys(number, event, is_late)
    }

    fn tell_keys(&mut self, number: u32, event: Event, is_late: bool) -> Option<Merged> {
        let head = self.heads.get_mut(number as usize)?;
        head.counts.late += u64::from(is_late);
        let (producer, key_id) = (head.producer, head.key_id);
        if event.key_hash != 0 {
            let store = self.store_of_head.get(number as usize).copied().unwrap_or_default();
            self.compare((key_id, event.key_hash), &event, number, store);
        }
        Some(Merged { producer, key_id, event, is_late })
    }

    fn compare(&mut self, key: KeyName, event: &Event, number: u32, store: u32) {
        let producers = Heads { heads: &self.heads, max_skew_ms: self.options.max_skew_ms };
        let known = match self.kept.get_mut(&key) {
            Some(known) => known.observe(event, number, store).then_some(&*known),
            None => self.keys.observe(key, event, number, store),
        };
        let found =
            known.and_then(|known| finding::judge(known, &producers, self.options.max_skew_ms));
        if let Some(found) = found
            && self.told_findings.len() < self.options.max_findings
            && self.told_findings.insert(key, found) != Some(found)
            && self.changed.back() != Some(&key)
        {
            self.changed.push_back(key);
        }
        while let Some((key, known)) = self.keys.oldest_surplus() {
            let producers = Heads { heads: &self.heads, max_skew_ms: self.options.max_skew_ms };
            if finding::judge(&known, &producers, self.options.max_skew_ms).is_none() {
                continue;
            }
            if self.kept.len() < self.options.max_findings {
                self.kept.insert(key, known);
            } else {
                self.pressure.findings_not_kept += 1;
            }
        }
    }
}

/// Producers, apart from all else.
struct Heads<'a> {
    heads: &'a [Head],
    max_skew_ms: u64,
}

impl Producers for Heads<'_> {
    fn producer(&self, head: u32) -> Producer {
        let head = self.heads.get(head as usize);
        head.map_or(Producer::new(StoreId([0; 16]), 0), |head| head.producer)
    }

    fn are_apart(&self, one: u32, other: u32) -> bool {
        let (Some(one), Some(other)) =
            (self.heads.get(one as usize), self.heads.get(other as usize))
        else {
            return false;
        };
        one.producer.store_id != other.producer.store_id
            || (one.producer != other.producer && one.ran_beside(other, self.max_skew_ms))
    }
}

impl Producers for Merge {
    fn producer(&self, head: u32) -> Producer {
        Heads { heads: &self.heads, max_skew_ms: self.options.max_skew_ms }.producer(head)
    }

    fn are_apart(&self, one: u32, other: u32) -> bool {
        let heads = Heads { heads: &self.heads, max_skew_ms: self.options.max_skew_ms };
        heads.are_apart(one, other)
    }
}

impl Iterator for Merge {
    type Item = Merged;

    /// The next event that may be handed on. After `None` there may be more, once more was told.
    fn next(&mut self) -> Option<Merged> {
        if let Some((number, event)) = self.late.pop_front() {
            return self.tell_keys(number, event, true);
        }
        let number = self.take_ready()?;
        self.hand_on(number)
    }
}
