//! The services that the conformance cases run against, over real sockets: the axum example, a
//! service on hyper alone, and the proxy, a process of its own in front of a service without the
//! layer. Without the feature `proxy` the proxy is left out.

use std::any::Any;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::http::{HeaderName, Method, Request, Response, request};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use oncekey::http::{Attempt, IdempotencyLayer, Profile, Requirement, Rule};
use oncekey::{Scope, Store};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tower::{Layer, Service};

#[path = "../../examples/axum.rs"]
pub mod axum_example;

pub use axum_example::Gateway;

use crate::world::{Answer, small_store};

const DOCUMENTATION: &str = "https://developer.example.com/idempotency";
pub const RETENTION: &str = "idempotency-retention";

/// A service that charges: `POST /v1/charges` with `{"amount": ...}`.
pub struct Server {
    pub name: &'static str,
    pub address: SocketAddr,
    pub gateway: Gateway,
    /// Whether a handler that panics is told from one that left its effect unknown. To a proxy it
    /// is a service that hung up.
    pub knows_panics: bool,
    client: reqwest::Client,
    /// What lives as long as the service.
    _held: Box<dyn Any>,
}

/// How a service is set up; the example is as it is.
#[derive(Clone, Copy)]
pub struct Setup {
    /// How long its gateway takes.
    pub delay: Duration,
    pub profile: Profile,
    pub requirement: Option<Requirement>,
    pub ttl: Duration,
    /// How long a request waits for another one with its key.
    pub wait: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        let (ttl, wait) = (Duration::from_secs(24 * 3600), Duration::from_secs(2));
        Self { delay: Duration::ZERO, profile: Profile::Ietf, requirement: None, ttl, wait }
    }
}

/// Every service, with a gateway that takes so long.
pub async fn all(delay: Duration) -> Vec<Server> {
    all_of(Setup { delay, ..Setup::default() }).await
}

/// Every service.
pub async fn all_of(setup: Setup) -> Vec<Server> {
    let mut all = vec![axum(setup.delay).await];
    all.extend(scripted(setup).await);
    all
}

/// Every service whose handler does what the body says: `statuses` to answer with, one for each
/// charge and the last from then on, or `panic`.
pub async fn scripted(setup: Setup) -> Vec<Server> {
    vec![
        hyper(setup).await,
        #[cfg(feature = "proxy")]
        proxy(setup).await,
    ]
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

/// The example.
async fn axum(delay: Duration) -> Server {
    let (dir, store) = store();
    let gateway = Gateway::new(delay);
    let app = axum_example::app(store, gateway.clone()).expect("an app");
    let (listener, address) = listen().await;
    tokio::spawn(axum::serve(listener, app).into_future());
    Server::new("axum", address, gateway, dir)
}

/// The same over hyper alone.
async fn hyper(setup: Setup) -> Server {
    let (dir, store) = store();
    let gateway = Gateway::new(setup.delay);
    let mut rule = Rule::new().ttl(setup.ttl).wait(setup.wait);
    if let Some(requirement) = setup.requirement {
        rule = rule.requirement(requirement);
    }
    let layer = IdempotencyLayer::new(store, account)
        .profile(setup.profile)
        .rule(rule)
        .retention_header(HeaderName::from_static(RETENTION))
        .documentation(DOCUMENTATION)
        .expect("a link");
    let charges = gateway.clone();
    let service = layer.layer(tower::service_fn(move |request| charge(charges.clone(), request)));
    let address = serve(service).await;
    Server::new("hyper", address, gateway, dir)
}

/// The proxy before the same handler, which it has to itself.
#[cfg(feature = "proxy")]
async fn proxy(setup: Setup) -> Server {
    let gateway = Gateway::new(setup.delay);
    let charges = gateway.clone();
    let upstream = serve(tower::service_fn(move |request| charge(charges.clone(), request))).await;
    let profile = if setup.profile == Profile::Stripe { "stripe" } else { "ietf" };
    let [ttl, wait] = [setup.ttl, setup.wait].map(|time| format!("{}ms", time.as_millis()));
    let mut flags = vec![
        "--profile",
        profile,
        "--ttl",
        &ttl,
        "--wait",
        &wait,
        "--documentation",
        DOCUMENTATION,
    ];
    flags.extend(["--retention-header", RETENTION]);
    flags.extend(match setup.requirement {
        None => &[][..],
        Some(Requirement::Optional) => &["--requirement", "optional"],
        Some(Requirement::Off) => &["--requirement", "off"],
        Some(_) => &["--requirement", "required"],
    });
    let place = crate::process::Place::new();
    let proxy = place.proxy(upstream, &flags);
    let address = proxy.clients;
    let server = Server::new("proxy", address, gateway, (proxy, place));
    Server { knows_panics: false, ..server }
}

/// Serves on a port of its own.
async fn serve<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<hyper::body::Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            let mut http = hyper::server::conn::http1::Builder::new();
            http.half_close(false);
            tokio::spawn(http.serve_connection(TokioIo::new(socket), service));
        }
    });
    address
}

fn account(request: &request::Parts) -> Option<Scope> {
    let token = request.headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer sk_")?;
    Scope::new(format!("acct_{token}")).ok()
}

async fn charge<B: Body>(
    gateway: Gateway,
    request: Request<B>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let attempt = request.extensions().get::<Attempt>().cloned();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let order: Value = serde_json::from_slice(&body).unwrap_or_default();
    let id = gateway.charge(attempt.as_ref()).await;
    assert!(order["panic"].is_null(), "the order was to panic");
    let statuses = order["statuses"].as_array().map_or(&[][..], |statuses| statuses);
    let nth = statuses.get(id as usize - 1).or(statuses.last());
    let status = nth.and_then(Value::as_u64).map_or(201, |status| status as u16);
    let receipt = json!({ "id": format!("ch_{id}"), "amount": order["amount"] });
    let response = Response::builder().status(status).header("content-type", "application/json");
    Ok(response.body(Full::from(receipt.to_string())).expect("a response"))
}

impl Server {
    fn new(name: &'static str, address: SocketAddr, gateway: Gateway, held: impl Any) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { name, address, gateway, knows_panics: true, client, _held: Box::new(held) }
    }

    /// An order of Anna's under this header, if any.
    pub fn order(
        &self,
        method: Method,
        key: Option<&str>,
        order: &Value,
    ) -> reqwest::RequestBuilder {
        let url = format!("http://{}/v1/charges", self.address);
        let request = self.client.request(method, url).body(order.to_string());
        let request = request.header("authorization", "Bearer sk_anna");
        let request = request.header("content-type", "application/json");
        match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        }
    }

    /// A charge of Anna's.
    pub fn request(&self, key: Option<&str>, amount: u64) -> reqwest::RequestBuilder {
        self.order(Method::POST, key, &json!({ "amount": amount }))
    }

    pub async fn charge(&self, key: Option<&str>, amount: u64) -> Answer {
        self.send(self.request(key, amount)).await
    }

    /// A charge of somebody else's, or of nobody.
    pub async fn charge_as(&self, token: Option<&str>, key: &str, amount: u64) -> Answer {
        let mut request = self.request(Some(key), amount).build().expect("a request");
        request.headers_mut().remove("authorization");
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().expect("a value");
            request.headers_mut().insert("authorization", value);
        }
        self.send(reqwest::RequestBuilder::from_parts(self.client.clone(), request)).await
    }

    /// An order that says what is to come of it.
    pub async fn scripted(&self, key: &str, order: &Value) -> Answer {
        self.send(self.order(Method::POST, Some(key), order)).await
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("a response");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.expect("a body");
        Answer { status, headers, trailers: None, body }
    }
}
