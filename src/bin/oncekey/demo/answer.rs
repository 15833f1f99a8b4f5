//! What the service answers over HTTP: stored bytes, or a problem (RFC 9457) that says which.

use std::time::Duration;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use oncekey::StoredResponse;
use serde::{Deserialize, Serialize};

/// Set on an answer that was stored by an earlier request.
pub(crate) const REPLAYED: &str = "idempotent-replayed";
/// Set on an answer that came from waiting for another request.
pub(crate) const WAITED: &str = "x-waited";
/// Which attempt at the key made the answer.
pub(crate) const ATTEMPT: &str = "x-attempt";

/// Why a request got no stored answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Code {
    /// The key, the account or the body is missing or malformed.
    BadRequest,
    /// The same key came with something else before.
    Mismatch,
    /// Another request with this key is still being handled.
    InFlight,
    /// Whether an earlier attempt had its effect is not known; a person decides.
    Unresolved,
    /// The key's record has expired, and late retries are refused.
    Expired,
    /// The handler failed before anything was charged.
    HandlerFailed,
    /// The handler ended without a word.
    HandlerDied,
    /// The gateway was asked and did not answer.
    GatewayUnknown,
    /// The store refused.
    Store,
}

impl Code {
    fn status_and_title(self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "The request is malformed"),
            Self::Mismatch => {
                (StatusCode::UNPROCESSABLE_ENTITY, "This key was used for another request")
            }
            Self::InFlight => {
                (StatusCode::CONFLICT, "A request with this key is still being handled")
            }
            Self::Unresolved => {
                (StatusCode::SERVICE_UNAVAILABLE, "Whether this key was executed is not known")
            }
            Self::Expired => (StatusCode::GONE, "This key was used too long ago"),
            Self::HandlerFailed => {
                (StatusCode::BAD_GATEWAY, "The charge failed and was not made; try again")
            }
            Self::HandlerDied => (StatusCode::INTERNAL_SERVER_ERROR, "The handler died"),
            Self::GatewayUnknown => (StatusCode::GATEWAY_TIMEOUT, "The gateway did not answer"),
            Self::Store => (StatusCode::SERVICE_UNAVAILABLE, "The store refused"),
        }
    }
}

/// The body of every answer that is not a stored one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    pub(crate) title: String,
    pub(crate) status: u16,
    pub(crate) detail: String,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let (status, title) = code.status_and_title();
        Self {
            code,
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            retry_after: None,
        }
    }

    /// When to come back, in the whole seconds that HTTP knows.
    pub(crate) fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::builder()
            .status(self.status)
            .header(header::CONTENT_TYPE, "application/problem+json");
        if let Some(delay) = self.retry_after {
            let seconds = delay.as_millis().div_ceil(1000).max(1);
            response = response.header(header::RETRY_AFTER, seconds.to_string());
        }
        let mut body = serde_json::to_vec(&self).unwrap_or_default();
        body.push(b'\n');
        finish(response, body)
    }
}

/// Where a stored answer came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Provenance {
    pub(crate) replayed: bool,
    pub(crate) waited: bool,
    pub(crate) attempt: u32,
}

/// The stored bytes under the stored status.
pub(crate) fn stored(stored: &StoredResponse, provenance: Provenance) -> Response {
    let status = u16::try_from(stored.status()).unwrap_or(200);
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .header(ATTEMPT, provenance.attempt.to_string());
    if provenance.replayed {
        response = response.header(REPLAYED, "true");
    }
    if provenance.waited {
        response = response.header(WAITED, "true");
    }
    finish(response, stored.body().to_vec())
}

fn finish(response: axum::http::response::Builder, body: Vec<u8>) -> Response {
    // Only a malformed header could fail here, and ours are constants and digits.
    response
        .body(Body::from(body))
        .unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}
