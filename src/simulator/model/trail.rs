//! What an audit trail may say: every event is a decision that the store took, in the order of the
//! key's decisions, and what is missing is said to be.
//!
//! The model is told of each decision by whoever made the call, never by the audit. Order is by
//! key: calls that meet in the middle of one another are decided and told of in orders of their
//! own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Verdict;
use crate::audit::{Event, EventKind, TrailItem};

/// One decision, as far as whoever made the call knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decision {
    /// The hash of its key, or of several whose hashes are equal.
    pub(crate) hash: u64,
    /// What its event may be called.
    pub(crate) kinds: &'static [EventKind],
    pub(crate) token: Option<u64>,
    pub(crate) attempt: Option<u32>,
    /// Whether there is surely an event of it.
    pub(crate) is_sure: bool,
}

/// One opening of the store.
#[derive(Debug, Default)]
struct Life {
    boot: u64,
    decisions: VecDeque<Decision>,
    /// How many decisions are not known any more, since the trail has let go of them.
    forgotten: u64,
    /// How many events a kill must leave, and how many a power cut.
    written: u64,
    synced: u64,
    /// How many events must be there, now that it is over.
    kept: u64,
    /// Whether the trail's disk failed, or may have.
    trouble: bool,
    /// How many events were counted as dropped or lost, once it was closed.
    closed: Option<u64>,
}

/// How an opening of the store ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TrailEnd {
    /// With so many events counted as dropped or lost.
    Closed(u64),
    Killed,
    PowerCut,
}

/// What is known of the trail beyond its items.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrailFacts {
    /// Whether the end of a closed opening was there, and nothing after it.
    pub(crate) is_ended: bool,
    /// Whether bytes of it are damaged.
    pub(crate) rotten: bool,
    /// Whether all of it is kept: nothing is too old, or too much.
    pub(crate) keeps_all: bool,
    /// What an open store has counted as dropped or lost, if all that it decided has been written.
    pub(crate) dropped: Option<u64>,
    /// What a store that was open, or has just been closed, has counted as told.
    pub(crate) events: Option<u64>,
}

/// All decisions of a store, by its openings.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    lives: Vec<Life>,
    /// Each claim there ever was, but for those that are forgotten.
    claims: BTreeSet<(u64, u64)>,
    /// Whether the store has failed: only then does the trail say so.
    pub(crate) poisoned: bool,
}

impl Ledger {
    /// The store is open, for the time of this number.
    pub(crate) fn open(&mut self, boot: u64) {
        self.lives.push(Life { boot, ..Life::default() });
    }

    pub(crate) fn decided(&mut self, decision: Decision) {
        if let Some(token) = decision.token {
            self.claims.insert((decision.hash, token));
        }
        if let Some(life) = self.lives.last_mut() {
            life.decisions.push_back(decision);
        }
    }

    /// How many decisions this opening has taken.
    pub(crate) fn decisions(&self) -> u64 {
        self.lives.last().map_or(0, |life| life.forgotten + life.decisions.len() as u64)
    }

    /// The trail's disk fails, or may.
    pub(crate) fn trouble(&mut self) {
        if let Some(life) = self.lives.last_mut() {
            life.trouble = true;
        }
    }

    pub(crate) fn is_in_trouble(&self) -> bool {
        self.lives.last().is_some_and(|life| life.trouble)
    }

    /// The audit thread has handed so many events to the system, and perhaps synced them.
    pub(crate) fn written(&mut self, events: u64, is_synced: bool) {
        let Some(life) = self.lives.last_mut().filter(|life| !life.trouble) else { return };
        life.written = events;
        if is_synced {
            life.synced = events;
        }
    }

    pub(crate) fn end(&mut self, end: TrailEnd) {
        let Some(life) = self.lives.last_mut() else { return };
        life.kept = life.written;
        match end {
            TrailEnd::Closed(dropped) => {
                life.closed = Some(dropped);
            }
            TrailEnd::Killed => {}
            TrailEnd::PowerCut => self.power_cut(),
        }
    }

    /// The power goes: what was only handed to the system may go with it.
    pub(crate) fn power_cut(&mut self) {
        for life in self.lives.iter_mut().filter(|life| life.closed.is_none() || life.trouble) {
            life.kept = life.kept.min(life.synced);
            // Its end may not have been synced when it was closed.
            life.closed = None;
        }
    }

    /// Judges what a reader is told, from the beginning: each item, and of which opening it is.
    pub(crate) fn judge(&mut self, items: &[(TrailItem, u64)], facts: TrailFacts) -> Verdict {
        let mut reading = Reading::new(self);
        for (item, boot) in items {
            reading.take(item, *boot)?;
        }
        let Reading { told, first, is_damaged, .. } = reading;
        for (number, life) in self.lives.iter().enumerate() {
            let told = told.get(&number).copied().unwrap_or_default();
            let is_last = number + 1 == self.lives.len();
            if facts.keeps_all && !facts.rotten {
                check_whole(life, told, facts.dropped.filter(|_| is_last))?;
                if let Some(events) = facts.events.filter(|events| is_last && told.events < *events)
                {
                    return Err(format!(
                        "promise 9: {events} events are counted and {} are told",
                        told.events
                    ));
                }
            }
            if is_last && facts.keeps_all && life.closed.is_some() && !life.trouble && !facts.rotten
            {
                let has_any = life.decisions.iter().any(|decision| decision.is_sure);
                let says = facts.is_ended || !has_any;
                says.then_some(()).ok_or("a closed store's trail does not say so")?;
            }
        }
        if is_damaged && !facts.rotten && self.lives.iter().all(|life| life.is_well()) {
            return Err("promise 9: the trail is damaged without a cause".into());
        }
        if !facts.keeps_all
            && let (Some((number, sequence)), 1) = (first, self.lives.len())
            && let Some(life) = self.lives.get_mut(number)
        {
            for decision in life.forget_before(sequence.saturating_sub(SLACK)) {
                let token = decision.token.unwrap_or_default();
                self.claims.remove(&(decision.hash, token));
            }
        }
        Ok(())
    }
}

/// By so much fewer decisions may be known of than their events' numbers say.
const SLACK: u64 = 1000;

impl Life {
    /// Whether it has come to an end in which no write was cut short.
    fn is_well(&self) -> bool {
        !self.trouble && self.closed.is_some()
    }

    /// Forgets the decisions before one, which it returns.
    fn forget_before(&mut self, sequence: u64) -> Vec<Decision> {
        let count = usize::try_from(sequence.saturating_sub(self.forgotten)).unwrap_or(usize::MAX);
        let gone: Vec<_> = self.decisions.drain(..count.min(self.decisions.len())).collect();
        self.forgotten += gone.len() as u64;
        gone
    }
}

/// What is told of one opening.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    events: u64,
    /// Those of them that whoever made the call had to know of.
    sure: u64,
    missing: u64,
    /// Whether nobody knows how many are missing.
    is_vague: bool,
}

/// Checks that nothing is missing of an opening without being told or counted.
fn check_whole(life: &Life, told: Told, dropped: Option<u64>) -> Verdict {
    if told.events < life.kept {
        return Err(format!(
            "promise 9: of opening {} the trail has {} events left, of {} that were safe",
            life.boot, told.events, life.kept
        ));
    }
    let sure = life.decisions.iter().filter(|decision| decision.is_sure).count() as u64;
    let untold = sure.saturating_sub(told.sure);
    let Some(counted) = life.closed.or(dropped) else { return Ok(()) };
    if untold > counted {
        return Err(format!(
            "promise 9: of opening {} {untold} decisions are not told, and {counted} are counted \
             as dropped: {told:?}",
            life.boot
        ));
    }
    // What was dropped after the last event is told with the next one, or when the store is closed.
    let is_told = life.closed.is_some() && !life.trouble;
    let differs = is_told && !told.is_vague && told.missing != counted;
    if differs || told.missing > counted {
        return Err(format!(
            "promise 9: of opening {} {} events are said to be missing, and {counted} are counted \
             as dropped",
            life.boot, told.missing
        ));
    }
    Ok(())
}

/// A trail that is read from its beginning.
struct Reading<'a> {
    ledger: &'a Ledger,
    /// The opening that the last item was of.
    life: Option<usize>,
    /// The number that its next event should have.
    expected: u64,
    /// A gap before whatever is next: how many are missing, if anybody knows.
    gap: Option<Option<u64>>,
    is_damaged: bool,
    told: BTreeMap<usize, Told>,
    /// The first event of all.
    first: Option<(usize, u64)>,
    /// The decisions of the opening that are still to come, by the hashes of their keys.
    to_come: BTreeMap<u64, VecDeque<Decision>>,
}

impl<'a> Reading<'a> {
    fn new(ledger: &'a Ledger) -> Self {
        Self {
            ledger,
            life: None,
            expected: 0,
            gap: None,
            is_damaged: false,
            told: BTreeMap::new(),
            first: None,
            to_come: BTreeMap::new(),
        }
    }

    fn take(&mut self, item: &TrailItem, boot: u64) -> Verdict {
        match item {
            TrailItem::Event(event) => self.take_event(event),
            TrailItem::Gap(gap) => {
                if self.gap.is_some() {
                    return Err(format!("promise 9: two gaps in a row: {gap:?}"));
                }
                if gap.before.is_some() {
                    self.gap = Some(gap.lost);
                    return Ok(());
                }
                // A store that was closed says how many there were.
                self.begin(boot)?;
                let Some(life) = self.life else { return Ok(()) };
                let told = self.told.entry(life).or_default();
                match gap.lost {
                    Some(lost) => {
                        self.expected += lost;
                        told.missing += lost;
                    }
                    None => told.is_vague = true,
                }
                Ok(())
            }
            TrailItem::Damage(_) => {
                self.is_damaged = true;
                Ok(())
            }
        }
    }

    fn take_event(&mut self, event: &Event) -> Verdict {
        let before = self.life;
        self.begin(event.id.boot)?;
        let Some(number) = self.life else { return Ok(()) };
        if before.is_some_and(|before| before != number && self.is_cut_before(before, number))
            && self.gap.is_none()
        {
            return Err(format!("promise 9: no gap before {} of another opening", event.id));
        }
        let missing = event.id.sequence.checked_sub(self.expected).ok_or_else(|| {
            format!("promise 9: event {} comes where {} was due", event.id, self.expected)
        })?;
        match self.gap.take() {
            // After an opening that was not closed nobody knows how many are missing.
            Some(None) => {}
            Some(Some(lost)) if lost == missing && lost > 0 => {}
            None if missing == 0 => {}
            gap => {
                return Err(format!(
                    "promise 9: {missing} are missing before {} and {gap:?} is told",
                    event.id
                ));
            }
        }
        self.expected = event.id.sequence + 1;
        self.first.get_or_insert((number, event.id.sequence));
        let is_sure = self.find(event)?;
        let told = self.told.entry(number).or_default();
        told.missing += missing;
        told.events += 1;
        told.sure += u64::from(is_sure);
        Ok(())
    }

    /// What comes now is of this opening.
    fn begin(&mut self, boot: u64) -> Verdict {
        let lives = &self.ledger.lives;
        if self.life.and_then(|life| lives.get(life)).is_some_and(|life| life.boot == boot) {
            return Ok(());
        }
        let number = lives.partition_point(|life| life.boot < boot);
        let Some(life) = lives.get(number).filter(|life| life.boot == boot) else {
            return Err(format!("promise 9: the trail tells of opening {boot}, which never was"));
        };
        if self.life.is_some_and(|before| before > number) {
            return Err(format!("promise 9: opening {boot} is told after a later one"));
        }
        (self.life, self.expected) = (Some(number), 0);
        self.to_come.clear();
        for decision in &life.decisions {
            self.to_come.entry(decision.hash).or_default().push_back(*decision);
        }
        Ok(())
    }

    /// Whether the reader must know that something may be missing between two openings.
    fn is_cut_before(&self, before: usize, number: usize) -> bool {
        let between = self.ledger.lives.get(before..number).unwrap_or_default();
        between.iter().any(|life| life.closed.is_none() && !life.trouble)
    }

    /// Finds the decision that an event tells of; whether whoever made the call had to know of it.
    fn find(&mut self, event: &Event) -> Verdict<bool> {
        let token = event.token.map(|token| token.get());
        let own = match event.kind {
            EventKind::ClockStep => true,
            EventKind::Poisoned => self.ledger.poisoned,
            // By whoever asked first after the lease was over, or by the opening.
            EventKind::LeftUnresolved => {
                let is_claim = |token| self.ledger.claims.contains(&(event.key_hash, token));
                token.is_some_and(is_claim)
                    || self.ledger.lives.iter().any(|life| life.forgotten > 0)
            }
            _ => false,
        };
        if own {
            return Ok(false);
        }
        let is_it = |decision: &Decision| {
            decision.kinds.contains(&event.kind)
                && (decision.token.is_none() || decision.token == token)
                && decision.attempt.is_none_or(|attempt| attempt == event.attempt)
        };
        let to_come = self.to_come.entry(event.key_hash).or_default();
        let Some(at) = to_come.iter().position(is_it) else {
            let next: Vec<_> = to_come.iter().take(3).collect();
            return Err(format!(
                "promise 9: nobody decided {} {} of {:016x} (token {token:?}, attempt {}) after \
                 what is told before; the next of the key are {next:?}",
                event.id, event.kind, event.key_hash, event.attempt
            ));
        };
        to_come.drain(..at);
        Ok(to_come.pop_front().is_some_and(|decision| decision.is_sure))
    }
}
