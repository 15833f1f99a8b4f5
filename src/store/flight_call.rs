//! Waiting for somebody else's claim to end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use event_listener::{Event, EventListener, Listener};

use super::claim_call::Deciding;
use super::{InFlight, Inner, Outcome};
use crate::engine::OpenClaim;
use crate::error::Result;

/// What [`InFlight::wait`] returns: an outcome again, once the claim in flight has ended, its lease
/// is over, or the limit is reached. Awaited on any executor, or waited for by a thread.
#[derive(Debug)]
#[must_use = "nothing is waited for until this is awaited or waited for"]
pub struct FlightCall {
    deciding: Deciding,
    limit: Duration,
    deadline_ms: Option<u64>,
    listening: Option<(Arc<Event>, EventListener)>,
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
    pub(crate) fn new(inner: Arc<Inner>, claim: Box<OpenClaim>, limit: Duration) -> Self {
        Self {
            deciding: Deciding::new(inner, Some(*claim)),
            limit,
            deadline_ms: None,
            listening: None,
        }
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
                    if let Some((_, listener)) = self.listening.take() {
                        listener.wait();
                    }
                }
            }
        }
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
            let flight = InFlight { inner, claim, ended, lease_left_ms, caller, attempt };
            return Look::Told(Outcome::InFlight(flight));
        }
        self.deciding.again(inner.clone(), *claim);
        if self.listening.as_ref().is_some_and(|(event, _)| Arc::ptr_eq(event, &ended)) {
            return Look::Wait;
        }
        let lease_end_ms = lease_left_ms.map_or(u64::MAX, |left| now_ms.saturating_add(left));
        if inner.engine.timers.add(deadline_ms.min(lease_end_ms), ended.clone()) {
            inner.engine.ask_upkeep(false);
        }
        let listener = ended.listen();
        self.listening = Some((ended, listener));
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
                    if let Some((_, listener)) = &mut self.listening {
                        std::task::ready!(Pin::new(listener).poll(cx));
                    }
                    self.listening = None;
                }
            }
        }
    }
}
