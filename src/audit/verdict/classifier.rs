//! The state machine that judges: one event at a time, in the order of the trail.
//!
//! What a try is: a request for a key, so every claim and every collision but `waited` (whose
//! request was an `in_flight` before) and `stale_holder` (which is no request).
//!
//! The first rule that holds decides:
//!
//! 1. the store itself knows: a stale holder, another operation or payload;
//! 2. another party, and not soon: suspicious;
//! 3. the record had expired: a late retry;
//! 4. too many tries: a loop;
//! 5. met while it had just begun: a race;
//! 6. what is known does not suffice: unclear;
//! 7. else a legitimate retry.

use super::gaps::{self, UNKNOWN_MS};
use super::party::{Comparison, Party};
use super::reason::{Reason, Reasons};
use super::rules::Rules;
use super::table::{Past, Table};
use super::{Judgement, Verdict};
use crate::audit::{Event, EventKind};
use crate::types::Difference;

/// Thousandths of a try in the leaky bucket.
const TRY: u32 = 1000;
/// How far the end of a wait may be from where its beginning and its length say.
const WAIT_SLACK_MS: u64 = 5;

/// Judges collisions, and remembers the keys it saw last.
///
/// ```
/// use oncekey::StoreTime;
/// use oncekey::audit::{Classifier, Event, EventId, EventKind, Rules, Verdict};
///
/// let mut classifier = Classifier::new(Rules::new());
/// let event = |sequence, at_ms, kind| {
///     Event::new(EventId::new(1, sequence), StoreTime::from_millis(at_ms), kind, 42)
/// };
/// assert_eq!(classifier.classify(&event(0, 1_000, EventKind::Claimed)), None);
/// assert_eq!(classifier.classify(&event(1, 1_200, EventKind::Completed)), None);
/// let judgement = classifier.classify(&event(2, 3_000, EventKind::Replayed)).expect("a verdict");
/// assert_eq!(judgement.verdict, Verdict::LegitimateRetry);
/// assert_eq!(judgement.against, Some(EventId::new(1, 0)));
/// ```
#[derive(Debug)]
pub struct Classifier {
    rules: Rules,
    table: Table,
}

/// What is seen of one collision before it is judged.
struct Seen {
    /// When the request came.
    arrived_ms: u64,
    /// Since the last try.
    gap_ms: Option<u64>,
    /// Since the last try that was the holder's own.
    silence_ms: u64,
    /// Whether that is so short, or so much the next of a series, that a change of party is
    /// believed.
    is_believed: bool,
    series: bool,
    expected: bool,
    answered: bool,
    /// How long the claim had been in flight, if one is met.
    flight_ms: Option<u64>,
    party: Comparison,
    points: u32,
    reasons: Reasons,
}

impl Classifier {
    /// Takes the memory for as many keys as the rules say.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { rules, table: Table::new(rules.remembered_keys) }
    }

    /// How many keys are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.table.len()
    }

    /// How many keys can be remembered.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.table.capacity()
    }

    /// Fills in the event's gap if it has none and the key is remembered, then judges it.
    pub fn observe(&mut self, event: &mut Event) -> Option<Judgement> {
        if event.gap_ms.is_none() && event.kind.is_request() && event.key_hash != 0 {
            let past = self.table.get(event.key_hash);
            let at_ms = event.at.as_millis();
            event.gap_ms = past.map(|past| at_ms.saturating_sub(past.tried_at_ms));
        }
        self.classify(event)
    }

    /// Judges an event; `None` if it is no collision.
    pub fn classify(&mut self, event: &Event) -> Option<Judgement> {
        if event.key_hash == 0 {
            return None;
        }
        match event.kind {
            kind if kind.is_collision() => Some(self.judge(event)),
            EventKind::Claimed => {
                self.claimed(event);
                None
            }
            EventKind::Forgotten => {
                self.table.remove(event.key_hash);
                None
            }
            _ => {
                if let Some(past) = self.table.get_mut(event.key_hash) {
                    past.seen_at_ms = event.at.as_millis();
                    past.was_slow |= event.kind == EventKind::Completed
                        && event.duration_ms.is_some_and(|ms| ms >= self.rules.slow_ms);
                    past.let_go |= event.kind == EventKind::Dropped && past.is_of(event);
                }
                None
            }
        }
    }

    /// A claim of a free key: the first, or one after a release.
    fn claimed(&mut self, event: &Event) {
        let now_ms = event.at.as_millis();
        if let Some(past) = self.table.get_mut(event.key_hash) {
            past.count(now_ms, TRY, &self.rules);
            past.hold(event);
        } else {
            let mut past = Past::new(now_ms);
            past.count(now_ms, TRY, &self.rules);
            past.hold(event);
            self.table.put(event.key_hash, past);
        }
    }

    fn judge(&mut self, event: &Event) -> Judgement {
        let is_known = self.table.get(event.key_hash).is_some();
        if !is_known {
            self.table.put(event.key_hash, Past::before(event));
        }
        // It was put there just now, so the default is never used; it is no panic, either.
        let mut fallback = Past::before(event);
        let past = self.table.get_mut(event.key_hash).unwrap_or(&mut fallback);
        past.seen_at_ms = event.at.as_millis().max(past.seen_at_ms);
        if event.kind == EventKind::StaleHolder {
            let reasons = Reasons::NONE.with(Reason::ClaimOver);
            let against = past.made_by.filter(|_| !past.is_of(event));
            return Judgement { verdict: Verdict::StaleHolder, reasons, score: 100, against };
        }
        past.learn_holder(event);
        let against = past.made_by.filter(|_| makes_a_claim(event.kind) || past.is_of(event));
        let seen = Seen::new(event, past, is_known, &self.rules);
        if event.kind == EventKind::Waited {
            let same = past.tried_at_ms.abs_diff(seen.arrived_ms) <= WAIT_SLACK_MS;
            let (verdict, reasons, score) = match past.judged {
                Some(judged) if same => judged,
                _ => seen.verdict(event, past, &self.rules),
            };
            return Judgement { verdict, reasons, score, against };
        }
        let is_answered = event.kind == EventKind::Replayed;
        let weight = if is_answered { self.rules.answered_weight.saturating_mul(TRY) } else { TRY };
        past.count(seen.arrived_ms, weight, &self.rules);
        let judged = seen.verdict(event, past, &self.rules);
        past.judged = Some(judged);
        past.learn_try(event, &seen, judged.0);
        let (verdict, reasons, score) = judged;
        Judgement { verdict, reasons, score, against }
    }
}

/// Whether the caller holds the claim after this collision; the event's token is the new claim's.
fn makes_a_claim(kind: EventKind) -> bool {
    matches!(kind, EventKind::TakenOver | EventKind::LateRetry)
}

/// Whether what is met was completed; what was not brings its sender back.
fn has_ended_well(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Replayed | EventKind::LateRetry | EventKind::Expired | EventKind::Mismatch
    )
}

impl Seen {
    fn new(event: &Event, past: &Past, is_known: bool, rules: &Rules) -> Self {
        let at_ms = event.at.as_millis();
        let waited_ms = event.duration_ms.filter(|_| event.kind == EventKind::Waited).unwrap_or(0);
        let arrived_ms = at_ms.saturating_sub(waited_ms);
        let gap_ms = if is_known {
            Some(arrived_ms.saturating_sub(past.tried_at_ms))
        } else {
            event.gap_ms.or(event.age_ms)
        };
        let is_flight = matches!(event.kind, EventKind::InFlight | EventKind::Waited);
        let flight_ms = is_flight.then(|| {
            let age_ms = event.age_ms.filter(|_| event.kind == EventKind::InFlight);
            age_ms.unwrap_or(arrived_ms.saturating_sub(past.claimed_at_ms))
        });
        let caller = Party::of(&event.context);
        let party = Comparison::new(&caller, &past.holder, &past.last);
        let silence_ms = if is_known {
            arrived_ms.saturating_sub(past.honest_at_ms)
        } else {
            event.age_ms.unwrap_or(0).max(gap_ms.unwrap_or(0))
        };
        // Tries that come at growing intervals are a job's, wherever its workers run, and whichever
        // version of the program they run by then.
        let series = is_known
            && past.tries > 2
            && gaps::is_growth(silence_ms, past.honest_gap_ms)
            && silence_ms > rules.immediate_ms;
        let expected = past.was_slow || !has_ended_well(event.kind);
        let time_points = match silence_ms {
            _ if series && party.may_be_same_client() => 0,
            _ if expected && party.is_other_network_alone() => 0,
            ms if ms >= rules.stale_ms => rules.stale_points,
            ms if ms >= rules.fresh_ms => rules.aged_points,
            _ => 0,
        };
        let answered = past.answered_other
            && party.is_other()
            && gap_ms.is_some_and(|gap_ms| gap_ms >= rules.fresh_ms);
        let again_points = if answered { rules.answered_points } else { 0 };
        let points = if party.is_other() {
            party.points(rules).saturating_add(time_points).saturating_add(again_points)
        } else {
            0
        };
        let mut seen = Self {
            arrived_ms,
            gap_ms,
            silence_ms,
            is_believed: series || silence_ms < rules.fresh_ms,
            series,
            expected,
            answered,
            flight_ms,
            party,
            points,
            reasons: Reasons::NONE,
        };
        seen.add_reasons(event, past, rules);
        seen
    }

    fn add_reasons(&mut self, event: &Event, past: &Past, rules: &Rules) {
        let kind = event.kind;
        let differs = event.differs;
        let operation =
            matches!(differs, Some(Difference::Operation | Difference::OperationAndPayload));
        let payload =
            matches!(differs, Some(Difference::Payload | Difference::OperationAndPayload));
        let expired = matches!(kind, EventKind::LateRetry | EventKind::Expired);
        let reasons = &mut self.reasons;
        self.party.add_reasons(reasons);
        reasons.add_if(operation, Reason::OtherOperation);
        reasons.add_if(payload, Reason::OtherPayload);
        reasons.add_if(self.flight_ms.is_some(), Reason::InFlight);
        // A holder that let go is not executing: whoever comes knows that it failed.
        let begun = !past.let_go && self.flight_ms.is_some_and(|ms| ms <= rules.race_window_ms);
        reasons.add_if(begun, Reason::JustBegun);
        reasons.add_if(expired, Reason::RecordExpired);
        reasons.add_if(kind == EventKind::TakenOver, Reason::TookOver);
        reasons.add_if(kind == EventKind::MetUnresolved, Reason::EffectUnknown);
        reasons.add_if(self.silence_ms >= rules.stale_ms, Reason::Stale);
        reasons.add_if(self.series, Reason::Series);
        reasons.add_if(self.expected, Reason::RetryExpected);
        reasons.add_if(self.answered, Reason::AnsweredBefore);
        gaps::add_reasons(self.gap_ms, past.gap_ms, rules, reasons);
    }

    /// The rules, in their order; the past has this try counted already.
    fn verdict(&self, event: &Event, past: &Past, rules: &Rules) -> (Verdict, Reasons, u8) {
        let mut reasons = self.reasons;
        let burst = past.heat > rules.loop_burst.saturating_mul(TRY);
        let many = past.tries > rules.loop_tries;
        reasons.add_if(burst, Reason::Burst);
        reasons.add_if(many, Reason::ManyTries);
        let suspicious = self.points >= rules.suspicious_points;
        // A rival that was refused and asks again is still a rival.
        let rival = past.met > 0 && matches!(past.judged, Some((Verdict::Race, _, _)));
        let raced = reasons.contains(Reason::JustBegun) && (past.met == 0 || rival)
            || rival && reasons.contains(Reason::InFlight) && !reasons.contains(Reason::GapLong);
        let unknown = self.party.is_unknown()
            && self.gap_ms.is_none_or(|gap_ms| gap_ms > rules.unknown_party_ms);

        let (verdict, score) = if event.kind == EventKind::Mismatch {
            (Verdict::KeyReuse, if self.party.is_other() { 90 } else { 100 })
        } else if suspicious && !self.is_believed {
            (Verdict::SuspiciousReplay, self.points.clamp(1, 100))
        } else if reasons.contains(Reason::RecordExpired) {
            (Verdict::LateRetry, if self.party.is_other() { 60 } else { 95 })
        } else if burst || many {
            (Verdict::AutomationLoop, if burst && many { 95 } else { 80 })
        } else if raced {
            (Verdict::Race, if suspicious { 60 } else { 90 })
        } else if unknown || suspicious {
            (Verdict::Unclear, 50)
        } else {
            (Verdict::LegitimateRetry, self.honesty(reasons))
        };
        (verdict, reasons, score as u8)
    }

    fn honesty(&self, reasons: Reasons) -> u32 {
        let known = if self.party.is_unknown() { 70 } else { 95 };
        let explained = if reasons.contains(Reason::GapLong) { 10 } else { 0 };
        (known - explained - self.points.min(50)).max(1)
    }
}

/// A gap as it is remembered: seven weeks and more are the same.
fn short(gap_ms: u64) -> u32 {
    u32::try_from(gap_ms).unwrap_or(UNKNOWN_MS - 1).min(UNKNOWN_MS - 1)
}

impl Past {
    /// What an event says of its key when nothing is remembered.
    fn before(event: &Event) -> Self {
        let now_ms = event.at.as_millis();
        let is_age = event.kind != EventKind::StaleHolder;
        let then_ms = now_ms.saturating_sub(event.age_ms.filter(|_| is_age).unwrap_or(0));
        let mut past = Self::new(then_ms);
        past.token = event.token.map_or(0, |token| token.get());
        past
    }

    fn is_of(&self, event: &Event) -> bool {
        event.token.is_none_or(|token| token.get() == self.token)
    }

    /// The store's word on whose record it is beats what is remembered.
    fn learn_holder(&mut self, event: &Event) {
        let Some(holder) = &event.holder else { return };
        let holder = Party::of(holder);
        if !self.is_of(event) || self.holder == Party::NONE {
            self.holder = holder;
            self.last = holder;
        }
        if !self.is_of(event) && !makes_a_claim(event.kind) {
            self.token = event.token.map_or(0, |token| token.get());
            self.made_by = None;
        }
    }

    /// One more try, of this weight.
    fn count(&mut self, now_ms: u64, weight: u32, rules: &Rules) {
        let gap_ms = now_ms.saturating_sub(self.tried_at_ms);
        let leaked = gap_ms.saturating_mul(u64::from(TRY)) / rules.loop_period_ms.max(1);
        let leaked = u32::try_from(leaked).unwrap_or(u32::MAX);
        self.heat = self.heat.saturating_sub(leaked).saturating_add(weight);
        self.tries = self.tries.saturating_add(1);
    }

    /// The caller of this event holds the claim from now on.
    fn hold(&mut self, event: &Event) {
        let now_ms = event.at.as_millis();
        if self.tries > 1 {
            self.learn_gap(now_ms);
            self.honest_gap_ms = short(now_ms.saturating_sub(self.honest_at_ms));
        }
        self.made_by = Some(event.id);
        self.token = event.token.map_or(0, |token| token.get());
        self.holder = Party::of(&event.context);
        self.last = self.holder;
        self.claimed_at_ms = now_ms;
        self.seen_at_ms = now_ms;
        self.tried_at_ms = now_ms;
        self.honest_at_ms = now_ms;
        self.met = 0;
        self.answered_other = false;
        self.was_slow = false;
        self.let_go = false;
    }

    fn learn_gap(&mut self, now_ms: u64) {
        self.gap_ms = short(now_ms.saturating_sub(self.tried_at_ms));
    }

    /// What a try leaves behind.
    fn learn_try(&mut self, event: &Event, seen: &Seen, verdict: Verdict) {
        if makes_a_claim(event.kind) {
            let honest_at_ms = self.honest_at_ms;
            self.hold(event);
            if verdict == Verdict::SuspiciousReplay {
                self.honest_at_ms = honest_at_ms;
            }
            return;
        }
        if seen.gap_ms.is_some() {
            self.learn_gap(seen.arrived_ms);
        }
        self.tried_at_ms = seen.arrived_ms.max(self.tried_at_ms);
        self.answered_other |=
            event.kind == EventKind::Replayed && seen.party.is_other() && !seen.is_believed;
        self.met = self.met.saturating_add(u32::from(seen.flight_ms.is_some()));
        let honest =
            matches!(verdict, Verdict::LegitimateRetry | Verdict::Race | Verdict::AutomationLoop);
        // A party that changed is believed only while it is fresh: else whoever comes again and
        // again would be its own witness.
        if honest && (seen.is_believed || !seen.party.is_other()) {
            self.honest_gap_ms = short(seen.silence_ms);
            self.honest_at_ms = seen.arrived_ms;
            self.last = Party::of(&event.context);
        }
    }
}
