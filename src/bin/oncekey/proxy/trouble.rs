//! What the proxy answers in place of the upstream, as the layer writes its problems.

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use oncekey::http::Profile;
use serde_json::json;

/// Why there is no answer of the upstream. It is among the extensions of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No connection to the upstream: nothing was sent.
    Unreachable,
    /// The upstream hung up, or answered with what is no HTTP.
    HungUp,
    /// The upstream did not begin its answer in time.
    TimedOut,
    /// The client's body broke off or stalled, and part of it had been sent.
    BodyBroken,
    /// The request does not name exactly one host.
    HostUnclear,
    /// What became of an unresolved request has just been found out.
    Settled,
    /// A tunnel was asked for.
    Tunnel,
}

impl Trouble {
    #[rustfmt::skip]
    fn row(self) -> (&'static str, StatusCode, &'static str) {
        type S = StatusCode;
        match self {
            Self::Unreachable => ("upstream-unreachable", S::BAD_GATEWAY,
                "The service cannot be reached. The request was not sent to it."),
            Self::HungUp => ("upstream-hung-up", S::BAD_GATEWAY,
                "The service hung up without an answer. It may have executed the request."),
            Self::TimedOut => ("upstream-timeout", S::GATEWAY_TIMEOUT,
                "The service did not answer in time. It may have executed the request."),
            Self::BodyBroken => ("body-unreadable", S::BAD_REQUEST,
                "The request's body did not arrive whole."),
            Self::HostUnclear => ("host-unclear", S::BAD_REQUEST,
                "The request must name exactly one host."),
            Self::Settled => ("settled", S::SERVICE_UNAVAILABLE,
                "What became of the earlier request is known now. Repeat the request."),
            Self::Tunnel => ("not-a-tunnel", S::NOT_IMPLEMENTED,
                "This proxy does not make tunnels."),
        }
    }

    /// The stable name.
    pub(crate) fn name(self) -> &'static str {
        self.row().0
    }

    /// The answer to a client.
    pub(crate) fn answer(self, profile: Profile) -> Response<Bytes> {
        let (name, status, detail) = self.row();
        let (media_type, body) = match profile {
            Profile::Stripe => {
                let kind =
                    if status.is_server_error() { "api_error" } else { "invalid_request_error" };
                let error =
                    json!({ "type": kind, "code": name.replace('-', "_"), "message": detail });
                ("application/json", json!({ "error": error }))
            }
            _ => {
                let title = status.canonical_reason().unwrap_or_default();
                let problem = json!({
                    "type": format!("urn:oncekey:problem:{name}"), "title": title,
                    "status": status.as_u16(), "detail": detail, "code": name,
                });
                ("application/problem+json", problem)
            }
        };
        let mut answer = Response::new(Bytes::from(body.to_string()));
        *answer.status_mut() = status;
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self == Self::Settled {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if matches!(self, Self::HostUnclear | Self::Tunnel | Self::BodyBroken) {
            // What else comes on this connection may not be what it seems.
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer.extensions_mut().insert(self);
        answer
    }
}
