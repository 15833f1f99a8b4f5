//! Polling by hand: a future, a waker that counts, and nobody else. So a test can stop a call at
//! every await point.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A waker that counts how often it was woken.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A future between two polls.
pub(crate) struct ByHand<F> {
    future: Pin<Box<F>>,
    count: Arc<Count>,
}

impl<F: Future> ByHand<F> {
    pub(crate) fn new(future: F) -> Self {
        Self { future: Box::pin(future), count: Arc::default() }
    }

    /// A future that has been polled once and was not ready.
    pub(crate) fn begun(future: F) -> Self {
        let mut call = Self::new(future);
        assert!(call.poll().is_none(), "it was ready at once");
        call
    }

    pub(crate) fn poll(&mut self) -> Option<F::Output> {
        let waker = Waker::from(self.count.clone());
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    /// Polls it as another task would, with a waker of its own.
    pub(crate) fn poll_elsewhere(&mut self) -> Option<F::Output> {
        self.count = Arc::default();
        self.poll()
    }

    pub(crate) fn woken(&self) -> usize {
        self.count.0.load(Ordering::SeqCst)
    }

    /// The value of a future that must be ready, after a wake-up.
    pub(crate) fn ready(mut self) -> F::Output {
        assert!(self.woken() > 0, "nobody woke it");
        self.poll().expect("ready")
    }
}

/// The value of a future that must be ready at once.
pub(crate) fn at_once<F: Future>(future: F) -> F::Output {
    ByHand::new(future).poll().expect("ready at once")
}
