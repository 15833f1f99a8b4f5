//! What the audit thread does: empties the ring, makes events of drafts, and has them written and
//! synced in time.
//!
//! It is the only one that gives numbers, so the trail's order is the ring's. What was dropped
//! before it came, or is lost with a write that failed, takes numbers too: the reader sees the gap.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::draft::{Draft, DraftKey, Holder, Seen, Texts};
use super::known::Known;
use super::label::{Digest, Labels, Part, short};
use super::options::{Audit, Privacy};
use super::recent::Recent;
use super::ring::Ring;
use super::shape::shape_of;
use super::trail::{Bounds, EventNames, Lost, Name, Names, Origin, TRAIL_DIRECTORY, TrailWriter};
use super::{Context, Event, EventId, EventKind, Label};
use crate::disk::Disk;
use crate::expiry::StoreClock;
use crate::ids::StoreTime;
use crate::types::Caller;

/// How often it looks for segments that are too old, though none is begun.
const AGE_ROUND_MS: u64 = 60_000;

/// What the audit has done, for the statistics.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) events: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

impl Counts {
    fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(crate) struct Keeper {
    disk: Arc<dyn Disk>,
    labels: Labels,
    settings: Audit,
    origin: Origin,
    recent: Recent,
    names: Names,
    writer: Option<TrailWriter>,
    /// The number of the next event.
    sequence: u64,
    /// How many of the ring's drops have their numbers.
    dropped: u64,
    /// Until when the disk is left alone after a failure, in monotonic milliseconds.
    rest_until_ms: u64,
    synced_at_ms: u64,
    aged_at_ms: u64,
}

impl Keeper {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        labels: Labels,
        settings: Audit,
        origin: Origin,
        now: StoreTime,
    ) -> Self {
        Self {
            disk,
            labels,
            settings,
            origin,
            recent: Recent::new(now),
            names: Names::default(),
            writer: None,
            sequence: 0,
            dropped: 0,
            rest_until_ms: 0,
            synced_at_ms: 0,
            aged_at_ms: 0,
        }
    }

    /// Takes what is in the ring, writes it, and syncs if that is due.
    pub(crate) fn round(&mut self, (ring, known): (&Ring, &Known), counts: &Counts, now_ms: u64) {
        self.take((ring, known), counts, now_ms);
        let sync_every_ms = self.settings.sync_every.as_millis() as u64;
        let sync = now_ms.saturating_sub(self.synced_at_ms) >= sync_every_ms;
        let Some(writer) = &mut self.writer else { return };
        let mut done = writer.write();
        if sync && done.is_ok() {
            done = writer.sync();
            self.synced_at_ms = now_ms;
        }
        Counts::set(&counts.bytes, writer.bytes());
        self.judge(done, counts, now_ms);
    }

    /// Takes what is left, says that nothing comes after it, and puts all of it on stable storage.
    pub(crate) fn end(
        &mut self,
        (ring, known): (&Ring, &Known),
        counts: &Counts,
        time: &StoreClock,
    ) {
        let now_ms = time.monotonic_ms();
        self.take((ring, known), counts, now_ms);
        let sequence = self.sequence;
        let Some(writer) = &mut self.writer else { return };
        let done = writer.end(sequence, time.latest());
        self.judge(done, counts, now_ms);
    }

    /// Removes what is too old, now and then.
    pub(crate) fn remove_old(&mut self, now: StoreTime, now_ms: u64, counts: &Counts) {
        if now_ms.saturating_sub(self.aged_at_ms) < AGE_ROUND_MS {
            return;
        }
        self.aged_at_ms = now_ms;
        let removed = self.writer.as_mut().map_or(Ok(()), |writer| writer.remove_old(now));
        if removed.is_err() {
            Counts::add(&counts.failures, 1);
        }
    }

    fn take(&mut self, (ring, known): (&Ring, &Known), counts: &Counts, now_ms: u64) {
        let resting = now_ms < self.rest_until_ms;
        // No more than the ring holds: what comes meanwhile is for the next round.
        for _ in 0..ring.capacity() {
            let Some(draft) = ring.pop() else { break };
            let sequence = self.sequence;
            self.sequence += 1;
            if resting || now_ms < self.rest_until_ms {
                Counts::add(&counts.lost, 1);
                continue;
            }
            let done = self.append(&draft, sequence, known);
            if done.is_ok() {
                Counts::add(&counts.events, 1);
            }
            self.judge(done, counts, now_ms);
        }
        // What found the ring full came before this: its numbers are here.
        let dropped = ring.dropped();
        self.sequence += dropped - self.dropped;
        self.dropped = dropped;
    }

    /// Counts a failure and what it has cost, and leaves the disk alone for a while.
    fn judge(&mut self, done: Result<(), Lost>, counts: &Counts, now_ms: u64) {
        if let Err(Lost { events, .. }) = done {
            Counts::add(&counts.failures, 1);
            Counts::add(&counts.lost, events);
            self.rest_until_ms = now_ms.saturating_add(TrailWriter::REST_MS);
        }
    }

    fn append(&mut self, draft: &Draft, sequence: u64, known: &Known) -> Result<(), Lost> {
        self.learn(draft, known);
        let event = self.event_of(draft, EventId::new(self.origin.boot, sequence));
        self.begin().map_err(|error| Lost { events: 1, error })?;
        let is_plain = self.settings.privacy == Privacy::Plain;
        let names = KnownNames { draft, event: &event, names: &self.names, is_plain };
        self.writer.as_mut().map_or(Ok(()), |writer| writer.append(&event, &names))
    }

    /// Opens the trail, if it is not open.
    fn begin(&mut self) -> io::Result<()> {
        if self.writer.is_none() {
            let disk = self.disk.directory(TRAIL_DIRECTORY)?;
            let bounds = Bounds::of(&self.settings);
            self.writer = Some(TrailWriter::open(disk, self.origin, bounds)?);
        }
        Ok(())
    }

    /// Learns the names that a draft brings, so that they need not come again.
    fn learn(&mut self, draft: &Draft, known: &Known) {
        let Texts { operation, caller } = &draft.texts;
        let client = caller.as_ref().and_then(|caller| caller.client_name());
        let Seen { operation: label, context, .. } = draft.seen;
        for (label, text) in [(label, operation.as_deref()), (context.client, client)] {
            if let (Some(label), Some(text)) = (label, text) {
                if self.names.keep(label, text) {
                    known.forget_all();
                }
                known.note(label);
            }
        }
    }

    fn event_of(&mut self, draft: &Draft, id: EventId) -> Event {
        let key_hash = draft.key.as_ref().map_or(0, |key| self.key_hash(key));
        let mut event = Event::new(id, draft.at, draft.kind, key_hash);
        let labels = &self.labels;
        if let Some(DraftKey { scope, key, .. }) = &draft.key {
            event.scope = Some(labels.of(Part::Scope, scope.as_bytes()));
            if is_request(draft.kind) {
                event.gap_ms = self.recent.note(key_hash, draft.at);
            }
            if matches!(draft.kind, EventKind::Claimed | EventKind::LateRetry) {
                event.shape = Some(shape_of(key.as_bytes(), labels));
            }
        }
        event.operation = draft.seen.operation;
        event.context = draft.seen.context;
        event.token = draft.token;
        event.attempt = draft.attempt;
        event.age_ms = draft.age_ms;
        event.duration_ms = draft.duration_ms;
        event.differs = draft.differs;
        event.holder = match &draft.holder {
            Holder::Unknown => None,
            Holder::Seen(context) => Some(*context),
            Holder::Digest(digest) => Some(resembling(*digest, &event.context)),
        };
        event
    }

    fn key_hash(&self, DraftKey { hash, scope, key }: &DraftKey) -> u64 {
        match self.settings.secret {
            None => hash.0,
            Some(_) => self.labels.of_key(scope.as_bytes(), key.as_bytes()),
        }
    }
}

impl Counts {
    fn set(counter: &AtomicU64, to: u64) {
        counter.store(to, Ordering::Relaxed);
    }
}

/// Whether somebody asked for the key.
fn is_request(kind: EventKind) -> bool {
    kind == EventKind::Claimed
        || kind == EventKind::Limited
        || (kind.is_collision() && !matches!(kind, EventKind::StaleHolder | EventKind::Waited))
}

/// The holder that only half of each label is known of: where that is as in the context of whoever
/// asked, it is theirs; else a label that is nobody's.
fn resembling(digest: Digest, asked: &Context) -> Context {
    let part = |half: u32, asked: Option<Label>| match asked {
        _ if half == 0 => None,
        Some(label) if short(label) == half => Some(label),
        _ => Some(Label(u64::from(half))),
    };
    Context {
        client: part(digest.client, asked.client),
        network: part(digest.network, asked.network),
        agent: part(digest.agent, asked.agent),
        request: None,
    }
}

/// The names behind an event's labels: what its draft brought, and what is known from earlier ones.
struct KnownNames<'a> {
    draft: &'a Draft,
    event: &'a Event,
    names: &'a Names,
    is_plain: bool,
}

impl KnownNames<'_> {
    fn known(&self, label: Option<Label>) -> Name {
        Some(self.names.get(label?)?.to_owned())
    }

    /// A text of whoever asked, where it may be kept.
    fn if_plain(&self, text: impl FnOnce(&Caller) -> Option<&str>) -> Name {
        let caller = self.draft.texts.caller.as_deref().filter(|_| self.is_plain)?;
        text(caller).map(str::to_owned)
    }
}

impl EventNames for KnownNames<'_> {
    fn scope(&self) -> Name {
        let key = self.draft.key.as_ref().filter(|_| self.is_plain)?;
        Some(key.scope.as_str().to_owned())
    }

    fn operation(&self) -> Name {
        self.known(self.event.operation)
    }

    fn client(&self, of_holder: bool) -> Name {
        let holder = self.event.holder.filter(|_| of_holder);
        self.known(holder.unwrap_or(self.event.context).client)
    }

    // A holder whose network and agent are new here was told of in an earlier segment.
    fn network(&self, of_holder: bool) -> Name {
        self.draft.seen.network.filter(|_| !of_holder).map(|network| network.to_string())
    }

    fn agent(&self, of_holder: bool) -> Name {
        if of_holder { None } else { self.if_plain(Caller::agent) }
    }

    fn request(&self) -> Name {
        self.if_plain(Caller::id)
    }
}
