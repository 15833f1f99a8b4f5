//! One key in a store that is only imagined: what a request meets, and the events that come of it.
//!
//! It knows why each request was sent, so it can say what a collision truly was. It knows nothing
//! of the classifier.

use super::Intent;
use crate::audit::{Context, Event, EventId, EventKind, KeyShape, Label, Verdict};
use crate::ids::StoreTime;
use crate::types::Difference;

/// For so long an expired key is remembered, and for so long its record is still on disk.
const REMEMBERED_MS: u64 = 24 * 3_600_000;
const UNPRUNED_MS: u64 = 6 * 3_600_000;
/// How long a request waits for another's claim, where requests wait.
const WAIT_MS: u64 = 10_000;

/// How the store and its service are set up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    pub(super) ttl_ms: u64,
    pub(super) lease_ms: u64,
    /// Whether a request waits for the claim it meets, or is refused at once.
    pub(super) waits: bool,
    pub(super) refuses_late: bool,
}

/// What a request asks for; two that differ are not the same request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Asked {
    pub(super) operation: u64,
    pub(super) payload: u64,
}

/// How a claim ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Completed,
    Released,
    /// The holder died; the lease runs on.
    Died,
    Unresolved,
}

/// How an execution goes, if the request wins the claim.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) takes_ms: u64,
    pub(super) end: End,
    /// Whether the holder forgets to renew its lease.
    pub(super) stuck: bool,
}

/// What the sender is told, and when.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    Executed {
        at_ms: u64,
        end: End,
    },
    Replayed,
    /// Another's claim, which ends then if it does.
    Busy {
        told_ms: u64,
    },
    /// It waited, and got the answer then.
    Waited {
        at_ms: u64,
    },
    Refused,
}

#[derive(Debug, Clone, Copy)]
struct Flight {
    claim: usize,
    attempt: u32,
    began_ms: u64,
    ends_ms: u64,
    end: End,
    lease_ends_ms: u64,
    asked: Asked,
    context: Context,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    flight: Flight,
    at_ms: u64,
    unresolved: bool,
}

/// An event that has no number yet.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) event: Event,
    /// Which of the key's claims the event's token is.
    pub(super) claim: Option<usize>,
    pub(super) truth: Option<Verdict>,
}

/// One key.
#[derive(Debug)]
pub(super) struct World {
    setting: Setting,
    key_hash: u64,
    scope: Label,
    operation: Label,
    shape: Option<KeyShape>,
    flight: Option<Flight>,
    record: Option<Record>,
    /// Holders whose claims went over to others, and who do not know it yet.
    outrun: Vec<Flight>,
    claims: usize,
    pub(super) drafts: Vec<Draft>,
}

impl World {
    pub(super) fn new(
        setting: Setting,
        key_hash: u64,
        scope: Label,
        operation: Label,
        shape: KeyShape,
    ) -> Self {
        Self {
            setting,
            key_hash,
            scope,
            operation,
            shape: Some(shape),
            flight: None,
            record: None,
            outrun: Vec::new(),
            claims: 0,
            drafts: Vec::new(),
        }
    }

    /// A request comes in.
    pub(super) fn send(
        &mut self,
        at_ms: u64,
        context: Context,
        asked: Asked,
        intent: Intent,
        run: Run,
    ) -> Answer {
        self.advance(at_ms);
        let from = (at_ms, context, asked, intent);
        if let Some(flight) = self.flight {
            return self.meet_flight(from, flight, run);
        }
        if let Some(record) = self.record {
            return self.meet_record(from, record, run);
        }
        self.claim(from, run, EventKind::Claimed, 1, None)
    }

    /// What happens by itself up to a moment.
    pub(super) fn advance(&mut self, to_ms: u64) {
        if let Some(flight) = self.flight.filter(|f| f.ends_ms <= to_ms && f.end != End::Died) {
            self.flight = None;
            let kind = match flight.end {
                End::Completed | End::Died => EventKind::Completed,
                End::Released => EventKind::Released,
                End::Unresolved => EventKind::LeftUnresolved,
            };
            let held_ms = flight.ends_ms - flight.began_ms;
            self.draft(flight.ends_ms, kind, Some(flight), flight.context, None);
            self.amend(|event| event.duration_ms = Some(held_ms));
            if flight.end != End::Released {
                let unresolved = flight.end == End::Unresolved;
                self.record = Some(Record { flight, at_ms: flight.ends_ms, unresolved });
            }
        }
        let late: Vec<_> = self.outrun.iter().filter(|f| f.ends_ms <= to_ms).copied().collect();
        self.outrun.retain(|flight| flight.ends_ms > to_ms);
        for flight in late {
            let truth = Some(Verdict::StaleHolder);
            self.draft(flight.ends_ms, EventKind::StaleHolder, Some(flight), flight.context, truth);
        }
    }

    fn meet_flight(
        &mut self,
        from: (u64, Context, Asked, Intent),
        flight: Flight,
        run: Run,
    ) -> Answer {
        let (at_ms, context, asked, intent) = from;
        if asked != flight.asked {
            return self.mismatch(from, flight, at_ms - flight.began_ms);
        }
        if flight.lease_ends_ms <= at_ms {
            if flight.ends_ms > at_ms && flight.end != End::Died {
                self.outrun.push(flight);
            }
            self.flight = None;
            let attempt = flight.attempt + 1;
            return self.claim(from, run, EventKind::TakenOver, attempt, Some(flight));
        }
        let truth = Some(intent.truth(EventKind::InFlight));
        self.draft(at_ms, EventKind::InFlight, Some(flight), context, truth);
        self.amend(|event| {
            event.age_ms = Some(at_ms - flight.began_ms);
            event.holder = Some(flight.context);
        });
        if !self.setting.waits {
            return Answer::Busy { told_ms: at_ms };
        }
        let ends_ms = flight.ends_ms;
        if ends_ms > at_ms + WAIT_MS || flight.end == End::Died {
            return Answer::Busy { told_ms: at_ms + WAIT_MS };
        }
        self.draft(ends_ms, EventKind::Waited, Some(flight), context, truth);
        self.amend(|event| {
            event.duration_ms = Some(ends_ms - at_ms);
            event.holder = Some(flight.context);
        });
        Answer::Waited { at_ms: ends_ms }
    }

    fn meet_record(
        &mut self,
        from: (u64, Context, Asked, Intent),
        record: Record,
        run: Run,
    ) -> Answer {
        let (at_ms, context, asked, intent) = from;
        let age_ms = at_ms - record.at_ms;
        if !record.unresolved && age_ms >= self.setting.ttl_ms {
            return self.meet_expired(from, record, run);
        }
        if asked != record.flight.asked {
            return self.mismatch(from, record.flight, age_ms);
        }
        let kind = if record.unresolved { EventKind::MetUnresolved } else { EventKind::Replayed };
        self.draft(at_ms, kind, Some(record.flight), context, Some(intent.truth(kind)));
        self.amend(|event| {
            event.age_ms = Some(age_ms);
            event.holder = Some(record.flight.context);
        });
        if record.unresolved { Answer::Refused } else { Answer::Replayed }
    }

    fn meet_expired(
        &mut self,
        from: (u64, Context, Asked, Intent),
        record: Record,
        run: Run,
    ) -> Answer {
        let over_ms = from.0 - record.at_ms - self.setting.ttl_ms;
        if over_ms > REMEMBERED_MS {
            self.record = None;
            return self.claim(from, run, EventKind::Claimed, 1, None);
        }
        let holder = (over_ms <= UNPRUNED_MS).then_some(record.flight.context);
        if self.setting.refuses_late {
            let kind = EventKind::Expired;
            self.draft(from.0, kind, None, from.1, Some(from.3.truth(kind)));
            self.amend(|event| {
                event.age_ms = Some(over_ms);
                event.holder = holder;
            });
            return Answer::Refused;
        }
        self.record = None;
        let answer = self.claim(from, run, EventKind::LateRetry, 1, None);
        self.amend(|event| {
            event.age_ms = Some(over_ms);
            event.holder = holder;
        });
        answer
    }

    fn mismatch(
        &mut self,
        from: (u64, Context, Asked, Intent),
        met: Flight,
        age_ms: u64,
    ) -> Answer {
        let (at_ms, context, asked, intent) = from;
        let kind = EventKind::Mismatch;
        self.draft(at_ms, kind, Some(met), context, Some(intent.truth(kind)));
        let operation = asked.operation != met.asked.operation;
        let payload = asked.payload != met.asked.payload;
        self.amend(|event| {
            event.age_ms = Some(age_ms);
            event.holder = Some(met.context);
            event.differs = Some(match (operation, payload) {
                (true, true) => Difference::OperationAndPayload,
                (true, false) => Difference::Operation,
                _ => Difference::Payload,
            });
        });
        Answer::Refused
    }

    fn claim(
        &mut self,
        from: (u64, Context, Asked, Intent),
        run: Run,
        kind: EventKind,
        attempt: u32,
        over: Option<Flight>,
    ) -> Answer {
        let (at_ms, context, asked, intent) = from;
        let ends_ms = at_ms + run.takes_ms;
        let lease_from_ms = if run.stuck || run.end == End::Died { at_ms } else { ends_ms };
        let flight = Flight {
            claim: self.claims,
            attempt,
            began_ms: at_ms,
            ends_ms,
            end: run.end,
            lease_ends_ms: lease_from_ms + self.setting.lease_ms,
            asked,
            context,
        };
        self.claims += 1;
        self.flight = Some(flight);
        let truth = (kind != EventKind::Claimed).then(|| intent.truth(kind));
        self.draft(at_ms, kind, Some(flight), context, truth);
        let shape = self.shape.take();
        self.amend(|event| {
            event.shape = shape;
            event.holder = over.map(|flight| flight.context);
            event.age_ms = over.map(|flight| at_ms - flight.began_ms);
        });
        if run.end == End::Died {
            self.draft(ends_ms, EventKind::Dropped, Some(flight), context, None);
            // The last draft is the claim again, for whoever amends it.
            let last = self.drafts.len() - 1;
            self.drafts.swap(last, last - 1);
        }
        Answer::Executed { at_ms: ends_ms, end: run.end }
    }

    fn draft(
        &mut self,
        at_ms: u64,
        kind: EventKind,
        flight: Option<Flight>,
        context: Context,
        truth: Option<Verdict>,
    ) {
        let at = StoreTime::from_millis(at_ms);
        let mut event = Event::new(EventId::new(0, 0), at, kind, self.key_hash);
        event.scope = Some(self.scope);
        event.operation = Some(self.operation);
        event.attempt = flight.map_or(0, |flight| flight.attempt);
        event.context = context;
        self.drafts.push(Draft { event, claim: flight.map(|flight| flight.claim), truth });
    }

    fn amend(&mut self, change: impl FnOnce(&mut Event)) {
        if let Some(draft) = self.drafts.last_mut() {
            change(&mut draft.event);
        }
    }
}
