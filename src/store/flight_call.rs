//! Waiting for somebody else's claim to end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::claim_call::Deciding;
use super::{InFlight, Inner, Outcome};
use crate::engine::{Listener, OpenClaim, Timer};
use crate::error::Result;
use crate::telemetry::Call;

/// What [`InFlight::wait`] returns: an outcome again, once the claim in flight has ended, its lease
/// is over, or the limit is reached. Awaited on any executor, or waited for by a thread.
#[derive(Debug)]
#[must_use = "nothing is waited for until this is awaited or waited for"]
pub struct FlightCall {
    deciding: Deciding,
    limit: Duration,
    deadline_ms: Option<u64>,
    listening: Option<Listening>,
}

/// What a waiter waits for: a change of the flight, or the moment to look again.
#[derive(Debug)]
struct Listening {
    listener: Listener,
    _timer: Timer,
}

/// What a look at the key came to.
enum Look {
    Told(Outcome),
    /// Still in flight: listen, then look again.
    Listen,
    /// Listening already.
    Wait,
}

impl FlightCall {
    pub(crate) fn new(inner: Arc<Inner>, mut claim: Box<OpenClaim>, limit: Duration) -> Self {
        claim.waits_since_ms = Some(inner.engine.time.monotonic_ms());
        let mut deciding = Deciding::new(inner.clone(), Call::Wait);
        deciding.again(inner, *claim);
        Self { deciding, limit, deadline_ms: None, listening: None }
    }

    /// Waits on this thread.
    ///
    /// # Errors
    /// As [`Store::claim`](crate::Store::claim).
    pub fn wait(mut self) -> Result<Outcome> {
        loop {
            let outcome = self.deciding.wait()?;
            match self.look(outcome) {
                Look::Told(outcome) => return Ok(outcome),
                Look::Listen => {}
                Look::Wait => {
                    if let Some(mut listening) = self.listening.take() {
                        listening.listener.wait();
                    }
                }
            }
        }
    }

    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn deciding(&self) -> &Deciding {
        &self.deciding
    }

    fn look(&mut self, outcome: Outcome) -> Look {
        let InFlight { inner, claim, ended, lease_left_ms, caller, attempt } = match outcome {
            Outcome::InFlight(flight) => flight,
            other => return Look::Told(other),
        };
        let now_ms = inner.engine.time.monotonic_ms();
        let limit_ms = u64::try_from(self.limit.as_millis()).unwrap_or(u64::MAX);
        let deadline_ms = *self.deadline_ms.get_or_insert_with(|| now_ms.saturating_add(limit_ms));
        if now_ms >= deadline_ms {
            self.deciding.gave_up(&inner, &claim, attempt);
            let flight = InFlight { inner, claim, ended, lease_left_ms, caller, attempt };
            return Look::Told(Outcome::InFlight(flight));
        }
        self.deciding.again(inner.clone(), *claim);
        if self.listening.as_ref().is_some_and(|listening| listening.listener.is_for(&ended)) {
            return Look::Wait;
        }
        let lease_end_ms = lease_left_ms.map_or(u64::MAX, |left| now_ms.saturating_add(left));
        let due_ms = deadline_ms.min(lease_end_ms);
        let listener = ended.clone().listen();
        let (timer, is_earliest) = inner.engine.timers.add(due_ms, ended);
        if is_earliest {
            inner.engine.ask_upkeep(false);
        }
        self.listening = Some(Listening { listener, _timer: timer });
        Look::Listen
    }
}

impl Future for FlightCall {
    type Output = Result<Outcome>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Outcome>> {
        loop {
            let outcome = std::task::ready!(self.deciding.poll(cx))?;
            match self.look(outcome) {
                Look::Told(outcome) => return Poll::Ready(Ok(outcome)),
                Look::Listen => {}
                Look::Wait => {
                    if let Some(listening) = &mut self.listening {
                        std::task::ready!(listening.listener.poll(cx));
                    }
                    self.listening = None;
                }
            }
        }
    }
}
