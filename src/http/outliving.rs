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

#[cfg(test)]
mod tests {
    use std::task::Waker;
    use std::time::Duration;

    use tokio::runtime::Builder;
    use tokio::sync::oneshot;

    use super::*;

    /// A future that waits to be told, and tells what it was told.
    fn passing() -> (oneshot::Sender<u32>, impl Future<Output = ()> + Send, oneshot::Receiver<u32>)
    {
        let (tell, told) = oneshot::channel();
        let (tell_on, told_on) = oneshot::channel();
        let future = async move { tell_on.send(told.await.expect("told")).expect("heard") };
        (tell, future, told_on)
    }

    #[test]
    fn what_is_dropped_goes_on_where_it_began() {
        let runtime = Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
        let (tell, future, told_on) = passing();
        let mut outliving = {
            let _entered = runtime.enter();
            Outliving::new(future)
        };
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut outliving).poll(&mut cx).is_pending());
        // On a thread that knows of no runtime.
        drop(outliving);
        tell.send(1).expect("somebody waits");
        assert_eq!(told_on.blocking_recv(), Ok(1));
    }

    #[tokio::test]
    async fn what_was_never_looked_at_goes_on_too() {
        let (tell, future, told_on) = passing();
        drop(Outliving::new(future));
        tell.send(1).expect("somebody waits");
        assert_eq!(told_on.await, Ok(1));
    }

    #[tokio::test]
    async fn a_panic_is_told_and_ends_it() {
        let mut outliving = Outliving::new(async { panic!("on purpose") });
        assert!(Pin::new(&mut outliving).await.is_err());
        assert!(outliving.future.is_none());
    }

    #[test]
    fn where_the_runtime_is_gone_it_ends() {
        let runtime = Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
        let (tell, future, told_on) = passing();
        let outliving = {
            let _entered = runtime.enter();
            Outliving::new(future)
        };
        runtime.shutdown_timeout(Duration::from_secs(10));
        drop(outliving);
        assert!(told_on.blocking_recv().is_err() && tell.is_closed());
    }
}
