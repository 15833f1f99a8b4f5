//! The charge itself: what the holder of a claim does with it.
//!
//! Each way it can end is told to the store: completed with the answer, released where nothing can
//! have happened, dropped where nobody knows; then the claim's policy decides.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::response::Response;
use oncekey::{Claim, StoredResponse};
use serde::Deserialize;
use serde_json::json;

use super::answer::{self, Code, Problem, Provenance};
use super::gateway::ChargeRequest;

/// What the `X-Demo` header asks of a handler: `slow=MS`, `fail=TIMES`, `die`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Script {
    slow: Duration,
    fail: u32,
    /// Dies after the charge, before it is recorded, at the first attempt.
    pub(crate) die: bool,
}

impl Script {
    /// Unknown words are not for this side (the network has its own).
    pub(crate) fn parse(text: &str) -> Self {
        let mut script = Self::default();
        for word in text.split(',').map(str::trim) {
            match word.split_once('=') {
                Some(("slow", ms)) => {
                    script.slow = Duration::from_millis(ms.parse().unwrap_or(0).min(60_000));
                }
                Some(("fail", times)) => script.fail = times.parse().unwrap_or(0),
                None if word == "die" => script.die = true,
                _ => {}
            }
        }
        script
    }
}

/// Makes charges through the gateway.
#[derive(Debug)]
pub(crate) struct Handler {
    http: reqwest::Client,
    gateway: String,
    failures: Mutex<HashMap<(String, String), u32>>,
}

/// What became of a request to the gateway.
enum Asked {
    Answered(StoredResponse),
    NotSent(String),
    Unknown(String),
}

impl Handler {
    pub(crate) fn new(http: reqwest::Client, gateway_url: &str) -> Self {
        let gateway = format!("{gateway_url}/charge");
        Self { http, gateway, failures: Mutex::default() }
    }

    /// Charges, and ends the claim.
    pub(crate) async fn charge(
        &self,
        claim: Claim,
        request: &ChargeRequest,
        script: Script,
        waited: bool,
    ) -> Response {
        tokio::time::sleep(script.slow).await;
        if self.fails_now(request, script) {
            return released(claim, Code::HandlerFailed, "as the X-Demo header asked").await;
        }
        let stored = match self.ask_gateway(&claim, request).await {
            Asked::Answered(stored) => stored,
            Asked::NotSent(why) => return released(claim, Code::HandlerFailed, &why).await,
            Asked::Unknown(why) => {
                drop(claim);
                return problem(Code::GatewayUnknown, why);
            }
        };
        let attempt = claim.attempt();
        if script.die && attempt == 1 {
            // A panic without the message: dying is the plan.
            std::panic::resume_unwind(Box::new("as the X-Demo header asked"));
        }
        match claim.complete(stored).await {
            Ok(record) => {
                let provenance = Provenance { replayed: false, waited, attempt };
                answer::stored(record.response(), provenance)
            }
            Err(error) => problem(Code::Store, format!("charged, but not recorded: {error}")),
        }
    }

    fn fails_now(&self, request: &ChargeRequest, script: Script) -> bool {
        if script.fail == 0 {
            return false;
        }
        let key = (request.account.clone(), request.reference.clone());
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key).or_default();
        *count += 1;
        *count <= script.fail
    }

    async fn ask_gateway(&self, claim: &Claim, request: &ChargeRequest) -> Asked {
        let sent = self
            .http
            .post(&self.gateway)
            .header("idempotency-key", claim.downstream_key().as_str())
            .timeout(Duration::from_secs(10))
            .json(request)
            .send()
            .await;
        let response = match sent {
            Ok(response) => response,
            Err(error) if error.is_connect() => return Asked::NotSent(error.to_string()),
            Err(error) => return Asked::Unknown(error.to_string()),
        };
        let status = response.status().as_u16();
        match response.bytes().await {
            Ok(body) if status == 200 => accepted(request, &body),
            Ok(body) if status == 402 => {
                Asked::Answered(StoredResponse::new(with_newline(&body)).with_status(402))
            }
            Ok(_) => Asked::Unknown(format!("the gateway answered {status}")),
            Err(error) => Asked::Unknown(error.to_string()),
        }
    }
}

/// What the client is told of a charge that was made.
fn accepted(request: &ChargeRequest, body: &[u8]) -> Asked {
    #[derive(Deserialize)]
    struct Made {
        charge: String,
    }
    match serde_json::from_slice::<Made>(body) {
        Ok(made) => {
            let receipt = json!({
                "charge": made.charge,
                "account": request.account,
                "amount": request.amount,
                "currency": request.currency,
                "at": jiff::Timestamp::now().to_string(),
            });
            let body = with_newline(receipt.to_string().as_bytes());
            Asked::Answered(StoredResponse::new(body).with_status(201))
        }
        Err(error) => Asked::Unknown(format!("the gateway's answer cannot be read: {error}")),
    }
}

fn with_newline(body: &[u8]) -> Vec<u8> {
    [body, b"\n"].concat()
}

async fn released(claim: Claim, code: Code, why: &str) -> Response {
    match claim.release().await {
        Ok(()) => problem(code, why),
        Err(error) => problem(Code::Store, format!("{why}; then: {error}")),
    }
}

fn problem(code: Code, detail: impl Into<String>) -> Response {
    axum::response::IntoResponse::into_response(Problem::new(code, detail))
}
