//! The payments service: `POST /v1/charges` over an embedded store.
//!
//! What a service that uses the store looks like: it reads the key and the account, claims, and
//! turns each outcome into an answer. The account is taken from `X-Account` at its word; a real
//! service takes it from whatever authenticated the caller.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use oncekey::{Caller, ClaimRequest, DropPolicy, Key, Outcome, Scope, Store};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::answer::{self, Code, Problem, Provenance};
use super::gateway::ChargeRequest;
use super::handler::{Handler, Script};
use super::workspace::{close_store, open_store};
use crate::failure::{Doing, Result};

const OPERATION: &str = "POST /v1/charges";
/// How long a request waits for another one with the same key before it is told to come back.
pub(crate) const WAIT_LIMIT: Duration = Duration::from_millis(400);
/// When it comes back at the latest: charges take about a second, not a whole lease.
const COME_BACK: Duration = Duration::from_secs(1);
/// The lease of a handler that was asked to die: how long its key stays held.
const SHORT_LEASE: Duration = Duration::from_millis(600);

/// A running service.
#[derive(Debug)]
pub(crate) struct Service {
    address: SocketAddr,
    store: Store,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

#[derive(Debug)]
struct App {
    store: Store,
    handler: Handler,
}

impl Service {
    /// Opens the store and listens on `port` (0: any).
    pub(crate) async fn start(
        store: &Path,
        on_drop: DropPolicy,
        port: u16,
        gateway_url: &str,
    ) -> Result<Self> {
        let store = open_store(store, on_drop).await?;
        let http = reqwest::Client::builder().no_proxy().build().doing("making a client")?;
        let handler = Handler::new(http, gateway_url);
        let app = Arc::new(App { store: store.clone(), handler });
        let router = Router::new().route("/v1/charges", post(charges)).with_state(app);
        let listener =
            TcpListener::bind(("127.0.0.1", port)).await.doing("starting the service")?;
        let address = listener.local_addr().doing("starting the service")?;
        let (stop, stopped) = oneshot::channel::<()>();
        let server = axum::serve(listener, router).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        let server = tokio::spawn(server.into_future());
        Ok(Self { address, store, stop, server })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, lets those under way end, and closes the store. Says how many
    /// claims nobody ended.
    pub(crate) async fn stop(self) -> Result<usize> {
        let _ = self.stop.send(());
        let abort = self.server.abort_handle();
        if tokio::time::timeout(Duration::from_secs(5), self.server).await.is_err() {
            abort.abort();
        }
        close_store(self.store).await
    }
}

/// A request that made sense.
#[derive(Debug)]
struct Call {
    claim: ClaimRequest,
    charge: ChargeRequest,
    script: Script,
}

async fn charges(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    let call = match read_call(&headers, &body) {
        Ok(call) => call,
        Err(why) => return Problem::new(Code::BadRequest, why).into_response(),
    };
    // A task of its own: the charge does not end halfway because the client hung up.
    match tokio::spawn(async move { app.answer(call).await }).await {
        Ok(response) => response,
        Err(_) => {
            Problem::new(Code::HandlerDied, "whether it charged is not known").into_response()
        }
    }
}

fn read_call(headers: &HeaderMap, body: &[u8]) -> std::result::Result<Call, String> {
    #[derive(Deserialize)]
    struct Order {
        amount: u64,
        currency: String,
    }
    let text = |name: &str| {
        let value = headers.get(name).ok_or_else(|| format!("the header {name} is missing"))?;
        value.to_str().map_err(|_| format!("the header {name} is not plain ASCII"))
    };
    let scope = Scope::new(text("X-Account")?).map_err(|error| format!("X-Account: {error}"))?;
    let key =
        Key::new(text("Idempotency-Key")?).map_err(|error| format!("Idempotency-Key: {error}"))?;
    let order: Order = serde_json::from_slice(body).map_err(|error| format!("body: {error}"))?;
    let charge = ChargeRequest {
        account: scope.to_string(),
        reference: key.to_string(),
        amount: order.amount,
        currency: order.currency,
    };
    let script = Script::parse(text("X-Demo").unwrap_or_default());
    let caller = Caller::new().user_agent(text("User-Agent").unwrap_or_default());
    let mut claim = ClaimRequest::new(scope, key).operation(OPERATION).payload(body).caller(caller);
    if script.die {
        claim = claim.lease(SHORT_LEASE);
    }
    Ok(Call { claim, charge, script })
}

impl App {
    async fn answer(&self, call: Call) -> Response {
        let mut outcome = self.store.claim(call.claim).await;
        let mut waited = false;
        if let Ok(Outcome::InFlight(flight)) = outcome {
            outcome = flight.wait(WAIT_LIMIT).await;
            waited = true;
        }
        let problem = match outcome {
            Ok(Outcome::Claimed(claim)) => {
                return self.handler.charge(claim, &call.charge, call.script, waited).await;
            }
            Ok(Outcome::Replay(record)) => {
                let provenance = Provenance { replayed: true, waited, attempt: record.attempt() };
                return answer::stored(record.response(), provenance);
            }
            Ok(Outcome::InFlight(flight)) => {
                Problem::new(Code::InFlight, format!("after waiting {WAIT_LIMIT:?}"))
                    .retry_after(flight.retry_after().min(COME_BACK))
            }
            Ok(Outcome::Mismatch(mismatch)) => {
                Problem::new(Code::Mismatch, format!("another {}", mismatch.differs_in()))
            }
            Ok(Outcome::Unresolved(held)) => {
                let detail = format!("attempt {} ended with its effect unknown", held.attempt());
                Problem::new(Code::Unresolved, detail)
            }
            Ok(Outcome::Expired(_)) => Problem::new(Code::Expired, "use a new key"),
            Ok(_) => Problem::new(Code::Store, "an outcome this service does not know"),
            Err(error) => Problem::new(Code::Store, error.to_string()),
        };
        problem.into_response()
    }
}
