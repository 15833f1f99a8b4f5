//! Claims and looks: who gets what.
//!
//! The order of the questions is the engine's: what has expired is not there; another fingerprint
//! is a mismatch whatever the state; an unresolved attempt is nobody's; a lease that is over may
//! be taken over; anything else is in flight.

use super::{Flight, Moment, Phase, Record, Span};
use crate::DropPolicy;
use crate::simulator::linear::history::{Response, Seen};

impl Moment<'_> {
    pub(super) fn claim(&mut self, asked: &Flight) {
        match self.response() {
            Some(Response::Claimed { token, attempt, checkpoint })
                if token > self.state.highest_token =>
            {
                let told = Flight { token: Some(token), attempt, checkpoint, ..*asked };
                self.win(&told, Some(token));
            }
            // Nobody was told: it may have won the key, or found that it is nobody's.
            None => {
                self.win(asked, None);
                self.find_unresolved(asked, None);
            }
            Some(Response::Record(seen)) => self.see_record(Some(asked), &seen),
            Some(Response::InFlight { attempt, lease_left_ms }) => {
                self.meet(asked, attempt, lease_left_ms);
            }
            Some(Response::Mismatch { .. }) => self.mismatch(asked),
            Some(Response::Unresolved { token, attempt }) => {
                self.find_unresolved(asked, Some((token, attempt)));
            }
            Some(Response::Expired { completed_ms, expired_ms }) => {
                self.come_late(completed_ms, expired_ms);
            }
            _ => {}
        }
    }

    /// The claim is won, as a first attempt or as a takeover. `told` has the attempt and the
    /// checkpoint that must be right if there is a token, and are not known if there is none.
    fn win(&mut self, told: &Flight, token: Option<u64>) {
        if let Some(at_ms) = self.free_from() {
            let is_first = told.attempt == 1 && told.checkpoint.is_none();
            if token.is_none() || is_first {
                self.hold(Flight { attempt: 1, checkpoint: None, ..*told }, at_ms);
            }
        }
        let Some((old, at_ms)) = self.to_take_over(told) else { return };
        let attempt = old.attempt.saturating_add(1);
        let is_next = told.attempt == attempt && told.checkpoint == old.checkpoint;
        if token.is_none() || is_next {
            self.hold(Flight { attempt, checkpoint: old.checkpoint, ..*told }, at_ms);
        }
    }

    fn hold(&mut self, flight: Flight, at_ms: u64) {
        let since = Span::between(at_ms, self.until_ms);
        let token = flight.token.unwrap_or(0);
        let first = self.next.len();
        self.leave(Phase::Held(Flight { since, ..flight }), at_ms, token);
        if let Phase::Done(record) = self.state.phase {
            let expired = self.next.iter_mut().skip(first).filter_map(|next| next.expired.as_mut());
            expired.for_each(|expired| expired.push(record));
        }
    }

    /// From when on the key is as if it had never been, if it may be.
    fn free_from(&self) -> Option<u64> {
        let from_ms = match &self.state.phase {
            Phase::Free | Phase::Gone(_) => self.at_ms,
            Phase::Done(record) => record.completed.end(record.ttl_ms),
            Phase::Abandoned(flight) => flight.since.end(flight.ttl_ms),
            // Upkeep may have found it abandoned as soon as its lease was over.
            Phase::Held(flight) if flight.is_dropped => {
                flight.lease_end()?.saturating_add(flight.ttl_ms)
            }
            Phase::Held(_) | Phase::Unresolved(_) => return None,
        };
        Some(from_ms.max(self.at_ms)).filter(|from_ms| *from_ms <= self.until_ms)
    }

    /// The claim that may be taken over, and from when on.
    fn to_take_over(&self, asked: &Flight) -> Option<(Flight, u64)> {
        let (flight, at_ms) = match self.state.phase {
            Phase::Held(flight) if flight.policy != DropPolicy::Unresolved => {
                (flight, flight.lease_end()?.max(self.at_ms))
            }
            Phase::Abandoned(flight) => {
                flight.since.not_over(flight.ttl_ms, self.at_ms)?;
                (flight, self.at_ms)
            }
            _ => return None,
        };
        (flight.fingerprint == asked.fingerprint).then_some((flight, at_ms))
    }

    /// Somebody else is executing, and his lease is not over.
    fn meet(&mut self, asked: &Flight, attempt: u32, left_ms: Option<u64>) {
        let flight = match self.state.phase {
            Phase::Held(flight) => flight,
            Phase::Done(record) => {
                let same = record.fingerprint == asked.fingerprint && record.attempt == attempt;
                return if same && left_ms.is_none() {
                    self.expire_on_its_way(record)
                };
            }
            _ => return,
        };
        if flight.fingerprint != asked.fingerprint || flight.attempt != attempt {
            return;
        }
        match (flight.lease_ms, left_ms) {
            (None, None) => self.stay(),
            (Some(lease_ms), Some(left_ms)) if left_ms > 0 => {
                let Some(since) = flight.since.not_over(lease_ms, self.at_ms) else { return };
                // What is left of the lease says when it was asked, counted from its beginning.
                let begun = |ms: u64| ms.saturating_add(left_ms).saturating_sub(lease_ms);
                let told = Span::between(begun(self.at_ms), begun(self.until_ms));
                let Some(since) = since.and(told) else { return };
                let at_ms = since.end(lease_ms).saturating_sub(left_ms).max(self.at_ms);
                self.leave(Phase::Held(Flight { since, ..flight }), at_ms, 0);
            }
            _ => {}
        }
    }

    /// Its completion has expired and is not on disk yet: its claim is in flight until then. Who is
    /// told of a mismatch waits for the disk.
    fn expire_on_its_way(&mut self, record: Record) {
        if self.operation.invoked >= record.told {
            return;
        }
        let told = match self.operation.is_durable() {
            true => record.told.min(self.operation.returned),
            false => record.told,
        };
        let at_ms = record.completed.end(record.ttl_ms).max(self.at_ms);
        self.leave(Phase::Done(Record { is_over: true, told, ..record }), at_ms, 0);
    }

    fn mismatch(&mut self, asked: &Flight) {
        let Some(Response::Mismatch { differs, in_flight }) = self.response() else { return };
        if in_flight && let Phase::Done(record) = self.state.phase {
            if asked.fingerprint.difference(&record.fingerprint) == Some(differs) {
                self.expire_on_its_way(record);
            }
            return;
        }
        let (fingerprint, phase) = match self.state.phase {
            Phase::Held(flight) | Phase::Unresolved(flight) => {
                (flight.fingerprint, self.state.phase)
            }
            Phase::Abandoned(flight) => {
                let Some(since) = flight.since.not_over(flight.ttl_ms, self.at_ms) else { return };
                (flight.fingerprint, Phase::Abandoned(Flight { since, ..flight }))
            }
            Phase::Done(record) => {
                let Some(record) = self.unexpired(&record) else { return };
                let told = record.told.min(self.operation.returned);
                (record.fingerprint, Phase::Done(Record { told, ..record }))
            }
            Phase::Free | Phase::Gone(_) => return,
        };
        let differs_so = asked.fingerprint.difference(&fingerprint) == Some(differs);
        if differs_so && in_flight != matches!(phase, Phase::Done(_)) {
            self.become_now(phase);
        }
    }

    /// The attempt is nobody's, or becomes so by this call: its lease is over, and its policy is
    /// `Unresolved`.
    fn find_unresolved(&mut self, asked: &Flight, told: Option<(u64, u32)>) {
        let (flight, at_ms) = match self.state.phase {
            Phase::Unresolved(flight) => (flight, self.at_ms),
            Phase::Held(flight) if flight.policy == DropPolicy::Unresolved => {
                let Some(end_ms) = flight.lease_end() else { return };
                (flight, end_ms.max(self.at_ms))
            }
            _ => return,
        };
        if flight.fingerprint == asked.fingerprint {
            self.show_unresolved(flight, at_ms, told);
        }
    }

    fn show_unresolved(&mut self, flight: Flight, at_ms: u64, told: Option<(u64, u32)>) {
        let Some((token, attempt)) = told else {
            return self.leave(Phase::Unresolved(flight), at_ms, 0);
        };
        if flight.attempt == attempt && self.is_token(flight.token, token) {
            let flight = Flight { token: Some(token), ..flight };
            self.leave(Phase::Unresolved(flight), at_ms, token);
        }
    }

    /// The request came too late, and is told when a record of its key was completed and expired:
    /// the last one, as a rule. Of a key that is only remembered it is told when that expired,
    /// rounded up to a second.
    fn come_late(&mut self, completed_ms: Option<u64>, expired_ms: u64) {
        const ROUNDED_MS: u64 = 999;
        let at_ms = expired_ms.max(self.at_ms);
        let completed_in = |since: Span, ttl_ms: u64| match completed_ms {
            Some(ms) if ms.saturating_add(ttl_ms) == expired_ms => since.and(Span::exactly(ms)),
            Some(_) => None,
            None => {
                let latest = expired_ms.checked_sub(ttl_ms)?;
                since.and(Span::between(latest.saturating_sub(ROUNDED_MS), latest))
            }
        };
        let mut expired = self.state.expired.iter().flatten();
        if expired.any(|record| completed_in(record.completed, record.ttl_ms).is_some()) {
            self.find_nothing();
        }
        if let Phase::Done(record) = self.state.phase
            && let Some(completed) = completed_in(record.completed, record.ttl_ms)
        {
            self.leave(Phase::Done(Record { completed, is_over: true, ..record }), at_ms, 0);
        }
        let Some(completed_ms) = completed_ms else { return };
        let fits = |since: Span, ttl_ms: u64| completed_in(since, ttl_ms).is_some();
        match self.state.phase {
            Phase::Abandoned(flight) if fits(flight.since, flight.ttl_ms) => {
                self.leave(flight.abandoned(completed_ms, completed_ms), at_ms, 0);
            }
            Phase::Held(flight) if flight.is_dropped => {
                let Some(end_ms) = flight.lease_end() else { return };
                if fits(Span::between(end_ms, self.until_ms), flight.ttl_ms) {
                    self.leave(flight.abandoned(completed_ms, completed_ms), at_ms, 0);
                }
            }
            _ => {}
        }
    }

    /// A record, if it has not expired, and what it says of its completion's time.
    fn unexpired(&self, record: &Record) -> Option<Record> {
        let completed = record.completed.not_over(record.ttl_ms, self.at_ms)?;
        (!record.is_over).then_some(Record { completed, ..*record })
    }

    /// The record is there, as it was completed; a claim's fingerprint must be its.
    fn see_record(&mut self, asked: Option<&Flight>, seen: &Seen) {
        let Phase::Done(record) = self.state.phase else { return };
        let Some(record) = self.unexpired(&record) else { return };
        let same_request = asked.is_none_or(|asked| asked.fingerprint == record.fingerprint);
        let expires_ms = seen.completed_ms.saturating_add(record.ttl_ms);
        let same = self.is_token(record.token, seen.token)
            && record.attempt == seen.attempt
            && record.answer == seen.answer
            && record.completed.contains(seen.completed_ms)
            && seen.expires_ms == expires_ms;
        if same_request && same {
            let completed = Span::exactly(seen.completed_ms);
            let told = record.told.min(self.operation.returned);
            let record = Record { token: Some(seen.token), completed, told, ..record };
            self.leave(Phase::Done(record), self.at_ms.max(seen.completed_ms), seen.token);
        }
    }

    pub(super) fn get(&mut self) {
        match self.response() {
            Some(Response::Record(seen)) => self.see_record(None, &seen),
            Some(Response::Held { token, attempt }) => self.see_claim(token, attempt),
            Some(Response::Unresolved { token, attempt }) => {
                if let Phase::Unresolved(flight) = self.state.phase {
                    self.show_unresolved(flight, self.at_ms, Some((token, attempt)));
                }
            }
            Some(Response::Nothing) => self.find_nothing(),
            _ => {}
        }
    }

    /// A claim is there. An abandoned one may be seen after its TTL, until upkeep comes by.
    fn see_claim(&mut self, token: u64, attempt: u32) {
        let (Phase::Held(flight) | Phase::Abandoned(flight)) = self.state.phase else { return };
        if flight.attempt != attempt || !self.is_token(flight.token, token) {
            return;
        }
        let flight = Flight { token: Some(token), ..flight };
        let phase = match self.state.phase {
            Phase::Abandoned(_) => Phase::Abandoned(flight),
            _ => Phase::Held(flight),
        };
        self.leave(phase, self.at_ms, token);
    }

    /// Nothing is there: there never was, or it is over.
    pub(super) fn find_nothing(&mut self) {
        let Some(at_ms) = self.free_from() else { return };
        let phase = match self.state.phase {
            Phase::Held(flight) | Phase::Abandoned(flight) => Phase::Gone(flight),
            Phase::Done(record) => Phase::Done(Record { is_over: true, ..record }),
            phase @ (Phase::Free | Phase::Gone(_) | Phase::Unresolved(_)) => phase,
        };
        self.leave(phase, at_ms, 0);
    }
}
