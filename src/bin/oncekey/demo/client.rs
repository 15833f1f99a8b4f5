//! The client: an ordinary HTTP library, and a retry loop with backoff and jitter.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::json;

use super::answer::{Code, Problem, REPLAYED, WAITED};
use super::dice;
use super::ledger::{Ledger, Payment, State};
use super::tally::{Answer, Tally};
use crate::failure::{Doing, Result};

const FIRST_BACKOFF: Duration = Duration::from_millis(20);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);
/// When a client stops trying; the payment counts as unanswered then.
const PATIENCE: Duration = Duration::from_secs(45);

/// A client of the service, cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    ledger: Arc<Ledger>,
}

/// What one request came back with.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    state: Option<State>,
    retry_after: Option<Duration>,
}

impl Client {
    pub(crate) fn new(service_url: &str, ledger: Arc<Ledger>) -> Result<Self> {
        let http = reqwest::Client::builder()
            .user_agent("oncekey-demo")
            .timeout(Duration::from_secs(20))
            .no_proxy()
            .build()
            .doing("making an HTTP client")?;
        Ok(Self { http, url: format!("{service_url}/v1/charges"), ledger })
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Pays: sends the same request until there is a final answer, and writes that down. `None`
    /// if there was none in the time a client has.
    pub(crate) async fn pay(&self, payment: &Payment, tally: &Tally) -> Option<Answer> {
        let started = Instant::now();
        let mut backoff = FIRST_BACKOFF;
        while started.elapsed() < PATIENCE {
            let reply = self.send(payment, tally).await;
            if reply.answer == Answer::Mismatch {
                self.ledger.fault(payment, "refused as another request than its own first one");
                return None;
            }
            if let Some(state) = reply.state {
                self.ledger.settle(payment, state);
                return Some(reply.answer);
            }
            let pause = match reply.retry_after {
                Some(told) => told.min(LONGEST_BACKOFF),
                None => backoff / 2,
            };
            tokio::time::sleep(pause + dice::between(Duration::ZERO..backoff / 2)).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
        None
    }

    /// One request, counted.
    pub(crate) async fn send(&self, payment: &Payment, tally: &Tally) -> Reply {
        let started = Instant::now();
        let reply = self.exchange(payment).await.unwrap_or(Reply {
            answer: Answer::Lost,
            state: None,
            retry_after: None,
        });
        tally.count(reply.answer, started.elapsed());
        reply
    }

    async fn exchange(&self, payment: &Payment) -> reqwest::Result<Reply> {
        let mut request = self
            .http
            .post(&self.url)
            .header("idempotency-key", &payment.key)
            .header("x-account", &payment.account)
            .json(&json!({"amount": payment.amount, "currency": "eur"}));
        if !payment.script.is_empty() {
            request = request.header("x-demo", &payment.script);
        }
        let response = request.send().await?;
        let status = response.status();
        let header =
            |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let (replayed, waited) = (header(REPLAYED).is_some(), header(WAITED).is_some());
        let retry_after =
            header("retry-after").and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let body = response.bytes().await?;
        if matches!(status, StatusCode::CREATED | StatusCode::PAYMENT_REQUIRED) {
            let answer = match (replayed, waited) {
                (false, _) => Answer::Executed,
                (true, true) => Answer::Waited,
                (true, false) => Answer::Replayed,
            };
            let state = Some(State::Answered(status.as_u16(), body.to_vec()));
            return Ok(Reply { answer, state, retry_after: None });
        }
        let code = serde_json::from_slice::<Problem>(&body).map(|problem| problem.code).ok();
        let (answer, state) = match code {
            Some(Code::Mismatch) => (Answer::Mismatch, None),
            Some(Code::InFlight) => (Answer::InFlight, None),
            Some(Code::Unresolved) => (Answer::Unresolved, Some(State::Unresolved)),
            _ => (Answer::Failed, None),
        };
        Ok(Reply { answer, state, retry_after })
    }
}

impl Reply {
    /// The final answer, if it was one.
    pub(crate) fn into_state(self) -> Option<State> {
        self.state
    }
}
