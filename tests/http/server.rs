//! The services that the conformance cases run against, over real sockets.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use oncekey::http::{Attempt, IdempotencyLayer, LayerBody, Profile};
use oncekey::{Scope, Store};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tower::Layer;

#[path = "../../examples/axum.rs"]
#[allow(dead_code, reason = "its `main` is not called")]
mod axum_example;

pub use axum_example::Gateway;

use crate::world::{Answer, small_store};

/// A service that charges: `POST /v1/charges` with `{"amount": ...}`.
pub struct Server {
    _dir: TempDir,
    pub name: &'static str,
    pub address: SocketAddr,
    pub gateway: Gateway,
    client: reqwest::Client,
}

fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = small_store(dir.path());
    (dir, store)
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// Every service, with a gateway that takes so long.
pub async fn all(delay: Duration) -> Vec<Server> {
    vec![axum(delay).await, hyper(delay, Profile::Ietf).await]
}

/// The example.
pub async fn axum(delay: Duration) -> Server {
    let (dir, store) = store();
    let gateway = Gateway::new(delay);
    let app = axum_example::app(store, gateway.clone()).expect("an app");
    let (listener, address) = listen().await;
    tokio::spawn(axum::serve(listener, app).into_future());
    Server::new(dir, "axum", address, gateway)
}

/// The same over hyper alone.
pub async fn hyper(delay: Duration, profile: Profile) -> Server {
    let (dir, store) = store();
    let gateway = Gateway::new(delay);
    let layer = IdempotencyLayer::new(store, |request| account(&request.headers))
        .profile(profile)
        .documentation("https://developer.example.com/idempotency")
        .expect("a link");
    let charges = gateway.clone();
    let service = layer.layer(tower::service_fn(move |request| charge(charges.clone(), request)));
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            let mut http = hyper::server::conn::http1::Builder::new();
            http.half_close(false);
            tokio::spawn(http.serve_connection(TokioIo::new(socket), service));
        }
    });
    Server::new(dir, "hyper", address, gateway)
}

fn account(headers: &HeaderMap) -> Option<Scope> {
    let token = headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer sk_")?;
    Scope::new(format!("acct_{token}")).ok()
}

async fn charge(
    gateway: Gateway,
    request: Request<LayerBody<Incoming>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let attempt = request.extensions().get::<Attempt>().cloned();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let order: Value = serde_json::from_slice(&body).unwrap_or_default();
    let id = gateway.charge(attempt.as_ref()).await;
    let receipt = json!({ "id": format!("ch_{id}"), "amount": order["amount"] });
    let response = Response::builder().status(201).header("content-type", "application/json");
    Ok(response.body(Full::from(receipt.to_string())).expect("a response"))
}

impl Server {
    fn new(dir: TempDir, name: &'static str, address: SocketAddr, gateway: Gateway) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { _dir: dir, name, address, gateway, client }
    }

    /// A charge of Anna's under this header, if any.
    pub fn request(&self, key: Option<&str>, amount: u64) -> reqwest::RequestBuilder {
        let url = format!("http://{}/v1/charges", self.address);
        let body = json!({ "amount": amount }).to_string();
        let request = self.client.post(url).header("authorization", "Bearer sk_anna").body(body);
        let request = request.header("content-type", "application/json");
        match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        }
    }

    pub async fn charge(&self, key: Option<&str>, amount: u64) -> Answer {
        self.send(self.request(key, amount)).await
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("a response");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.expect("a body");
        Answer { status, headers, trailers: None, body }
    }
}
