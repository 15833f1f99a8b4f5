//! What ends a claim or changes it: completion, release, drop, checkpoint, extension, resolution;
//! and forgetting, and what upkeep does by itself.
//!
//! Each call takes in what the store has decided and says whether it may have.

use super::page::{Done, Flight, Page, Span, Stage};
use super::{KeyId, Look, Model, Times, Verdict};
use crate::{DropPolicy, ErrorKind};

/// What the store said to a call that changes a key.
pub(crate) type Reply<T = ()> = std::result::Result<T, ErrorKind>;

/// The number of entries that a call which was granted rests on; `None` if it was rightly refused.
type Granted = Verdict<Option<u64>>;

impl Model {
    /// A holder completed its claim.
    pub(crate) fn complete(
        &mut self,
        key: KeyId,
        token: u64,
        size: usize,
        times: Times,
        reply: Reply,
    ) -> Granted {
        let holds = self.pages[key].flight_of(token).is_some();
        let granted = self.check_reply("complete", key, holds, reply)?;
        Ok(granted.then(|| self.record_done(key, size, times)))
    }

    fn record_done(&mut self, key: KeyId, size: usize, times: Times) -> u64 {
        self.record(key, times, |page| {
            let Some(flight) = page.flight.take() else { return };
            page.set_done(Some(Done {
                token: flight.token,
                attempt: flight.attempt,
                payload: flight.payload,
                size,
                completed_ms: times.latest.lo,
                expires_ms: times.latest.lo.saturating_add(flight.ttl_ms),
            }));
        })
    }

    /// A holder released its claim.
    pub(crate) fn release(
        &mut self,
        key: KeyId,
        token: u64,
        times: Times,
        reply: Reply,
    ) -> Granted {
        let holds = self.pages[key].flight_of(token).is_some();
        let granted = self.check_reply("release", key, holds, reply)?;
        Ok(granted.then(|| self.record(key, times, |page| page.flight = None)))
    }

    /// A holder saved a checkpoint.
    pub(crate) fn checkpoint(
        &mut self,
        key: KeyId,
        token: u64,
        number: u64,
        times: Times,
        reply: Reply,
    ) -> Granted {
        let holds = self.holds(key, token);
        let granted = self.check_reply("checkpoint", key, holds, reply)?;
        Ok(granted.then(|| {
            self.record(key, times, |page| {
                if let Some(flight) = &mut page.flight {
                    flight.checkpoints = vec![Some(number)];
                }
            })
        }))
    }

    /// A holder moved the end of its lease.
    pub(crate) fn extend(
        &mut self,
        key: KeyId,
        token: u64,
        lease_ms: u64,
        times: Times,
        reply: Reply,
    ) -> Verdict {
        let holds = self.holds(key, token);
        if !self.check_reply("extend", key, holds, reply)? {
            return Ok(());
        }
        self.change(key, |page| {
            if let Some(flight) = &mut page.flight {
                let until = times.mono.plus(lease_ms);
                flight.stage = Stage::Held { until, dropped: false, swept: None };
            }
        });
        Ok(())
    }

    fn holds(&mut self, key: KeyId, token: u64) -> bool {
        self.pages[key]
            .flight_of(token)
            .is_some_and(|flight| matches!(flight.stage, Stage::Held { .. }))
    }

    /// A stale holder must be refused, and nobody else. Returns whether the call was granted.
    fn check_reply(&self, what: &str, key: KeyId, holds: bool, reply: Reply) -> Verdict<bool> {
        match (reply, holds) {
            (Ok(()), true) => Ok(true),
            (Err(ErrorKind::LeaseLost), false) => Ok(false),
            _ => Err(format!(
                "promise 1: {what} of key {key} came to {reply:?}, but it is {:?}",
                self.pages[key]
            )),
        }
    }

    /// A claim was dropped: its policy says what becomes of it.
    pub(crate) fn drop_claim(&mut self, key: KeyId, token: u64, times: Times) {
        if !self.holds(key, token) {
            return;
        }
        let Some(flight) = &self.pages[key].flight else { return };
        match flight.policy {
            DropPolicy::Hold => self.change(key, |page| {
                if let Some(Flight { stage: Stage::Held { dropped, .. }, .. }) = &mut page.flight {
                    *dropped = true;
                }
            }),
            DropPolicy::Unresolved => {
                self.record(key, times, |page| {
                    if let Some(flight) = &mut page.flight {
                        flight.stage = Stage::Unresolved;
                    }
                });
            }
            _ => self.take_back(key, token, times),
        }
    }

    /// A claim that its caller never had, or let go of under the policy `Release`.
    pub(crate) fn take_back(&mut self, key: KeyId, token: u64, times: Times) {
        let Some(flight) = self.pages[key].flight_of(token) else { return };
        if flight.attempt == 1 {
            self.record(key, times, |page| page.flight = None);
            return;
        }
        self.change(key, |page| {
            if let Some(flight) = &mut page.flight {
                flight.policy = DropPolicy::Hold;
            }
        });
        self.restage(key, Stage::Abandoned { at: times.latest });
    }

    /// Somebody resolved a key, by a response of this size or as never executed.
    pub(crate) fn resolve(
        &mut self,
        key: KeyId,
        size: Option<usize>,
        times: Times,
        reply: Reply,
    ) -> Granted {
        let page = &self.pages[key];
        let stage = page.flight.as_ref().map(|flight| &flight.stage);
        let expected: &[ErrorKind] = match stage {
            Some(Stage::Unresolved) => &[],
            Some(Stage::Held { .. }) => &[ErrorKind::InFlight],
            Some(Stage::Abandoned { .. }) => &[ErrorKind::InFlight, ErrorKind::NotFound],
            // A completion on its way to disk is still in flight.
            None => &[ErrorKind::NotFound, ErrorKind::InFlight],
        };
        match reply {
            Ok(()) if expected.is_empty() => Ok(Some(match size {
                Some(size) => self.record_done(key, size, times),
                None => self.record(key, times, |page| page.flight = None),
            })),
            Err(kind) if expected.contains(&kind) => Ok(None),
            _ => Err(format!("resolving key {key} came to {reply:?}, but it is {page:?}")),
        }
    }

    /// Somebody forgot a key; the store says whether there was a record.
    pub(crate) fn forget(&mut self, look: &Look, times: Times, reply: Reply<bool>) -> Granted {
        let key = look.key;
        let page = &self.pages[key];
        let may = match reply {
            Ok(true) => may_be_forgotten(page, times, reply),
            _ => self.versions(look).any(|page| may_be_forgotten(page, times, reply)),
        };
        if !may {
            return Err(format!("forgetting key {key} came to {reply:?}, but it is {page:?}"));
        }
        match reply {
            Err(_) => Ok(None),
            Ok(true) => {
                // An abandoned claim is released; what expired before it stays expired.
                let forgets = page.flight.is_none();
                let number = self.record(key, times, |page| match page.flight.take() {
                    Some(_) => {}
                    None => *page = Page::default(),
                });
                if let Some(entry) = self.log.back_mut() {
                    entry.forgets = forgets;
                }
                Ok(Some(number))
            }
            Ok(false) => {
                // What has expired may be there or not; an abandoned claim was not.
                if page.flight.is_some() && may_be_forgotten(page, times, reply) {
                    self.change(key, |page| page.ghost = page.flight.take());
                }
                // That there is nothing may rest on an end that is still on its way to disk.
                Ok(Some(0))
            }
        }
    }

    /// A round of upkeep begins: it may find that the leases of dropped claims are over, also of
    /// those that end while it goes on.
    pub(crate) fn begin_sweep(&mut self, begin: Times) {
        self.see(begin);
        let end = Times { mono: begin.mono.plus(LONGEST_UPKEEP_MS), ..begin };
        // The latest that it can be goes back when a leap is taken back.
        let at = Span { lo: begin.now.lo, hi: begin.latest.hi + LONGEST_UPKEEP_MS };
        self.mark_swept(end, at);
    }

    /// It is over. `alone` says that nothing else happened meanwhile.
    pub(crate) fn end_sweep(&mut self, begin: Times, end: Times, alone: bool) {
        self.see(end);
        let (lo, hi) = (begin.latest.lo.min(end.latest.lo), begin.latest.hi.max(end.latest.hi));
        let now = Span { lo, hi };
        for key in 0..self.pages.len() {
            let Some(flight) = &self.pages[key].flight else { continue };
            let ttl_ms = flight.ttl_ms;
            match flight.stage {
                Stage::Held { until, dropped: true, swept: Some(at) } => {
                    let at = Span { lo: at.lo.min(lo), hi };
                    let stage = match until.may_be_over(end.mono) {
                        true if alone && until.is_over(begin.mono) => Stage::Abandoned { at },
                        true => Stage::Held { until, dropped: true, swept: Some(at) },
                        false => Stage::Held { until, dropped: true, swept: None },
                    };
                    self.restage(key, stage);
                }
                Stage::Abandoned { at } if at.plus(ttl_ms).is_over(begin.now) && alone => {
                    self.change(key, |page| page.ghost = page.flight.take());
                }
                _ => {}
            }
        }
        // Claims that were dropped meanwhile.
        self.mark_swept(end, now);
    }

    fn mark_swept(&mut self, end: Times, at: Span) {
        for key in 0..self.pages.len() {
            let Some(flight) = &self.pages[key].flight else { continue };
            if let Stage::Held { until, dropped: true, swept } = flight.stage
                && until.may_be_over(end.mono)
            {
                // One that an earlier round may have found may be left to this one.
                let at = swept.map_or(at, |before| Span {
                    lo: before.lo.min(at.lo),
                    hi: before.hi.max(at.hi),
                });
                self.restage(key, Stage::Held { until, dropped: true, swept: Some(at) });
            }
        }
    }

    /// Moves a claim on in memory. A later segment may state it so: the newest page of the log says
    /// it too.
    fn restage(&mut self, key: KeyId, stage: Stage) {
        let Some(token) = self.pages[key].flight.as_ref().map(|flight| flight.token) else {
            return;
        };
        let newest = self.log.iter_mut().rev().find(|entry| entry.key == key);
        let logged = newest.map_or(&mut self.base[key], |entry| &mut entry.page);
        if let Some(flight) = logged.flight_of(token) {
            flight.stage = stage.clone();
        }
        self.change(key, |page| {
            if let Some(flight) = &mut page.flight {
                flight.stage = stage;
            }
        });
    }
}

/// As long may a round of upkeep take, by the simulated clock.
const LONGEST_UPKEEP_MS: u64 = 100_000;

/// Whether forgetting a key may come to this.
fn may_be_forgotten(page: &Page, times: Times, reply: Reply<bool>) -> bool {
    let end = page.flight.as_ref().and_then(Flight::end_of_abandoned);
    let gone = end.is_some_and(|end| end.may_be_over(times.now));
    match page.flight.as_ref().map(|flight| &flight.stage) {
        Some(Stage::Held { swept: Some(_), .. }) => reply != Ok(false) || gone,
        Some(Stage::Held { .. } | Stage::Unresolved) => reply == Err(ErrorKind::InFlight),
        Some(Stage::Abandoned { .. }) => reply == Ok(true) || (reply == Ok(false) && gone),
        None => match &page.done {
            Some(done) if done.expires_ms > times.now.hi => reply == Ok(true),
            Some(done) if done.expires_ms > times.now.lo => reply.is_ok(),
            _ => reply == Ok(false) || (reply == Ok(true) && page.live(times.now).next().is_some()),
        },
    }
}
