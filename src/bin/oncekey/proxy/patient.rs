//! A body that is waited for up to a limit between its parts.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

/// A body from a socket, of which each part comes within a limit or never.
pub(crate) struct Patient {
    body: Incoming,
    limit: Duration,
    /// Runs while a part is waited for.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

/// Why a body broke off.
#[derive(Debug)]
pub(crate) enum Broken {
    Stalled,
    Failed(hyper::Error),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stalled => f.write_str("the body stalled"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl Error for Broken {}

impl Patient {
    pub(crate) fn new(body: Incoming, limit: Duration) -> Self {
        Self { body, limit, timer: None, waiting: false }
    }
}

impl Body for Patient {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.waiting = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(Broken::Failed)));
        }
        let limit = this.limit;
        let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if !this.waiting {
            timer.as_mut().reset(Instant::now() + limit);
            this.waiting = true;
        }
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Some(Err(Broken::Stalled)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
