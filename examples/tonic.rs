//! A gRPC service with idempotency keys, in tonic.
//!
//! ```sh
//! cargo run --example tonic --features http
//! ```
//!
//! It serves on a free port, calls itself as a client that retries, checks that the card was
//! charged once, and ends.
//!
//! The key is the metadata entry `idempotency-key`; a replay says `idempotent-replayed: true`, and
//! what goes wrong is a gRPC status. There is no `protoc` here: the messages are JSON, and
//! [`Charges`] is what `tonic-prost-build` would have generated. The layer does not look at that:
//! with generated code only [`Charges`] and [`Json`] change.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use oncekey::http::{Attempt, IdempotencyLayer, LayerBody};
use oncekey::{Scope, Store};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::Service;
use tonic::metadata::MetadataMap;
use tonic::server::{NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status};
use tower::util::MapRequestLayer;

const CHARGE: &str = "/payments.Charges/Charge";

/// The service's own work: charges a card, and says the number of the charge.
#[derive(Debug, Clone, Default)]
struct Gateway {
    charges: Arc<AtomicU64>,
}

impl Gateway {
    /// A real one deduplicates by the key it is sent.
    fn charge(&self, _downstream_key: &str) -> u64 {
        self.charges.fetch_add(1, Ordering::SeqCst) + 1
    }
}

/// The one method there is.
struct Charge(Gateway);

impl UnaryService<Value> for Charge {
    type Response = Value;
    type Future = std::future::Ready<Result<Response<Value>, Status>>;

    fn call(&mut self, request: Request<Value>) -> Self::Future {
        let Some(attempt) = request.extensions().get::<Attempt>() else {
            return std::future::ready(Err(Status::invalid_argument("send an idempotency-key")));
        };
        let id = self.0.charge(attempt.downstream_key().as_str());
        let amount = &request.get_ref()["amount"];
        std::future::ready(Ok(Response::new(json!({ "id": format!("ch_{id}"), "amount": amount }))))
    }
}

/// Whose request it is: whoever authenticated, never whom the request names.
fn account(parts: &http::request::Parts) -> Option<Scope> {
    let token = parts.headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?;
    match token {
        "sk_anna" => Scope::new("acct_anna").ok(),
        _ => None,
    }
}

async fn serve(
    store: Store,
    gateway: Gateway,
    listener: TcpListener,
) -> Result<(), tonic::transport::Error> {
    // gRPC's path is its operation: no route need be told.
    let idempotency = IdempotencyLayer::new(store, account);
    // The layer has read the request's body; tonic's routes want their own type of one again.
    let body =
        MapRequestLayer::new(|request: http::Request<LayerBody<Body>>| request.map(Body::new));
    Server::builder()
        .layer(idempotency)
        .layer(body)
        .add_service(Charges { gateway })
        .serve_with_incoming(TcpIncoming::from(listener))
        .await
}

/// A client's call, under a key.
async fn charge(channel: &Channel, key: &str, amount: u64) -> Result<Response<Value>, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let mut request = Request::new(json!({ "amount": amount }));
    let entry = |text: &str| text.parse().map_err(|_| Status::internal("no metadata"));
    request.metadata_mut().insert("authorization", entry("Bearer sk_anna")?);
    request.metadata_mut().insert("idempotency-key", entry(key)?);
    client.unary(request, PathAndQuery::from_static(CHARGE), Json).await
}

fn is_replayed(metadata: &MetadataMap) -> bool {
    metadata.get("idempotent-replayed").is_some_and(|value| value == "true")
}

/// The service, and a client of it.
#[tokio::main]
pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let store = Store::create(dir.path().join("idempotency"))?;
    let gateway = Gateway::default();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(store.clone(), gateway.clone(), listener));
    let channel = Channel::from_shared(format!("http://{address}"))?.connect().await?;

    let first = charge(&channel, "order-1", 1200).await?;
    assert!(!is_replayed(first.metadata()));
    let again = charge(&channel, "order-1", 1200).await?;
    assert!(is_replayed(again.metadata()));
    assert_eq!(first.get_ref(), again.get_ref(), "the first answer, byte for byte");
    let reused = charge(&channel, "order-1", 9900).await.expect_err("another request");
    assert_eq!(reused.code(), Code::InvalidArgument);
    let other = charge(&channel, "order-2", 500).await?;
    assert_eq!(other.get_ref()["id"], "ch_2");
    assert_eq!(gateway.charges.load(Ordering::SeqCst), 2, "each order was charged once");
    println!("charged: {} and {}; refused: {}", first.get_ref(), other.get_ref(), reused.message());
    Ok(())
}

/// The service as tonic serves it.
#[derive(Debug, Clone)]
struct Charges {
    gateway: Gateway,
}

impl NamedService for Charges {
    const NAME: &'static str = "payments.Charges";
}

impl Service<http::Request<Body>> for Charges {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let gateway = self.gateway.clone();
        Box::pin(async move {
            if request.uri().path() != CHARGE {
                return Ok(Status::unimplemented("there is one method").into_http());
            }
            let mut grpc = tonic::server::Grpc::new(Json);
            Ok(grpc.unary(Charge(gateway), request).await)
        })
    }
}

/// Messages as JSON.
#[derive(Debug, Clone, Default)]
struct Json;

impl Codec for Json {
    type Encode = Value;
    type Decode = Value;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        self.clone()
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Encoder for Json {
    type Item = Value;
    type Error = Status;

    fn encode(&mut self, item: Value, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        use bytes::BufMut;
        out.put_slice(item.to_string().as_bytes());
        Ok(())
    }
}

impl Decoder for Json {
    type Item = Value;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Value>, Status> {
        use bytes::Buf;
        let bytes = from.copy_to_bytes(from.remaining());
        let value = serde_json::from_slice(&bytes);
        value.map(Some).map_err(|error| Status::invalid_argument(error.to_string()))
    }
}
