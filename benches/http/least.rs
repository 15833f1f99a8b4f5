//! The least that a layer could do: claim, call the handler, complete. No rules, no limits, no
//! problems, no renewal; a client that hangs up stops it. What it costs no layer can go below.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use oncekey::backend::{Backend, Outcome, OwnerId};
use oncekey::{ClaimRequest, Key, Scope, Store, StoredResponse};
use tower::Service;

#[derive(Clone)]
pub struct Least<S> {
    store: Store,
    inner: S,
}

impl<S> Least<S> {
    pub fn new(store: Store, inner: S) -> Self {
        Self { store, inner }
    }
}

type Answer = Result<Response<Full<Bytes>>, Infallible>;

impl<S> Service<Request<Incoming>> for Least<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let (store, mut inner) = (self.store.clone(), self.inner.clone());
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.expect("a body").to_bytes();
            let text = |name| head.headers[name].to_str().expect("a text");
            let scope = Scope::new(text("x-account")).expect("a scope");
            let key = Key::new(text("idempotency-key").trim_matches('"')).expect("a key");
            let claim = ClaimRequest::new(scope, key).operation("POST /v1/charges").payload(&body);
            let owner = OwnerId::random().expect("an owner");
            let told = Backend::claim(&store, owner, claim).await.expect("told");
            let Outcome::Claimed(claim) = told else { panic!("a fresh key") };
            let request = Request::from_parts(head, Full::from(body));
            let (head, body) = inner.call(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            let kept = StoredResponse::new(&body[..]);
            store.complete(claim.id(), kept).await.expect("completed");
            Ok(Response::from_parts(head, Full::from(body)))
        })
    }
}
