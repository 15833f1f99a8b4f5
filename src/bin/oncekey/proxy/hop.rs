//! Which headers go on to the next hop, and what this one adds.
//!
//! What belongs to one connection goes no further. What tells the upstream of a claim is this
//! proxy's word alone: a client's headers of such names are dropped, and so are those that differ
//! from them in `_` for `-`, which many servers (CGI, WSGI) take for the same.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, Entry, FORWARDED, HOST, HeaderName, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE, VIA,
};
use hyper::{HeaderMap, header::HeaderValue};
use oncekey::DownstreamKey;
use oncekey::http::{Attempt, IDEMPOTENT_REPLAYED};

/// What the upstream deduplicates by: the same for every attempt at a key.
pub(crate) const DOWNSTREAM_KEY: HeaderName = HeaderName::from_static("oncekey-downstream-key");
/// 1 for the first attempt at a key.
pub(crate) const ATTEMPT: HeaderName = HeaderName::from_static("oncekey-attempt");
/// The fencing token.
pub(crate) const TOKEN: HeaderName = HeaderName::from_static("oncekey-token");

const OWN_PREFIX: &str = "oncekey-";
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Whether a message has no transfer coding but that of chunks, once. Another one would be taken
/// off by nobody, since its name goes no further.
pub(crate) fn is_chunked_or_plain(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter().map(HeaderValue::as_bytes);
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

/// Drops what belongs to the connection that a message came by. Its length is kept: it is the
/// message's, unless chunks say another (RFC 9112, section 6.3).
pub(crate) fn drop_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    let values = headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes);
    let names = values.flat_map(|value| value.split(|byte| *byte == b','));
    let named: Vec<HeaderName> =
        names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        // A client must not make its credentials or the length of its message disappear by naming
        // them.
        if HOP_BY_HOP.contains(name) || !is_end_to_end(name) {
            headers.remove(name);
        }
    }
}

/// What no `Connection` header may take away.
fn is_end_to_end(name: &HeaderName) -> bool {
    *name == HOST || *name == CONTENT_LENGTH || name == "idempotency-key" || name == "authorization"
}

/// Drops what a client may not say: this proxy's own headers, and doubles of `kept` (the key, what
/// scopes are made of) that are spelled with `_`.
pub(crate) fn drop_forged(headers: &mut HeaderMap, kept: &[HeaderName]) {
    let is_forged = |name: &HeaderName| {
        if !name.as_str().contains('_') {
            return name.as_str().starts_with(OWN_PREFIX);
        }
        let dashed = name.as_str().replace('_', "-");
        dashed.starts_with(OWN_PREFIX) || kept.iter().any(|kept| *kept == dashed.as_str())
    };
    let forged: Vec<HeaderName> = headers.keys().filter(|name| is_forged(name)).cloned().collect();
    for name in forged {
        if let Entry::Occupied(entry) = headers.entry(name) {
            entry.remove_entry_mult();
        }
    }
    headers.remove(IDEMPOTENT_REPLAYED);
}

/// Tells the upstream whose claim it executes.
pub(crate) fn tell_attempt(headers: &mut HeaderMap, attempt: &Attempt, key: &DownstreamKey) {
    if let Ok(key) = HeaderValue::from_str(key.as_str()) {
        headers.insert(DOWNSTREAM_KEY, key);
    }
    headers.insert(ATTEMPT, HeaderValue::from(attempt.attempt()));
    headers.insert(TOKEN, HeaderValue::from(attempt.token().get()));
}

/// Tells the upstream who asked. What a client says of that itself is not believed, unless a proxy
/// in front is trusted to have written it.
pub(crate) fn tell_origin(headers: &mut HeaderMap, peer: SocketAddr, trusted: bool) {
    let host = headers.get(HOST).cloned();
    let ip = peer.ip().to_canonical();
    let node = match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("\"[{ip}]\""),
    };
    let mut element = format!("for={node};proto=http");
    if let Some(host) =
        host.as_ref().and_then(|host| host.to_str().ok()).filter(|host| is_plain(host))
    {
        element.push_str(&format!(";host=\"{host}\""));
    }
    let set_first = |headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>| {
        if !(trusted && headers.contains_key(&name)) {
            headers.remove(&name);
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
    };
    set_first(headers, X_FORWARDED_HOST, host);
    set_first(headers, X_FORWARDED_PROTO, Some(HeaderValue::from_static("http")));
    add(headers, X_FORWARDED_FOR, &ip.to_string(), trusted);
    add(headers, FORWARDED, &element, trusted);
    add(headers, VIA, "1.1 oncekey", true);
}

/// Whoever asks: the peer, or if it is a proxy that is trusted, the one that it says it serves,
/// which is the last of its list: what stands before that is what others said.
pub(crate) fn origin(headers: &HeaderMap, peer: SocketAddr, trusted: bool) -> IpAddr {
    let last = headers.get_all(X_FORWARDED_FOR).iter().next_back().filter(|_| trusted);
    let last = last.and_then(|list| list.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    last.unwrap_or_else(|| peer.ip()).to_canonical()
}

/// Whether a host can stand between quotes as it is.
fn is_plain(host: &str) -> bool {
    host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte))
}

/// Adds to a list, or begins it anew.
fn add(headers: &mut HeaderMap, name: HeaderName, element: &str, to_what_came: bool) {
    let mut list = Vec::new();
    if to_what_came {
        for value in headers.get_all(&name) {
            list.extend_from_slice(value.as_bytes());
            list.extend_from_slice(b", ");
        }
    }
    list.extend_from_slice(element.as_bytes());
    headers.remove(&name);
    if let Ok(value) = HeaderValue::from_bytes(&list) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn what_belongs_to_the_connection_goes_no_further() {
        let mut all = headers(&[
            ("connection", "close, X-Hop"),
            ("connection", "authorization, Idempotency-Key, host"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("authorization", "Bearer 1"),
            ("idempotency-key", "k"),
            ("host", "a"),
        ]);
        drop_hop_by_hop(&mut all);
        let rest =
            headers(&[("authorization", "Bearer 1"), ("idempotency-key", "k"), ("host", "a")]);
        assert_eq!(all, rest);
    }

    #[test]
    fn whoever_asks_is_the_peer_unless_a_trusted_one_says_better() {
        let peer = "[::ffff:10.0.0.1]:80".parse().expect("an address");
        let origin = |lines: &[_], trusted| origin(&headers(lines), peer, trusted).to_string();
        let listed = [("x-forwarded-for", "203.0.113.1, 198.51.100.2"), ("x-forwarded-for", "::1")];
        assert_eq!(origin(&listed, false), "10.0.0.1");
        assert_eq!(origin(&listed, true), "::1");
        assert_eq!(origin(&listed[..1], true), "198.51.100.2");
        for unclear in ["", "unknown", "203.0.113.1,", "203.0.113.1:80", "\t"] {
            assert_eq!(origin(&[("x-forwarded-for", unclear)], true), "10.0.0.1", "{unclear:?}");
        }
        assert_eq!(origin(&[], true), "10.0.0.1");
    }

    #[test]
    fn a_length_beside_chunks_goes_no_further() {
        let mut all = headers(&[("content-length", "2"), ("transfer-encoding", "chunked")]);
        drop_hop_by_hop(&mut all);
        assert!(all.is_empty());
    }

    #[test]
    fn chunks_are_the_only_coding() {
        for good in [&[][..], &["chunked"], &["Chunked"]] {
            let lines: Vec<_> = good.iter().map(|value| ("transfer-encoding", *value)).collect();
            assert!(is_chunked_or_plain(&headers(&lines)), "{good:?}");
        }
        for bad in [&["gzip, chunked"][..], &["chunked, chunked"], &["identity", "chunked"], &[""]]
        {
            let lines: Vec<_> = bad.iter().map(|value| ("transfer-encoding", *value)).collect();
            assert!(!is_chunked_or_plain(&headers(&lines)), "{bad:?}");
        }
    }

    #[test]
    fn a_client_cannot_forge_what_the_proxy_says() {
        let mut all = headers(&[
            ("oncekey-attempt", "1"),
            ("oncekey-attempt", "2"),
            ("oncekey_downstream_key", "x"),
            ("oncekey-later", "x"),
            ("idempotent-replayed", "true"),
            ("idempotency_key", "other"),
            ("x_account", "other"),
            ("idempotency-key", "k"),
            ("x-account", "a"),
            ("x_other", "1"),
        ]);
        let kept = ["idempotency-key", "x-account"].map(HeaderName::from_static);
        drop_forged(&mut all, &kept);
        let rest = headers(&[("idempotency-key", "k"), ("x-account", "a"), ("x_other", "1")]);
        assert_eq!(all, rest);
    }

    #[test]
    fn who_asked_is_what_the_proxy_saw() {
        let came = [("host", "api.example:80"), ("x-forwarded-for", "10.9.9.9"), ("via", "1.0 x")];
        let peer = "[::ffff:192.0.2.1]:99".parse().expect("an address");
        let told = |trusted| {
            let mut headers = headers(&came);
            tell_origin(&mut headers, peer, trusted);
            headers
        };
        let plain = told(false);
        assert_eq!(plain["x-forwarded-for"], "192.0.2.1");
        assert_eq!(plain["x-forwarded-host"], "api.example:80");
        assert_eq!(plain["forwarded"], "for=192.0.2.1;proto=http;host=\"api.example:80\"");
        assert_eq!(plain["via"], "1.0 x, 1.1 oncekey");
        assert_eq!(told(true)["x-forwarded-for"], "10.9.9.9, 192.0.2.1");
    }
}
