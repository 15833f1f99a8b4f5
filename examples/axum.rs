//! A payments service with idempotency keys, in axum.
//!
//! ```sh
//! cargo run --example axum --features http
//! curl -i http://127.0.0.1:3000/v1/charges -H 'Authorization: Bearer sk_anna' \
//!     -H 'Content-Type: application/json' -H 'Idempotency-Key: "order-1"' -d '{"amount": 1200}'
//! ```
//!
//! Send it twice: the card is charged once, and the second answer says `idempotent-replayed: true`.
//! `LISTEN`, `STORE` and `BOOK` choose the address, the store's directory and a file in which the
//! gateway writes down each charge that it is asked for: `tests/clients` runs it that way.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{MatchedPath, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use axum::{Extension, Json, Router};
use oncekey::http::{Attempt, IdempotencyLayer, Rule};
use oncekey::{DropPolicy, Scope, Store};
use serde_json::{Value, json};

/// The service.
pub fn app(store: Store, gateway: Gateway) -> oncekey::Result<Router> {
    // The gateway charges once by each downstream key: an attempt that died may be run again.
    let rule = Rule::new().on_drop(DropPolicy::Hold);
    let idempotency = IdempotencyLayer::new(store, |request| account(&request.headers))
        .rule(rule)
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
    let id = gateway.charge(Some(&attempt)).await;
    let receipt = json!({ "id": format!("ch_{id}"), "amount": order["amount"] });
    (StatusCode::CREATED, Json(receipt))
}

/// Stands for whoever charges cards, over a network, and takes a while.
#[derive(Clone, Debug)]
pub struct Gateway {
    charges: Arc<AtomicU64>,
    delay: Duration,
    book: Option<Arc<File>>,
}

impl Gateway {
    /// A gateway that takes so long.
    pub fn new(delay: Duration) -> Self {
        Self { charges: Arc::default(), delay, book: None }
    }

    /// Writes each charge down in a file, at once: key, downstream key, attempt.
    #[allow(clippy::disallowed_methods, reason = "a service's own file, not the store's")]
    pub fn with_book(mut self, path: &str) -> std::io::Result<Self> {
        self.book = Some(Arc::new(OpenOptions::new().create(true).append(true).open(path)?));
        Ok(self)
    }

    /// Charges, and says the number of the charge. A real one is sent the downstream key, and
    /// answers a second charge by it with the first.
    pub async fn charge(&self, attempt: Option<&Attempt>) -> u64 {
        if let (Some(mut book), Some(attempt)) = (self.book.as_deref(), attempt) {
            let (key, number) = (attempt.key().as_str(), attempt.attempt());
            let line = format!("{key} {} {number}\n", attempt.downstream_key());
            book.write_all(line.as_bytes()).expect("the book of charges cannot be written");
        }
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
    let choice = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let store = Store::open_or_create(choice("STORE", "state/idempotency"))?;
    let mut gateway = Gateway::new(Duration::from_millis(300));
    if let Ok(path) = std::env::var("BOOK") {
        gateway = gateway.with_book(&path)?;
    }
    let listener = tokio::net::TcpListener::bind(choice("LISTEN", "127.0.0.1:3000")).await?;
    println!("http://{}", listener.local_addr()?);
    let app = app(store.clone(), gateway)?;
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
