//! The way to the upstream, as the service that the layer wraps.
//!
//! It says what each failure means for the claim. A connection that was never made sent nothing,
//! and the claim is given back. Everything after that may have been executed.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::header::EXPECT;
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use oncekey::DownstreamKey;
use oncekey::http::{Action, Attempt, IDEMPOTENT_REPLAYED, LayerBody};
use tower_service::Service;

use super::front::Place;
use super::hop;
use super::manner::Manners;
use super::patient::{Broken, Patient};
use super::settings::Settings;
use super::trouble::{Style, Trouble};

/// What the upstream, or the proxy in its place, answers with.
pub(crate) type ReplyBody = UnsyncBoxBody<Bytes, Broken>;

/// How long the upstream took to begin its answer, and at which attempt: among the extensions of
/// the answer.
#[derive(Debug, Clone)]
pub(crate) struct Executed {
    pub(crate) attempt: Option<(u32, DownstreamKey)>,
    pub(crate) took: Duration,
}

/// The way to the upstream.
#[derive(Clone)]
pub(crate) struct Upstream {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client<HttpConnector, LayerBody<Patient>>,
    authority: hyper::http::uri::Authority,
    style: Style,
    manners: Manners,
}

impl Upstream {
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(settings.connect_timeout));
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(settings.upstream_idle);
        if settings.upstream_idle.is_zero() {
            builder.pool_max_idle_per_host(0);
        }
        let shared = Shared {
            client: builder.build(connector),
            authority: settings.upstream.clone(),
            style: settings.style(),
            manners: settings.manners.clone(),
        };
        Self { shared: Arc::new(shared) }
    }

    async fn send(self, mut request: Request<LayerBody<Patient>>) -> Response<ReplyBody> {
        let begin = Instant::now();
        let attempt = request.extensions_mut().remove::<Attempt>();
        let place = request.extensions_mut().remove::<Place>();
        let attempt = attempt.map(|attempt| {
            let key = attempt.downstream_key();
            hop::tell_attempt(request.headers_mut(), &attempt, &key);
            (attempt.attempt(), key)
        });
        let manner = self.shared.manners.of(&request);
        self.shared.direct(&mut request);
        let told = tokio::time::timeout(manner.limit, self.shared.client.request(request)).await;
        let mut reply = match told {
            Ok(Ok(response)) => match checked(response) {
                Some(response) => {
                    response.map(|body| Patient::new(body, manner.limit).boxed_unsync())
                }
                None => self.shared.fail(Trouble::HungUp, Action::Abandon),
            },
            Ok(Err(error)) if error.is_connect() => {
                self.shared.fail(Trouble::Unreachable, Action::Release)
            }
            Ok(Err(error)) if is_of_client(&error) => {
                self.shared.fail(Trouble::BodyBroken, Action::Abandon)
            }
            Ok(Err(_)) => self.shared.fail(Trouble::HungUp, Action::Abandon),
            Err(_) => self.shared.fail(Trouble::TimedOut, manner.on_timeout),
        };
        if let Some(place) = place {
            reply.extensions_mut().insert(place);
        }
        reply.extensions_mut().insert(Executed { attempt, took: begin.elapsed() });
        reply
    }
}

impl Shared {
    /// Points a request to the upstream.
    fn direct<B>(&self, request: &mut Request<B>) {
        let path = request.uri().path_and_query().cloned();
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(self.authority.clone());
        if let Ok(uri) = uri.path_and_query(path).build() {
            *request.uri_mut() = uri;
        }
        *request.version_mut() = Version::HTTP_11;
        // The client was told to go on when its body was read.
        request.headers_mut().remove(EXPECT);
    }

    fn fail(&self, trouble: Trouble, action: Action) -> Response<ReplyBody> {
        let answer = trouble.answer(&self.style);
        let mut reply =
            answer.map(|bytes| Full::new(bytes).map_err(|never| match never {}).boxed_unsync());
        reply.extensions_mut().insert(action);
        reply
    }
}

/// The answer as it may go on; `None` for one that this proxy cannot pass on.
fn checked<B>(mut response: Response<B>) -> Option<Response<B>> {
    let status = response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS || status.as_u16() >= 600 {
        return None;
    }
    if !hop::is_chunked_or_plain(response.headers()) {
        return None;
    }
    *response.version_mut() = Version::HTTP_11;
    hop::drop_hop_by_hop(response.headers_mut());
    response.headers_mut().remove(IDEMPOTENT_REPLAYED);
    Some(response)
}

/// Whether it was the client's body that broke off.
fn is_of_client(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<Broken>() {
            return true;
        }
        cause = error.source();
    }
    false
}

impl Service<Request<LayerBody<Patient>>> for Upstream {
    type Response = Response<ReplyBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ReplyBody>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<LayerBody<Patient>>) -> Self::Future {
        let upstream = self.clone();
        Box::pin(async move { Ok(upstream.send(request).await) })
    }
}
