//! What a verb returns: a decision that waits for the disk.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::Inner;
use crate::engine::Ticket;
use crate::error::Result;

/// A decision on its way to disk. Awaited on any executor, or waited for by a thread with [`wait`](Self::wait).
///
/// The decision was made when the verb was called: dropping this loses only the answer.
#[derive(Debug)]
#[must_use = "the outcome is not known until this is awaited or waited for"]
pub struct Pending<T> {
    inner: Arc<Inner>,
    state: State<T>,
}

#[derive(Debug)]
enum State<T> {
    Refused(crate::Error),
    Waiting { value: T, ticket: Ticket, waker: Option<Waker> },
    Told,
}

impl<T> Pending<T> {
    pub(crate) fn new(inner: &Arc<Inner>, decided: Result<(T, Ticket)>) -> Self {
        let state = match decided {
            Ok((value, ticket)) => State::Waiting { value, ticket, waker: None },
            Err(error) => State::Refused(error),
        };
        Self { inner: inner.clone(), state }
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Waits on this thread.
    ///
    /// # Errors
    /// What the verb says, and [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) if the disk failed under it.
    pub fn wait(mut self) -> Result<T> {
        match std::mem::replace(&mut self.state, State::Told) {
            State::Refused(error) => Err(error),
            State::Waiting { value, ticket, .. } => self.inner.engine.wait(ticket).map(|()| value),
            State::Told => Err(told_already()),
        }
    }
}

impl<T: Unpin> Future for Pending<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let this = &mut *self;
        if let State::Waiting { ticket, waker, .. } = &mut this.state
            && this.inner.poll_ticket(*ticket, waker, cx).is_pending()
        {
            return Poll::Pending;
        }
        match std::mem::replace(&mut this.state, State::Told) {
            State::Refused(error) => Poll::Ready(Err(error)),
            State::Waiting { value, ticket, .. } => {
                let fate = this.inner.engine.fate(ticket).unwrap_or(Ok(()));
                Poll::Ready(fate.map(|()| value))
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

impl Inner {
    /// Waits, as a task, for a ticket's fate. `left` is the waker that was left with its batch.
    pub(crate) fn poll_ticket(
        &self,
        ticket: Ticket,
        left: &mut Option<Waker>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.engine.fate(ticket).is_some() {
            return Poll::Ready(());
        }
        if left.as_ref().is_some_and(|left| left.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        if !self.engine.register(ticket, cx.waker()) {
            return Poll::Ready(());
        }
        *left = Some(cx.waker().clone());
        Poll::Pending
    }
}

pub(crate) fn told_already() -> crate::Error {
    crate::Error::invalid("polled again after it was ready")
}
