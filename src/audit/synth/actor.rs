//! Those who send the requests of one key, each by its own clock.
//!
//! An actor sends, learns what came of it, and tries again after its next wait if it must.

use super::Intent;
use super::dice::Dice;
use super::policy::Policy;
use super::world::{Answer, Asked, End, Run, World};
use crate::audit::Context;

/// What goes wrong with an actor's first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// The answer does not arrive.
    AnswerLost,
    /// No answer arrives, whatever the actor tries.
    Deaf,
    /// The connection breaks while the request is executed.
    Reset,
    /// The execution takes longer than the actor waits.
    Slow,
    /// The service fails and gives the claim back.
    Failed,
    /// The holder dies.
    Died,
    /// The service does not know what came of it.
    Unknown,
}

/// One sender of a key's requests.
#[derive(Debug)]
pub(super) struct Actor {
    /// When it sends next.
    pub(super) at_ms: Option<u64>,
    /// One for each request; the last one goes for all that follow.
    pub(super) contexts: Vec<Context>,
    pub(super) waits: Vec<u64>,
    pub(super) asks: Vec<Asked>,
    pub(super) first: Intent,
    pub(super) later: Intent,
    pub(super) fault: Fault,
    pub(super) timeout_ms: u64,
    /// Whose manners it has when the key is in flight.
    pub(super) policy: Policy,
    /// Sends all its requests, whatever the answers are.
    pub(super) stubborn: bool,
    pub(super) run: Run,
    sent: usize,
    won: bool,
}

impl Actor {
    pub(super) fn new(at_ms: u64, context: Context, run: Run) -> Self {
        Self {
            at_ms: Some(at_ms),
            contexts: vec![context],
            waits: Vec::new(),
            asks: vec![Asked::default()],
            first: Intent::Duplicate,
            later: Intent::Retry,
            fault: Fault::None,
            timeout_ms: 30_000,
            policy: Policy::Axios,
            stubborn: false,
            run,
            sent: 0,
            won: false,
        }
    }

    /// Plays the actors' requests against the world in the order of time.
    pub(super) fn play(actors: &mut [Self], world: &mut World, dice: &mut Dice) {
        while let Some(actor) =
            actors.iter_mut().filter(|a| a.at_ms.is_some()).min_by_key(|a| a.at_ms)
        {
            actor.step(world, dice);
        }
        world.advance(u64::MAX);
    }

    fn step(&mut self, world: &mut World, dice: &mut Dice) {
        let Some(at_ms) = self.at_ms.take() else { return };
        let nth = |from: usize| self.sent.min(from.saturating_sub(1));
        let context = self.contexts.get(nth(self.contexts.len())).copied().unwrap_or_default();
        let asked = self.asks.get(nth(self.asks.len())).copied().unwrap_or_default();
        let is_first = self.sent == 0;
        let lasts = is_first || self.fault == Fault::Deaf;
        let fault = if lasts { self.fault } else { Fault::None };
        // A rival that did not win the claim is still a rival when it asks again.
        let is_rival = self.first == Intent::Duplicate && !self.won;
        let intent = if is_first || is_rival { self.first } else { self.later };
        let mut run = self.run;
        match fault {
            Fault::Slow => {
                run.takes_ms = (self.timeout_ms as f64 * dice.between(1.02, 3.0)) as u64;
            }
            Fault::Failed => run.end = End::Released,
            Fault::Died => run.end = End::Died,
            Fault::Unknown => run.end = End::Unresolved,
            Fault::None | Fault::AnswerLost | Fault::Deaf | Fault::Reset => {}
        }
        let answer = world.send(at_ms, context, asked, intent, run);
        self.won |= matches!(answer, Answer::Executed { .. });
        let failed_ms = self.failed_at(at_ms, answer, fault, dice);
        let least_ms = match answer {
            Answer::Busy { .. } if !self.stubborn => self.policy.least_wait_ms(),
            _ => 0,
        };
        let wait_ms = self.waits.get(self.sent).map(|wait_ms| (*wait_ms).max(least_ms));
        self.sent += 1;
        self.at_ms = failed_ms.zip(wait_ms).map(|(failed_ms, wait_ms)| {
            let network_ms = dice.exponential(15.0) as u64 + 5;
            failed_ms + wait_ms + network_ms
        });
    }

    /// When the actor learns that it must try again, if it must.
    fn failed_at(&self, at_ms: u64, answer: Answer, fault: Fault, dice: &mut Dice) -> Option<u64> {
        let gave_up_ms = at_ms + self.timeout_ms;
        match answer {
            Answer::Executed { at_ms: done_ms, end } => {
                let failed = end != End::Completed
                    || done_ms > gave_up_ms
                    || matches!(fault, Fault::AnswerLost | Fault::Deaf | Fault::Reset)
                    || self.stubborn;
                let when_ms = if fault == Fault::Reset {
                    at_ms + ((done_ms - at_ms) as f64 * dice.unit()) as u64
                } else {
                    done_ms.min(gave_up_ms)
                };
                failed.then_some(when_ms)
            }
            Answer::Replayed => {
                let lost = self.stubborn || fault == Fault::Deaf || dice.chance(0.08);
                lost.then_some(at_ms + 20)
            }
            Answer::Waited { at_ms: told_ms } => {
                (self.stubborn || dice.chance(0.03)).then_some(told_ms)
            }
            Answer::Busy { told_ms } => {
                let again = self.stubborn || self.policy.retries_conflicts();
                again.then_some(told_ms.min(gave_up_ms))
            }
            Answer::Refused => (self.stubborn || dice.chance(0.05)).then_some(at_ms + 10),
        }
    }
}
