//! Closing a store.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Inner;
use super::call::told_already;
use crate::engine::{Listener, Signal, Wakers};
use crate::error::{Error, Result};
use crate::sync::Mutex;

/// What closing came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// Claims that somebody still held when the timeout was over; 0 if the store is closed.
    pub remaining: usize,
}

/// What [`Store::close`](crate::Store::close) returns: awaited on any executor (a thread of its own
/// does the waiting), or waited for by a thread.
#[derive(Debug)]
#[must_use = "nothing is closed until this is awaited or waited for"]
pub struct CloseCall {
    inner: Arc<Inner>,
    timeout: Duration,
    running: Option<(Arc<Shared>, Listener)>,
    told: bool,
}

#[derive(Debug, Default)]
struct Shared {
    result: Mutex<Option<Result<Closed>>>,
    done: Arc<Signal>,
}

impl CloseCall {
    pub(crate) fn new(inner: Arc<Inner>, timeout: Duration) -> Self {
        Self { inner, timeout, running: None, told: false }
    }

    /// Waits on this thread.
    ///
    /// # Errors
    /// See [`Store::close`](crate::Store::close).
    pub fn wait(self) -> Result<Closed> {
        close(&self.inner, self.timeout)
    }
}

fn close(inner: &Inner, timeout: Duration) -> Result<Closed> {
    inner.engine.begin_close();
    let remaining = inner.wait_for_claims(timeout);
    if remaining == 0 {
        inner.shut()?;
    }
    Ok(Closed { remaining })
}

impl Future for CloseCall {
    type Output = Result<Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Closed>> {
        if self.told {
            return Poll::Ready(Err(told_already()));
        }
        if self.running.is_none() {
            let shared = Arc::new(Shared::default());
            let (inner, timeout, told) = (self.inner.clone(), self.timeout, shared.clone());
            let closer =
                crate::sync::thread::Builder::new().name("oncekey-close".into()).spawn(move || {
                    let result = close(&inner, timeout);
                    drop(inner);
                    *told.result.lock() = Some(result);
                    told.done.ring(&mut Wakers::default());
                });
            if let Err(error) = closer {
                return Poll::Ready(Err(Error::io("starting the thread oncekey-close", error)));
            }
            let listener = shared.done.clone().listen();
            self.running = Some((shared, listener));
        }
        loop {
            let Some((shared, listener)) = &mut self.running else { return Poll::Pending };
            let result = shared.result.lock().take();
            if let Some(result) = result {
                self.told = true;
                return Poll::Ready(result);
            }
            std::task::ready!(listener.poll(cx));
            *listener = shared.done.clone().listen();
        }
    }
}
