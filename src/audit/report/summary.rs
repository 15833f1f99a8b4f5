//! A summary: what a stream of events adds up to, in bounded memory.
//!
//! Invariants: its size does not depend on how many events, clients, keys or operations there were;
//! summaries of parts add up to the summary of the whole, in any order, as far as their bounded
//! tables suffice (clients, operations, claims); what a table did not hold is counted in it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::claims::Claims;
use super::crowd::Crowd;
use super::distinct::Distinct;
use super::example::Examples;
use super::hex::Hex;
use super::people::{ClientFigures, OperationFigures, PairFigures};
use super::retention::Retention;
use super::spread::Spread;
use super::tally::Tally;
use super::timeline::Timeline;
use super::tries::Tries;
use super::trust::Trust;
use crate::audit::{Damage, Event, EventKind, Gap, Judgement, Label, Reason, Verdict};
use crate::ids::StoreId;

/// Clients, operations and pairs of them that are kept by themselves.
pub(super) const CLIENTS: usize = 256;
pub(super) const OPERATIONS: usize = 128;
pub(super) const PAIRS: usize = 512;
/// Stores and secrets that are listed.
const STORES: usize = 64;
/// As many names as all tables together can have labels.
const NAMES: usize = 2 * (CLIENTS + OPERATIONS + 2 * PAIRS);

/// The series of the timeline.
pub(super) mod series {
    pub(crate) const REQUESTS: usize = 0;
    pub(crate) const COMPLETED: usize = 1;
    pub(crate) const RETRIES: usize = 2;
    pub(crate) const KEY_REUSE: usize = 3;
    pub(crate) const RACES: usize = 4;
    pub(crate) const LATE: usize = 5;
    pub(crate) const SUSPICIOUS: usize = 6;
    pub(crate) const LOOPS: usize = 7;
    pub(crate) const COUNT: usize = 8;
}

/// What the collisions of one verdict have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VerdictFigures {
    pub(super) reasons: Tally<Reason>,
    pub(super) examples: Examples,
}

/// What events add up to.
///
/// ```
/// use oncekey::StoreTime;
/// use oncekey::audit::report::Summary;
/// use oncekey::audit::{Classifier, Event, EventId, EventKind, Rules};
///
/// let event = |sequence, at_ms, kind| {
///     Event::new(EventId::new(1, sequence), StoreTime::from_millis(at_ms), kind, 42)
/// };
/// let events = [
///     event(0, 1_000, EventKind::Claimed),
///     event(1, 1_200, EventKind::Completed),
///     event(2, 3_000, EventKind::Replayed),
/// ];
/// let mut classifier = Classifier::new(Rules::new());
/// let mut summary = Summary::new(None);
/// for mut event in events {
///     let judgement = classifier.observe(&mut event);
///     summary.observe(&event, judgement.as_ref());
/// }
/// let report = summary.report(&Default::default());
/// assert_eq!(report.totals.requests, 2);
/// assert_eq!(report.figure("retry_rate"), Some(0.5));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    format: u32,
    /// Whose events are observed.
    #[serde(skip)]
    store: Hex,
    pub(super) stores: BTreeSet<String>,
    pub(super) key_ids: BTreeSet<Hex>,
    pub(super) first_ms: Option<u64>,
    pub(super) last_ms: Option<u64>,
    pub(super) events: u64,
    pub(super) kinds: Tally<EventKind>,
    pub(super) verdicts: Tally<Verdict>,
    pub(super) by_verdict: BTreeMap<String, VerdictFigures>,
    pub(super) timeline: Timeline<{ series::COUNT }, 1024>,
    pub(super) keys: Distinct<14>,
    pub(super) scopes: Distinct<12>,
    pub(super) clients: Crowd<Hex, ClientFigures, CLIENTS>,
    pub(super) operations: Crowd<Hex, OperationFigures, OPERATIONS>,
    pub(super) pairs: Crowd<(Hex, Hex), PairFigures, PAIRS>,
    /// How old the claim was that a racing copy met.
    pub(super) race_windows: Spread,
    pub(super) durations: Spread,
    pub(super) waits: Spread,
    pub(super) retention: Retention,
    pub(super) claims: Claims,
    pub(super) trust: Trust,
    /// The last opening of each store.
    pub(super) boots: BTreeMap<Hex, u64>,
    pub(super) names: BTreeMap<Hex, String>,
    #[serde(skip)]
    tries: Unmerged<Tries>,
}

/// What is left out where summaries are compared: it is no result.
#[derive(Debug, Clone, Default)]
struct Unmerged<T>(T);

impl<T> PartialEq for Unmerged<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Summary {
    /// Of no events yet, of this store.
    #[must_use]
    pub fn new(store: Option<StoreId>) -> Self {
        let mut summary = Self { format: 1, ..Self::default() };
        if let Some(store) = store {
            summary.set_store(store);
        }
        summary
    }

    /// From now on events of this store are observed: ids of events are those of one store.
    pub fn set_store(&mut self, store: StoreId) {
        let [a, b, c, d, e, f, g, h, ..] = store.0;
        self.store = Hex(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
        if self.stores.len() < STORES {
            self.stores.insert(store.to_string());
        }
    }

    /// With which secret the hashes of what is observed were made
    /// ([`Trail::key_id`](crate::audit::Trail::key_id)).
    pub fn set_key_id(&mut self, key_id: u64) {
        if self.key_ids.len() < STORES {
            self.key_ids.insert(Hex(key_id));
        }
    }

    /// Adds an event, and what it was judged to be.
    pub fn observe(&mut self, event: &Event, judgement: Option<&Judgement>) {
        self.follow(event);
        // The end of a wait is the same try as its beginning, which was judged.
        let judgement = judgement.filter(|_| event.kind != EventKind::Waited);
        let at_ms = event.at.as_millis();
        self.first_ms = Some(self.first_ms.map_or(at_ms, |first| first.min(at_ms)));
        self.last_ms = Some(self.last_ms.map_or(at_ms, |last| last.max(at_ms)));
        self.events += 1;
        self.kinds.add(event.kind, 1);
        self.keep_time(event, judgement);
        self.measure(event);
        self.retention.observe(event, judgement);
        if event.kind == EventKind::Claimed {
            self.keys.insert(event.key_hash);
        }
        if let (Some(scope), EventKind::Claimed) = (event.scope, event.kind) {
            self.scopes.insert(scope.get());
        }
        let client = Hex::from(event.context.client);
        let operation = Hex::from(event.operation);
        if event.key_hash != 0 || is_request(event.kind) {
            self.clients.entry(client).observe(event, judgement);
            self.operations.entry(operation).observe(event, judgement);
        }
        if is_request(event.kind) {
            self.pairs.entry((client, operation)).observe(event);
        }
        if let Some(judgement) = judgement {
            self.judge(event, judgement, client);
        }
    }

    /// Follows an event from before the time that is reported on: which claims it begins and ends.
    pub fn follow(&mut self, event: &Event) {
        self.claims.observe(self.store, event);
        if self.boots.len() < STORES || self.boots.contains_key(&self.store) {
            let boot = self.boots.entry(self.store).or_default();
            *boot = event.id.boot.max(*boot);
        }
    }

    fn keep_time(&mut self, event: &Event, judgement: Option<&Judgement>) {
        let request = is_request(event.kind);
        let completed = event.kind == EventKind::Completed;
        if !request && !completed {
            return;
        }
        let Some(bucket) = self.timeline.bucket(event.at.as_millis()) else { return };
        let mut add = |at: usize| bucket.get_mut(at).into_iter().for_each(|count| *count += 1);
        add(if request { series::REQUESTS } else { series::COMPLETED });
        // A claim of a record that expired is late whatever else it is.
        if matches!(event.kind, EventKind::LateRetry | EventKind::Expired) {
            add(series::LATE);
        }
        match judgement.filter(|_| request).map(|judgement| judgement.verdict) {
            Some(Verdict::LegitimateRetry) => add(series::RETRIES),
            Some(Verdict::KeyReuse) => add(series::KEY_REUSE),
            Some(Verdict::Race) => add(series::RACES),
            Some(Verdict::SuspiciousReplay) => add(series::SUSPICIOUS),
            Some(Verdict::AutomationLoop) => add(series::LOOPS),
            _ => {}
        }
    }

    fn measure(&mut self, event: &Event) {
        let Some(duration_ms) = event.duration_ms else { return };
        match event.kind {
            EventKind::Completed => self.durations.record(duration_ms),
            EventKind::Waited => self.waits.record(duration_ms),
            _ => {}
        }
    }

    fn judge(&mut self, event: &Event, judgement: &Judgement, client: Hex) {
        let verdict = judgement.verdict;
        self.verdicts.add(verdict, 1);
        if !self.by_verdict.contains_key(verdict.name()) {
            self.by_verdict.insert(verdict.name().to_owned(), VerdictFigures::default());
        }
        if let Some(figures) = self.by_verdict.get_mut(verdict.name()) {
            judgement.reasons.iter().for_each(|reason| figures.reasons.add(reason, 1));
            figures.examples.offer(self.store, event, judgement);
        }
        if verdict == Verdict::Race
            && let Some(age_ms) = event.age_ms.filter(|_| event.kind == EventKind::InFlight)
        {
            self.race_windows.record(age_ms);
        }
        if matches!(verdict, Verdict::LegitimateRetry | Verdict::LateRetry) {
            let at_ms = event.at.as_millis();
            let retry = self.tries.0.retry(event.key_hash, at_ms, event.gap_ms);
            if let Some(retry) = retry {
                self.clients.entry(client).gaps.record(retry);
            }
        }
    }

    /// Adds a gap: events that are missing.
    pub fn gap(&mut self, gap: &Gap) {
        self.trust.gap(self.store, gap);
    }

    /// Adds damage: bytes that are no events.
    pub fn damage(&mut self, damage: &Damage) {
        self.trust.damage(self.store, damage);
    }

    /// Takes over the names of the clients and operations that are kept, as far as they are known.
    pub fn learn_names<'n>(&mut self, name: impl Fn(Label) -> Option<Cow<'n, str>>) {
        let clients = self.clients.busiest().into_iter().map(|(client, _)| client);
        let operations = self.operations.busiest().into_iter().map(|(operation, _)| operation);
        let pairs = self.pairs.busiest();
        let pairs = pairs.into_iter().flat_map(|((client, operation), _)| [client, operation]);
        let labels: BTreeSet<Hex> = clients.chain(operations).chain(pairs).collect();
        for label in labels {
            if let Some(name) = name(Label::new(label.0)) {
                self.names.insert(label, name.into_owned());
            }
        }
    }

    /// Adds another summary: of another part of the trail, or of another store.
    ///
    /// The same events must not be in both. Figures per client and key are those of both only if
    /// the hashes of both were made with one secret.
    pub fn merge(&mut self, other: &Self) {
        self.format = self.format.max(other.format);
        self.stores.extend(other.stores.iter().cloned());
        self.key_ids.extend(&other.key_ids);
        for (store, theirs) in &other.boots {
            let mine = self.boots.entry(*store).or_default();
            *mine = (*theirs).max(*mine);
        }
        while self.boots.len() > STORES {
            self.boots.pop_last();
        }
        while self.stores.len() > STORES {
            self.stores.pop_last();
        }
        while self.key_ids.len() > STORES {
            self.key_ids.pop_last();
        }
        self.first_ms = self.first_ms.into_iter().chain(other.first_ms).min();
        self.last_ms = self.last_ms.max(other.last_ms);
        self.events = self.events.saturating_add(other.events);
        self.kinds.merge(&other.kinds);
        self.verdicts.merge(&other.verdicts);
        for (verdict, theirs) in &other.by_verdict {
            let mine = self.by_verdict.entry(verdict.clone()).or_default();
            mine.reasons.merge(&theirs.reasons);
            mine.examples.merge(&theirs.examples);
        }
        self.timeline.merge(&other.timeline);
        self.keys.merge(&other.keys);
        self.scopes.merge(&other.scopes);
        self.clients.merge(&other.clients);
        self.operations.merge(&other.operations);
        self.pairs.merge(&other.pairs);
        self.race_windows.merge(&other.race_windows);
        self.durations.merge(&other.durations);
        self.waits.merge(&other.waits);
        self.retention.merge(&other.retention);
        self.claims.merge(&other.claims);
        self.trust.merge(&other.trust);
        for (label, name) in &other.names {
            let mine = self.names.entry(*label).or_insert_with(|| name.clone());
            if name < mine {
                mine.clone_from(name);
            }
        }
        while self.names.len() > NAMES {
            self.names.pop_last();
        }
    }
}

/// Whether somebody asked for a key: a claim, or a collision of one; a wait's end is no further
/// request.
pub(super) fn is_request(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Claimed
            | EventKind::TakenOver
            | EventKind::LateRetry
            | EventKind::Expired
            | EventKind::Replayed
            | EventKind::InFlight
            | EventKind::Mismatch
            | EventKind::MetUnresolved
            | EventKind::Limited
    )
}
