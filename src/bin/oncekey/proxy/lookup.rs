//! What the upstream itself says of a request whose effect is unknown.
//!
//! It is asked by the downstream key, and answers with a header that only who was told of it sends:
//! a 404 of a wrong path must not pass for "it was not executed".

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use oncekey::backend::Backend;
use oncekey::http::{KeptResponse, UnresolvedRequest};
use oncekey::{Resolution, Store};

use super::hop;

/// What the upstream says: `yes`, with the response, or `no`, now and for ever.
pub(crate) const EXECUTED: HeaderName = HeaderName::from_static("oncekey-executed");

const MAX_BODY_BYTES: usize = 1 << 20;

/// The way to what the upstream says.
pub(crate) struct Lookup {
    client: Client<HttpConnector, Empty<Bytes>>,
    authority: Authority,
    store: Store,
}

impl Lookup {
    pub(crate) fn new(authority: Authority, connect_limit: Duration, store: Store) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(connect_limit));
        let mut builder = Client::builder(TokioExecutor::new());
        // It is rare, and a connection that is never kept is never stale.
        builder.pool_max_idle_per_host(0);
        Self { client: builder.build(connector), authority, store }
    }

    /// Asks what became of a request, and settles it by the answer. False if the upstream does not
    /// know, or does not answer in time: nothing has changed then.
    pub(crate) async fn settle(
        &self,
        path: &PathAndQuery,
        limit: Duration,
        unresolved: &UnresolvedRequest,
    ) -> bool {
        let asked = tokio::time::timeout(limit, self.ask(path, unresolved)).await;
        let Ok(Some(resolution)) = asked else { return false };
        Backend::resolve(&self.store, unresolved.attempt(), resolution).await.is_ok()
    }

    async fn ask(&self, path: &PathAndQuery, unresolved: &UnresolvedRequest) -> Option<Resolution> {
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(self.authority.clone());
        let uri = uri.path_and_query(path.clone()).build().ok()?;
        let key = unresolved.downstream_key();
        let request = Request::get(uri).header(hop::DOWNSTREAM_KEY, key.as_str());
        let response = self.client.request(request.body(Empty::new()).ok()?).await.ok()?;
        match response.headers().get(EXECUTED).map(HeaderValue::as_bytes) {
            Some(b"no") => Some(Resolution::NotExecuted),
            Some(b"yes") => completed(response).await,
            _ => None,
        }
    }
}

async fn completed(response: Response<hyper::body::Incoming>) -> Option<Resolution> {
    if !hop::is_chunked_or_plain(response.headers()) {
        return None;
    }
    let (mut head, body) = response.into_parts();
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await.ok()?.to_bytes();
    hop::drop_hop_by_hop(&mut head.headers);
    head.headers.remove(EXECUTED);
    let kept = KeptResponse::new(head.status, head.headers, Some(body));
    kept.to_stored().ok().map(Resolution::Completed)
}
