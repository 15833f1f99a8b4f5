//! What the model says of a claim call: everything but a claim is compared at once.

use super::KeyId;
use super::book::{State, difference};
use super::machine::Machine;
use crate::{DropPolicy, Outcome};

pub(super) enum Expected {
    Claim {
        attempt: u32,
        checkpoint: Option<u64>,
    },
    /// The outcome was as it had to be.
    Told,
}

impl Machine {
    /// What the model says of a claim. Everything but a claim is compared here.
    pub(super) fn expect(
        &mut self,
        key: KeyId,
        payload: bool,
        now: u64,
        outcome: &Outcome,
    ) -> Expected {
        let monotonic = self.monotonic_ms();
        let refuses_late = self.refuses_late;
        let page = self.page(key);
        let Some(flight) = &mut page.flight else {
            return self.expect_from_record(key, payload, now, outcome);
        };
        if let State::Abandoned { from_ms, to_ms } = flight.state {
            let over = to_ms + flight.ttl_ms <= now;
            let may_be_over = from_ms + flight.ttl_ms <= now;
            let told_over = match outcome {
                Outcome::Claimed(claim) => claim.attempt() == 1,
                Outcome::Expired(_) => true,
                _ => false,
            };
            if over || (may_be_over && told_over) {
                return match outcome {
                    Outcome::Expired(_) if refuses_late => Expected::Told,
                    _ => Expected::Claim { attempt: 1, checkpoint: None },
                };
            }
        }
        if let Some(differs) = difference(payload, flight.payload) {
            assert!(
                matches!(
                    outcome,
                    Outcome::Mismatch(m) if m.differs_in() == differs && m.in_flight()
                ),
                "{outcome:?}"
            );
            return Expected::Told;
        }
        let over = match flight.state {
            State::Held { until_ms, .. } => until_ms <= monotonic,
            State::Abandoned { .. } => true,
            State::Unresolved => false,
        };
        if over && flight.policy == DropPolicy::Unresolved {
            flight.state = State::Unresolved;
        }
        if flight.state == State::Unresolved {
            let Outcome::Unresolved(held) = outcome else { panic!("{outcome:?}") };
            assert_eq!((held.token().get(), held.attempt()), (flight.token, flight.attempt));
            return Expected::Told;
        }
        if !over {
            assert!(matches!(outcome, Outcome::InFlight(f) if f.attempt() == flight.attempt));
            return Expected::Told;
        }
        Expected::Claim { attempt: flight.attempt + 1, checkpoint: flight.checkpoint }
    }

    fn expect_from_record(
        &mut self,
        key: KeyId,
        payload: bool,
        now: u64,
        outcome: &Outcome,
    ) -> Expected {
        let refuses_late = self.refuses_late;
        let page = self.page(key);
        let Some(done) = page.live(now) else {
            if let Outcome::Expired(late) = outcome {
                assert!(refuses_late && page.done.is_some());
                assert!(late.expired_at().as_millis() <= now);
                return Expected::Told;
            }
            return Expected::Claim { attempt: 1, checkpoint: None };
        };
        match (difference(payload, done.payload), outcome) {
            (None, Outcome::Replay(record)) => {
                assert_eq!(record.response().body(), done.body);
                assert_eq!((record.token().get(), record.attempt()), (done.token, done.attempt));
                assert_eq!(record.expires_at().as_millis(), done.expires_ms);
            }
            (Some(differs), Outcome::Mismatch(mismatch)) => {
                assert_eq!(mismatch.differs_in(), differs);
                assert!(!mismatch.in_flight());
            }
            (_, other) => panic!("{other:?} of {done:?}"),
        }
        Expected::Told
    }
}
