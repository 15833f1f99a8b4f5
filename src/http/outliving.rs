//! A future that goes on when whoever waits for it goes away.
//!
//! It runs in its waiter's task, since a task of its own for each request costs more than all else
//! that a layer does. Only if it is dropped before it is ready does it move to a task of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

pub(crate) struct Outliving<F: Future + Send + 'static>
where
    F::Output: Send,
{
    /// Taken when it is ready, or has panicked.
    future: Option<Pin<Box<F>>>,
    runtime: Handle,
}

/// The future panicked. The panic hook has told of it.
pub(crate) struct Panicked;

impl<F: Future + Send + 'static> Outliving<F>
where
    F::Output: Send,
{
    /// Must be called on a runtime: it is where the future goes on.
    pub(crate) fn new(future: F) -> Self {
        Self { future: Some(Box::pin(future)), runtime: Handle::current() }
    }
}

impl<F: Future + Send + 'static> Future for Outliving<F>
where
    F::Output: Send,
{
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.future else { return Poll::Ready(Err(Panicked)) };
        let told = match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(told)) => Ok(told),
            Err(_) => Err(Panicked),
        };
        self.future = None;
        Poll::Ready(told)
    }
}

impl<F: Future + Send + 'static> Drop for Outliving<F>
where
    F::Output: Send,
{
    fn drop(&mut self) {
        if let Some(future) = self.future.take() {
            self.runtime.spawn(future);
        }
    }
}
