//! Which answers a claim may get (promises 1, 3, 4 and 6), and what it leaves.

use super::page::{Done, Flight, Page, Span, Stage};
use super::said::{Past, Said};
use super::{KeyId, Look, Model, Rules, Times, Verdict};
use crate::{Difference, DropPolicy};

/// What a client asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) key: KeyId,
    /// Bit 0 makes another payload of it, bit 1 another operation.
    pub(crate) payload: u8,
    pub(crate) policy: DropPolicy,
    pub(crate) ttl_ms: u64,
    pub(crate) lease_ms: u64,
}

impl Model {
    /// Judges a decision about a claim, and takes in what it changes. Returns the number of entries
    /// it rests on.
    pub(crate) fn judge(
        &mut self,
        ask: &Ask,
        look: &Look,
        times: Times,
        said: &Said,
    ) -> Verdict<u64> {
        self.see(times);
        match said {
            Said::Claimed { token, attempt, checkpoint, late } => {
                self.check_claimed(ask, times, (*attempt, *checkpoint, *late))?;
                self.check_token(*token)?;
                Ok(self.begin(ask, times, *token, *attempt))
            }
            _ if self.versions(look).any(|page| self.fits(page, ask, times, said)) => {
                Ok(look.rests_on)
            }
            Said::Unresolved { token, attempt } => {
                self.check_lapsed(ask, times, (*token, *attempt))?;
                Ok(self.record(ask.key, times, |page| {
                    if let Some(flight) = &mut page.flight {
                        flight.stage = Stage::Unresolved;
                    }
                }))
            }
            _ => Err(format!("{ask:?} is answered {said:?}, but it is {:?}", self.page(ask.key))),
        }
    }

    /// Whether a page allows an answer that changes nothing.
    fn fits(&self, page: &Page, ask: &Ask, times: Times, said: &Said) -> bool {
        let mut live = page.live(times.now).filter(|_| page.may_be_bare(times.now));
        let same = |payload: u8| difference(ask.payload, payload).is_none();
        match said {
            Said::Claimed { .. } => false,
            Said::Replay(shown) => live.any(|done| same(done.payload) && shown.is(done)),
            Said::InFlight { attempt } => match &page.flight {
                Some(flight) => {
                    let held = matches!(flight.stage, Stage::Held { until, .. }
                        if !until.is_over(times.mono));
                    held && same(flight.payload) && flight.attempt == *attempt
                }
                None => self
                    .expired_on_its_way(page, ask.key, times.now)
                    .is_some_and(|done| same(done.payload) && done.attempt == *attempt),
            },
            Said::Mismatch { difference: told, in_flight: true } => match &page.flight {
                Some(flight) => {
                    let end = flight.end_of_abandoned();
                    let over = matches!(flight.stage, Stage::Abandoned { .. })
                        && end.is_some_and(|end| end.is_over(times.now));
                    !over && difference(ask.payload, flight.payload) == Some(*told)
                }
                None => self
                    .expired_on_its_way(page, ask.key, times.now)
                    .is_some_and(|done| difference(ask.payload, done.payload) == Some(*told)),
            },
            Said::Mismatch { difference: told, in_flight: false } => {
                live.any(|done| difference(ask.payload, done.payload) == Some(*told))
            }
            Said::Unresolved { token, attempt } => page.flight.as_ref().is_some_and(|flight| {
                flight.stage == Stage::Unresolved
                    && same(flight.payload)
                    && (flight.token, flight.attempt) == (*token, *attempt)
            }),
            Said::Expired(past) => {
                self.rules.refuses_late && self.is_past(page, ask.key, times.now, past)
            }
        }
    }

    /// A completion that expired on its way to disk: its claim is in flight until it is there.
    fn expired_on_its_way<'a>(&self, page: &'a Page, key: KeyId, now: Span) -> Option<&'a Done> {
        let done = page.done.as_ref().filter(|done| done.expires_ms <= now.hi);
        done.filter(|_| self.newest[key] > self.handed)
    }

    /// A lease ran out under the policy `Unresolved`.
    fn check_lapsed(&self, ask: &Ask, times: Times, told: (u64, u32)) -> Verdict {
        let page = self.page(ask.key);
        let lapsed = page.flight.as_ref().is_some_and(|flight| {
            let over = matches!(flight.stage, Stage::Held { until, .. }
                if until.may_be_over(times.mono));
            over && flight.policy == DropPolicy::Unresolved
                && difference(ask.payload, flight.payload).is_none()
                && (flight.token, flight.attempt) == told
        });
        match lapsed {
            true => Ok(()),
            false => Err(format!("{ask:?} is told that {told:?} is unresolved: {page:?}")),
        }
    }

    /// A claim was granted: the key must have been free, or its lease over.
    fn check_claimed(
        &self,
        ask: &Ask,
        times: Times,
        (attempt, checkpoint, late): (u32, Option<u64>, Option<Past>),
    ) -> Verdict {
        let page = self.page(ask.key);
        let told = (attempt, checkpoint, late);
        let refuse = |why: &str| {
            Err(format!("promise 1: {ask:?} is claimed as {told:?}, {why}: {page:?} at {times:?}"))
        };
        if let Some(late) = &late
            && (!self.is_past(page, ask.key, times.now, late) || self.rules.refuses_late)
        {
            return refuse("late for what was not");
        }
        if attempt == 1 && late.is_none() && self.must_be_late(page, ask.key, times.now) {
            return refuse("and nobody says that it is late");
        }
        let Some(flight) = &page.flight else {
            let alive = page.done.as_ref().filter(|done| done.expires_ms > times.now.hi);
            return match alive {
                Some(_) => refuse("before its record has expired"),
                None if attempt != 1 || checkpoint.is_some() => refuse("not as a new one"),
                None => Ok(()),
            };
        };
        let end = flight.end_of_abandoned();
        let as_new = end.is_some_and(|end| end.may_be_over(times.now));
        if attempt == 1 {
            return match as_new && checkpoint.is_none() {
                true => Ok(()),
                false => refuse("as a new one while it is in flight"),
            };
        }
        let surely_new = matches!(flight.stage, Stage::Abandoned { .. })
            && end.is_some_and(|end| end.is_over(times.now));
        let lapsed = match flight.stage {
            Stage::Held { until, .. } => until.may_be_over(times.mono),
            Stage::Abandoned { .. } => true,
            Stage::Unresolved => false,
        };
        if !lapsed || surely_new || flight.policy == DropPolicy::Unresolved {
            return refuse("while it is in flight");
        }
        if difference(ask.payload, flight.payload).is_some() {
            return refuse("by another request");
        }
        if attempt != flight.attempt + 1 || !flight.has_checkpoint(checkpoint) {
            return refuse("not as the next attempt");
        }
        Ok(())
    }

    /// Whether a key is remembered to have expired, for certain: a disk that fails may forget one
    /// early. Two seconds are left for the rounding of footers, and of what is remembered. What an
    /// earlier process forgot when its window was over stays forgotten, whatever the time is now.
    fn must_be_late(&self, page: &Page, key: KeyId, now: Span) -> bool {
        let Rules { remembers_ms, fails, rots, .. } = self.rules;
        let latest_ms = self.latest_ms.max(now.hi);
        let is_known = !fails && !rots && !self.hidden[key];
        let is_bare = page.flight.is_none() && page.ghost.is_none() && page.beneath.is_empty();
        let is_remembered = |done: &Done| {
            done.expires_ms <= now.lo
                && latest_ms.saturating_add(2000) < done.expires_ms.saturating_add(remembers_ms)
        };
        is_known && is_bare && remembers_ms > 0 && page.done.as_ref().is_some_and(is_remembered)
    }

    /// Whether a record, or a claim that was abandoned, has expired as the store says.
    fn is_past(&self, page: &Page, key: KeyId, now: Span, past: &Past) -> bool {
        let of_done = |done: &Done| past.is_of(done) && past.expired_ms <= now.hi;
        let of_flight = |flight: &Flight| {
            flight.end_of_abandoned().is_some_and(|end| {
                end.lo <= past.expired_ms
                    && past.expired_ms <= end.hi.min(now.hi)
                    && past
                        .completed_ms
                        .is_some_and(|ms| past.expired_ms == ms.saturating_add(flight.ttl_ms))
            })
        };
        let once = || self.history.iter().filter(|(of, _)| *of == key);
        match &page.flight {
            // Upkeep may have forgotten the claim: then it is what expired before.
            Some(flight) => {
                let gone = flight.end_of_abandoned().is_some_and(|end| end.may_be_over(now));
                of_flight(flight) || (gone && page.expired(now).any(of_done))
            }
            None => {
                page.expired(now).any(of_done)
                    || once().any(|(_, page)| page.expired(now).any(of_done))
                    || self.earlier[key].iter().any(of_done)
            }
        }
    }

    /// Takes in a claim that was granted.
    fn begin(&mut self, ask: &Ask, times: Times, token: u64, attempt: u32) -> u64 {
        let until = times.mono.plus(ask.lease_ms);
        self.record(ask.key, times, |page| {
            let old = page.flight.take().filter(|_| attempt > 1);
            page.flight = Some(Flight {
                token,
                attempt,
                payload: old.as_ref().map_or(ask.payload, |old| old.payload),
                policy: ask.policy,
                logged_policy: ask.policy,
                ttl_ms: ask.ttl_ms,
                checkpoints: old.map(|old| old.checkpoints).unwrap_or_default(),
                stage: Stage::Held { until, dropped: false, swept: None },
            });
        })
    }
}

/// In what two of a client's payloads differ.
pub(super) fn difference(one: u8, other: u8) -> Option<Difference> {
    match one ^ other {
        0 => None,
        1 => Some(Difference::Payload),
        2 => Some(Difference::Operation),
        _ => Some(Difference::OperationAndPayload),
    }
}
