//! What the layer takes by itself: no sockets, and a backend that says yes to everything. The least
//! processor time of many short rounds, and allocations.

use std::time::Duration;

use allocation_counter::measure;
use axum::http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use oncekey::backend::{
    Backend, Capabilities, ClaimId, Granted, Outcome, OwnerId, RecordParts, Survives, Waiting,
};
use oncekey::http::IdempotencyLayer;
use oncekey::{
    Checkpoint, ClaimRequest, Entry, Fingerprint, Key, Record, Resolution, Result, Scope,
    StoreTime, StoredResponse, Token, Unresolved,
};
use rustix::time::{ClockId, clock_gettime};
use tokio::task::yield_now;
use tower::{Layer, Service};

/// Keeps nothing.
struct Nothing;

impl Backend for Nothing {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Survives::Nothing, Waiting::Never)
    }

    async fn claim(&self, owner: OwnerId, request: ClaimRequest) -> Result<Outcome> {
        yield_now().await;
        Ok(Outcome::Claimed(Granted::new(&request, owner, Token::new(1), 1)))
    }

    async fn wait(&self, owner: OwnerId, request: ClaimRequest, _: Duration) -> Result<Outcome> {
        self.claim(owner, request).await
    }

    async fn complete(&self, claim: &ClaimId, response: StoredResponse) -> Result<Record> {
        yield_now().await;
        let (token, time) = (claim.token(), StoreTime::from_millis(0));
        let fingerprint = Fingerprint::from_bytes([0; 32]);
        let (completed_at, expires_at, attempt) = (time, time, 1);
        let parts = RecordParts { token, attempt, fingerprint, completed_at, expires_at, response };
        Ok(Record::from_parts(parts, false))
    }

    async fn release(&self, _: &ClaimId) -> Result<()> {
        Ok(())
    }

    async fn abandon(&self, _: &ClaimId) -> Result<()> {
        Ok(())
    }

    async fn extend(&self, _: &ClaimId, _: Duration) -> Result<()> {
        Ok(())
    }

    async fn checkpoint(&self, _: &ClaimId, _: Checkpoint) -> Result<()> {
        Ok(())
    }

    async fn get(&self, _: &Scope, _: &Key) -> Result<Option<Entry>> {
        Ok(None)
    }

    async fn resolve(&self, _: &Unresolved, _: Resolution) -> Result<()> {
        Ok(())
    }
}

const ROUNDS: usize = 300;
const REQUESTS: u32 = 200;

/// Prints what a request takes with the layer, and without.
pub fn print() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let bare = tower::service_fn(crate::handler);
    let layer = IdempotencyLayer::new(Nothing, crate::account);
    let layered = layer.layer(tower::service_fn(crate::handler));
    for (name, [nanos, allocations]) in
        [("bare", runtime.block_on(least(bare))), ("layer", runtime.block_on(least(layered)))]
    {
        println!("{name}: {nanos} ns, {allocations} allocations a request");
    }
}

async fn least<S, B>(mut service: S) -> [u64; 2]
where
    S: Service<Request<Full<Bytes>>, Response = axum::http::Response<B>>,
    S::Error: std::fmt::Debug,
    B: hyper::body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let mut least = [u64::MAX; 2];
    for _ in 0..ROUNDS {
        let requests: Vec<_> = (0..REQUESTS).map(request).collect();
        let before = now();
        for request in requests {
            let answer = service.call(request).await.expect("an answer");
            answer.into_body().collect().await.expect("a body");
        }
        let took = (now() - before) / REQUESTS;
        least[0] = least[0].min(took.as_nanos() as u64);
    }
    let one = request(0);
    let mut call = std::pin::pin!(async {
        let answer = service.call(one).await.expect("an answer");
        answer.into_body().collect().await.expect("a body");
    });
    least[1] = 0;
    std::future::poll_fn(|cx| {
        let mut polled = std::task::Poll::Pending;
        least[1] += measure(|| polled = call.as_mut().poll(cx)).count_total;
        polled
    })
    .await;
    least
}

fn request(number: u32) -> Request<Full<Bytes>> {
    Request::post("/v1/charges")
        .header("host", "bench")
        .header("x-account", "acct_1")
        .header("idempotency-key", format!("\"8e03978e-40d5-43e8-bc93-{number:012}\""))
        .header("content-length", "32")
        .body(Full::from(r#"{"amount":1200,"currency":"eur"}"#))
        .expect("a request")
}

/// What this thread has had of the processor.
fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
