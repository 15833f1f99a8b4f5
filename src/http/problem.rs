//! What is answered in place of the handler: a problem with a stable name.
//!
//! Every kind is one row of a table: its name, its status in each profile, its title, and its kind
//! of error in Stripe's form. An answer never holds the key, the scope or anything of another
//! request.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_TYPE, HeaderName, LINK, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::Profile;

/// The type of a problem for which no documentation was given: this and the kind's name.
const TYPE_PREFIX: &str = "urn:oncekey:problem:";
const STRIPE_SHOULD_RETRY: HeaderName = HeaderName::from_static("stripe-should-retry");

/// Why a request got no answer of the handler.
///
/// Every answer of the layer's own has its kind among its extensions, for logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The request has no key, and needs one.
    KeyMissing,
    /// The key is malformed, or was sent twice.
    KeyMalformed,
    /// The key was used for another request.
    KeyReused,
    /// A request with this key is being handled. Come back after `Retry-After`.
    InFlight,
    /// An attempt ended with its effect unknown; nobody runs until somebody resolves it.
    Unresolved,
    /// The key was used too long ago.
    KeyExpired,
    /// The request was executed, and its response was not kept: it was too large, or a stream.
    ResponseNotKept,
    /// The request was executed, and the store has not said whether its response is kept.
    OutcomeUnknown,
    /// The handler failed in a way that says nothing about its effect.
    HandlerFailed,
    /// It is not known whose key it would be.
    ScopeMissing,
    /// The request's body is larger than is allowed.
    BodyTooLarge,
    /// The request's body did not arrive in time.
    BodyTimeout,
    /// The request's body did not arrive whole.
    BodyUnreadable,
    /// The store cannot answer. Nothing was executed.
    StoreUnavailable,
    /// A limit of the store was met. Nothing was executed.
    TooManyKeys,
    /// What the store has of this key is not a response of this layer.
    RecordUnreadable,
    /// The guard of the store refused the request.
    Refused,
}

struct Row {
    name: &'static str,
    ietf: StatusCode,
    stripe: StatusCode,
    stripe_type: &'static str,
    title: &'static str,
}

const INVALID: &str = "invalid_request_error";
const IDEMPOTENCY: &str = "idempotency_error";
const API: &str = "api_error";

const fn row(
    name: &'static str,
    ietf: StatusCode,
    stripe: StatusCode,
    stripe_type: &'static str,
    title: &'static str,
) -> Row {
    Row { name, ietf, stripe, stripe_type, title }
}

impl ProblemKind {
    /// Every kind.
    pub const ALL: [Self; 17] = [
        Self::KeyMissing,
        Self::KeyMalformed,
        Self::KeyReused,
        Self::InFlight,
        Self::Unresolved,
        Self::KeyExpired,
        Self::ResponseNotKept,
        Self::OutcomeUnknown,
        Self::HandlerFailed,
        Self::ScopeMissing,
        Self::BodyTooLarge,
        Self::BodyTimeout,
        Self::BodyUnreadable,
        Self::StoreUnavailable,
        Self::TooManyKeys,
        Self::RecordUnreadable,
        Self::Refused,
    ];

    #[rustfmt::skip]
    const fn row(self) -> Row {
        type S = StatusCode;
        match self {
            Self::KeyMissing => row("key-missing", S::BAD_REQUEST, S::BAD_REQUEST, INVALID,
                "Idempotency-Key is missing"),
            Self::KeyMalformed => row("key-malformed", S::BAD_REQUEST, S::BAD_REQUEST, INVALID,
                "Idempotency-Key is malformed"),
            Self::KeyReused => row("key-reused", S::UNPROCESSABLE_ENTITY, S::BAD_REQUEST,
                IDEMPOTENCY, "Idempotency-Key is already used"),
            Self::InFlight => row("in-flight", S::CONFLICT, S::CONFLICT, IDEMPOTENCY,
                "A request is outstanding for this Idempotency-Key"),
            Self::Unresolved => row("unresolved", S::CONFLICT, S::CONFLICT, IDEMPOTENCY,
                "Whether this request was executed is not known"),
            Self::KeyExpired => row("key-expired", S::GONE, S::BAD_REQUEST, IDEMPOTENCY,
                "This Idempotency-Key was used too long ago"),
            Self::ResponseNotKept => row("response-not-kept", S::GONE, S::GONE, IDEMPOTENCY,
                "The request was executed and its response was not kept"),
            Self::OutcomeUnknown => row("outcome-unknown", S::SERVICE_UNAVAILABLE,
                S::SERVICE_UNAVAILABLE, API,
                "The request was executed and its response may be lost"),
            Self::HandlerFailed => row("handler-failed", S::INTERNAL_SERVER_ERROR,
                S::INTERNAL_SERVER_ERROR, API, "The request failed"),
            Self::ScopeMissing => row("scope-missing", S::UNAUTHORIZED, S::UNAUTHORIZED, INVALID,
                "The request does not say whose it is"),
            Self::BodyTooLarge => row("body-too-large", S::PAYLOAD_TOO_LARGE, S::PAYLOAD_TOO_LARGE,
                INVALID, "The request's body is too large"),
            Self::BodyTimeout => row("body-timeout", S::REQUEST_TIMEOUT, S::REQUEST_TIMEOUT,
                INVALID, "The request's body did not arrive in time"),
            Self::BodyUnreadable => row("body-unreadable", S::BAD_REQUEST, S::BAD_REQUEST, INVALID,
                "The request's body did not arrive whole"),
            Self::StoreUnavailable => row("store-unavailable", S::SERVICE_UNAVAILABLE,
                S::SERVICE_UNAVAILABLE, API, "Idempotency cannot be provided now"),
            Self::TooManyKeys => row("too-many-keys", S::TOO_MANY_REQUESTS, S::TOO_MANY_REQUESTS,
                INVALID, "Too many new keys"),
            Self::RecordUnreadable => row("record-unreadable", S::INTERNAL_SERVER_ERROR,
                S::INTERNAL_SERVER_ERROR, API, "The kept response cannot be read"),
            Self::Refused => row("refused", S::FORBIDDEN, S::FORBIDDEN, INVALID,
                "This use of the Idempotency-Key is refused"),
        }
    }

    /// The stable name, the end of the problem's type: `key-missing`, `in-flight` ...
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The HTTP status it is answered with.
    #[must_use]
    pub fn status(self, profile: Profile) -> StatusCode {
        match profile {
            Profile::Ietf => self.row().ietf,
            Profile::Stripe => self.row().stripe,
        }
    }

    /// Stripe's own code, where it has one.
    fn stripe_code(self) -> String {
        match self {
            Self::InFlight => "idempotency_key_in_use".to_owned(),
            Self::TooManyKeys => "rate_limit".to_owned(),
            other => other.name().replace('-', "_"),
        }
    }

    /// What Stripe's client libraries are told in `Stripe-Should-Retry`: whether the same request
    /// may get another answer. `None` where that is not known.
    fn should_retry(self) -> Option<bool> {
        match self {
            Self::InFlight
            | Self::OutcomeUnknown
            | Self::BodyTimeout
            | Self::BodyUnreadable
            | Self::StoreUnavailable
            | Self::TooManyKeys => Some(true),
            Self::HandlerFailed => None,
            _ => Some(false),
        }
    }

    fn default_detail(self) -> &'static str {
        match self {
            Self::KeyMissing => "This operation requires the header Idempotency-Key.",
            Self::KeyMalformed => "The header Idempotency-Key is not valid.",
            Self::KeyReused => {
                "Keys for idempotent requests can only be used with the same request they were \
                 first used with. Use a new key for another request."
            }
            Self::InFlight => {
                "A request with the same Idempotency-Key is being processed. Repeat it later."
            }
            Self::Unresolved => {
                "An earlier request with this Idempotency-Key ended without a known outcome. It is \
                 not executed again until that is settled."
            }
            Self::KeyExpired => {
                "The response to this Idempotency-Key has expired. Use a new key if the request is \
                 to be executed again."
            }
            Self::ResponseNotKept => {
                "The request was executed once. Its response was too large to keep, or was a \
                 stream, and cannot be repeated."
            }
            Self::OutcomeUnknown => "Repeat the request with the same Idempotency-Key.",
            Self::HandlerFailed => {
                "Repeat the request with the same Idempotency-Key to learn more."
            }
            Self::ScopeMissing => "Authenticate the request.",
            Self::BodyTooLarge => "A request with an Idempotency-Key must have a smaller body.",
            Self::BodyTimeout | Self::BodyUnreadable => "Nothing was executed. Repeat the request.",
            Self::StoreUnavailable => "Nothing was executed. Repeat the request later.",
            Self::TooManyKeys => "Nothing was executed. Slow down, and repeat the request later.",
            Self::RecordUnreadable => "The request was executed once, and is not executed again.",
            Self::Refused => "The request does not look like a repetition by its first sender.",
        }
    }
}

/// A problem of one request.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    kind: ProblemKind,
    detail: Option<String>,
    retry_after: Option<Duration>,
    original_status: Option<u16>,
}

impl Problem {
    pub(crate) fn new(kind: ProblemKind) -> Self {
        Self { kind, detail: None, retry_after: None, original_status: None }
    }

    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub(crate) fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// The status that the handler answered with, where its response was not kept.
    pub(crate) fn original_status(mut self, status: u16) -> Self {
        self.original_status = Some(status);
        self
    }

    pub(crate) fn kind(&self) -> ProblemKind {
        self.kind
    }
}

impl From<ProblemKind> for Problem {
    fn from(kind: ProblemKind) -> Self {
        Self::new(kind)
    }
}

/// How a service writes problems.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProblemStyle {
    pub(crate) profile: Profile,
    /// Where clients read about the service's keys, and the same as a `Link` header.
    pub(crate) documentation: Option<(String, HeaderValue)>,
}

#[derive(Serialize)]
struct Ietf<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_status: Option<u16>,
}

#[derive(Serialize)]
struct Stripe<'a> {
    error: StripeError<'a>,
}

#[derive(Serialize)]
struct StripeError<'a> {
    r#type: &'a str,
    code: String,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_status: Option<u16>,
}

impl ProblemStyle {
    pub(crate) fn answer(&self, problem: &Problem) -> Response<Bytes> {
        let (media_type, body) = match self.profile {
            Profile::Ietf => ("application/problem+json", self.ietf(problem)),
            Profile::Stripe => ("application/json", self.stripe(problem)),
        };
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = problem.kind.status(self.profile);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static("en"));
        // A 410 may be cached unless it is said otherwise, and none of these is a resource.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((_, link)) = &self.documentation {
            headers.insert(LINK, link.clone());
        }
        if let (Profile::Stripe, Some(retry)) = (self.profile, problem.kind.should_retry()) {
            let value = if retry { "true" } else { "false" };
            headers.insert(STRIPE_SHOULD_RETRY, HeaderValue::from_static(value));
        }
        if let Some(delay) = problem.retry_after {
            let seconds = u64::try_from(delay.as_millis().div_ceil(1000).max(1));
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.unwrap_or(u64::MAX)));
        }
        response
    }

    fn ietf(&self, problem: &Problem) -> Vec<u8> {
        let name = problem.kind.name();
        let r#type = match &self.documentation {
            Some((url, _)) => format!("{url}#{name}"),
            None => format!("{TYPE_PREFIX}{name}"),
        };
        to_json(&Ietf {
            r#type,
            title: problem.kind.row().title,
            status: problem.kind.status(self.profile).as_u16(),
            detail: problem.detail.as_deref().unwrap_or(problem.kind.default_detail()),
            code: name,
            original_status: problem.original_status,
        })
    }

    fn stripe(&self, problem: &Problem) -> Vec<u8> {
        let error = StripeError {
            r#type: problem.kind.row().stripe_type,
            code: problem.kind.stripe_code(),
            message: problem.detail.as_deref().unwrap_or(problem.kind.default_detail()),
            doc_url: self.documentation.as_ref().map(|(url, _)| url.as_str()),
            original_status: problem.original_status,
        };
        to_json(&Stripe { error })
    }
}

/// Strings and numbers cannot fail to be JSON.
fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::*;

    fn style(profile: Profile, documented: bool) -> ProblemStyle {
        let link = HeaderValue::from_static("<https://a.example/keys>; rel=\"describedby\"");
        let documentation = documented.then(|| ("https://a.example/keys".to_owned(), link));
        ProblemStyle { profile, documentation }
    }

    fn json(response: &Response<Bytes>) -> Value {
        serde_json::from_slice(response.body()).expect("JSON")
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let names: HashSet<_> = ProblemKind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), ProblemKind::ALL.len());
    }

    #[test]
    fn every_kind_is_an_error_in_both_profiles() {
        for kind in ProblemKind::ALL {
            let response = style(Profile::Ietf, false).answer(&kind.into());
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
            let body = json(&response);
            assert_eq!(body["type"], format!("urn:oncekey:problem:{}", kind.name()));
            assert_eq!(body["status"], response.status().as_u16());
            assert!(response.status().as_u16() >= 400);
            let response = style(Profile::Stripe, true).answer(&kind.into());
            assert!(response.status().as_u16() >= 400);
            let body = json(&response);
            assert!(body["error"]["type"].is_string() && body["error"]["message"].is_string());
            assert_eq!(body["error"]["doc_url"], "https://a.example/keys");
        }
    }

    #[test]
    fn the_documentation_is_linked() {
        let response = style(Profile::Ietf, true).answer(&ProblemKind::KeyMissing.into());
        assert_eq!(json(&response)["type"], "https://a.example/keys#key-missing");
        assert_eq!(response.headers()[LINK], "<https://a.example/keys>; rel=\"describedby\"");
    }

    #[test]
    fn a_delay_is_told_in_whole_seconds_and_never_none() {
        for (millis, told) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
            let problem =
                Problem::new(ProblemKind::InFlight).retry_after(Duration::from_millis(millis));
            let response = style(Profile::Ietf, false).answer(&problem);
            assert_eq!(response.headers()[RETRY_AFTER], told);
        }
    }
}
