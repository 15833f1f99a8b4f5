//! Which headers of a response are kept for its replays.
//!
//! Never: those that belong to one connection or one message (hop-by-hop, `Content-Length`,
//! `Date`), `Set-Cookie` (a session of the first caller is not for whoever retries), and this
//! layer's own. Of the rest a service chooses.

use http::header::{
    CONNECTION, CONTENT_LENGTH, DATE, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};

/// The header that marks a replay.
pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Never kept.
const NEVER: [HeaderName; 14] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    PROXY_CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    CONTENT_LENGTH,
    DATE,
    SET_COOKIE,
    HeaderName::from_static("set-cookie2"),
    IDEMPOTENT_REPLAYED,
];

/// Which headers of a response are kept for its replays. The default: all but those that are never
/// kept (hop-by-hop, `Content-Length`, `Date`, `Set-Cookie`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderPolicy {
    only: Option<Vec<HeaderName>>,
    without: Vec<HeaderName>,
}

impl HeaderPolicy {
    /// The default policy.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps only these, of those that may be kept.
    #[must_use]
    pub fn only(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.only = Some(names.into_iter().collect());
        self
    }

    /// Does not keep these either.
    #[must_use]
    pub fn without(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.without.extend(names);
        self
    }

    /// The headers to keep, in their order.
    pub(crate) fn kept(&self, headers: &HeaderMap) -> HeaderMap {
        let of_connection = named_by_connection(headers);
        let mut kept = HeaderMap::with_capacity(headers.keys_len());
        for (name, value) in headers {
            if self.keeps(name) && !of_connection.contains(name) {
                kept.append(name.clone(), value.clone());
            }
        }
        kept
    }

    fn keeps(&self, name: &HeaderName) -> bool {
        !NEVER.contains(name)
            && !self.without.contains(name)
            && self.only.as_ref().is_none_or(|only| only.contains(name))
    }
}

/// `Connection` names further headers that are for this hop alone (RFC 9110, section 7.6.1).
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes);
    let names = values.flat_map(|value| value.split(|byte| *byte == b','));
    names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_TYPE, ETAG, LOCATION};

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_belongs_to_one_message_is_never_kept() {
        let mut all = headers(&[
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("content-type", "text/plain"),
            ("idempotent-replayed", "true"),
        ]);
        for name in &NEVER {
            all.append(name.clone(), HeaderValue::from_static("x"));
        }
        let kept = HeaderPolicy::new().kept(&all);
        assert_eq!(kept, headers(&[("content-type", "text/plain")]));
        // Not even if it is asked for.
        assert!(HeaderPolicy::new().only([SET_COOKIE, DATE]).kept(&all).is_empty());
    }

    #[test]
    fn values_stay_apart_and_in_order() {
        let all = headers(&[("x-b", "2"), ("x-a", "1"), ("x-b", "1"), ("x-a", "1, 3")]);
        let kept = HeaderPolicy::new().kept(&all);
        assert_eq!(kept.iter().collect::<Vec<_>>(), all.iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_service_chooses_of_the_rest() {
        let all = headers(&[("content-type", "a"), ("etag", "b"), ("location", "c")]);
        let only = HeaderPolicy::new().only([CONTENT_TYPE, ETAG]).without([ETAG]);
        assert_eq!(only.kept(&all), headers(&[("content-type", "a")]));
        let without = HeaderPolicy::new().without([LOCATION]);
        assert_eq!(without.kept(&all), headers(&[("content-type", "a"), ("etag", "b")]));
    }
}
