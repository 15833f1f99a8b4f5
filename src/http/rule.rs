//! How the requests of a route are treated.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Method, StatusCode, response};

use super::{FingerprintParts, HeaderPolicy, Profile, ResultPolicy};
use crate::error::Result;
use crate::options::Options;
use crate::types::{DropPolicy, Terms};

const DEFAULT_WAIT: Duration = Duration::from_secs(2);
const DEFAULT_BODY_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_MAX_REQUEST_BYTES: usize = 1 << 20;
const DEFAULT_MAX_RESPONSE_BYTES: usize = 1 << 20;

/// Whether a request needs a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Requirement {
    /// A request without a key is a 400.
    Required,
    /// A request without a key is executed as if there were no layer.
    Optional,
    /// Keys are not looked at.
    Off,
}

type IsStream = Arc<dyn Fn(&response::Parts) -> bool + Send + Sync>;

/// How the requests of a route are treated. What is not said is the default of the layer's profile.
///
/// ```
/// use std::time::Duration;
/// use oncekey::DropPolicy;
/// use oncekey::http::{BodyPart, FingerprintParts, Requirement, Rule};
///
/// let rule = Rule::new()
///     .requirement(Requirement::Required)
///     .fingerprint(FingerprintParts::new().body(BodyPart::CanonicalJson))
///     .ttl(Duration::from_secs(24 * 3600))
///     // The gateway deduplicates by the downstream key: an attempt that died may be run again.
///     .on_drop(DropPolicy::Hold);
/// ```
#[derive(Clone)]
pub struct Rule {
    pub(crate) requirement: Option<Requirement>,
    pub(crate) fingerprint: FingerprintParts,
    pub(crate) results: Option<ResultPolicy>,
    pub(crate) headers: HeaderPolicy,
    pub(crate) terms: Terms,
    pub(crate) wait: Duration,
    pub(crate) handler_limit: Option<Duration>,
    pub(crate) body_timeout: Duration,
    pub(crate) max_request_bytes: usize,
    pub(crate) max_response_bytes: usize,
    is_stream: IsStream,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            requirement: None,
            fingerprint: FingerprintParts::default(),
            results: None,
            headers: HeaderPolicy::default(),
            terms: Terms { on_drop: Some(DropPolicy::Unresolved), ..Terms::default() },
            wait: DEFAULT_WAIT,
            handler_limit: None,
            body_timeout: DEFAULT_BODY_TIMEOUT,
            max_request_bytes: DEFAULT_MAX_REQUEST_BYTES,
            max_response_bytes: DEFAULT_MAX_RESPONSE_BYTES,
            is_stream: Arc::new(is_event_stream),
        }
    }
}

impl Rule {
    /// The default rule.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a request needs a key. By default it does with [`Profile::Ietf`], and may have one
    /// with [`Profile::Stripe`].
    #[must_use]
    pub fn requirement(mut self, requirement: Requirement) -> Self {
        self.requirement = Some(requirement);
        self
    }

    /// What makes two requests the same, beside their operation and path.
    #[must_use]
    pub fn fingerprint(mut self, parts: FingerprintParts) -> Self {
        self.fingerprint = parts;
        self
    }

    /// Which results are kept.
    #[must_use]
    pub fn results(mut self, results: ResultPolicy) -> Self {
        self.results = Some(results);
        self
    }

    /// Which headers of a response are kept.
    #[must_use]
    pub fn headers(mut self, headers: HeaderPolicy) -> Self {
        self.headers = headers;
        self
    }

    /// What becomes of a claim whose effect is not known: a process that died, or a result that is
    /// abandoned. [`DropPolicy::Unresolved`] unless chosen: it is not executed again until somebody
    /// resolves it. Choose [`DropPolicy::Hold`] where what the handler calls deduplicates by the
    /// [downstream key](super::Attempt::downstream_key).
    #[must_use]
    pub fn on_drop(mut self, policy: DropPolicy) -> Self {
        self.terms.on_drop = Some(policy);
        self
    }

    /// How long a response is replayed, counted from its completion; the backend's default unless
    /// chosen.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.terms.ttl = Some(ttl);
        self
    }

    /// How long a claim stands without news of its handler; the backend's default unless chosen.
    /// It is renewed, three times in each lease, for as long as the handler runs.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.terms.lease = Some(lease);
        self
    }

    /// How long a request waits for another one with its key before it is told to come back: 2
    /// seconds unless chosen. Zero answers at once, as the draft has it; many clients do not repeat
    /// after a 409.
    #[must_use]
    pub fn wait(mut self, limit: Duration) -> Self {
        self.wait = limit;
        self
    }

    /// How long a handler may run before it is stopped, which leaves its effect unknown. No limit
    /// unless chosen.
    #[must_use]
    pub fn handler_limit(mut self, limit: Duration) -> Self {
        self.handler_limit = Some(limit);
        self
    }

    /// How long the body of a request may take to arrive: 30 seconds unless chosen.
    #[must_use]
    pub fn body_timeout(mut self, limit: Duration) -> Self {
        self.body_timeout = limit;
        self
    }

    /// The largest body of a request with a key: 1 MiB unless chosen. It is held in memory.
    #[must_use]
    pub fn max_request_bytes(mut self, bytes: usize) -> Self {
        self.max_request_bytes = bytes;
        self
    }

    /// The largest body of a response that is kept: 1 MiB unless chosen. A larger one reaches its
    /// first caller whole; its retries are told that it was not kept.
    #[must_use]
    pub fn max_response_bytes(mut self, bytes: usize) -> Self {
        self.max_response_bytes = bytes;
        self
    }

    /// Which responses are streams: they pass through as they come, and only the fact that they
    /// were sent is kept. By default those of type `text/event-stream`. A 101 always is one.
    #[must_use]
    pub fn streams(
        mut self,
        is_stream: impl Fn(&response::Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.is_stream = Arc::new(is_stream);
        self
    }

    /// Whether a backend takes its TTL and its lease, for rules that come from a configuration. One
    /// that is not taken is found out at each request otherwise, which is answered with 503.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a TTL or lease of zero or of more than
    /// a hundred years.
    pub fn check(&self) -> Result<()> {
        Options::default().keep(&self.terms).map(drop)
    }

    pub(crate) fn is_stream(&self, response: &response::Parts) -> bool {
        response.status == StatusCode::SWITCHING_PROTOCOLS || (self.is_stream)(response)
    }

    pub(crate) fn requires(&self, profile: Profile) -> Requirement {
        self.requirement.unwrap_or(match profile {
            Profile::Ietf => Requirement::Required,
            Profile::Stripe => Requirement::Optional,
        })
    }
}

fn is_event_stream(response: &response::Parts) -> bool {
    let media_type = response.headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    media_type.is_some_and(|value| {
        let name = value.split(|byte| *byte == b';').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
    })
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("requirement", &self.requirement)
            .field("fingerprint", &self.fingerprint)
            .field("results", &self.results)
            .field("terms", &self.terms)
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}

/// The rules of a layer: those of routes in the order they were given, then that of all others.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    routes: Vec<(Option<Method>, Pattern, Arc<Rule>)>,
    methods: Vec<Method>,
    default: Arc<Rule>,
}

impl Default for Rules {
    fn default() -> Self {
        let methods = vec![Method::POST, Method::PATCH];
        Self { routes: Vec::new(), methods, default: Arc::new(Rule::default()) }
    }
}

impl Rules {
    pub(crate) fn set_default(&mut self, rule: Rule) {
        self.default = Arc::new(rule);
    }

    pub(crate) fn set_methods(&mut self, methods: Vec<Method>) {
        self.methods = methods;
    }

    pub(crate) fn add(&mut self, method: Option<Method>, route: &str, rule: Rule) {
        self.routes.push((method, Pattern::new(route), Arc::new(rule)));
    }

    /// The rule of a request; `None` if keys are not looked at.
    pub(crate) fn find(&self, method: &Method, route: &str) -> Option<&Arc<Rule>> {
        let found = self.routes.iter().find(|(only, pattern, _)| {
            only.as_ref().is_none_or(|only| only == method) && pattern.matches(route)
        });
        match found {
            Some((_, _, rule)) => Some(rule),
            None => self.methods.contains(method).then_some(&self.default),
        }
    }
}

/// Which routes a rule is for: one route, or, where the pattern ends in `*`, all that begin so. A
/// segment in braces stands for any one segment.
///
/// ```
/// use oncekey::http::RoutePattern;
///
/// let captures = RoutePattern::new("/v1/charges/{id}/capture");
/// assert!(captures.matches("/v1/charges/ch_1/capture"));
/// assert!(!captures.matches("/v1/charges/ch_1/refund"));
/// assert!(RoutePattern::new("/v1/*").matches("/v1/charges"));
/// ```
#[derive(Debug, Clone)]
pub struct RoutePattern(Pattern);

impl RoutePattern {
    /// Reads a pattern.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self(Pattern::new(pattern))
    }

    /// Whether a route, or a path, is one of them.
    #[must_use]
    pub fn matches(&self, route: &str) -> bool {
        self.0.matches(route)
    }
}

#[derive(Debug, Clone)]
enum Pattern {
    Exact(String),
    Prefix(String),
    Segments(Vec<Option<String>>),
}

impl Pattern {
    fn new(route: &str) -> Self {
        if let Some(prefix) = route.strip_suffix('*') {
            return Self::Prefix(prefix.to_owned());
        }
        let is_open = |segment: &str| segment.starts_with('{') && segment.ends_with('}');
        if !route.split('/').any(is_open) {
            return Self::Exact(route.to_owned());
        }
        let segment = |segment: &str| (!is_open(segment)).then(|| segment.to_owned());
        Self::Segments(route.split('/').map(segment).collect())
    }

    fn matches(&self, route: &str) -> bool {
        match self {
            Self::Exact(exact) => route == exact,
            Self::Prefix(prefix) => route.starts_with(prefix),
            Self::Segments(segments) => {
                let mut parts = route.split('/');
                let all = segments.iter().all(|segment| match (segment, parts.next()) {
                    (Some(segment), Some(part)) => segment == part,
                    (None, Some(part)) => !part.is_empty(),
                    (_, None) => false,
                });
                all && parts.next().is_none()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(millis: u64) -> Rule {
        Rule::new().wait(Duration::from_millis(millis))
    }

    #[test]
    fn the_first_rule_that_fits_is_taken() {
        let mut rules = Rules::default();
        rules.set_default(named(0));
        rules.add(Some(Method::POST), "/v1/charges", named(1));
        rules.add(None, "/v1/*", named(2));
        let found = |method, route| {
            rules.find(&method, route).map(|rule: &Arc<Rule>| rule.wait.as_millis())
        };
        assert_eq!(found(Method::POST, "/v1/charges"), Some(1));
        assert_eq!(found(Method::PUT, "/v1/charges"), Some(2));
        assert_eq!(found(Method::POST, "/v1/charges/1"), Some(2));
        assert_eq!(found(Method::PATCH, "/v2"), Some(0));
        assert_eq!(found(Method::GET, "/v2"), None);
    }

    #[test]
    fn a_segment_in_braces_is_any_one_segment() {
        let pattern = Pattern::new("/v1/charges/{id}/capture");
        assert!(pattern.matches("/v1/charges/42/capture"));
        // As axum names the route.
        assert!(pattern.matches("/v1/charges/{id}/capture"));
        for other in ["/v1/charges//capture", "/v1/charges/42", "/v1/charges/4/2/capture", ""] {
            assert!(!pattern.matches(other), "{other}");
        }
        assert!(!pattern.matches("/v1/charges/42/capture/"));
    }

    #[test]
    fn the_profile_decides_what_a_rule_does_not() {
        let rule = Rule::new();
        assert_eq!(rule.requires(Profile::Ietf), Requirement::Required);
        assert_eq!(rule.requires(Profile::Stripe), Requirement::Optional);
        let off = rule.requirement(Requirement::Off);
        assert_eq!(off.requires(Profile::Ietf), Requirement::Off);
    }

    #[test]
    fn event_streams_and_upgrades_are_streams() {
        let rule = Rule::new();
        let is_stream = |status: u16, media_type: &str| {
            let response =
                http::Response::builder().status(status).header(CONTENT_TYPE, media_type);
            rule.is_stream(&response.body(()).expect("a response").into_parts().0)
        };
        assert!(is_stream(200, "Text/Event-Stream; charset=utf-8"));
        assert!(is_stream(101, "text/plain"));
        assert!(!is_stream(200, "application/json"));
    }
}
