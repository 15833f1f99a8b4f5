//! Whose request it is: a keyed digest of the headers that say so.
//!
//! The headers are credentials as a rule, so neither the store nor a log ever sees them. A digest
//! under another key, or of other headers, is another scope, under which everything would run
//! again; that this does not happen is the part of the store's mark.

use hyper::HeaderMap;
use hyper::header::HeaderName;
use oncekey::Scope;

const DIGEST_CHARS: usize = 40;

/// How scopes are found.
#[derive(Clone)]
pub(crate) struct Scopes {
    headers: Vec<HeaderName>,
    key: [u8; 32],
}

impl Scopes {
    /// By these headers, under a key.
    pub(crate) fn new(headers: Vec<HeaderName>, key: [u8; 32]) -> Self {
        Self { headers, key }
    }

    /// The scope of a request; `None` if one of the headers is missing.
    pub(crate) fn of(&self, headers: &HeaderMap) -> Option<Scope> {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for name in &self.headers {
            let values: Vec<_> = headers.get_all(name).iter().collect();
            if values.iter().all(|value| value.is_empty()) {
                return None;
            }
            add(&mut hasher, name.as_str().as_bytes());
            hasher.update(&(values.len() as u64).to_le_bytes());
            for value in values {
                add(&mut hasher, value.as_bytes());
            }
        }
        let digest = hasher.finalize().to_hex();
        Scope::new(digest.get(..DIGEST_CHARS)?).ok()
    }

    /// What tells these scopes from those of another key or of other headers.
    pub(crate) fn mark(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for name in &self.headers {
            add(&mut hasher, name.as_str().as_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

fn add(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(names: &[&'static str], key: u8) -> Scopes {
        let headers = names.iter().copied().map(HeaderName::from_static).collect();
        Scopes::new(headers, [key; 32])
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn a_scope_never_shows_the_header() {
        let scopes = scopes(&["authorization"], 1);
        let scope = scopes.of(&headers(&[("authorization", "Bearer sk_1")])).expect("a scope");
        assert_eq!(scope.as_str().len(), DIGEST_CHARS);
        assert!(scope.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn other_values_counts_headers_and_keys_are_other_scopes() {
        let lines: [&[(&str, &str)]; 4] = [
            &[("a", "1"), ("b", "2")],
            &[("a", "12"), ("b", "2")],
            &[("a", "1"), ("a", "2"), ("b", "2")],
            &[("a", "1, 2"), ("b", "2")],
        ];
        let mut seen: Vec<Scope> = Vec::new();
        for (names, key) in [(&["a", "b"], 1), (&["b", "a"], 1), (&["a", "b"], 2)] {
            seen.extend(lines.iter().filter_map(|lines| scopes(names, key).of(&headers(lines))));
        }
        assert_eq!(seen.len(), 12);
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 12);
    }

    #[test]
    fn a_request_without_all_of_them_is_of_nobody() {
        let scopes = scopes(&["a", "b"], 1);
        assert!(scopes.of(&headers(&[("a", "1")])).is_none());
        assert!(scopes.of(&headers(&[("a", "1"), ("b", "")])).is_none());
    }
}
