//! A time limit without a timer for what need not be waited for.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// What a future comes to within a limit; `None` if it takes longer.
pub(crate) async fn within<F: Future>(
    limit: Duration,
    mut future: Pin<&mut F>,
) -> Option<F::Output> {
    let at_once = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx)));
    match at_once.await {
        Poll::Ready(told) => Some(told),
        Poll::Pending => tokio::time::timeout(limit, future).await.ok(),
    }
}
