//! Takes the items of a trail and keeps what belongs to one key.

use std::collections::VecDeque;

use super::attempts::{Attempts, Fate};
use super::blind::{BlindKind, BlindSpot, Pending};
use super::conclusion::{Conclusion, Finding};
use super::{Reach, Step, Story};
use crate::audit::{Event, EventId, EventKind, Gap, Judgement, TrailItem};
use crate::ids::{StoreTime, Token};
use crate::inspect::{KeyRow, KeyState};

/// So many of the first steps, and of the last, are kept.
const KEPT: usize = 512;
/// A day: the TTL of a record unless chosen otherwise.
const HORIZON_MS: u64 = 24 * 3600 * 1000;

/// What a store says of the key now: [`Inspector::key`](crate::Inspector::key).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Present {
    /// The claim that it is in the state of.
    pub token: Token,
    /// Which attempt.
    pub attempt: u32,
    /// What became of it: open if it is in flight.
    pub fate: Fate,
    /// Since when.
    pub since: StoreTime,
    /// Whether a process runs that holds it.
    pub is_running: bool,
}

impl Present {
    /// What a look into the store found.
    #[must_use]
    pub fn of(row: &KeyRow) -> Self {
        let fate = match row.state {
            KeyState::Completed => Fate::Completed,
            // An abandoned claim expires, too, and has no status.
            KeyState::Expired if row.status.is_some() => Fate::Completed,
            KeyState::Unresolved => Fate::Unresolved,
            KeyState::Expired | KeyState::InFlight | KeyState::Abandoned => Fate::Open,
        };
        Self {
            token: row.token,
            attempt: row.attempt,
            fate,
            since: row.since,
            is_running: row.state == KeyState::InFlight,
        }
    }
}

/// Makes the story of one key from the items of a trail, in their order.
///
/// ```
/// use oncekey::audit::story::{Finding, Storyteller};
/// use oncekey::audit::{Event, EventId, EventKind, TrailItem};
/// use oncekey::{StoreTime, Token};
///
/// let mut teller = Storyteller::new(vec![(9, 42)]);
/// for (sequence, kind) in [(0, EventKind::Claimed), (1, EventKind::Completed)] {
///     let at = StoreTime::from_millis(1000 + sequence);
///     let mut event = Event::new(EventId::new(1, sequence), at, kind, 42);
///     event.token = Some(Token::new(2));
///     event.attempt = 1;
///     teller.take(Some(9), &TrailItem::Event(event), None);
/// }
/// assert_eq!(teller.finish(true, None).conclusion.finding, Finding::Once);
/// ```
#[derive(Debug)]
pub struct Storyteller {
    /// The key's hash under each secret that is known.
    hashes: Vec<(u64, u64)>,
    horizon_ms: u64,
    is_synced: bool,
    attempts: Attempts,
    first: Vec<Step>,
    last: VecDeque<Step>,
    left_out: u64,
    pending: Pending,
    /// Bytes were no events just now.
    is_damaged: bool,
    /// The last event of any key.
    before: Option<(EventId, StoreTime)>,
    /// When the key's state was known last, and whether it ever was.
    anchor: Option<StoreTime>,
    was_asked_for: bool,
    missing: Option<u64>,
    reach: Reach,
}

impl Storyteller {
    /// The story of a key: of pairs of [`Trail::key_id`](crate::audit::Trail::key_id) and the key's
    /// hash under the secret of that.
    #[must_use]
    pub fn new(hashes: Vec<(u64, u64)>) -> Self {
        Self {
            hashes,
            horizon_ms: HORIZON_MS,
            is_synced: true,
            attempts: Attempts::default(),
            first: Vec::new(),
            last: VecDeque::new(),
            left_out: 0,
            pending: Pending::default(),
            is_damaged: false,
            before: None,
            anchor: None,
            was_asked_for: false,
            missing: Some(0),
            reach: Reach { since: None, until: None },
        }
    }

    /// How long before the key's first event, or after its last one, events must be missing not to
    /// matter: as long as a retry may come late. Default: 24 hours.
    #[must_use]
    pub fn horizon_ms(mut self, horizon_ms: u64) -> Self {
        self.horizon_ms = horizon_ms;
        self
    }

    /// Says that the store is one of
    /// [`Durability::Interval`](crate::Durability::Interval): a power cut may have taken back what
    /// clients had been told, so that a claim which is there before and after it need not have been
    /// there all the time.
    #[must_use]
    pub fn may_lose_the_latest(mut self) -> Self {
        self.is_synced = false;
        self
    }

    /// Takes the next item. `key_id` is that of the trail at this item.
    pub fn take(&mut self, key_id: Option<u64>, item: &TrailItem, judgement: Option<&Judgement>) {
        match item {
            TrailItem::Gap(gap) => {
                self.is_damaged = false;
                self.gap(gap);
            }
            // If events were lost with it, a gap follows where the next event is.
            TrailItem::Damage(_) => self.is_damaged = true,
            TrailItem::Event(event) => {
                self.is_damaged = false;
                self.event(key_id, event, judgement);
            }
        }
    }

    /// The end of the trail. `is_ended`: whether the store was closed there
    /// ([`Trail::is_ended`](crate::audit::Trail::is_ended)); `present`: what the store says of the
    /// key now, if it has a claim or a record of it.
    #[must_use]
    pub fn finish(mut self, is_ended: bool, present: Option<Present>) -> Story {
        if self.is_damaged {
            self.blind(BlindKind::Missing, None, None);
        }
        if self.before.is_none() {
            // Whatever was, its events are not here.
            self.blind(BlindKind::Beginning, None, None);
        }
        if let Some(present) = present {
            let is_same = self.attempts.current() == Some(present.token);
            self.anchored(is_same, present.since, present.since);
            self.attempts.take_present(present.token, present.attempt, present.fate);
            self.step(Step::Present(present));
            self.was_asked_for = true;
        } else {
            self.close_off();
        }
        let is_live = match present {
            Some(present) => present.is_running,
            None => !is_ended && self.is_of_last_boot(),
        };
        let apparent = Finding::of(&self.attempts, self.was_asked_for, is_live);
        let tally = self.attempts.tally();
        let conclusion = Conclusion::new(apparent, self.reach, self.missing, tally);
        let (has_hidden, hidden_said_by) = self.attempts.hidden();
        let mut steps = self.first;
        steps.extend(self.last);
        Story {
            steps,
            steps_left_out: self.left_out,
            has_hidden,
            hidden_said_by,
            stranger: self.attempts.stranger(),
            attempts: self.attempts.into_list(),
            conclusion,
        }
    }

    fn event(&mut self, key_id: Option<u64>, event: &Event, judgement: Option<&Judgement>) {
        if self.before.is_none() && event.id != EventId::new(FIRST_BOOT, 0) {
            self.begins_late(event);
        }
        self.pending.close(event.id, event.at);
        let hash = self.hashes.iter().find(|(id, _)| Some(*id) == key_id);
        match hash {
            None => self.unreadable(event),
            Some((_, hash)) if event.key_hash != 0 && *hash == event.key_hash => {
                self.of_the_key(event, judgement);
            }
            Some(_) if event.key_hash == 0 && self.matters_in_flight(event.kind) => {
                self.step(Step::Event(*event, None));
            }
            Some(_) => {}
        }
        self.before = Some((event.id, event.at));
    }

    fn of_the_key(&mut self, event: &Event, judgement: Option<&Judgement>) {
        self.was_asked_for = true;
        if let Some(known_from) = known_from(event) {
            let is_same = event.token.is_some()
                && event.token == self.attempts.current()
                && !makes_a_claim(event.kind);
            self.anchored(is_same, known_from, event.at);
        }
        self.attempts.take(event);
        self.step(Step::Event(*event, judgement.copied()));
    }

    /// At this moment the key's state is known, and has been of the same claim since `known_from`.
    /// What of the places before it, where events are missing?
    fn anchored(&mut self, is_same: bool, known_from: StoreTime, at: StoreTime) {
        for mut spot in self.pending.drain() {
            let (began, over) = spot.times;
            spot.matters = match self.anchor {
                // Nothing but the claim that was current before and after can have counted.
                Some(_) if is_same => !self.is_synced && spot.crosses_a_death(),
                Some(_) => true,
                None if !self.is_synced && spot.crosses_a_death() => true,
                None if began.is_some_and(|began| known_from <= began) => false,
                None => over.is_none_or(|over| {
                    known_from < over || known_from.ms_since(over) < self.horizon_ms
                }),
            };
            if self.anchor.is_none() && !spot.matters {
                // The story begins after it; or the claim is older than it.
                if over.is_some_and(|over| over <= known_from) {
                    self.reach.since = over.max(self.reach.since);
                }
                continue;
            }
            self.count(&spot);
            self.step(Step::Blind(spot));
        }
        self.anchor = Some(at);
    }

    /// Nothing more is known of the key.
    fn close_off(&mut self) {
        // Whatever came later, also after a close, the trail may not have yet, or have lost.
        self.reach.until = self.before.map(|(_, at)| at);
        for mut spot in self.pending.drain() {
            let (began, over) = spot.times;
            match self.anchor {
                Some(anchor) => {
                    spot.matters =
                        began.is_none_or(|began| began.ms_since(anchor) < self.horizon_ms);
                    if !spot.matters {
                        self.reach.until = began.min(self.reach.until).or(began);
                        break;
                    }
                }
                None if spot.kind == BlindKind::Beginning && over.is_some() => {
                    self.reach.since = over;
                    continue;
                }
                None => spot.matters = true,
            }
            self.count(&spot);
            self.step(Step::Blind(spot));
        }
    }

    fn count(&mut self, spot: &BlindSpot) {
        if spot.matters {
            self.missing = self.missing.and_then(|missing| missing.checked_add(spot.lost?));
        }
    }

    fn gap(&mut self, gap: &Gap) {
        if self.before.is_none() {
            // The first event that is there says that it is not the first one.
            return;
        }
        self.blind(BlindKind::Missing, gap.lost, gap.before);
    }

    fn begins_late(&mut self, event: &Event) {
        self.pending.push(BlindSpot {
            kind: BlindKind::Beginning,
            lost: None,
            between: (None, Some(event.id)),
            times: (None, Some(event.at)),
            matters: false,
        });
    }

    /// An event whose key cannot be told.
    fn unreadable(&mut self, event: &Event) {
        if event.key_hash == 0 {
            return;
        }
        match self.pending.open() {
            Some(spot) if spot.kind == BlindKind::OtherSecret => {
                spot.lost = spot.lost.map(|lost| lost.saturating_add(1));
            }
            _ => self.blind(BlindKind::OtherSecret, Some(1), None),
        }
    }

    fn blind(&mut self, kind: BlindKind, lost: Option<u64>, before: Option<EventId>) {
        let (last, at) = self.before.unzip();
        let (between, times) = ((last, before), (at, None));
        self.pending.push(BlindSpot { kind, lost, between, times, matters: false });
    }

    /// Whether an event of the whole store says something of an attempt that is under way.
    fn matters_in_flight(&self, kind: EventKind) -> bool {
        matches!(kind, EventKind::Poisoned | EventKind::ClockStep)
            && self.attempts.last().is_some_and(|last| last.fate == Fate::Open)
    }

    /// Whether the last claim was made since the store was opened last.
    fn is_of_last_boot(&self) -> bool {
        let last = self.attempts.last().and_then(|last| last.claimed);
        last.zip(self.before).is_some_and(|(claimed, (id, _))| claimed.boot == id.boot)
    }

    fn step(&mut self, step: Step) {
        if self.first.len() < KEPT {
            self.first.push(step);
            return;
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
            self.left_out += 1;
        }
        self.last.push_back(step);
    }
}

/// The boot of a store's making: the first token.
const FIRST_BOOT: u64 = 1;

fn makes_a_claim(kind: EventKind) -> bool {
    matches!(kind, EventKind::Claimed | EventKind::TakenOver | EventKind::LateRetry)
}

/// Since when the claim has been the key's that an event tells of; `None` if it tells of none.
fn known_from(event: &Event) -> Option<StoreTime> {
    use EventKind::{
        Claimed, Completed, Dropped, Forgotten, InFlight, LateRetry, LeftUnresolved, MetUnresolved,
        Mismatch, Released, Replayed, Resolved, TakenOver, Waited,
    };
    event.token?;
    let ms = match event.kind {
        Claimed | TakenOver | LateRetry => Some(0),
        Completed | Released | Dropped | LeftUnresolved | Resolved => event.duration_ms,
        Forgotten => event.age_ms.or(event.duration_ms),
        Replayed | Waited | InFlight | Mismatch | MetUnresolved => event.age_ms,
        _ => return None,
    };
    let at_ms = event.at.as_millis();
    Some(StoreTime::from_millis(at_ms.saturating_sub(ms.unwrap_or(0))))
}
