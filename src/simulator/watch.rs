//! Claims as the simulator waits for them: each decision is judged in the poll that makes it, long
//! before it is told, and what is told later must be what was decided.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::linear::answer;
use super::model::{Ask, Said};
use super::witness::Heard;
use super::world::World;
use crate::engine::Decided;
use crate::{ClaimCall, FlightCall, Outcome, Result, Store};

/// A call that claims.
pub(crate) trait Decides: Future<Output = Result<Outcome>> + Unpin {
    /// Whether it waits for another's claim.
    const WAITS: bool;

    /// What was decided and not told yet.
    fn decided(&self) -> Option<&Decided>;
}

impl Decides for ClaimCall {
    const WAITS: bool = false;

    fn decided(&self) -> Option<&Decided> {
        self.deciding().decided()
    }
}

impl Decides for FlightCall {
    const WAITS: bool = true;

    fn decided(&self) -> Option<&Decided> {
        self.deciding().decided()
    }
}

/// A claim whose decision was judged, and the number of entries it rests on.
struct Judged {
    said: Said,
    rests_on: u64,
}

pub(crate) struct Watch<C: Decides> {
    world: Rc<World>,
    store: Store,
    ask: Ask,
    /// Taken when it is over, so that its drop comes before what follows from it.
    call: Option<C>,
    heard: Option<Heard>,
    judged: Option<Judged>,
    /// Whether the trail's model knows of the decision.
    is_noted: bool,
}

impl<C: Decides> Watch<C> {
    pub(crate) fn new(heard: Heard, store: Store, ask: Ask, call: C) -> Self {
        let world = heard.world.clone();
        Self {
            world,
            store,
            ask,
            call: Some(call),
            heard: Some(heard),
            judged: None,
            is_noted: false,
        }
    }

    /// Tells the model what was decided in a poll.
    fn judge(&mut self, said: Said, look: &super::model::Look, times: super::model::Times) {
        let ask = self.ask;
        let world = &self.world;
        let rests_on = world.judge(|model| model.judge(&ask, look, times, &said));
        world.note([1, ask.key as u64, code(&said)], || format!("{ask:?} is decided: {said:?}"));
        if let Some(rests_on) = rests_on {
            hit(world, &said);
            self.judged = Some(Judged { said, rests_on });
        }
    }

    /// Has the trail's model know of what a poll came to, also where the process died in it.
    fn note(&mut self, polled: &Poll<Result<Outcome>>, decided: Option<&Said>) {
        if self.is_noted {
            return;
        }
        let key = self.ask.key;
        match (polled, decided) {
            (Poll::Ready(Ok(outcome)), _) => {
                self.world.tell_ledger_of_claim(key, &Said::told(outcome), C::WAITS);
            }
            (Poll::Ready(Err(error)), _) => self.world.tell_ledger_of_refusal(key, error),
            (Poll::Pending, Some(said)) => {
                self.world.tell_ledger_of_claim(key, said, C::WAITS);
            }
            (Poll::Pending, None) => return,
        }
        self.is_noted = true;
    }

    fn told(&mut self, outcome: &Outcome) {
        let said = Said::told(outcome);
        let Some(judged) = self.judged.take() else { return };
        let world = &self.world;
        if judged.said != said {
            world.break_promise(format!("{:?} was decided and {said:?} told", judged.said));
            return;
        }
        if !matches!(said, Said::InFlight { .. } | Said::Expired(_)) {
            world.tell_model(|model| model.told(judged.rests_on));
        }
        let key = self.ask.key;
        world.note([2, key as u64, judged.rests_on], || format!("key {key} is told: {said:?}"));
    }
}

impl<C: Decides> Future for Watch<C> {
    type Output = Result<Outcome>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Outcome>> {
        let this = &mut *self;
        let world = this.world.clone();
        let Some(call) = &mut this.call else { return Poll::Pending };
        let look = world.model.borrow_mut().begin_look(this.ask.key);
        let begin = world.times(&this.store);
        let polled = Pin::new(&mut *call).poll(cx);
        let times = begin.until(world.times(&this.store));
        let decided = call.decided().map(|decided| Said::decided(&decided.decision));
        this.note(&polled, decided.as_ref());
        if !world.dead.get() {
            match (&polled, decided) {
                (Poll::Ready(Ok(outcome)), _) => {
                    if this.judged.is_none() {
                        this.judge(Said::told(outcome), &look, times);
                    }
                    this.told(outcome);
                }
                (Poll::Ready(Err(error)), _) => world.check_error("a claim", error),
                (Poll::Pending, Some(said)) if this.judged.is_none() => {
                    this.judge(said, &look, times);
                }
                (Poll::Pending, _) => {}
            }
            world.model.borrow_mut().end_look();
        }
        if let Poll::Ready(told) = &polled {
            if let Some(heard) = this.heard.take() {
                heard.told(answer::claim(told));
            }
            this.judged = None;
            this.call = None;
        }
        polled
    }
}

impl<C: Decides> Drop for Watch<C> {
    /// A claim that was won and never told is taken back.
    fn drop(&mut self) {
        let Some(call) = self.call.take() else { return };
        let world = self.world.clone();
        let usable = !self.store.engine().is_poisoned() && !world.is_closed(&self.store);
        let back = self.heard.take().map(Heard::take_back);
        drop(call);
        if let Some(Judged { said: Said::Claimed { token, .. }, .. }) = &self.judged {
            world.tell_ledger_of_drop(self.ask.key, *token);
        }
        if let Some(back) = back.filter(|_| usable) {
            back.done();
        }
        let Some(Judged { said: Said::Claimed { token, .. }, .. }) = self.judged else { return };
        if world.dead.get() || !usable {
            return;
        }
        world.hit("a claim is cancelled after its decision");
        let (times, key) = (world.times(&self.store), self.ask.key);
        world.tell_model(|model| model.take_back(key, token, times));
        world.note([3, key as u64, token], || format!("key {key} is taken back from {token}"));
    }
}

fn code(said: &Said) -> u64 {
    match said {
        Said::Claimed { token, .. } => *token,
        Said::Replay(shown) => shown.token << 3 | 1,
        Said::InFlight { attempt } => u64::from(*attempt) << 3 | 2,
        Said::Mismatch { in_flight, .. } => u64::from(*in_flight) << 3 | 3,
        Said::Unresolved { token, .. } => *token << 3 | 4,
        Said::Expired(past) => past.expired_ms << 3 | 5,
    }
}

fn hit(world: &World, said: &Said) {
    world.hit(match said {
        Said::Claimed { late: Some(_), .. } => "outcome: claimed, late",
        Said::Claimed { attempt: 1, .. } => "outcome: claimed",
        Said::Claimed { .. } => "outcome: claimed by takeover",
        Said::Replay(_) => "outcome: replay",
        Said::InFlight { .. } => "outcome: in flight",
        Said::Mismatch { .. } => "outcome: mismatch",
        Said::Unresolved { .. } => "outcome: unresolved",
        Said::Expired(_) => "outcome: expired",
    });
}
