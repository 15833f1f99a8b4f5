//! What makes two HTTP requests the same: operation and path always, and of the rest what a rule
//! chooses.
//!
//! Every part enters the digest with its length before it, so that no two requests share a digest
//! by running into one another.

use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use http::HeaderMap;
use http::header::HeaderName;
use http::uri::Uri;

use super::{Secret, canonical};
use crate::types::Fingerprint;

const CONTEXT: &str = "oncekey http fingerprint v1";
/// Digested once.
static CONTEXT_KEY: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context(CONTEXT));

/// What of a request's body counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyPart {
    /// Every byte.
    #[default]
    Bytes,
    /// The JSON value (RFC 8785): order, white space and spelling do not count. A body that is not
    /// JSON, or whose value doubles would blur, counts byte by byte.
    CanonicalJson,
    /// These members of a JSON body, by JSON pointers (RFC 6901, `/amount`, `/card/number`). What
    /// is missing counts as missing. A body of which [`CanonicalJson`](Self::CanonicalJson) would
    /// take every byte counts so here as well.
    JsonFields(Vec<String>),
    /// Nothing: any body is the same request. For clients that cannot repeat a body.
    Ignored,
}

/// What of a request counts, beside its operation and its path. The default: the query, and every
/// byte of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FingerprintParts {
    body: BodyPart,
    query: bool,
    headers: Vec<HeaderName>,
}

impl Default for FingerprintParts {
    fn default() -> Self {
        Self { body: BodyPart::Bytes, query: true, headers: Vec::new() }
    }
}

impl FingerprintParts {
    /// The default parts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What of the body counts.
    #[must_use]
    pub fn body(mut self, body: BodyPart) -> Self {
        self.body = body;
        self
    }

    /// Whether the query counts, as it was sent.
    #[must_use]
    pub fn query(mut self, counts: bool) -> Self {
        self.query = counts;
        self
    }

    /// A header whose values count (a version of the API, for example). May be given again.
    #[must_use]
    pub fn header(mut self, name: HeaderName) -> Self {
        self.headers.push(name);
        self
    }

    /// The fingerprint of a request, keyed if there is a secret.
    pub(crate) fn of(&self, secret: Option<&Secret>, request: &RequestParts<'_>) -> Fingerprint {
        let mut digest = Digest(match secret {
            Some(secret) => secret.hasher(),
            None => blake3::Hasher::new_from_context_key(&CONTEXT_KEY),
        });
        digest.part(request.uri.path().as_bytes());
        if self.query {
            digest.optional(request.uri.query().map(str::as_bytes));
        }
        for name in &self.headers {
            let values = request.headers.get_all(name);
            digest.part(name.as_str().as_bytes());
            digest.number(values.iter().count());
            values.iter().for_each(|value| digest.part(value.as_bytes()));
        }
        self.digest_body(&mut digest, request.body);
        digest.finish(request.operation)
    }

    fn digest_body(&self, digest: &mut Digest, body: &[u8]) {
        let form = match &self.body {
            BodyPart::Ignored => return digest.number(IGNORED),
            BodyPart::Bytes => None,
            BodyPart::CanonicalJson => canonical::parse(body).and_then(|v| canonical::to_bytes(&v)),
            BodyPart::JsonFields(fields) => return digest_fields(digest, fields, body),
        };
        match form {
            Some(form) => digest.tagged(CANONICAL, &form),
            None => digest.tagged(BYTES, body),
        }
    }
}

// What a part of the body stands for; part of the digest.
const IGNORED: usize = 0;
const BYTES: usize = 1;
const CANONICAL: usize = 2;
const FIELDS: usize = 3;

fn digest_fields(digest: &mut Digest, fields: &[String], body: &[u8]) {
    let Some(value) = canonical::parse(body) else { return digest.tagged(BYTES, body) };
    digest.number(FIELDS);
    for field in fields {
        digest.part(field.as_bytes());
        let found = value.pointer(field).and_then(canonical::to_bytes);
        digest.optional(found.as_deref());
    }
}

/// What of a request may count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestParts<'a> {
    pub(crate) operation: &'a str,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

struct Digest(blake3::Hasher);

impl Digest {
    fn number(&mut self, number: usize) {
        self.0.update(&(number as u64).to_le_bytes());
    }

    fn part(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.update(bytes);
    }

    fn tagged(&mut self, tag: usize, bytes: &[u8]) {
        self.number(tag);
        self.part(bytes);
    }

    fn optional(&mut self, bytes: Option<&[u8]>) {
        self.number(usize::from(bytes.is_some()));
        self.part(bytes.unwrap_or_default());
    }

    /// The operation's own part is not keyed: it is no secret, and tells a mismatch apart also
    /// where the secret has changed.
    fn finish(self, operation: &str) -> Fingerprint {
        let mut fingerprint = Fingerprint::EMPTY;
        fingerprint.set_operation(operation);
        let mut bytes = *fingerprint.as_bytes();
        let digest = self.0.finalize();
        for (byte, value) in bytes.iter_mut().skip(8).zip(digest.as_bytes()) {
            *byte = *value;
        }
        Fingerprint::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, HOST};
    use proptest::prelude::*;

    use super::*;
    use crate::types::Difference;

    struct Sent {
        operation: &'static str,
        uri: Uri,
        headers: HeaderMap,
        body: Vec<u8>,
    }

    fn sent(uri: &'static str, body: &str) -> Sent {
        let (operation, uri) = ("POST /c/{id}", Uri::from_static(uri));
        Sent { operation, uri, headers: HeaderMap::new(), body: body.into() }
    }

    impl Sent {
        fn header(mut self, name: HeaderName, value: &'static str) -> Self {
            self.headers.append(name, value.parse().expect("a value"));
            self
        }

        fn print(&self, parts: &FingerprintParts) -> Fingerprint {
            self.keyed(parts, None)
        }

        fn keyed(&self, parts: &FingerprintParts, secret: Option<&Secret>) -> Fingerprint {
            let Self { operation, uri, headers, body } = self;
            parts.of(secret, &RequestParts { operation, uri, headers, body })
        }
    }

    #[test]
    fn path_and_query_count() {
        let parts = FingerprintParts::new();
        let first = sent("/c/1?a=b", "x").print(&parts);
        assert_eq!(first, sent("http://host/c/1?a=b", "x").print(&parts));
        for uri in ["/c/2?a=b", "/c/1", "/c/1?", "/c/1?a=c"] {
            let other = sent(uri, "x").print(&parts);
            assert_eq!(first.difference(&other), Some(Difference::Payload), "{uri}");
        }
        let parts = parts.query(false);
        assert_eq!(sent("/c/1?a=b", "x").print(&parts), sent("/c/1", "x").print(&parts));
    }

    #[test]
    fn the_operation_is_told_apart() {
        let parts = FingerprintParts::new();
        let mut other = sent("/c/1", "x");
        other.operation = "PATCH /c/{id}";
        let difference = sent("/c/1", "x").print(&parts).difference(&other.print(&parts));
        assert_eq!(difference, Some(Difference::Operation));
    }

    #[test]
    fn only_chosen_headers_count() {
        let parts = FingerprintParts::new().header(ACCEPT);
        let plain = sent("/c/1", "x");
        let first = plain.print(&parts);
        assert_eq!(first, sent("/c/1", "x").header(HOST, "a").print(&parts));
        assert_ne!(first, sent("/c/1", "x").header(ACCEPT, "a").print(&parts));
        let twice = sent("/c/1", "x").header(ACCEPT, "a").header(ACCEPT, "b");
        assert_ne!(twice.print(&parts), sent("/c/1", "x").header(ACCEPT, "a, b").print(&parts));
    }

    #[test]
    fn json_may_count_by_value_or_by_fields() {
        let value = FingerprintParts::new().body(BodyPart::CanonicalJson);
        let one = sent("/c/1", r#"{"a": 1, "b": {"c": 2}}"#);
        let same = sent("/c/1", r#"{"b":{"c":2.0},"a":1}"#);
        assert_eq!(one.print(&value), same.print(&value));
        assert_ne!(one.print(&FingerprintParts::new()), same.print(&FingerprintParts::new()));
        let fields = BodyPart::JsonFields(vec!["/a".to_owned(), "/b/c".to_owned()]);
        let fields = FingerprintParts::new().body(fields);
        let more = sent("/c/1", r#"{"a": 1, "b": {"c": 2}, "now": 17}"#);
        assert_eq!(one.print(&fields), more.print(&fields));
        assert_ne!(one.print(&value), more.print(&value));
        let less = sent("/c/1", r#"{"a": 1}"#);
        let null = sent("/c/1", r#"{"a": 1, "b": {"c": null}}"#);
        assert_ne!(less.print(&fields), null.print(&fields));
    }

    #[test]
    fn bytes_never_pass_for_a_canonical_form() {
        let value = FingerprintParts::new().body(BodyPart::CanonicalJson);
        let big = sent("/c/1", "9007199254740993");
        assert_ne!(big.print(&value), sent("/c/1", "9007199254740992").print(&value));
        assert_eq!(big.print(&value), big.print(&FingerprintParts::new()));
        let twice = sent("/c/1", r#"{"amount":1,"amount":100}"#);
        assert_ne!(twice.print(&value), sent("/c/1", r#"{"amount":100}"#).print(&value));
    }

    #[test]
    fn another_secret_makes_another_payload_of_the_same_operation() {
        let parts = FingerprintParts::new();
        let request = sent("/c/1", "x");
        let secrets = [None, Some(Secret::from_bytes([1; 32])), Some(Secret::from_bytes([2; 32]))];
        let prints = secrets.map(|secret| request.keyed(&parts, secret.as_ref()));
        let [none, one, two] = prints;
        assert_eq!(none.difference(&one), Some(Difference::Payload));
        assert_eq!(one.difference(&two), Some(Difference::Payload));
    }

    proptest! {
        #[test]
        fn another_body_is_another_request(one in ".{0,40}", other in ".{0,40}") {
            let parts = FingerprintParts::new();
            let same = sent("/", &one).print(&parts) == sent("/", &other).print(&parts);
            prop_assert_eq!(same, one == other);
        }
    }
}
