//! The other listener: health, metrics, and the requests that wait for a person.
//!
//! What shows or changes records is there on a loopback address, or for who has the token; never
//! for a browser, which would call it for any page.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use oncekey::Store;
use serde_json::json;

use super::metrics::Metrics;
use super::resolve::{self, Refusal};

const MAX_BODY_BYTES: usize = 16 << 20;

/// The other listener's answers.
pub(crate) struct Admin {
    store: Store,
    metrics: Arc<Metrics>,
    is_local: bool,
    token: Option<blake3::Hash>,
    stopping: Arc<AtomicBool>,
}

impl Admin {
    pub(crate) fn new(
        store: Store,
        metrics: Arc<Metrics>,
        address: SocketAddr,
        token: Option<&str>,
        stopping: Arc<AtomicBool>,
    ) -> Self {
        let token = token.map(|token| blake3::hash(token.as_bytes()));
        Self { store, metrics, is_local: address.ip().is_loopback(), token, stopping }
    }

    pub(crate) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let path = request.uri().path().to_owned();
        Ok(match (request.method(), path.as_str()) {
            (&Method::GET | &Method::HEAD, "/healthz") => self.health(),
            (&Method::GET | &Method::HEAD, "/readyz") => self.readiness(),
            (&Method::GET, "/metrics") => {
                let text = self.metrics.text(&self.store);
                reply(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
            }
            (&Method::GET, "/unresolved") if self.trusts(request.headers()) => {
                let list = resolve::list(&self.store);
                reply(StatusCode::OK, "application/json", list)
            }
            (&Method::POST, "/resolve") if self.trusts(request.headers()) => {
                self.resolve(request).await
            }
            (_, "/unresolved" | "/resolve") if !self.trusts(request.headers()) => {
                failed(StatusCode::FORBIDDEN, "on a loopback address, or with the token, only")
            }
            (_, "/healthz" | "/readyz" | "/metrics" | "/unresolved" | "/resolve") => {
                failed(StatusCode::METHOD_NOT_ALLOWED, "not this method")
            }
            _ => failed(StatusCode::NOT_FOUND, "/healthz /readyz /metrics /unresolved /resolve"),
        })
    }

    /// A store that is poisoned works again in a new process.
    fn health(&self) -> Response<Full<Bytes>> {
        match self.store.stats().poisoned {
            true => plain(StatusCode::SERVICE_UNAVAILABLE, "the store is poisoned: restart"),
            false => plain(StatusCode::OK, "alive"),
        }
    }

    fn readiness(&self) -> Response<Full<Bytes>> {
        if self.stopping.load(Ordering::Relaxed) {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "stopping");
        }
        match self.store.stats().poisoned {
            true => plain(StatusCode::SERVICE_UNAVAILABLE, "the store is poisoned: restart"),
            false => plain(StatusCode::OK, "ready"),
        }
    }

    fn trusts(&self, headers: &HeaderMap) -> bool {
        if headers.contains_key(ORIGIN) {
            return false;
        }
        let Some(token) = &self.token else { return self.is_local && names_this_host(headers) };
        let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let given = given.and_then(|value| value.strip_prefix(b"Bearer "));
        // Hashes compare in constant time.
        given.is_some_and(|given| blake3::hash(given) == *token)
    }

    async fn resolve(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let media_type = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        if !media_type.is_some_and(|value| value.starts_with(b"application/json")) {
            return failed(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json");
        }
        let body = match Limited::new(request.into_body(), MAX_BODY_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return failed(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        match resolve::settle(&self.store, &body).await {
            Ok(()) => reply(StatusCode::OK, "application/json", "{\"resolved\":true}\n".into()),
            Err(Refusal { status, why }) => failed(status, &why),
        }
    }
}

/// Whether a request was sent to an address of this host, or to `localhost`. A page of a name that
/// has been made to lead here is of the same origin to a browser, and sends that name.
fn names_this_host(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else { return true };
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

fn failed(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    reply(status, "application/json", format!("{}\n", json!({ "error": why })))
}

fn plain(status: StatusCode, word: &str) -> Response<Full<Bytes>> {
    reply(status, "text/plain; charset=utf-8", format!("{word}\n"))
}

fn reply(status: StatusCode, media_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
