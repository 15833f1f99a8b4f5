//! What happens to a request between the client's socket and the layer: it is checked, cleaned of
//! what belongs to the connection, told whose it is, and its outcome is counted and written down.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HOST, HeaderName};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response, Version};
use oncekey::http::{
    IDEMPOTENCY_KEY, IdempotencyLayer, IdempotencyService, Secret, UnresolvedRequest,
};
use oncekey::{Scope, Store};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_layer::Layer;
use tower_service::Service;

use super::access::{Line, Log};
use super::hop;
use super::lookup::Lookup;
use super::manner::Manners;
use super::metrics::Metrics;
use super::patient::{Broken, Patient};
use super::scope::Scopes;
use super::settings::Settings;
use super::trouble::{Style, Trouble};
use super::upstream::Upstream;
use crate::failure::Result;

/// How long a client may pause within a body that is passed on as it comes.
const BODY_PAUSE: Duration = Duration::from_secs(30);

/// An answer's body.
pub(crate) type Reply = UnsyncBoxBody<Bytes, Broken>;

/// One of the requests that may be executed at one time: with the request, then with its answer,
/// for as long as the proxy holds either, also after its client hung up.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// The address of whoever asks, for the audit.
#[derive(Debug, Clone, Copy)]
struct Origin(IpAddr);

/// The proxy as a function from requests to answers.
pub(crate) struct Front {
    service: IdempotencyService<Upstream, Store>,
    scopes: Scopes,
    manners: Manners,
    lookup: Lookup,
    room: Arc<Semaphore>,
    /// Headers that no other spelling may stand for.
    kept: Vec<HeaderName>,
    style: Style,
    trust_forwarded: bool,
    metrics: Arc<Metrics>,
    log: Log,
}

impl Front {
    pub(crate) fn new(
        settings: &Settings,
        store: Store,
        scopes: Scopes,
        metrics: Arc<Metrics>,
        log: Log,
    ) -> Result<Self> {
        let (upstream, limit) = (settings.upstream.clone(), settings.connect_timeout);
        let lookup = Lookup::new(upstream, limit, store.clone());
        let mut layer =
            IdempotencyLayer::new(store, |request| request.extensions.get::<Scope>().cloned())
                .profile(settings.profile)
                .keys(settings.keys.clone())
                .rule(settings.rule.clone())
                .caller(|request, caller| match request.extensions.get::<Origin>() {
                    Some(Origin(address)) => caller.ip(*address),
                    None => caller,
                });
        for route in &settings.routes {
            layer = layer.route(route.method.clone(), &route.path, route.rule.clone());
        }
        if let Some(secret) = &settings.secret {
            layer = layer.secret(Secret::derive(secret)?);
        }
        for earlier in &settings.earlier_secrets {
            layer = match earlier {
                Some(secret) => layer.earlier_secret(Secret::derive(secret)?),
                None => layer.earlier_without_secret(),
            };
        }
        if let Some(name) = &settings.retention_header {
            layer = layer.retention_header(name.clone());
        }
        if let Some(url) = &settings.documentation {
            layer = layer.documentation(url)?;
        }
        let mut kept = vec![IDEMPOTENCY_KEY, AUTHORIZATION];
        kept.extend(settings.scope_headers.iter().cloned());
        Ok(Self {
            service: layer.layer(Upstream::new(settings)),
            scopes,
            manners: settings.manners.clone(),
            lookup,
            room: Arc::new(Semaphore::new(settings.max_connections)),
            kept,
            style: settings.style(),
            trust_forwarded: settings.trust_forwarded,
            metrics,
            log,
        })
    }

    pub(crate) async fn answer(
        self: Arc<Self>,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> std::result::Result<Response<Reply>, Infallible> {
        let _entered = self.metrics.in_flight.enter();
        let mut line = Line::begin(self.log.clone(), self.metrics.clone(), &request, peer);
        let response = match self.prepare(request, peer) {
            Ok(mut request) => {
                if let Ok(permit) = self.room.clone().acquire_owned().await {
                    request.extensions_mut().insert(Place { _permit: Arc::new(permit) });
                }
                line.of_scope(request.extensions().get());
                let manner = self.manners.of(&request);
                let mut service = self.service.clone();
                std::future::poll_fn(|cx| service.poll_ready(cx)).await?;
                let response = service.call(request).await?.map(BodyExt::boxed_unsync);
                let met = response.extensions().get::<UnresolvedRequest>().cloned();
                match (&manner.lookup, met) {
                    (Some(path), Some(met)) => {
                        // Boxed, since every request would carry the room for it.
                        let settled = Box::pin(self.lookup.settle(path, manner.limit, &met));
                        let is_settled = settled.await;
                        if is_settled { self.tell(Trouble::Settled) } else { response }
                    }
                    _ => response,
                }
            }
            Err(trouble) => self.tell(trouble),
        };
        line.answered(&response);
        Ok(response)
    }

    fn tell(&self, trouble: Trouble) -> Response<Reply> {
        let answer = trouble.answer(&self.style);
        answer.map(|bytes| Full::new(bytes).map_err(|never| match never {}).boxed_unsync())
    }

    /// The request as the layer and the upstream may see it.
    fn prepare(
        &self,
        mut request: Request<Incoming>,
        peer: SocketAddr,
    ) -> std::result::Result<Request<Patient>, Trouble> {
        if request.method() == Method::CONNECT {
            return Err(Trouble::Tunnel);
        }
        check_host(&request)?;
        if !hop::is_chunked_or_plain(request.headers()) {
            return Err(Trouble::CodingUnknown);
        }
        let headers = request.headers_mut();
        hop::drop_hop_by_hop(headers);
        hop::drop_forged(headers, &self.kept);
        let scope = self.scopes.of(headers);
        let origin = hop::origin(headers, peer, self.trust_forwarded);
        hop::tell_origin(headers, peer, self.trust_forwarded);
        request.extensions_mut().insert(Origin(origin));
        if let Some(scope) = scope {
            request.extensions_mut().insert(scope);
        }
        Ok(request.map(|body| Patient::new(body, BODY_PAUSE)))
    }
}

/// One host, said once: whoever reads another one than the next would send a request elsewhere
/// than it was checked for.
fn check_host<B>(request: &Request<B>) -> std::result::Result<(), Trouble> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let target = request.uri().authority();
    let host = match first {
        None if request.version() == Version::HTTP_10 => return Ok(()),
        None => return Err(Trouble::HostUnclear),
        Some(host) => host,
    };
    let host = Authority::try_from(host.as_bytes()).map_err(|_| Trouble::HostUnclear)?;
    let is_other = |target: &Authority| !target.as_str().eq_ignore_ascii_case(host.as_str());
    if second.is_some() || host.as_str().contains('@') || target.is_some_and(is_other) {
        return Err(Trouble::HostUnclear);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(version: Version, uri: &str, hosts: &[&str]) -> bool {
        let mut request = Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        check_host(&request.body(()).expect("a request")).is_ok()
    }

    #[test]
    fn a_request_names_one_host() {
        assert!(check(Version::HTTP_11, "/", &["a.example:80"]));
        assert!(check(Version::HTTP_11, "http://A.example/", &["a.example"]));
        assert!(check(Version::HTTP_10, "/", &[]));
        for hosts in [&[][..], &[""], &["a", "a"], &["a", "b"], &["a b"], &["u@a"], &["a/b"]] {
            assert!(!check(Version::HTTP_11, "/", hosts), "{hosts:?}");
        }
        assert!(!check(Version::HTTP_11, "http://b/", &["a"]));
    }
}
