//! Requests whose effect is unknown, as an operator sees and settles them.

use std::collections::BTreeMap;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use oncekey::backend::Backend;
use oncekey::http::KeptResponse;
use oncekey::{Entry, ErrorKind, Key, Resolution, Scope, Store, Token};
use serde::{Deserialize, Serialize};

use crate::words::{json, rfc3339};

#[derive(Serialize)]
struct List {
    unresolved: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    scope: String,
    key: String,
    token: u64,
    attempt: u32,
    since: String,
}

/// What an operator sends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    scope: String,
    key: String,
    token: u64,
    #[serde(default)]
    not_executed: bool,
    response: Option<Answer>,
}

/// The response that every retry gets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
}

/// Why an order was not followed.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) why: String,
}

impl Refusal {
    fn bad(why: impl ToString) -> Self {
        Self { status: StatusCode::BAD_REQUEST, why: why.to_string() }
    }
}

impl From<oncekey::Error> for Refusal {
    fn from(error: oncekey::Error) -> Self {
        let status = match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::LimitExceeded => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::InFlight => StatusCode::CONFLICT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self { status, why: error.to_string() }
    }
}

/// Everything that is unresolved, oldest first, as JSON.
pub(crate) fn list(store: &Store) -> String {
    let unresolved = store.unresolved().into_iter().map(|unresolved| Item {
        scope: unresolved.scope().as_str().to_owned(),
        key: unresolved.key().as_str().to_owned(),
        token: unresolved.token().get(),
        attempt: unresolved.attempt(),
        since: rfc3339(unresolved.since()),
    });
    json(&List { unresolved: unresolved.collect() }, true)
}

/// Follows an order. It names the attempt by its token, so that one that came after it is never
/// settled by mistake.
pub(crate) async fn settle(store: &Store, order: &[u8]) -> Result<(), Refusal> {
    let order: Order = serde_json::from_slice(order).map_err(Refusal::bad)?;
    let resolution = match (&order.response, order.not_executed) {
        (Some(answer), false) => Resolution::Completed(kept(answer)?.to_stored()?),
        (None, true) => Resolution::NotExecuted,
        _ => return Err(Refusal::bad("send either response or not_executed: true")),
    };
    let (scope, key) = (Scope::new(&order.scope)?, Key::new(&order.key)?);
    match store.get(&scope, &key).await? {
        Some(Entry::Unresolved(attempt)) if attempt.token() == Token::new(order.token) => {
            Ok(Backend::resolve(store, &attempt, resolution).await?)
        }
        _ => {
            let why = "this attempt is not unresolved (any more)".to_owned();
            Err(Refusal { status: StatusCode::NOT_FOUND, why })
        }
    }
}

fn kept(answer: &Answer) -> Result<KeptResponse, Refusal> {
    let status = StatusCode::from_u16(answer.status).map_err(Refusal::bad)?;
    if status.is_informational() {
        return Err(Refusal::bad("a 1xx is no response"));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &answer.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(Refusal::bad)?;
        headers.append(name, HeaderValue::from_str(value).map_err(Refusal::bad)?);
    }
    Ok(KeptResponse::new(status, headers, answer.body.clone().map(Bytes::from)))
}
