//! The service that the layer makes: from a request to a plan, and from there to an exchange.
//!
//! A request with a key is read whole first: a client that goes away before it has sent everything
//! leaves nothing behind. From then on a client that goes away does not stop it.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, request};
use http_body::Body;
use tower_service::Service;

use super::body::{Collected, collect};
use super::exchange::Exchange;
use super::outliving::{Outliving, Panicked};
use super::problem::ProblemKind::{BodyTimeout, BodyTooLarge, BodyUnreadable, HandlerFailed};
use super::settings::{Keyed, Plan};
use super::shared::Shared;
use super::timeout::within;
use super::{LayerBody, grpc};
use crate::backend::Backend;

/// A service with idempotency keys, made by [`IdempotencyLayer`](super::IdempotencyLayer).
#[derive(Debug)]
pub struct IdempotencyService<S, B> {
    inner: S,
    shared: Arc<Shared<B>>,
}

impl<S: Clone, B> Clone for IdempotencyService<S, B> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: self.shared.clone() }
    }
}

impl<S, B> IdempotencyService<S, B> {
    pub(crate) fn new(inner: S, shared: Arc<Shared<B>>) -> Self {
        Self { inner, shared }
    }
}

type Answer<T, E> = Result<Response<LayerBody<T>>, E>;

impl<S, B, In, Out> Service<Request<In>> for IdempotencyService<S, B>
where
    S: Service<Request<LayerBody<In>>, Response = Response<Out>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    B: Backend,
    In: Body<Data = Bytes> + Send + 'static,
    In::Error: Send,
    Out: Body<Data = Bytes> + Send + 'static,
    Out::Error: Send,
{
    type Response = Response<LayerBody<Out>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Answer<Out, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        // The one that was polled ready is the one that is called.
        let inner = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, inner);
        let (head, body) = request.into_parts();
        match self.shared.settings.plan(&head) {
            Plan::PassThrough => {
                let answer = inner.call(Request::from_parts(head, LayerBody::stream(body)));
                Box::pin(async move { Ok(answer.await?.map(LayerBody::stream)) })
            }
            Plan::Refuse(problem) => {
                let answer = self.shared.settings.answer(&problem, grpc::is_grpc(&head.headers));
                Box::pin(std::future::ready(Ok(whole(answer))))
            }
            Plan::Keyed(keyed) => {
                let shared = self.shared.clone();
                Box::pin(execute_once(shared, keyed, inner, head, body))
            }
        }
    }
}

/// An answer of the layer's own.
pub(crate) fn whole<T>(answer: Response<Bytes>) -> Response<LayerBody<T>> {
    answer.map(|bytes| LayerBody::whole(bytes, None))
}

/// Reads a request's body, and hands it over to its exchange.
#[expect(clippy::manual_async_fn, reason = "it would have room for its arguments twice")]
fn execute_once<S, B, In, Out>(
    shared: Arc<Shared<B>>,
    keyed: Keyed,
    inner: S,
    head: request::Parts,
    body: In,
) -> impl Future<Output = Answer<Out, S::Error>> + Send
where
    S: Service<Request<LayerBody<In>>, Response = Response<Out>> + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    B: Backend,
    In: Body<Data = Bytes> + Send + 'static,
    In::Error: Send,
    Out: Body<Data = Bytes> + Send + 'static,
    Out::Error: Send,
{
    async move {
        let read = pin!(collect(body, keyed.rule.max_request_bytes));
        let told = within(keyed.rule.body_timeout, read).await;
        let refusal = match told {
            Some(Collected::Whole(bytes, trailers)) => {
                let exchange = Arc::new(Exchange::new(shared, keyed, &head, &bytes));
                let request = Request::from_parts(head, LayerBody::whole(bytes, trailers));
                return match Outliving::new(exchange.clone().run(inner, request)).await {
                    Ok(answer) => answer,
                    // A hook panicked: the claim follows its policy.
                    Err(Panicked) => Ok(whole(exchange.problem(&HandlerFailed.into()))),
                };
            }
            Some(Collected::TooLarge(_)) => BodyTooLarge,
            Some(Collected::Broken(_)) => BodyUnreadable,
            None => BodyTimeout,
        };
        Ok(whole(shared.settings.answer(&refusal.into(), grpc::is_grpc(&head.headers))))
    }
}
