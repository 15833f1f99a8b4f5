//! How claims and records end: by their holder, by whoever resolves or forgets them, or by the end
//! of the process.

use super::{Flight, Moment, Phase, Record, Span};
use crate::DropPolicy;
use crate::simulator::linear::history::{Digest, Response};
use crate::simulator::linear::recorder::CallId;

impl Moment<'_> {
    /// The highest token of the key may complete, also when its lease is over or its attempt
    /// unresolved.
    pub(super) fn complete(&mut self, token: u64, answer: Digest) {
        let flight = self.state.phase.flight_of(token).copied();
        match (flight, self.response()) {
            (Some(flight), None) => self.done(&flight, answer),
            (Some(flight), Some(Response::Record(seen))) => {
                let read = Span::between(self.operation.from_ms, self.until_ms);
                let completed = Span::exactly(seen.completed_ms);
                let told = self.operation.returned;
                let record = Record { completed, told, ..self.record(&flight, answer) };
                let same = seen.token == token
                    && seen.attempt == flight.attempt
                    && seen.answer == answer
                    && read.contains(seen.completed_ms)
                    && seen.expires_ms == seen.completed_ms.saturating_add(flight.ttl_ms);
                if same {
                    self.leave(Phase::Done(record), self.at_ms.max(seen.completed_ms), 0);
                }
            }
            (None, Some(Response::LeaseLost)) => self.stay(),
            _ => {}
        }
    }

    /// A completion whose time nobody was told.
    fn done(&mut self, flight: &Flight, answer: Digest) {
        let told = if self.operation.is_known() { self.operation.returned } else { u64::MAX };
        self.become_now(Phase::Done(Record { told, ..self.record(flight, answer) }));
    }

    fn record(&self, flight: &Flight, answer: Digest) -> Record {
        Record {
            token: flight.token,
            attempt: flight.attempt,
            fingerprint: flight.fingerprint,
            answer,
            ttl_ms: flight.ttl_ms,
            completed: Span::between(self.operation.from_ms, self.until_ms),
            is_over: false,
            told: u64::MAX,
        }
    }

    pub(super) fn release(&mut self, token: u64) {
        let is_holder = self.state.phase.flight_of(token).is_some();
        match self.response() {
            Some(Response::Done) | None if is_holder => self.become_now(Phase::Free),
            Some(Response::LeaseLost) if !is_holder => self.stay(),
            _ => {}
        }
    }

    pub(super) fn extend(&mut self, token: u64, lease_ms: u64) {
        let held = self.state.phase.held(token).filter(|flight| !flight.is_dropped);
        match (held.copied(), self.response()) {
            (Some(flight), Some(Response::Done) | None) => {
                // The clock is read before the key's turn comes.
                let since = Span::between(self.operation.from_ms, self.until_ms);
                let lease_ms = Some(lease_ms);
                self.become_now(Phase::Held(Flight { since, lease_ms, ..flight }));
            }
            (None, Some(Response::LeaseLost)) => self.stay(),
            _ => {}
        }
    }

    pub(super) fn checkpoint(&mut self, token: u64, saved: Digest) {
        match (self.state.phase.held(token).copied(), self.response()) {
            (Some(flight), Some(Response::Done) | None) => {
                self.become_now(Phase::Held(Flight { checkpoint: Some(saved), ..flight }));
            }
            (None, Some(Response::LeaseLost)) => self.stay(),
            // Upkeep has found it abandoned: its holder let go, and its lease is over.
            (Some(flight), Some(Response::LeaseLost)) if flight.is_dropped => {
                if let Some(end_ms) = flight.lease_end() {
                    self.leave(flight.abandoned(end_ms, self.until_ms), end_ms.max(self.at_ms), 0);
                }
            }
            _ => {}
        }
    }

    /// The holder lets go: the policy decides.
    pub(super) fn let_go(&mut self, token: u64) {
        let Some(flight) = self.state.phase.held(token).copied() else { return self.stay() };
        match flight.policy {
            DropPolicy::Hold => {
                self.become_now(Phase::Held(Flight { is_dropped: true, ..flight }));
            }
            DropPolicy::Release => self.free(&flight),
            DropPolicy::Unresolved => self.become_now(Phase::Unresolved(flight)),
        }
    }

    /// A claim that its caller never had is taken back, whatever its policy.
    pub(super) fn take_back(&mut self, claim: CallId) {
        match self.state.phase.flight().filter(|flight| flight.claim == claim).copied() {
            Some(flight) => self.free(&flight),
            None => self.stay(),
        }
    }

    /// After a first attempt the key is as new; after a later one it is abandoned, since what the
    /// attempts before did is not known.
    fn free(&mut self, flight: &Flight) {
        match flight.attempt {
            1 => self.become_now(Phase::Free),
            _ => self.become_now(flight.abandoned(self.at_ms, self.until_ms)),
        }
    }

    pub(super) fn resolve(&mut self, answer: Option<Digest>) {
        match (self.state.phase, self.response()) {
            (Phase::Unresolved(flight), Some(Response::Done) | None) => match answer {
                Some(answer) => self.done(&flight, answer),
                None => self.become_now(Phase::Free),
            },
            (Phase::Held(_) | Phase::Abandoned(_), Some(Response::Busy))
            | (Phase::Free | Phase::Done(_), Some(Response::NotFound)) => self.stay(),
            (_, Some(Response::NotFound)) => self.find_nothing(),
            // A completion on its way to disk: whoever resolves does not wait for it.
            (Phase::Done(record), Some(Response::Busy)) if self.operation.invoked < record.told => {
                self.stay();
            }
            _ => {}
        }
    }

    pub(super) fn forget(&mut self) {
        match (self.state.phase, self.response()) {
            (Phase::Done(record), Some(Response::Forgotten(true))) => {
                let unexpired = record.completed.not_over(record.ttl_ms, self.at_ms);
                if unexpired.is_some() && !record.is_over {
                    self.become_now(Phase::Free);
                }
            }
            (Phase::Done(_), None) => self.become_now(Phase::Free),
            (Phase::Abandoned(_), Some(Response::Forgotten(true)) | None) => {
                self.become_now(Phase::Free);
            }
            // Upkeep has found it abandoned.
            (Phase::Held(flight), Some(Response::Forgotten(true)) | None) if flight.is_dropped => {
                if let Some(end_ms) = flight.lease_end() {
                    self.leave(Phase::Free, end_ms.max(self.at_ms), 0);
                }
            }
            (_, Some(Response::Forgotten(false))) => self.find_nothing(),
            (Phase::Held(_) | Phase::Unresolved(_), Some(Response::Busy)) => self.stay(),
            _ => {}
        }
    }

    /// Another process owns the store. It may lose what nobody was told of.
    pub(super) fn restart(&mut self, loses: bool) {
        let first = self.next.len();
        self.reopen(self.state.phase);
        if loses {
            self.state.before.iter().for_each(|phase| self.reopen(*phase));
        }
        for state in self.next.iter_mut().skip(first) {
            state.before.clear();
            state.crashes = self.state.crashes.saturating_sub(u32::from(loses));
        }
    }

    /// Nobody holds a claim any more. One that must not run twice becomes unresolved.
    fn reopen(&mut self, phase: Phase) {
        let (flight, since_ms) = match phase {
            Phase::Free | Phase::Unresolved(_) => return self.become_now(phase),
            Phase::Done(record) => {
                return self.become_now(Phase::Done(Record { told: 0, ..record }));
            }
            // It may have been found abandoned before, and that may be on disk.
            Phase::Held(flight) if flight.is_dropped => {
                (flight, flight.lease_end().unwrap_or(self.at_ms).min(self.at_ms))
            }
            Phase::Held(flight) => (flight, self.at_ms),
            Phase::Abandoned(flight) | Phase::Gone(flight) => (flight, flight.since.earliest),
        };
        let asks = flight.policy == DropPolicy::Unresolved;
        if asks {
            self.become_now(Phase::Unresolved(flight));
        }
        if !asks || !matches!(phase, Phase::Held(_)) {
            self.become_now(flight.abandoned(since_ms, self.until_ms));
        }
        if matches!(phase, Phase::Gone(_)) {
            self.become_now(Phase::Free);
        }
    }
}
