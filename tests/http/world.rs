//! What the tests share: a store, a layer over a handler, requests and their answers.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{Request, Response};
use http_body_util::Full;
use oncekey::http::{IdempotencyLayer, LayerBody};
use oncekey::{Options, Scope, Store};
use tempfile::TempDir;
use tower::{Layer, Service, ServiceExt};

pub use crate::answer::{Answer, problem};

pub type Sent = Request<Full<Bytes>>;
pub type Reply = Response<Full<Bytes>>;

/// A store in a directory of its own.
pub struct World {
    _dir: TempDir,
    pub store: Store,
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = small_store(dir.path());
        Self { _dir: dir, store }
    }

    /// A layer for callers who say who they are.
    pub fn layer(&self) -> IdempotencyLayer<Store> {
        IdempotencyLayer::new(self.store.clone(), account)
    }
}

/// Small segments: a store fills four of them when it begins.
pub fn small_store(dir: &Path) -> Store {
    let options = Options::new().segment_bytes(4 << 20);
    options.create(dir.join("state")).expect("a store")
}

pub fn account(request: &Parts) -> Option<Scope> {
    let name = request.headers.get("x-account")?.to_str().ok()?;
    Scope::new(name).ok()
}

/// How often a handler ran.
#[derive(Clone, Default)]
pub struct Count(Arc<AtomicUsize>);

impl Count {
    pub fn up(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A request of `acct` with a key.
pub fn post(key: &str, body: &str) -> Sent {
    let mut request = keyless(body);
    let key = format!("\"{key}\"").parse().expect("a value");
    request.headers_mut().insert("idempotency-key", key);
    request
}

pub fn keyless(body: &str) -> Sent {
    Request::post("/v1/charges")
        .header("x-account", "acct")
        .body(Full::from(body.to_owned()))
        .expect("a request")
}

pub async fn read<B>(response: Response<B>) -> Answer
where
    B: http_body_util::BodyExt<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body");
    let trailers = body.trailers().cloned();
    let (status, headers) = (head.status.as_u16(), head.headers);
    Answer { status, headers, trailers, body: body.to_bytes() }
}

/// A service, as the tests call it.
pub trait Sends: Clone {
    fn send(&self, request: Sent) -> impl Future<Output = Answer> + Send;
}

impl<S, B> Sends for S
where
    S: Service<Sent, Response = Response<LayerBody<B>>> + Clone + Send + Sync,
    S::Error: std::fmt::Debug,
    S::Future: Send,
    B: http_body_util::BodyExt<Data = Bytes> + Send,
    B::Error: std::fmt::Debug,
{
    async fn send(&self, request: Sent) -> Answer {
        read(self.clone().oneshot(request).await.expect("a response")).await
    }
}

/// The layer around a handler.
pub fn around<B, F, R>(
    layer: &IdempotencyLayer<B>,
    handler: F,
) -> impl Sends + Send + Sync + 'static + use<B, F, R>
where
    B: oncekey::backend::Backend,
    F: Fn(Request<LayerBody<Full<Bytes>>>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Reply> + Send + 'static,
{
    layer.layer(tower::service_fn(move |request| {
        let reply = handler(request);
        async move { Ok::<_, Infallible>(reply.await) }
    }))
}

pub fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    Response::builder().status(status).body(Full::new(body.into())).expect("a response")
}
