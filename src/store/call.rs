//! What a verb returns: a decision that waits for the disk.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::Inner;
use crate::engine::Ticket;
use crate::error::Result;
use crate::telemetry::Stopwatch;

/// A decision on its way to disk. Awaited on any executor, or waited for by a thread with
/// [`wait`](Self::wait).
///
/// The decision was made when the verb was called: dropping this loses only the answer.
#[derive(Debug)]
#[must_use = "the outcome is not known until this is awaited or waited for"]
pub struct Pending<T> {
    inner: Arc<Inner>,
    state: State<T>,
    /// Runs if it is measured how long the answer takes.
    watch: Stopwatch,
}

#[derive(Debug)]
enum State<T> {
    Refused(crate::Error),
    Waiting { value: T, ticket: Ticket, left: LeftWaker },
    Told,
}

impl<T> Pending<T> {
    pub(crate) fn new(inner: Arc<Inner>, decided: Result<(T, Ticket)>) -> Self {
        let state = match decided {
            Ok((value, ticket)) => State::Waiting { value, ticket, left: LeftWaker::None },
            Err(error) => State::Refused(error),
        };
        Self { inner, state, watch: Stopwatch::default() }
    }

    /// The same for a completion, which is measured.
    pub(crate) fn measured(mut self, watch: Stopwatch) -> Self {
        self.watch = watch;
        self
    }

    /// Passes the answer on, and has it measured.
    fn measure(&self, told: Result<T>) -> Result<T> {
        let engine = &self.inner.engine;
        engine.meter.completed(told.as_ref().err(), self.watch, &engine.time);
        told
    }

    /// What was decided and not told yet.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn decided(&self) -> Option<&T> {
        match &self.state {
            State::Waiting { value, .. } => Some(value),
            _ => None,
        }
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Waits on this thread.
    ///
    /// # Errors
    /// What the verb says, and [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) if the disk
    /// failed under it.
    pub fn wait(mut self) -> Result<T> {
        let told = match std::mem::replace(&mut self.state, State::Told) {
            State::Refused(error) => Err(error),
            State::Waiting { value, ticket, .. } => self.inner.engine.wait(ticket).map(|()| value),
            State::Told => Err(told_already()),
        };
        self.measure(told)
    }
}

impl<T: Unpin> Future for Pending<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let this = &mut *self;
        if let State::Waiting { ticket, left, .. } = &mut this.state
            && this.inner.poll_ticket(*ticket, left, cx).is_pending()
        {
            return Poll::Pending;
        }
        match std::mem::replace(&mut this.state, State::Told) {
            State::Refused(error) => Poll::Ready(this.measure(Err(error))),
            State::Waiting { value, ticket, .. } => {
                let fate = this.inner.engine.fate(ticket).unwrap_or(Ok(()));
                Poll::Ready(this.measure(fate.map(|()| value)))
            }
            State::Told => Poll::Ready(Err(told_already())),
        }
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        if let State::Waiting { ticket, .. } = self.state
            && self.inner.engine.fate(ticket).is_none()
        {
            self.inner.engine.nudge();
        }
    }
}

/// The waker that a waiting task has left with its batch. The first is not kept beside it: as a
/// rule the task is polled again only when it is done.
#[derive(Debug)]
pub(crate) enum LeftWaker {
    None,
    First,
    Kept(Waker),
}

impl Inner {
    /// Waits, as a task, for a ticket's fate. `left` says which waker was left with its batch.
    pub(crate) fn poll_ticket(
        &self,
        ticket: Ticket,
        left: &mut LeftWaker,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.engine.fate(ticket).is_some() {
            return Poll::Ready(());
        }
        if matches!(left, LeftWaker::Kept(left) if left.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        if !self.engine.register(ticket, cx.waker()) {
            return Poll::Ready(());
        }
        *left = match left {
            LeftWaker::None => LeftWaker::First,
            LeftWaker::First | LeftWaker::Kept(_) => LeftWaker::Kept(cx.waker().clone()),
        };
        Poll::Pending
    }
}

pub(crate) fn told_already() -> crate::Error {
    crate::Error::invalid("polled again after it was ready")
}
