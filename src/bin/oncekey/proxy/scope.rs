//! Whose request it is: a keyed digest of the headers that say so.
//!
//! The headers are credentials as a rule, so neither the store nor a log ever sees them. A digest
//! under another secret, or of other headers, is another scope, under which every key would run
//! again: the store keeps a mark of both, and a proxy that would change them does not start.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::HeaderName;
use oncekey::{ClaimRequest, DropPolicy, Key, Outcome, Scope, Store, StoredResponse};

use crate::failure::{Failure, Result};

const CONTEXT: &str = "oncekey proxy scope v1";
const DIGEST_CHARS: usize = 40;
/// No digest has this form.
const MARK_SCOPE: &str = "oncekey-proxy";
const MARK_KEY: &str = "scopes";
const MARK_TTL: Duration = Duration::from_secs(90 * 365 * 24 * 3600);

/// How scopes are found.
#[derive(Clone)]
pub(crate) struct Scopes {
    headers: Vec<HeaderName>,
    key: [u8; 32],
}

impl Scopes {
    /// By these headers, keyed with the secret, or, without one, with what names the store.
    pub(crate) fn new(headers: Vec<HeaderName>, secret: Option<&[u8]>, store: &Store) -> Self {
        let id = store.id().to_string();
        let key = blake3::derive_key(CONTEXT, secret.unwrap_or(id.as_bytes()));
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

    /// Refuses a store whose keys belong to scopes that were found in another way.
    pub(crate) fn check(&self, store: &Store, accept_new: bool) -> Result<()> {
        let (scope, key) = (Scope::new(MARK_SCOPE)?, Key::new(MARK_KEY)?);
        let request = ClaimRequest::new(scope.clone(), key.clone())
            .payload(self.mark())
            .on_drop(DropPolicy::Release)
            .ttl(MARK_TTL);
        match store.claim(request.clone()).wait()? {
            Outcome::Replay(_) => return Ok(()),
            Outcome::Claimed(claim) => return complete(claim),
            Outcome::Mismatch(_) if accept_new => {}
            Outcome::Mismatch(_) => {
                return Err(Failure::new(
                    "the keys of this store belong to scopes that were made with another secret \
                     or of other headers: all would run again. Give those, or \
                     --accept-new-scopes once nobody repeats an old request any more",
                ));
            }
            _ => return Err(Failure::new("the store's mark of scopes is in use")),
        }
        store.forget(&scope, &key).wait()?;
        match store.claim(request).wait()? {
            Outcome::Claimed(claim) => complete(claim),
            _ => Err(Failure::new("the store's mark of scopes is in use")),
        }
    }

    fn mark(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for name in &self.headers {
            add(&mut hasher, name.as_str().as_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

fn complete(claim: oncekey::Claim) -> Result<()> {
    match claim.complete(StoredResponse::new(&b""[..])).wait() {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::new(format!("store: {error}"))),
    }
}

fn add(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(names: &[&'static str], secret: &[u8]) -> Scopes {
        let headers = names.iter().copied().map(HeaderName::from_static).collect();
        Scopes { headers, key: blake3::derive_key(CONTEXT, secret) }
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
        let scopes = scopes(&["authorization"], b"secret");
        let scope = scopes.of(&headers(&[("authorization", "Bearer sk_1")])).expect("a scope");
        assert_eq!(scope.as_str().len(), DIGEST_CHARS);
        assert!(scope.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn other_values_counts_headers_and_secrets_are_other_scopes() {
        let lines: [&[(&str, &str)]; 4] = [
            &[("a", "1"), ("b", "2")],
            &[("a", "12"), ("b", "2")],
            &[("a", "1"), ("a", "2"), ("b", "2")],
            &[("a", "1, 2"), ("b", "2")],
        ];
        let mut seen: Vec<Scope> = Vec::new();
        for (names, secret) in [(&["a", "b"], b"x"), (&["b", "a"], b"x"), (&["a", "b"], b"y")] {
            seen.extend(lines.iter().filter_map(|lines| scopes(names, secret).of(&headers(lines))));
        }
        assert_eq!(seen.len(), 12);
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 12);
    }

    #[test]
    fn a_request_without_all_of_them_is_of_nobody() {
        let scopes = scopes(&["a", "b"], b"x");
        assert!(scopes.of(&headers(&[("a", "1")])).is_none());
        assert!(scopes.of(&headers(&[("a", "1"), ("b", "")])).is_none());
    }

    #[test]
    fn a_store_is_not_opened_with_scopes_of_another_kind() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::create(dir.path().join("state")).expect("a store");
        let first = scopes(&["a"], b"x");
        for _ in 0..2 {
            first.check(&store, false).expect("the same");
        }
        let other = scopes(&["a"], b"y");
        assert!(other.check(&store, false).is_err());
        assert!(scopes(&["b"], b"x").check(&store, false).is_err());
        other.check(&store, true).expect("accepted");
        other.check(&store, false).expect("the same now");
        assert!(first.check(&store, false).is_err());
    }
}
