//! A payments service with idempotency keys, in axum.
//!
//! ```sh
//! cargo run --example axum --features http
//! curl -i http://127.0.0.1:3000/v1/charges -H 'Authorization: Bearer sk_anna' \
//!     -H 'Content-Type: application/json' -H 'Idempotency-Key: "order-1"' -d '{"amount": 1200}'
//! ```
//!
//! Send it twice: the card is charged once, and the second answer says `idempotent-replayed: true`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{MatchedPath, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use axum::{Extension, Json, Router};
use oncekey::http::{Attempt, IdempotencyLayer};
use oncekey::{Scope, Store};
use serde_json::{Value, json};

/// The service.
pub fn app(store: Store, gateway: Gateway) -> oncekey::Result<Router> {
    let idempotency = IdempotencyLayer::new(store, |request| account(&request.headers))
        .route_of(|request| Some(request.extensions.get::<MatchedPath>()?.as_str().to_owned()))
        .documentation("https://developer.example.com/idempotency")?;
    Ok(Router::new().route("/v1/charges", post(charge)).layer(idempotency).with_state(gateway))
}

/// Whose request it is: the key belongs to whoever authenticated, never to whom the request names.
fn account(headers: &HeaderMap) -> Option<Scope> {
    let token = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
    match token {
        "sk_anna" => Scope::new("acct_anna").ok(),
        "sk_ben" => Scope::new("acct_ben").ok(),
        _ => None,
    }
}

async fn charge(
    State(gateway): State<Gateway>,
    Extension(attempt): Extension<Attempt>,
    Json(order): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let id = gateway.charge(attempt.downstream_key().as_str()).await;
    let receipt = json!({ "id": format!("ch_{id}"), "amount": order["amount"] });
    (StatusCode::CREATED, Json(receipt))
}

/// Stands for whoever charges cards, over a network, and takes a while.
#[derive(Clone, Debug)]
pub struct Gateway {
    charges: Arc<AtomicU64>,
    delay: Duration,
}

impl Gateway {
    /// A gateway that takes so long.
    pub fn new(delay: Duration) -> Self {
        Self { charges: Arc::default(), delay }
    }

    /// Charges, and says the number of the charge. A real one deduplicates by the key it is sent.
    pub async fn charge(&self, _idempotency_key: &str) -> u64 {
        tokio::time::sleep(self.delay).await;
        self.charges.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// How often it has charged.
    pub fn charges(&self) -> u64 {
        self.charges.load(Ordering::SeqCst)
    }
}

/// Serves where `LISTEN` says, until it is interrupted.
#[tokio::main]
pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::open_or_create("state/idempotency")?;
    let app = app(store.clone(), Gateway::new(Duration::from_millis(300)))?;
    let address = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(interrupted()).await?;
    // What was claimed may complete; what a client hung up on does so too.
    store.close(Duration::from_secs(10)).await?;
    Ok(())
}

async fn interrupted() {
    // Without a signal handler the service runs until it is killed, which the store allows.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
