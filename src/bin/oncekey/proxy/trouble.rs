//! What the proxy answers in place of the upstream, as the layer writes its problems.

use bytes::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LANGUAGE, CONTENT_TYPE, HeaderValue, LINK, RETRY_AFTER,
};
use hyper::{Response, StatusCode};
use oncekey::http::Profile;
use serde_json::{Value, json};

/// How answers are written.
#[derive(Debug, Clone)]
pub(crate) struct Style {
    pub(crate) profile: Profile,
    /// Where clients read about keys.
    pub(crate) documentation: Option<String>,
}

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
    /// The request's body has a coding that the service would have to know of, and cannot.
    CodingUnknown,
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
            Self::CodingUnknown => ("coding-unknown", S::BAD_REQUEST,
                "The only Transfer-Encoding that is taken is chunked, once."),
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
    pub(crate) fn answer(self, style: &Style) -> Response<Bytes> {
        let (_, status, _) = self.row();
        let (media_type, body) = match style.profile {
            Profile::Stripe => ("application/json", self.stripe(style)),
            _ => ("application/problem+json", self.ietf(style)),
        };
        let mut answer = Response::new(Bytes::from(body.to_string()));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static("en"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let link = style.documentation.as_ref().map(|url| format!("<{url}>; rel=\"describedby\""));
        if let Some(Ok(link)) = link.map(HeaderValue::try_from) {
            headers.insert(LINK, link);
        }
        if self == Self::Settled {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if style.profile == Profile::Stripe && matches!(self, Self::Settled | Self::Unreachable) {
            headers.insert("stripe-should-retry", HeaderValue::from_static("true"));
        }
        if matches!(self, Self::HostUnclear | Self::CodingUnknown | Self::Tunnel | Self::BodyBroken)
        {
            // What else comes on this connection may not be what it seems.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer.extensions_mut().insert(self);
        answer
    }

    fn ietf(self, style: &Style) -> Value {
        let (name, status, detail) = self.row();
        let r#type = match &style.documentation {
            Some(url) => format!("{url}#{name}"),
            None => format!("urn:oncekey:problem:{name}"),
        };
        let title = status.canonical_reason().unwrap_or_default();
        json!({
            "type": r#type, "title": title, "status": status.as_u16(), "detail": detail,
            "code": name,
        })
    }

    fn stripe(self, style: &Style) -> Value {
        let (name, status, detail) = self.row();
        let kind = if status.is_server_error() { "api_error" } else { "invalid_request_error" };
        let mut error = json!({ "type": kind, "code": name.replace('-', "_"), "message": detail });
        if let (Some(error), Some(url)) = (error.as_object_mut(), &style.documentation) {
            error.insert("doc_url".to_owned(), url.as_str().into());
        }
        json!({ "error": error })
    }
}
