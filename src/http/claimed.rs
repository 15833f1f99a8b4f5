//! A request whose key was claimed: its handler runs, and what came of it ends the claim.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, response};
use http_body::Body;
use tower_service::Service;

use super::attempt::Held;
use super::body::{Collected, collect};
use super::exchange::{Answer, Exchange, whole_or_body};
use super::problem::Problem;
use super::service::whole;
use super::{
    Action, Attempt, KeptResponse, LayerBody, ProblemKind, ResultClass, ResultPolicy, Rule, grpc,
};
use crate::backend::Backend;
use crate::error::{Error, ErrorKind, Result};
use crate::store::Entry;
use crate::types::StoredResponse;

/// The pauses between tries to end a claim while the backend does not answer.
const PAUSES_MS: [u64; 4] = [20, 80, 320, 1280];
/// A lease is renewed so often before it is over.
const RENEWALS_A_LEASE: u32 = 3;

/// What came of a handler.
enum Handled<Out, E> {
    /// A response that fits into memory.
    Whole(response::Parts, Bytes, Option<HeaderMap>),
    /// One that does not, or a stream.
    Streamed(Response<LayerBody<Out>>),
    /// An error in place of a response.
    Failed(E),
    /// A response whose body broke off.
    Broken,
    Panicked,
    Cancelled,
}

/// A request whose key was claimed.
pub(crate) struct Claimed<B> {
    held: Arc<Held<B>>,
}

impl<B: Backend> Claimed<B> {
    pub(crate) fn new(held: Arc<Held<B>>) -> Self {
        Self { held }
    }

    pub(crate) async fn run<S, In, Out>(
        &self,
        inner: &mut S,
        request: &mut Request<LayerBody<In>>,
    ) -> Answer<Out, S::Error>
    where
        S: Service<Request<LayerBody<In>>, Response = Response<Out>> + Send,
        S::Future: Send,
        S::Error: Send,
        In: Send,
        Out: Body<Data = Bytes> + Send,
        Out::Error: Send,
    {
        request.extensions_mut().insert(Attempt::new(self.held.clone()));
        let mut handled = self.handle(inner, request).await;
        match self.action(&handled) {
            Action::Store => {}
            // If these fail, the lease runs out: whoever asks for the key learns what became of it.
            Action::Release => {
                let _ = self.end(|| self.backend().release(self.held.id())).await;
                return self.answer(handled);
            }
            Action::Abandon => {
                let _ = self.end(|| self.backend().abandon(self.held.id())).await;
                return self.answer(handled);
            }
        }
        // What came of it is stored, and then told.
        match self.complete(self.kept(&handled)).await {
            Ok(()) => {
                if let Some(headers) = headers_of(&mut handled) {
                    self.exchange().settings().publish_retention(self.rule(), headers);
                }
                self.answer(handled)
            }
            Err(error) if error.kind() == ErrorKind::LeaseLost => Ok(self.lost().await),
            Err(_) if self.exchange().settings().fail_open => self.answer(handled),
            Err(_) => Ok(self.unknown()),
        }
    }

    fn exchange(&self) -> &Exchange<B> {
        self.held.exchange()
    }

    fn rule(&self) -> &Rule {
        &self.exchange().keyed.rule
    }

    fn backend(&self) -> &B {
        &self.exchange().shared.backend
    }

    /// Runs the handler, renewing the lease meanwhile.
    async fn handle<S, In, Out>(
        &self,
        inner: &mut S,
        request: &mut Request<LayerBody<In>>,
    ) -> Handled<Out, S::Error>
    where
        S: Service<Request<LayerBody<In>>, Response = Response<Out>>,
        Out: Body<Data = Bytes>,
    {
        let mut handler = pin!(respond(self.rule(), inner, request));
        let mut renewal = pin!(self.renew());
        let mut limit = pin!(sleep_or_never(self.rule().handler_limit));
        let mut renewing = true;
        std::future::poll_fn(|cx| {
            let polled = AssertUnwindSafe(|| handler.as_mut().poll(cx));
            match std::panic::catch_unwind(polled) {
                Ok(Poll::Ready(handled)) => return Poll::Ready(handled),
                Ok(Poll::Pending) => {}
                Err(_) => return Poll::Ready(Handled::Panicked),
            }
            if limit.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Handled::Cancelled);
            }
            renewing = renewing && renewal.as_mut().poll(cx).is_pending();
            Poll::Pending
        })
        .await
    }

    /// Extends the lease again and again. It ends when there is nothing to extend: another attempt
    /// has begun, and the completion will be told so.
    async fn renew(&self) {
        let Some(lease) = self.held.granted().lease() else { return };
        let pause = (lease / RENEWALS_A_LEASE).max(Duration::from_millis(1));
        loop {
            tokio::time::sleep(pause).await;
            match self.backend().extend(self.held.id(), lease).await {
                Err(error) if error.kind() == ErrorKind::LeaseLost => return,
                _ => {}
            }
        }
    }

    /// What becomes of the claim.
    fn action<Out, E>(&self, handled: &Handled<Out, E>) -> Action {
        if let Some(action) = said_by_handler(handled) {
            return action;
        }
        let (class, status) = self.judge(handled);
        match &self.rule().results {
            Some(policy) => policy.action(class, status),
            None => {
                ResultPolicy::of(self.exchange().settings().style.profile).action(class, status)
            }
        }
    }

    fn judge<Out, E>(&self, handled: &Handled<Out, E>) -> (ResultClass, Option<StatusCode>) {
        let of = |status: StatusCode| (ResultClass::of(status), Some(status));
        match handled {
            Handled::Whole(head, _, trailers) if self.exchange().is_grpc => {
                (grpc::class(&head.headers, trailers.as_ref()), None)
            }
            Handled::Whole(head, ..) => of(head.status),
            // Its head is there, so the handler has done what it says.
            Handled::Streamed(response) => match response.status() {
                StatusCode::SWITCHING_PROTOCOLS => (ResultClass::Success, None),
                status => of(status),
            },
            Handled::Failed(_) | Handled::Broken => (ResultClass::Failed, None),
            Handled::Panicked => (ResultClass::Panicked, None),
            Handled::Cancelled => (ResultClass::Cancelled, None),
        }
    }

    /// What is kept of a result.
    fn kept<Out, E>(&self, handled: &Handled<Out, E>) -> KeptResponse {
        let policy = &self.rule().headers;
        let mut kept = match handled {
            Handled::Whole(head, body, trailers) => {
                let trailers = trailers.as_ref().map(|trailers| policy.kept(trailers));
                KeptResponse::new(head.status, policy.kept(&head.headers), Some(body.clone()))
                    .with_trailers(trailers)
            }
            Handled::Streamed(response) => {
                KeptResponse::new(response.status(), policy.kept(response.headers()), None)
            }
            Handled::Failed(_) | Handled::Broken | Handled::Panicked | Handled::Cancelled => {
                let (head, body) = self.failure().into_parts();
                KeptResponse::new(head.status, head.headers, Some(body))
            }
        };
        if let Some(redact) = &self.exchange().settings().redact {
            redact(&mut kept);
        }
        kept
    }

    /// Completes the claim; without the body if there is no room for it.
    async fn complete(&self, kept: KeptResponse) -> Result<()> {
        let unwritable = || Error::invalid("the response has a header that cannot be kept");
        let without = || kept.without_body().encode().or_else(|| kept.bare().encode());
        let whole = || kept.encode().or_else(without).ok_or_else(unwritable);
        match self.try_complete(whole()?).await {
            Ok(()) => return Ok(()),
            Err(error) if has_no_room(&error) => {}
            // As a rule there is no second try, so that it is made of the same response anew.
            told => {
                let again = self.end_after(told, || async { self.try_complete(whole()?).await });
                match Box::pin(again).await {
                    Err(error) if has_no_room(&error) => {}
                    told => return told,
                }
            }
        }
        let without = || without().ok_or_else(unwritable);
        Box::pin(self.end(|| async { self.try_complete(without()?).await })).await
    }

    async fn try_complete(&self, response: StoredResponse) -> Result<()> {
        self.backend().complete(self.held.id(), response).await.map(drop)
    }

    /// Ends the claim, again and again while the backend does not answer.
    async fn end<F: Future<Output = Result<()>>>(&self, verb: impl Fn() -> F) -> Result<()> {
        let told = verb().await;
        self.end_after(told, verb).await
    }

    /// The same, after the first try.
    async fn end_after<F: Future<Output = Result<()>>>(
        &self,
        mut told: Result<()>,
        verb: impl Fn() -> F,
    ) -> Result<()> {
        for pause in PAUSES_MS {
            match told {
                Err(error) if may_pass(&error) => {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                told => return told,
            }
            told = verb().await;
        }
        told
    }

    /// Another attempt decides about the key: its answer is the answer. The key is only looked up,
    /// for whoever executed it must not claim it again.
    async fn lost<Out>(&self) -> Response<LayerBody<Out>> {
        let (id, exchange) = (self.held.id(), self.exchange());
        let problem = match self.backend().get(id.scope(), id.key()).await {
            Ok(Some(Entry::Completed(record))) if exchange.is_ours(record.fingerprint()) => {
                return whole_or_body(exchange.replay(&record));
            }
            Ok(Some(Entry::Completed(_))) => ProblemKind::KeyReused.into(),
            Ok(Some(Entry::InFlight { .. })) => {
                Problem::new(ProblemKind::InFlight).retry_after(Duration::from_secs(1))
            }
            Ok(Some(Entry::Unresolved(_))) => ProblemKind::Unresolved.into(),
            Ok(None) | Err(_) => return self.unknown(),
        };
        whole(exchange.problem(&problem))
    }

    fn unknown<Out>(&self) -> Response<LayerBody<Out>> {
        let problem = Problem::new(ProblemKind::OutcomeUnknown);
        whole(self.exchange().problem(&problem.retry_after(Duration::from_secs(1))))
    }

    fn failure(&self) -> Response<Bytes> {
        self.exchange().problem(&ProblemKind::HandlerFailed.into())
    }

    fn answer<Out, E>(&self, handled: Handled<Out, E>) -> Answer<Out, E> {
        match handled {
            Handled::Whole(head, body, trailers) => {
                Ok(Response::from_parts(head, LayerBody::whole(body, trailers)))
            }
            Handled::Streamed(response) => Ok(response),
            Handled::Failed(error) => Err(error),
            Handled::Broken | Handled::Panicked | Handled::Cancelled => Ok(whole(self.failure())),
        }
    }
}

/// Calls the service, and reads what it answers as far as that is to be kept.
async fn respond<S, In, Out>(
    rule: &Rule,
    inner: &mut S,
    request: &mut Request<LayerBody<In>>,
) -> Handled<Out, S::Error>
where
    S: Service<Request<LayerBody<In>>, Response = Response<Out>>,
    Out: Body<Data = Bytes>,
{
    let (head, body) = match inner.call(std::mem::take(request)).await {
        Ok(response) => response.into_parts(),
        Err(error) => return Handled::Failed(error),
    };
    if rule.is_stream(&head) {
        return Handled::Streamed(Response::from_parts(head, LayerBody::stream(body)));
    }
    match collect(body, rule.max_response_bytes).await {
        Collected::Whole(bytes, trailers) => Handled::Whole(head, bytes, trailers),
        Collected::TooLarge(body) => Handled::Streamed(Response::from_parts(head, body)),
        Collected::Broken(_) => Handled::Broken,
    }
}

/// A handler that knows more than its status tells puts an action among its response's extensions.
fn said_by_handler<Out, E>(handled: &Handled<Out, E>) -> Option<Action> {
    match handled {
        Handled::Whole(head, ..) => head.extensions.get().copied(),
        Handled::Streamed(response) => response.extensions().get().copied(),
        _ => None,
    }
}

fn headers_of<Out, E>(handled: &mut Handled<Out, E>) -> Option<&mut HeaderMap> {
    match handled {
        Handled::Whole(head, ..) => Some(&mut head.headers),
        Handled::Streamed(response) => Some(response.headers_mut()),
        _ => None,
    }
}

async fn sleep_or_never(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

fn has_no_room(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::LimitExceeded | ErrorKind::DiskFull)
}

/// Whether the same call may be answered a little later.
fn may_pass(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::OutcomeUnknown | ErrorKind::Unavailable | ErrorKind::Io)
}
