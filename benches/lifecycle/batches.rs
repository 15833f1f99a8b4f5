//! Requests that are made together, so that they share batches: by one thread, without an executor.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use oncekey::{ClaimRequest, Outcome, Store, StoredResponse};

/// Claims and completes them all. `commit` is called when there is something to wait for.
pub fn cycles(
    store: &Store,
    requests: impl Iterator<Item = (ClaimRequest, StoredResponse)>,
    commit: impl Fn(&Store),
) {
    let claims: Vec<_> = requests
        .map(|(request, response)| (Waiting::new(store.claim(request)), response))
        .collect();
    commit(store);
    let mut completions = Vec::with_capacity(claims.len());
    for (claim, response) in claims {
        let outcome = claim.wait(|| commit(store)).expect("an outcome");
        let Outcome::Claimed(claim) = outcome else { panic!("the key is new") };
        completions.push(Waiting::new(claim.complete(response)));
    }
    commit(store);
    for call in completions {
        call.wait(|| commit(store)).expect("completed");
    }
}

/// A call that was polled once.
struct Waiting<F: Future> {
    future: Pin<Box<F>>,
    output: Option<F::Output>,
}

impl<F: Future> Waiting<F> {
    fn new(future: F) -> Self {
        let mut future = Box::pin(future);
        let output = poll(future.as_mut());
        Self { future, output }
    }

    fn wait(mut self, more: impl Fn()) -> F::Output {
        loop {
            if let Some(output) = self.output.take().or_else(|| poll(self.future.as_mut())) {
                return output;
            }
            more();
        }
    }
}

fn poll<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
