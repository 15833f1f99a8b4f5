//! The mock payment gateway: an HTTP server of its own, with its own book on disk.
//!
//! `POST /charge` with an `Idempotency-Key` (the downstream key) moves the money. A gateway that
//! deduplicates, as real ones do, answers a repeated key with the first charge; the other kind
//! charges whenever it is asked. It lives in the demo's own process, so that it outlives the
//! service that gets killed.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::book::{self, Book, Charge};
use super::dice;
use crate::failure::{Doing, Result};

/// Amounts over this are declined: a final answer, and no charge.
pub(crate) const CREDIT_LIMIT: u64 = 1_000_000;

/// What the service sends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ChargeRequest {
    pub(crate) account: String,
    pub(crate) reference: String,
    pub(crate) amount: u64,
    pub(crate) currency: String,
}

/// How often it was asked, and for what.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    /// Requests with a downstream key that had been charged already.
    pub(crate) repeats: u64,
    pub(crate) declined: u64,
}

/// The gateway's behaviour.
#[derive(Debug, Clone)]
pub(crate) struct Manners {
    pub(crate) deduplicates: bool,
    /// How long it takes before, and again after, it has made a charge.
    pub(crate) thinks: Range<Duration>,
}

/// A running gateway; it ends with the process.
#[derive(Debug, Clone)]
pub(crate) struct Gateway {
    url: String,
    desk: Arc<Desk>,
}

#[derive(Debug)]
struct Desk {
    manners: Manners,
    ledger: Mutex<Ledger>,
}

#[derive(Debug)]
struct Ledger {
    book: Book,
    first_by_key: HashMap<String, Charge>,
    charges: usize,
    counts: Counts,
}

impl Gateway {
    /// Opens the book (it remembers what is in it) and listens on a port of its own.
    pub(crate) async fn start(book_path: &Path, manners: Manners) -> Result<Self> {
        let book = Book::open(book_path)?;
        let charges = book::read(book_path)?;
        let count = charges.len();
        let mut first_by_key = HashMap::new();
        for charge in charges {
            first_by_key.entry(charge.downstream_key.clone()).or_insert(charge);
        }
        let counts = Counts::default();
        let ledger = Mutex::new(Ledger { book, first_by_key, charges: count, counts });
        let desk = Arc::new(Desk { manners, ledger });
        let listener = TcpListener::bind("127.0.0.1:0").await.doing("starting the gateway")?;
        let address = listener.local_addr().doing("starting the gateway")?;
        let router = Router::new().route("/charge", post(charge)).with_state(desk.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url: format!("http://{address}"), desk })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn counts(&self) -> Counts {
        self.desk.ledger.lock().unwrap_or_else(PoisonError::into_inner).counts
    }
}

type Reply = (StatusCode, Json<Value>);

async fn charge(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Json(request): Json<ChargeRequest>,
) -> Reply {
    let Some(key) = headers.get("idempotency-key").and_then(|value| value.to_str().ok()) else {
        return (StatusCode::BAD_REQUEST, Json(json!({"error": "no Idempotency-Key"})));
    };
    tokio::time::sleep(dice::between(desk.manners.thinks.clone())).await;
    // One lock around look-up and line: two requests with one key cannot both be first.
    let reply = desk.ledger.lock().unwrap_or_else(PoisonError::into_inner).settle(
        key,
        request,
        desk.manners.deduplicates,
    );
    tokio::time::sleep(dice::between(desk.manners.thinks.clone())).await;
    reply
}

impl Ledger {
    fn settle(&mut self, key: &str, request: ChargeRequest, deduplicates: bool) -> Reply {
        self.counts.requests += 1;
        if request.amount > CREDIT_LIMIT {
            self.counts.declined += 1;
            let body = json!({"error": "card declined", "amount": request.amount});
            return (StatusCode::PAYMENT_REQUIRED, Json(body));
        }
        if let Some(first) = self.first_by_key.get(key) {
            self.counts.repeats += 1;
            if deduplicates {
                return answer_again(first, &request);
            }
        }
        self.charges += 1;
        let charge = Charge {
            id: format!("ch_{:06}", self.charges),
            downstream_key: key.to_owned(),
            account: request.account,
            reference: request.reference,
            amount: request.amount,
            currency: request.currency,
            at: jiff::Timestamp::now().to_string(),
        };
        if let Err(error) = self.book.append(&charge) {
            let body = json!({"error": format!("the book cannot be written: {error}")});
            return (StatusCode::INTERNAL_SERVER_ERROR, Json(body));
        }
        let reply = (StatusCode::OK, Json(json!({"charge": charge.id})));
        self.first_by_key.entry(charge.downstream_key.clone()).or_insert(charge);
        reply
    }
}

fn answer_again(first: &Charge, request: &ChargeRequest) -> Reply {
    if first.amount != request.amount || first.currency != request.currency {
        let body = json!({"error": "this key charged something else before"});
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(body));
    }
    (StatusCode::OK, Json(json!({"charge": first.id})))
}
