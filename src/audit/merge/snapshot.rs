//! Snapshots: summaries that say up to where they go.
//!
//! A snapshot of a producer has all of its events up to a sequence: the next one takes its place
//! and is not added to it. So it does not matter how often one is delivered, or in which order, and
//! one message now and then stands for a trail that nobody else has to read.
//!
//! Invariants: of each producer the snapshot that goes furthest counts, once.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::told::Producer;
use crate::audit::json::ascii;
use crate::audit::report::Summary;
use crate::audit::{Classifier, Rules, Trail, TrailItem};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::StoreId;

const VERSION: u32 = 1;
/// More producers than a trail has openings.
const MAX_PRODUCERS: usize = 4096;

/// A summary of a producer's events up to a sequence.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Whose events.
    pub producer: Producer,
    /// Which secret their hashes were made with.
    pub key_id: u64,
    /// The sequence of the first event in it: not zero if the trail had lost those before.
    pub first: u64,
    /// The sequence after its last event.
    pub next: u64,
    /// What they add up to.
    pub summary: Summary,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    snapshot: Kept,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    version: u32,
    store: String,
    key_id: String,
    boot: String,
    first: String,
    next: String,
    summary: Summary,
}

impl Snapshot {
    /// Of no events yet.
    #[must_use]
    pub const fn new(producer: Producer, key_id: u64, summary: Summary) -> Self {
        Self { producer, key_id, first: 0, next: 0, summary }
    }

    /// As a JSON object on one line, without the line's end.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if the summary cannot be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        let kept = Kept {
            version: VERSION,
            store: self.producer.store_id.to_string(),
            key_id: format!("{:016x}", self.key_id),
            boot: self.producer.boot.to_string(),
            first: self.first.to_string(),
            next: self.next.to_string(),
            summary: self.summary.clone(),
        };
        let json = serde_json::to_string(&Line { snapshot: kept });
        json.map(ascii).map_err(|error| wrong(&error.to_string()))
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if it is no snapshot,
    /// [`VersionTooNew`](crate::ErrorKind::VersionTooNew).
    pub fn parse(line: &str) -> Result<Self> {
        let Line { snapshot: kept } =
            serde_json::from_str(line).map_err(|error| wrong(&error.to_string()))?;
        if kept.version > VERSION {
            let what = format!("a snapshot of version {}: this is older", kept.version);
            return Err(Error::new(ErrorKind::VersionTooNew, what));
        }
        let numbers = (|| {
            let store_id = StoreId::parse(&kept.store)?;
            let key_id = u64::from_str_radix(&kept.key_id, 16).ok()?;
            let boot = kept.boot.parse().ok()?;
            let (first, next) = (kept.first.parse().ok()?, kept.next.parse().ok()?);
            Some((Producer::new(store_id, boot), key_id, first, next))
        })();
        let (producer, key_id, first, next) =
            numbers.ok_or_else(|| wrong("a number that is none"))?;
        Ok(Self { producer, key_id, first, next, summary: kept.summary })
    }

    /// An id that is the same whenever it is sent again.
    #[must_use]
    pub fn id(&self) -> String {
        let Producer { store_id, boot } = self.producer;
        format!("{store_id}/{boot}/snapshot/{}/{}", self.first, self.next)
    }

    /// The one that goes further counts; of two that go as far, the one that begins earlier.
    fn rank(&self) -> (u64, Reverse<u64>) {
        (self.next, Reverse(self.first))
    }
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("this is no snapshot: {what}"))
}

/// The newest snapshot of each producer.
///
/// ```
/// use oncekey::audit::merge::{SnapshotMaker, Snapshots};
/// use oncekey::audit::{Audit, Trail};
/// use oncekey::{ClaimRequest, Key, Options, Outcome, Scope, StoredResponse};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("state");
/// let store = Options::new().audit(Audit::new()).create(&path)?;
/// let request = ClaimRequest::new(Scope::new("acct_42")?, Key::new("k1")?);
/// let Outcome::Claimed(claim) = store.claim(request).wait()? else { panic!() };
/// claim.complete(StoredResponse::new("charged")).wait()?;
/// drop(store);
///
/// let mut snapshots = Snapshots::default();
/// let mut maker = SnapshotMaker::new(Trail::of_store(&path)?);
/// while let Some(snapshot) = maker.make()? {
///     assert!(snapshots.take(snapshot.clone()));
///     assert!(!snapshots.take(snapshot), "it counts once");
/// }
/// assert_eq!(snapshots.merged().report(&Default::default()).totals.completed, 1);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshots {
    newest: BTreeMap<Producer, Snapshot>,
    refused: u64,
}

impl Snapshots {
    /// Takes a snapshot, if it is newer than what is known of its producer; says whether it was.
    pub fn take(&mut self, snapshot: Snapshot) -> bool {
        match self.newest.get(&snapshot.producer) {
            Some(known) if known.rank() >= snapshot.rank() => false,
            None if self.newest.len() >= MAX_PRODUCERS => {
                self.refused += 1;
                false
            }
            _ => {
                self.newest.insert(snapshot.producer, snapshot);
                true
            }
        }
    }

    /// The newest of each producer.
    pub fn iter(&self) -> impl Iterator<Item = &Snapshot> {
        self.newest.values()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.newest.is_empty()
    }

    /// Snapshots of producers beyond the 4,096 that are kept.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// All of them added up.
    #[must_use]
    pub fn merged(&self) -> Summary {
        let mut merged = Summary::new(None);
        self.iter().for_each(|snapshot| merged.merge(&snapshot.summary));
        merged
    }
}

/// Makes snapshots of a trail: one of each opening of the store.
#[derive(Debug)]
pub struct SnapshotMaker {
    trail: Trail,
    classifier: Classifier,
    current: Option<Snapshot>,
    /// What was read before the opening that it is of had an event.
    before: Vec<TrailItem>,
    is_told: bool,
}

impl SnapshotMaker {
    /// Of a trail, with the rules that verdicts are made by unless others are chosen.
    #[must_use]
    pub fn new(trail: Trail) -> Self {
        Self {
            trail,
            classifier: Classifier::new(Rules::new()),
            current: None,
            before: Vec::new(),
            is_told: true,
        }
    }

    /// Reads on, and gives the next snapshot: of an opening that is over, or, at the end of the
    /// trail, of the last one as far as it goes. `None` if nothing came since.
    ///
    /// # Errors
    /// Of the trail.
    pub fn make(&mut self) -> Result<Option<Snapshot>> {
        while let Some(item) = self.trail.next() {
            match item? {
                TrailItem::Event(event) => {
                    let finished = self.begin(event.id.boot, event.id.sequence);
                    self.add(event);
                    if finished.is_some() {
                        return Ok(finished);
                    }
                }
                // It is known with the next event which opening it is before.
                TrailItem::Gap(gap) if gap.before.is_some() => {
                    self.before.push(TrailItem::Gap(gap));
                }
                item => self.note(&item),
            }
        }
        if std::mem::replace(&mut self.is_told, true) {
            return Ok(None);
        }
        Ok(self.named())
    }

    /// Begins the snapshot of an opening, unless it is the one that is being made; gives back the
    /// one that is over, if it was not told as it is.
    fn begin(&mut self, boot: u64, first: u64) -> Option<Snapshot> {
        let store_id = self.trail.store_id()?;
        let (producer, key_id) = (Producer::new(store_id, boot), self.trail.key_id()?);
        if self.current.as_ref().is_some_and(|current| current.producer == producer) {
            return None;
        }
        let finished = self.named().filter(|_| !self.is_told);
        let mut summary = Summary::new(Some(store_id));
        summary.set_key_id(key_id);
        self.current = Some(Snapshot { producer, key_id, first, next: first, summary });
        finished
    }

    fn add(&mut self, mut event: crate::audit::Event) {
        for item in std::mem::take(&mut self.before) {
            self.note(&item);
        }
        let judgement = self.classifier.observe(&mut event);
        if let Some(current) = &mut self.current {
            current.summary.observe(&event, judgement.as_ref());
            current.next = event.id.sequence.saturating_add(1);
            self.is_told = false;
        }
    }

    fn note(&mut self, item: &TrailItem) {
        let Some(current) = &mut self.current else { return };
        match item {
            TrailItem::Gap(gap) => current.summary.gap(gap),
            TrailItem::Damage(damage) => current.summary.damage(damage),
            TrailItem::Event(_) => {}
        }
    }

    fn named(&mut self) -> Option<Snapshot> {
        let trail = &self.trail;
        let current = self.current.as_mut()?;
        current.summary.learn_names(|label| trail.name(label));
        Some(current.clone())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audit::synth::{Set, Synth};
    use crate::audit::{Context, Event, EventId};

    /// Snapshots of two stores with two openings each, several of each opening.
    fn all() -> Vec<Snapshot> {
        all_with((300, 60), |event| event)
    }

    /// The same, each of so many events, one for so many of them, changed in a way.
    fn all_with((count, every): (u64, u64), change: impl Fn(Event) -> Event) -> Vec<Snapshot> {
        let mut all = Vec::new();
        for store in [1_u8, 2] {
            let producer = |boot| Producer::new(StoreId([store; 16]), boot);
            let mut classifier = Classifier::new(Rules::new());
            let mut events =
                Synth::new(u64::from(store), Set::Tuning).map(|labelled| labelled.event);
            for boot in [1, 2] {
                let mut summary = Summary::new(Some(StoreId([store; 16])));
                for next in 1..=count {
                    let event = change(events.next().expect("it does not end"));
                    let mut event = Event { id: EventId::new(boot, next - 1), ..event };
                    let judgement = classifier.observe(&mut event);
                    summary.observe(&event, judgement.as_ref());
                    if next % every == 0 {
                        let (producer, summary) = (producer(boot), summary.clone());
                        all.push(Snapshot { producer, key_id: 7, first: 0, next, summary });
                    }
                }
            }
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// However often each is delivered, and in which order: the newest of each counts once.
        #[test]
        fn redelivery_never_counts_twice(
            picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..60),
        ) {
            let all = all();
            let mut told: Vec<&Snapshot> =
                picks.iter().map(|pick| &all[pick.index(all.len())]).collect();
            let mut newest: BTreeMap<Producer, &Snapshot> = BTreeMap::new();
            for snapshot in &told {
                let known = newest.entry(snapshot.producer).or_insert(snapshot);
                if known.next < snapshot.next {
                    *known = snapshot;
                }
            }
            let mut once = Summary::new(None);
            newest.values().for_each(|snapshot| once.merge(&snapshot.summary));

            let mut snapshots = Snapshots::default();
            told.iter().for_each(|snapshot| { snapshots.take((*snapshot).clone()); });
            prop_assert_eq!(&snapshots.merged(), &once);
            told.reverse();
            told.iter().for_each(|snapshot| { snapshots.take((*snapshot).clone()); });
            prop_assert_eq!(&snapshots.merged(), &once);
            let events: u64 = newest.values().map(|snapshot| snapshot.next).sum();
            prop_assert_eq!(once.report(&Default::default()).totals.events, events);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        /// More clients than are kept: who is told by name does not depend on who came first.
        #[test]
        fn a_crowd_is_the_same_in_any_order(
            order in Just((0..12_usize).collect::<Vec<_>>()).prop_shuffle(),
            again in proptest::collection::vec(0..12_usize, 0..12),
        ) {
            // A few are busy; most are seen once, and by one store alone.
            let crowded = |event: Event| {
                let name = match event.key_hash % 4 {
                    0 => event.key_hash % 64,
                    _ => event.key_hash,
                };
                let client = Some(crate::audit::Label::new(name | 1));
                Event { context: Context { client, ..event.context }, ..event }
            };
            let all = all_with((1800, 600), crowded);
            prop_assert_eq!(all.len(), 12);
            let merged = |order: &mut dyn Iterator<Item = &usize>| {
                let mut snapshots = Snapshots::default();
                order.for_each(|at| { snapshots.take(all[*at].clone()); });
                snapshots.merged()
            };
            let in_order: Vec<_> = (0..12).collect();
            let one = merged(&mut in_order.iter());
            prop_assert_eq!(&one, &merged(&mut order.iter().chain(&again)));
            let report = one.report(&Default::default());
            prop_assert!(report.other_clients.folded > 0, "{:?}", report.other_clients);
        }
    }

    #[test]
    fn a_snapshot_is_read_back() {
        for snapshot in all() {
            let line = snapshot.to_json().expect("JSON");
            assert!(line.is_ascii() && line.len() < 1 << 20, "{}", line.len());
            let read = Snapshot::parse(&line).expect("it was written so");
            let report = |snapshot: &Snapshot| snapshot.summary.report(&Default::default());
            assert_eq!(report(&read), report(&snapshot));
            assert_eq!((read.producer, read.rank()), (snapshot.producer, snapshot.rank()));
            assert!(Snapshot::parse(&line[..line.len() - 1]).is_err());
        }
        for bad in ["", "{}", r#"{"snapshot":{"version":9}}"#] {
            assert!(Snapshot::parse(bad).is_err(), "{bad}");
        }
    }
}
